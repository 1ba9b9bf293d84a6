"""Watches the event loop of a gateway process: what kept it from its next step, and for how long.

The measure is CPU time of the whole process between two steps of the loop, not the time on the clock: a busy
machine does not count, a worker thread that holds the interpreter does. A thread in pure Python gives way
every five milliseconds and shows as that.
"""

import importlib
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.conftest import RunningGateway, running_gateway
from tests.simulator import Simulator

# Seconds: how often the loop is looked at, and from which length on a stop is recorded.
_PACE = 0.001
_WORTH_NOTING = 0.01

# No request, whatever it holds, may keep the others waiting for longer at a time.
LONGEST_STOP = 0.05

_ROOT = Path(__file__).parents[1]


class WatchedGateway:
    """A gateway process whose loop is watched."""

    def __init__(self, gateway: RunningGateway, record: Path) -> None:
        self.gateway = gateway
        self._record = record
        self._read = 0

    @property
    def base_url(self) -> str:
        return self.gateway.base_url

    def stops(self) -> list[float]:
        """The stops since the last call, in seconds of CPU time, those too short to matter left out."""
        # A stop is known once it is over, and the answer may have left before.
        time.sleep(0.05)
        lines = self._record.read_text().split()
        new = [float(line) for line in lines[self._read :]]
        self._read = len(lines)
        return new

    def longest_stop(self) -> float:
        return max(self.stops(), default=0.0)

    def memory(self) -> int:
        """Bytes of the process in memory now."""
        pages = Path(f"/proc/{self.gateway.process.pid}/statm").read_text().split()[1]
        return int(pages) * os.sysconf("SC_PAGE_SIZE")

    def cpu(self) -> float:
        """Seconds of CPU time the process has used."""
        fields = Path(f"/proc/{self.gateway.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@contextmanager
def watched_gateway(
    home: Path, simulator: Simulator | None = None, *, before: str = "", **environment: str
) -> Iterator[WatchedGateway]:
    """As :func:`tests.conftest.running_gateway`, with the loop watched."""
    record = home / "stops"
    record.touch()
    watch = f"from tests.watchdog import watch\nwatch({str(record)!r})\n"
    with running_gateway(
        home, simulator, before=watch + before, PYTHONPATH=str(_ROOT), **environment
    ) as gateway:
        yield WatchedGateway(gateway, record)


def watch(record: str) -> None:
    """Inside the gateway: every loop made from now on writes its stops to the file ``record``."""
    run: Any = importlib.import_module("gptoss_api.server.run")
    make = run._loop_factory()
    assert make is not None

    def watched():  # type: ignore[no-untyped-def]  # whatever loop the gateway uses
        loop = make()
        file = os.open(record, os.O_WRONLY | os.O_APPEND)
        last = time.process_time()

        def look() -> None:
            nonlocal last
            now = time.process_time()
            if now - last > _WORTH_NOTING:
                os.write(file, b"%.4f\n" % (now - last))
            last = now
            loop.call_later(_PACE, look)

        loop.call_soon(look)
        return loop

    run._loop_factory = lambda: watched
