"""This tree against another commit of it: ``python -m bench.run --against COMMIT``.

Both are started with the same settings, each with the dependencies that its own commit pins, and answer the
same load in turns: a pair of runs right after each other, and the one that begins changes. What counts is CPU
time per answer, and of that the ratio within each pair, for whatever else the machine does falls on both.
"""

import hashlib
import io
import itertools
import statistics
import subprocess
import sys
import tarfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from . import contenders
from .agent import NEEDLES, PATHS, Api, agent_body, tools_body
from .judging import Comparison, Goal, judged, ratios
from .load import Answer, BenchError, Native, Target, chat_body
from .machine import GATEWAY_CORE, LOAD_CORE
from .running import Running, free_port, start_stub
from .talk import Talk

_PAIRS: Final = 7
_SECONDS: Final = 1.0
_QUICK_PAIRS: Final = 3
_QUICK_SECONDS: Final = 0.4
# Answers on each connection before anything is measured.
_WARMING: Final = 5


@dataclass(frozen=True, slots=True)
class Setting:
    """How a gateway is started: before which upstream, with how many workers, and on which cores."""

    name: str
    upstream: Callable[[int], Mapping[str, str]]
    workers: int = 1
    both_cores: bool = False

    @property
    def cores(self) -> set[int]:
        return {GATEWAY_CORE, LOAD_CORE} if self.both_cores else {GATEWAY_CORE}


_CHATKIT: Final = Setting("ChatKit", contenders.chatkit_settings)
_SERVER: Final = Setting("OpenAI server", contenders.server_settings)
_WHOLE_SERVER: Final = Setting("OpenAI server, asked whole", contenders.whole_server_settings)
_WORKERS: Final = Setting("ChatKit, 2 workers", contenders.chatkit_settings, workers=2, both_cores=True)
_ONE_WORKER: Final = Setting("ChatKit, 1 worker", contenders.chatkit_settings, both_cores=True)

# Exchanges of a long conversation; how many conversations are begun for one value, and how often each goes
# on: not so often that its thread is full.
_TURNS: Final = 200
_TALKS: Final = 16
_FOLLOWING: Final = 6


@dataclass(frozen=True, slots=True)
class Case:
    """One load: ``body`` again and again. CPU time is that of an answer, or with ``per_delta`` of a delta."""

    name: str
    setting: Setting
    body: bytes
    answer: Answer = field(default_factory=Answer)
    connections: int = 32
    per_delta: bool = False
    api: Api = "chat"
    path: str = ""

    @property
    def title(self) -> str:
        return f"{self.name} ({self.setting.name})"

    def warm_up(self, native: Native, port: int) -> None:
        native.run(self._target(port), self.body, self.answer, self.connections, rounds=_WARMING)

    def cost(self, native: Native, running: Running, port: int, seconds: float) -> float:
        """Microseconds of CPU time."""
        target, connections = self._target(port), self.connections
        native.run(target, self.body, self.answer, min(connections, 4), seconds=seconds / 5)
        before = running.cpu_seconds()
        if self.per_delta:
            spread = self.answer.pace
            report = native.run(target, self.body, self.answer, connections, rounds=1, spread=spread)
        else:
            report = native.run(target, self.body, self.answer, connections, seconds=seconds)
        spent = running.cpu_seconds() - before
        counted = report.deltas if self.per_delta else report.completed
        if report.broken or not counted:
            raise BenchError(f"{self.title}: {report.broken} answers were not whole ({report.reason[:200]})")
        return spent / counted * 1e6

    def answered(self, native: Native, port: int, rounds: int) -> int:
        """Has so many requests answered on each connection: how many answers there were, or deltas."""
        target, spread = self._target(port), self.answer.pace if self.per_delta else 0
        report = native.run(
            target, self.body, self.answer, self.connections, rounds=1 if spread else rounds, spread=spread
        )
        if report.broken or not report.completed:
            raise BenchError(f"{self.title}: {report.broken} answers were not whole ({report.reason[:200]})")
        return report.deltas if self.per_delta else report.completed

    def _target(self, port: int) -> Target:
        return Target(port, self.path or PATHS[self.api], NEEDLES[self.api])


@dataclass(frozen=True, slots=True)
class LongTalk:
    """Conversations of 200 exchanges: what their first request costs, with ``known`` the following ones."""

    name: str
    setting: Setting
    known: bool

    @property
    def title(self) -> str:
        return f"{self.name} ({self.setting.name})"

    def warm_up(self, native: Native, port: int) -> None:
        self._talk(Target(port, contenders.CHAT, contenders.CONTENT), 1).close()

    def cost(self, native: Native, running: Running, port: int, seconds: float) -> float:
        """Microseconds of CPU time; a value takes about a second, whatever ``seconds`` says."""
        target = Target(port, contenders.CHAT, contenders.CONTENT)
        first = following = 0.0
        # One after the other: the stub has only one thread, which can go on in one conversation at a time.
        for _ in range(_TALKS):
            begin = running.cpu_seconds()
            talk = self._talk(target, next(_seeds))
            begun = running.cpu_seconds()
            for _ in range(_FOLLOWING if self.known else 0):
                talk.go_on()
            first += begun - begin
            following += running.cpu_seconds() - begun
            talk.close()
        spent = following / _FOLLOWING if self.known else first
        return spent / _TALKS * 1e6

    def _talk(self, target: Target, seed: int) -> Talk:
        talk = Talk(target, _TURNS, seed)
        talk.go_on()
        return talk


