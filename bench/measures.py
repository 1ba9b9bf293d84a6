"""What is measured, each in turns: one program runs, the others are held, round after round."""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from .agent import agent_body
from .contenders import CHAT, CONTENT, Contender
from .load import Answer, BenchError, LoadReport, Native, Target, chat_body
from .running import Running

# One list of values for each program, one value for each round.
Samples = dict[str, list[float]]

_WHOLE = Answer(deltas=32, batch=0)
_STREAM = Answer(deltas=32)
_BUSY_CONNECTIONS = 32
_PACED_STREAMS = 50
_SLOW_START = 3.0


@dataclass(frozen=True, slots=True)
class Effort:
    """How long and how often to measure. ``seconds`` is the length of one timed run."""

    rounds: int
    seconds: float
    startups: int
    requests: int


FULL = Effort(rounds=5, seconds=2.0, startups=5, requests=100)
QUICK = Effort(rounds=1, seconds=0.5, startups=1, requests=20)


@dataclass(frozen=True, slots=True)
class Entry:
    contender: Contender
    running: Running

    @property
    def name(self) -> str:
        return self.contender.name


@dataclass(slots=True)
class Field:
    """The started programs, all held except the one whose turn it is.

    ``faults`` collects what went wrong in words: a program that lost text is named in the results.
    """

    native: Native
    stub_port: int
    effort: Effort
    entries: list[Entry]
    faults: list[str] = field(default_factory=list)

    @property
    def direct(self) -> Target:
        return Target(self.stub_port, CHAT, CONTENT)

    @contextmanager
    def turn(self, entry: Entry) -> Iterator[Running]:
        """Lets one program run; a moment of load wakes its caches and connections before the measurement."""
        entry.running.resume()
        try:
            body = chat_body(_STREAM, stream=True)
            self.native.run(entry.contender.target, body, _STREAM, 4, seconds=0.2)
            yield entry.running
        finally:
            entry.running.hold()

    def check(self, entry: Entry, what: str, report: LoadReport) -> LoadReport:
        if report.broken:
            total = report.broken + report.completed
            reason = report.reason[:120]
            fault = f"{entry.name}, {what}: {report.broken} of {total} answers were not whole ({reason})"
            self.faults.append(fault)
            print(f"  {fault}", flush=True)
        return report

    def samples(self) -> Samples:
        return {entry.name: [] for entry in self.entries}


@dataclass(frozen=True, slots=True)
class Throughput:
    """Answers per second on one core, whole and streamed, and the peak of resident bytes.

    The ``_cpu`` samples are microseconds of CPU time per answer: other programs on the machine take seconds
    away, but hardly CPU time.
    """

    requests: Samples
    streams: Samples
    requests_cpu: Samples
    streams_cpu: Samples
    peak: Samples


def warm_up(field: Field) -> None:
    """Lets just-in-time compilers see the code; also what is loaded at the first request is loaded here."""
    for entry in field.entries:
        with field.turn(entry):
            for answer, stream in ((_WHOLE, False), (_STREAM, True)):
                report = field.native.run(
                    entry.contender.target,
                    chat_body(answer, stream=stream),
                    answer,
                    _BUSY_CONNECTIONS,
                    seconds=2 * field.effort.seconds,
                )
                if not report.completed:
                    raise BenchError(f"{entry.name} answers nothing that can be measured: {report.reason}")


def throughput(field: Field) -> Throughput:
    found = Throughput(*(field.samples() for _ in range(5)))
    for _ in range(field.effort.rounds):
        for entry in field.entries:
            with field.turn(entry) as running, running.peak_resident() as peak:
                for answer, stream, rates, costs in (
                    (_WHOLE, False, found.requests, found.requests_cpu),
                    (_STREAM, True, found.streams, found.streams_cpu),
                ):
                    before = running.cpu_seconds()
                    report = field.native.run(
                        entry.contender.target,
                        chat_body(answer, stream=stream),
                        answer,
                        _BUSY_CONNECTIONS,
                        seconds=field.effort.seconds,
                    )
                    spent = running.cpu_seconds() - before
                    field.check(entry, "streams" if stream else "requests", report)
                    rates[entry.name].append(report.completed / report.seconds)
                    if report.completed:
                        costs[entry.name].append(spent / report.completed * 1e6)
            found.peak[entry.name].append(peak[-1])
    return found


