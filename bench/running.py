"""A program under test while it runs: started on its core, held while others are measured, stopped."""

import http.client
import os
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from contextlib import contextmanager, suppress
from pathlib import Path

from . import machine
from .load import BenchError, Native

_POLL = 0.002


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class Running:
    """A started program. ``startup`` is the time from its start to its first 200, in seconds."""

    def __init__(
        self,
        command: Sequence[str],
        environment: Mapping[str, str],
        port: int,
        ready_path: str,
        log: Path,
        cores: AbstractSet[int],
        timeout: float,
    ) -> None:
        self._log = log
        with log.open("wb") as output, machine.on_cores(cores):
            began = time.perf_counter()
            self._process = subprocess.Popen(
                command,
                env={**os.environ, **environment},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                # Its own process group, so that all of it can be held and ended together.
                start_new_session=True,
            )
        try:
            self._wait_ready(port, ready_path, began + timeout)
        except BaseException:
            self.stop()
            raise
        self.startup = time.perf_counter() - began

    @property
    def pid(self) -> int:
        return self._process.pid

    def cpu_seconds(self) -> float:
        return machine.cpu_seconds(self.pid)

    def memory(self) -> machine.Memory:
        return machine.memory(self.pid)

    def hold(self) -> None:
        """Keeps the program from running; its sockets stay open."""
        os.killpg(self.pid, signal.SIGSTOP)

    def resume(self) -> None:
        os.killpg(self.pid, signal.SIGCONT)

    def stop(self) -> None:
        with suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)
        self._process.wait()

    @contextmanager
    def peak_resident(self) -> Iterator[list[int]]:
        """Samples the resident bytes during the block; the list's last item is the largest so far."""
        peak = [machine.resident(self.pid)]
        ended = threading.Event()

        def sample() -> None:
            while not ended.wait(0.1):
                peak.append(max(peak[-1], machine.resident(self.pid)))

        sampler = threading.Thread(target=sample, daemon=True)
        sampler.start()
        try:
            yield peak
        finally:
            ended.set()
            sampler.join()
            peak.append(max(peak[-1], machine.resident(self.pid)))

    def _wait_ready(self, port: int, path: str, deadline: float) -> None:
        while time.perf_counter() < deadline:
            if self._process.poll() is not None:
                raise BenchError(f"it ended with code {self._process.returncode}; {self._last_words()}")
            if _answers(port, path):
                return
            time.sleep(_POLL)
        raise BenchError(f"it did not answer on {path} in time; {self._last_words()}")

    def _last_words(self) -> str:
        lines = self._log.read_text(errors="replace").strip().splitlines()
        return f"its log ends: {lines[-1][:160]}" if lines else "its log is empty"


def _answers(port: int, path: str) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", path)
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def start_stub(native: Native, port: int) -> Running:
    """The upstream of everything that is measured, on the load core."""
    log = native.stub.with_suffix(".log")
    return Running([str(native.stub), str(port)], {}, port, "/", log, {machine.LOAD_CORE}, 10)
