"""Compares the gateway with other programs, side by side: ``python -m bench.run`` from the repository root.

The programs under test share one core in turns, the stub and the load generator have another. Writes
``results.json``, ``results.svg`` and the section of ``README.md`` between its markers. ``--quick`` measures
briefly, runs the gateway from the tree and writes nothing: a smoke test. ``--against COMMIT`` compares this
tree with another commit of it instead, by CPU time; ``--gateways`` with programs that
pass an OpenAI-compatible API on, ``--workers`` two workers with one. Each of them writes a section and a file
of its own, unless only a part was measured.
"""

import argparse
import datetime
import os
import resource
import signal
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from types import FrameType

from . import against, contenders, gateways, machine, measures, plot, report
from .contenders import Contender
from .installed import installations
from .judging import HERE, Comparison, write_samples, write_section
from .load import BenchError, Native
from .measures import Entry, Field
from .running import free_port, start_stub

# Nothing takes this long; whatever hangs is ended.
_TIME_LIMIT = 20 * 60


def main() -> int:
    arguments = _arguments()
    quick, only = arguments.quick, arguments.only
    whole = not (quick or only)
    if missing := _missing_cores():
        print(f"bench: {missing}", file=sys.stderr)
        return 1
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(16384, hard) if hard > 0 else 16384, hard))
    # The finally blocks end every child, also when the benchmark is told to stop.
    for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGALRM):
        signal.signal(number, _interrupted)
    signal.alarm(_TIME_LIMIT)
    os.sched_setaffinity(0, {machine.LOAD_CORE})
    contenders.WORK.mkdir(exist_ok=True)
    try:
        if arguments.against:
            return _compared(
                "against", lambda: against.compare(arguments.against, quick=quick, only=only), whole
            )
        if arguments.workers:
            return _compared("workers", lambda: against.compare_workers(quick=quick), whole)
        if arguments.gateways:
            return _compared("gateways", lambda: gateways.compare(quick=quick), whole)
        results = _run(quick=quick, only=only)
    except BenchError as error:
        print(f"bench: {error}", file=sys.stderr)
        return 1
    section = report.markdown(results)
    print(f"\n{section}")
    if not quick:
        write_samples("results", results)
        (HERE / "results.svg").write_text(plot.svg(results), encoding="utf-8")
        write_section("results", section)
    return 0


def _compared(name: str, compare: Callable[[], Comparison], whole: bool) -> int:
    """Prints a comparison, and keeps it if it is a whole one."""
    found = compare()
    section = "\n".join([f"{_today()}: {machine.told(machine.describe())}", "", *found.lines])
    print(f"\n{section}")
    if whole:
        write_samples(f"results-{name}", found.samples)
        write_section(name, section)
    return 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.run", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="measure briefly and write nothing")
    parser.add_argument(
        "--against", metavar="COMMIT", help="compare this tree with that commit of it instead"
    )
    parser.add_argument("--workers", action="store_true", help="compare two workers with one")
    parser.add_argument("--gateways", action="store_true", help="compare with what passes OpenAI's API on")
    parser.add_argument(
        "--only",
        action="append",
        help="compare only these programs (with --against: measure only these); may be given several times",
    )
    arguments = parser.parse_args()
    known = against.NAMES if arguments.against else sorted(_makers(0, installed=False))
    if unknown := set(arguments.only or ()) - set(known):
        parser.error(f"--only {', '.join(sorted(unknown))}: choose from {', '.join(known)}")
    return arguments


def _makers(stub_port: int, *, installed: bool) -> dict[str, Callable[[], Contender]]:
    return {
        "gateway": lambda: contenders.gateway(stub_port, installed=installed),
        "original": lambda: contenders.original(stub_port),
        "litellm": lambda: contenders.litellm(stub_port),
        "nginx": lambda: contenders.nginx(stub_port),
    }