_seeds: Final = itertools.count(2)


def _cases() -> Iterator[Case | LongTalk]:
    whole, stream, paced = Answer(batch=0), Answer(), Answer(deltas=200, pace=5_000)
    for setting in (_CHATKIT, _SERVER, _WORKERS):
        suffix = {_SERVER: "-server", _WORKERS: "-workers"}.get(setting, "")
        yield Case(f"whole{suffix}", setting, chat_body(whole, stream=False), whole)
        yield Case(f"stream{suffix}", setting, chat_body(stream, stream=True), stream)
    yield Case("whole-asked", _WHOLE_SERVER, chat_body(whole, stream=False), whole)
    yield Case("event", _CHATKIT, chat_body(paced, stream=True), paced, connections=50, per_delta=True)
    for tools in (False, True):
        name = "tools" if tools else "tools-none"
        yield Case(name, _CHATKIT, tools_body(stream, tools=tools), connections=8)
    for api in PATHS:
        name = "agent" if api == "chat" else f"agent-{api}"
        yield Case(name, _CHATKIT, agent_body(stream, api), connections=4, api=api)
    yield Case("agent-server", _SERVER, agent_body(stream), connections=4)
    yield LongTalk("turns-new", _CHATKIT, known=False)
    yield LongTalk("turns-known", _CHATKIT, known=True)


CASES: Final = tuple(_cases())
NAMES: Final = [case.name for case in CASES]


@dataclass(frozen=True, slots=True)
class Build:
    """A tree of ours with the interpreter that has its dependencies."""

    name: str
    source: Path
    python: Path

    def start(self, setting: Setting, stub_port: int, home: Path) -> tuple[Running, int]:
        """The running gateway and its port."""
        port = free_port()
        environment = self.environment(setting, stub_port, port, home)
        command = [str(self.python), "-m", "gptoss_api", "serve"]
        return Running(command, environment, port, "/healthz", home / "log", setting.cores, 30), port

    def environment(self, setting: Setting, stub_port: int, port: int, home: Path) -> dict[str, str]:
        return {
            **contenders.gateway_environment(port, setting.upstream(stub_port)),
            "PYTHONPATH": str(self.source),
            "GPTOSS_WORKERS": str(setting.workers),
            "XDG_STATE_HOME": str(home / "state"),
            "XDG_CACHE_HOME": str(home / "cache"),
        }


def compare(commit: str, *, quick: bool, only: list[str] | None) -> Comparison:
    """CPU time per answer of this tree and of ``commit``, and their ratios.

    Raises:
        BenchError: when there is no such commit, or nothing could be measured.
    """
    older, newer = build_of(commit), this_tree()
    lines = [
        f"| CPU µs per answer (`event`: per delta) | {older.name} | this tree | {older.name} ÷ this tree |",
        "|---|---:|---:|---:|",
    ]
    samples: dict[str, dict[str, list[float]]] = {}
    skipped: list[str] = []
    for case in CASES:
        if not only or case.name in only:
            try:
                before, after = _compared(case, [(older, case.setting), (newer, case.setting)], quick=quick)
            except BenchError as error:
                # An older commit may lack the API.
                skipped.append(f"- Left out: `{case.name}`, because {error}.")
                print(f"  left out: {error}", flush=True)
                continue
            lines.append(_row(case, before, after))
            samples[case.name] = {older.name: before, newer.name: after}
    if not samples:
        raise BenchError("\n".join(skipped) or "nothing was measured")
    return Comparison([*lines, "", *judged(_against_targets(samples)), "", _NOTE, *skipped], samples)


def _against_targets(samples: dict[str, dict[str, list[float]]]) -> Iterator[tuple[Goal, list[float]]]:
    """What is to be reached of the loads that were measured."""
    ours: dict[str, list[float]] = {}
    for name, sides in samples.items():
        before, ours[name] = sides.values()
        if name in ("whole", "stream"):
            yield Goal(f"`{name}`, before ÷ now", 2, at_most=False), ratios(before, ours[name])
    for name, limit in _LIMITS.items():
        if name in ours:
            yield Goal(f"`{name}`", limit, True, "ms"), [value / 1000 for value in ours[name]]
    if "tools" in ours and "tools-none" in ours:
        yield (
            Goal("`tools` over `tools-none`", 1.4, at_most=True),
            ratios(ours["tools"], ours["tools-none"]),
        )


