"""The stub and the load generator: built with the system's compiler, run on the load core."""

import itertools
import json
import shutil
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import msgspec

from .machine import LOAD_CORE, on_cores

_NATIVE = Path(__file__).parent / "native"
_bodies = itertools.count()


class BenchError(Exception):
    """The benchmark cannot go on; the message is one line that says why."""


class Times(msgspec.Struct, frozen=True):
    """Quantiles of measured times, in microseconds."""

    count: int
    p50: int
    p90: int
    p99: int
    max: int


class LoadReport(msgspec.Struct, frozen=True):
    """What ``load.c`` prints: answers that came whole and right, and how long they took.

    ``broken`` answers had another status, other text, or an early end; ``reason`` describes the first.
    ``longest_gap`` is the longest wait between two deltas of one stream, in microseconds.
    """

    seconds: float
    completed: int
    deltas: int
    broken: int
    bytes: int
    longest_gap: int
    first_text: Times
    whole: Times
    reason: str


@dataclass(frozen=True, slots=True)
class Answer:
    """How the stub is to answer: ``pace`` in microseconds between deltas, ``batch`` in events per write."""

    deltas: int = 32
    pace: int = 0
    batch: int = 1

    @property
    def prompt(self) -> str:
        how = f"deltas={self.deltas} pace={self.pace} batch={self.batch}"
        return f"This is request 00000000. Say some words, please: {how}"


@dataclass(frozen=True, slots=True)
class Target:
    """Where requests go, and which text in the answer stands before a delta."""

    port: int
    path: str
    needle: str


def chat_body(answer: Answer, *, stream: bool) -> bytes:
    """The example request of the original project, with our prompt."""
    messages = [
        {"role": "system", "content": "You are a helpful assistant."},
        {"role": "user", "content": answer.prompt},
    ]
    return json.dumps({"model": "gpt-oss-120b", "messages": messages, "stream": stream}).encode()


class Native:
    """The two compiled programs."""

    def __init__(self, work: Path) -> None:
        compiler = shutil.which("gcc") or shutil.which("cc")
        if compiler is None:
            raise BenchError("gcc is missing: install it, the stub and the load generator are built with it")
        self._work = work
        self.stub = self._build(compiler, "stub")
        self._load = self._build(compiler, "load")

    def _build(self, compiler: str, name: str) -> Path:
        built = self._work / name
        command = [compiler, "-O2", "-o", str(built), str(_NATIVE / f"{name}.c")]
        done = subprocess.run(command, capture_output=True, text=True, timeout=120)
        if done.returncode:
            raise BenchError(f"{name}.c does not compile: {done.stderr.strip().splitlines()[0]}")
        return built

    def run(
        self,
        target: Target,
        body: bytes,
        answer: Answer,
        connections: int,
        *,
        seconds: float | None = None,
        rounds: int | None = None,
        spread: int = 0,
        timeout: float = 60.0,
        when_open: Callable[[], None] | None = None,
    ) -> LoadReport:
        """One run of ``load``; give ``seconds`` or ``rounds``. ``when_open`` runs once all streams have text.

        Raises:
            BenchError: when the load generator itself fails; broken answers are in the report.
        """
        with self._body_file(body) as file:
            command = [str(self._load), "--port", str(target.port), "--path", target.path]
            command += ["--body", str(file), "--needle", target.needle, "--deltas", str(answer.deltas)]
            command += ["--connections", str(connections), "--spread", str(spread)]
            command += ["--seconds", str(seconds)] if seconds else ["--rounds", str(rounds)]
            command += ["--timeout", str(timeout)]
            with on_cores({LOAD_CORE}):
                process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
            killer = threading.Timer(timeout + (seconds or 0) + 10, process.kill)
            killer.start()
            assert process.stdout is not None
            assert process.stderr is not None
            try:
                last = ""
                for line in process.stdout:
                    if line == "open\n" and when_open is not None:
                        when_open()
                    last = line
                if process.wait() or not last.startswith("{"):
                    raise BenchError(f"the load generator failed: {process.stderr.read().strip()[:200]}")
            finally:
                killer.cancel()
                process.kill()
                process.wait()
                process.stdout.close()
                process.stderr.close()
        return msgspec.json.decode(last, type=LoadReport)

    @contextmanager
    def _body_file(self, body: bytes) -> Iterator[Path]:
        file = self._work / f"body-{next(_bodies)}.json"
        file.write_bytes(body)
        try:
            yield file
        finally:
            file.unlink()