def _run(*, quick: bool, only: list[str] | None) -> report.Results:
    native = Native(contenders.WORK)
    effort = measures.QUICK if quick else measures.FULL
    stub_port = free_port()
    with ExitStack() as cleanup:
        cleanup.callback(start_stub(native, stub_port).stop)
        makers = _makers(stub_port, installed=not quick)
        programs, skipped = _prepare({key: make for key, make in makers.items() if not only or key in only})
        others = cleanup.enter_context(_OtherLoad())
        _say("start-up")
        samples = {"startup": measures.startup(programs, effort)}
        field = Field(native, stub_port, effort, [])
        for program in programs:
            running = program.start()
            cleanup.callback(running.stop)
            field.entries.append(Entry(program, running))
        time.sleep(2)
        samples["idle"] = {entry.name: [entry.running.memory().pss] for entry in field.entries}
        samples |= _measure(field)
        other_load = others.share
    return report.Results(
        date=_today(),
        machine=machine.describe(),
        versions={program.name: program.version for program in programs},
        samples=samples,
        installed={} if quick else installations(),
        skipped=skipped,
        faults=field.faults,
        other_load=other_load,
    )


def _prepare(makers: dict[str, Callable[[], Contender]]) -> tuple[list[Contender], dict[str, str]]:
    """The programs that can be had and start, and why the others are left out."""
    programs: list[Contender] = []
    skipped: dict[str, str] = {}
    for key, make in makers.items():
        _say(f"prepare {key}")
        try:
            program = make()
            # Also fills the caches on disk: the start-up times are those of a later start.
            program.start().stop()
            programs.append(program)
        except BenchError as error:
            if key == "gateway":
                raise
            skipped[key] = str(error)
            print(f"  left out: {error}", flush=True)
    return programs, skipped


def _measure(field: Field) -> dict[str, measures.Samples]:
    for entry in field.entries:
        entry.running.hold()
    _say("warm up")
    measures.warm_up(field)
    _say("answers per second")
    busy = measures.throughput(field)
    _say("CPU time per event")
    cost = measures.event_cost(field)
    _say("time to first token")
    first_1 = measures.added_first_token(field, 1)
    first_50 = measures.added_first_token(field, 50)
    _say("agent request")
    agent = measures.agent_overhead(field)
    _say("1,000 open streams")
    wide = measures.open_streams(field, 1000)
    _say("5,000 open streams")
    wider = measures.open_streams(field, 5000)
    return {
        "requests": busy.requests,
        "streams": busy.streams,
        "requests_cpu": busy.requests_cpu,
        "streams_cpu": busy.streams_cpu,
        "peak": busy.peak,
        "event_cost": cost,
        "first_1": first_1,
        "first_50": first_50,
        "agent": agent,
        "open": wide.pss,
        "per_stream": wide.per_stream,
        "longest_gap": wide.longest_gap,
        "complete": wide.complete,
        "open_5000": wider.pss,
        "per_stream_5000": wider.per_stream,
        "longest_gap_5000": wider.longest_gap,
        "complete_5000": wider.complete,
    }


class _OtherLoad:
    """The ``share`` of both cores that neither the programs nor the benchmark use, since the block began."""

    def __enter__(self) -> "_OtherLoad":
        self._busy, self._own = machine.busy_seconds(), machine.cpu_seconds(os.getpid())
        self._began = time.perf_counter()
        return self

    def __exit__(self, *_: object) -> None: ...

    @property
    def share(self) -> float:
        own = machine.cpu_seconds(os.getpid()) - self._own
        others = machine.busy_seconds() - self._busy - own
        return max(0.0, others / 2 / (time.perf_counter() - self._began))


def _today() -> str:
    return datetime.datetime.now(datetime.UTC).date().isoformat()


def _missing_cores() -> str:
    if not hasattr(os, "sched_setaffinity"):
        return "processes are pinned to cores the Linux way; this system is another"
    if not {machine.GATEWAY_CORE, machine.LOAD_CORE} <= os.sched_getaffinity(0):
        return "two cores are needed, one for the program under test and one for the load"
    return ""


def _interrupted(number: int, frame: FrameType | None) -> None:
    raise BenchError(f"ended by {signal.Signals(number).name}")


def _say(what: str) -> None:
    print(f"[{time.strftime('%H:%M:%S')}] {what}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