def compare_workers(*, quick: bool) -> Comparison:
    """The same of two workers and one, where both may use both cores."""
    tree = this_tree()
    lines = ["| CPU µs per answer | 2 workers | 1 worker | 2 ÷ 1 |", "|---|---:|---:|---:|"]
    samples: dict[str, dict[str, list[float]]] = {}
    for case in CASES:
        if isinstance(case, Case) and case.setting is _WORKERS:
            two, one = _compared(case, [(tree, _WORKERS), (tree, _ONE_WORKER)], quick=quick)
            lines.append(_row(case, two, one))
            samples[case.name] = {_WORKERS.name: two, _ONE_WORKER.name: one}
    targets = [
        (Goal(f"`{name}`, two workers ÷ one", 1.08, at_most=True), ratios(*sides.values()))
        for name, sides in samples.items()
    ]
    return Comparison([*lines, "", *judged(targets), "", _NOTE], samples)


# Milliseconds of CPU time.
_LIMITS: Final = {"agent": 2.0, "turns-new": 5.0, "turns-known": 1.5}
_NOTE: Final = "Medians of all pairs; in parentheses the lowest and the highest ratio."


def _compared(
    case: Case | LongTalk, builds: list[tuple[Build, Setting]], *, quick: bool
) -> tuple[list[float], list[float]]:
    """Microseconds of CPU time for each of both sides, a value for each pair."""
    print(case.title, flush=True)
    pairs, seconds = (_QUICK_PAIRS, _QUICK_SECONDS) if quick else (_PAIRS, _SECONDS)
    with _started(builds) as (native, sides):
        found = _measure(native, sides, case, pairs, seconds)
    print(_row(case, *found), flush=True)
    return found


Side = tuple[Running, int]


@contextmanager
def _started(builds: list[tuple[Build, Setting]]) -> Iterator[tuple[Native, list[Side]]]:
    native = Native(contenders.WORK)
    stub_port = free_port()
    with ExitStack() as cleanup:
        cleanup.callback(start_stub(native, stub_port).stop)
        sides: list[Side] = []
        for number, (build, setting) in enumerate(builds):
            home = contenders.WORK / "against" / f"home-{number}"
            home.mkdir(parents=True, exist_ok=True)
            running, port = build.start(setting, stub_port, home)
            cleanup.callback(running.stop)
            running.hold()
            sides.append((running, port))
        yield native, sides


def _measure(
    native: Native, sides: list[Side], case: Case | LongTalk, pairs: int, seconds: float
) -> tuple[list[float], list[float]]:
    """Microseconds for each side in each pair."""
    for running, port in sides:
        with awake(running):
            case.warm_up(native, port)
    found: tuple[list[float], list[float]] = ([], [])
    for pair in range(pairs):
        for number in (0, 1) if pair % 2 else (1, 0):
            running, port = sides[number]
            with awake(running):
                found[number].append(case.cost(native, running, port, seconds))
    return found


@contextmanager
def awake(running: Running) -> Iterator[None]:
    running.resume()
    try:
        yield
    finally:
        running.hold()


def _row(case: Case | LongTalk, before: list[float], after: list[float]) -> str:
    shares = ratios(before, after)
    ratio = f"{statistics.median(shares):.2f} × ({min(shares):.2f}–{max(shares):.2f})"
    older, newer = statistics.median(before), statistics.median(after)
    return f"| {case.title} | {older:,.1f} | {newer:,.1f} | {ratio} |"


def this_tree() -> Build:
    return Build("this tree", contenders.ROOT / "src", environment_of(contenders.ROOT))


def build_of(commit: str) -> Build:
    """The files of a commit, unpacked once.

    Raises:
        BenchError: when there is no such commit.
    """
    name = _git("rev-parse", "--short", f"{commit}^{{commit}}").decode().strip()
    folder = contenders.WORK / "against" / name
    if not folder.exists():
        files = _git("archive", name, "src", "requirements/run.txt")
        with tarfile.open(fileobj=io.BytesIO(files)) as archive:
            archive.extractall(folder, filter="data")
    return Build(name, folder / "src", environment_of(folder))


def environment_of(tree: Path) -> Path:
    """The interpreter of an environment with what ``tree`` pins; trees that pin the same share it."""
    pinned = tree / "requirements" / "run.txt"
    name = hashlib.sha256(pinned.read_bytes()).hexdigest()[:12]
    folder = contenders.WORK / "against" / f"env-{name}"
    python = folder / "bin" / "python"
    done = folder / "done"
    if not done.exists():
        contenders.install([sys.executable, "-m", "venv", "--clear", str(folder)])
        pip = [str(python), "-m", "pip", "install", "-qq", "--disable-pip-version-check"]
        contenders.install([*pip, "--require-hashes", "-r", str(pinned)])
        done.touch()
    return python


def _git(*arguments: str) -> bytes:
    done = subprocess.run(["git", "-C", str(contenders.ROOT), *arguments], capture_output=True, timeout=60)
    if done.returncode:
        raise BenchError(f"git {arguments[0]}: {done.stderr.decode(errors='replace').strip()[:200]}")
    return done.stdout