def event_cost(field: Field) -> Samples:
    """Microseconds of CPU time per streamed event: 50 streams, spread evenly, one event in each write."""
    samples = field.samples()
    for _ in range(min(field.effort.rounds, 3)):
        for entry in field.entries:
            rate = entry.contender.event_rate
            pace = _PACED_STREAMS * 1_000_000 // rate
            answer = Answer(deltas=int(2.5 * field.effort.seconds * 1e6 / pace), pace=pace)
            with field.turn(entry) as running:
                before = running.cpu_seconds()
                report = field.native.run(
                    entry.contender.target,
                    chat_body(answer, stream=True),
                    answer,
                    _PACED_STREAMS,
                    rounds=1,
                    spread=pace,
                )
                spent = running.cpu_seconds() - before
            field.check(entry, "CPU time per event", report)
            if report.deltas:
                samples[entry.name].append(spent / report.deltas * 1e6)
    return samples


def added_first_token(field: Field, streams: int) -> Samples:
    """Milliseconds added to the median time to the first text, with ``streams`` beginning at once."""
    samples = field.samples()
    answer = Answer(deltas=8, pace=2000) if streams == 1 else Answer(deltas=32, pace=20_000)
    rounds = field.effort.requests if streams == 1 else max(1, field.effort.requests // 20)
    body = chat_body(answer, stream=True)
    for _ in range(min(field.effort.rounds, 3)):
        direct = field.native.run(field.direct, body, answer, streams, rounds=rounds).first_text.p50
        for entry in field.entries:
            with field.turn(entry):
                report = field.native.run(entry.contender.target, body, answer, streams, rounds=rounds)
            field.check(entry, f"first token at {streams}", report)
            samples[entry.name].append((report.first_text.p50 - direct) / 1000)
    return samples


def agent_overhead(field: Field) -> Samples:
    """Milliseconds that a program adds to a streamed answer to a request of 76 kB, end to end."""
    samples = field.samples()
    answer = Answer(deltas=32)
    body, rounds = agent_body(answer), max(10, field.effort.requests // 2)
    for _ in range(min(field.effort.rounds, 3)):
        direct = field.native.run(field.direct, body, answer, 1, rounds=rounds).whole.p50
        for entry in field.entries:
            with field.turn(entry):
                report = field.native.run(entry.contender.target, body, answer, 1, rounds=rounds)
            field.check(entry, "agent request", report)
            samples[entry.name].append((report.whole.p50 - direct) / 1000)
    return samples


@dataclass(frozen=True, slots=True)
class OpenStreams:
    """Many streams open at once: proportional bytes, bytes for each stream, and how they progressed."""

    pss: Samples
    per_stream: Samples
    longest_gap: Samples
    complete: Samples


def open_streams(field: Field, streams: int) -> OpenStreams:
    """So many streams, two deltas a second on each. ``complete`` counts those that lost nothing."""
    found = OpenStreams(field.samples(), field.samples(), field.samples(), field.samples())
    # They begin one after the other, and all of them have to be open for a while.
    beginning = streams / 500
    answer = Answer(deltas=int(2 * (beginning + 2 + 4 * field.effort.seconds)), pace=500_000)
    for entry in field.entries:
        if streams not in entry.contender.streams:
            continue
        with field.turn(entry) as running:
            before = running.memory().pss

            def note(running: Running = running, name: str = entry.name, before: int = before) -> None:
                # A second later, so that it is the state of running streams and not of their beginning.
                time.sleep(1)
                pss = running.memory().pss
                found.pss[name].append(pss)
                found.per_stream[name].append((pss - before) / streams)

            report = field.native.run(
                entry.contender.target,
                chat_body(answer, stream=True),
                answer,
                streams,
                rounds=1,
                spread=int(beginning * 1e6),
                timeout=60,
                when_open=note,
            )
        field.check(entry, f"{streams:,} open streams", report)
        found.complete[entry.name].append(report.completed)
        if report.completed:
            found.longest_gap[entry.name].append(report.longest_gap / 1000)
    return found


def startup(contenders: Sequence[Contender], effort: Effort) -> Samples:
    """Seconds from the start of a process to its first 200; slow programs are started once.

    Raises:
        BenchError: when one does not start.
    """
    samples: Samples = {contender.name: [] for contender in contenders}
    for _ in range(effort.startups):
        for contender in contenders:
            if not samples[contender.name] or samples[contender.name][0] < _SLOW_START:
                running = contender.start()
                running.stop()
                samples[contender.name].append(running.startup)
    return samples
