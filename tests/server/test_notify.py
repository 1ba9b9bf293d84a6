"""What a service manager is told, over a socket as systemd has it."""

import contextlib
import logging
import os
import signal
import socket
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from gptoss_api.server.notify import Notifier
from tests.conftest import StartGateway
from tests.server.talking import CHAT, HELLO, ask, connect, read_until, request_bytes
from tests.simulator import Answer, Simulator

pytestmark = [pytest.mark.waits, pytest.mark.skipif(sys.platform != "linux", reason="systemd is Linux's")]

# The process that systemd watches is the one that it started.
WATCHED = "import os; os.environ['WATCHDOG_PID'] = str(os.getpid())"


class Manager:
    """The service manager's end: states by what they begin with, in the order they came."""

    def __init__(self, place: str) -> None:
        self.place = place
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(place.replace("@", "\0", 1) if place.startswith("@") else place)

    def close(self) -> None:
        self._socket.close()

    def next(self, timeout: float = 10.0) -> Mapping[str, str]:
        """Raises: TimeoutError, if nothing comes."""
        self._socket.settimeout(timeout)
        return dict(line.split("=", 1) for line in self._socket.recv(4096).decode().splitlines())

    def until(self, name: str, timeout: float = 10.0) -> Mapping[str, str]:
        """The next state with ``name``; what comes before it is passed over."""
        deadline = time.monotonic() + timeout
        while name not in (state := self.next(max(deadline - time.monotonic(), 0.001))):
            pass
        return state


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[Manager]:
    with contextlib.closing(Manager(str(tmp_path / "notify"))) as found:
        yield found


@pytest.fixture
def abstract() -> Iterator[Manager]:
    with contextlib.closing(Manager(f"@gptoss-api-test-{os.getpid()}")) as found:
        yield found


def test_the_manager_hears_of_the_whole_life_of_the_gateway(
    simulator: Simulator, gateway: StartGateway, manager: Manager
) -> None:
    simulator.always(Answer("", deltas=["word "] * 10, pace=0.1))
    before = time.monotonic()
    running = gateway(
        simulator, NOTIFY_SOCKET=manager.place, GPTOSS_DRAIN_DELAY="0.5", GPTOSS_SHUTDOWN_TIMEOUT="20"
    )
    assert manager.next()["READY"] == "1"
    running.process.send_signal(signal.SIGHUP)
    reloading = manager.next()
    assert reloading["RELOADING"] == "1"
    assert before < int(reloading["MONOTONIC_USEC"]) / 1e6 < time.monotonic()
    assert manager.next()["READY"] == "1"
    with connect(running) as stream:
        stream.sendall(request_bytes(CHAT, {**HELLO, "stream": True}))
        read_until(stream, b"word ")
        running.process.terminate()
        stopping = manager.next()
        assert stopping["STOPPING"] == "1"
        assert 20.5 <= int(stopping["EXTEND_TIMEOUT_USEC"]) / 1e6 <= 30
        assert read_until(stream, b"never").endswith(b"data: [DONE]\n\n\r\n0\r\n\r\n")
    assert running.process.wait(5) == 0
    with pytest.raises(TimeoutError):
        manager.next(0.01)


def test_signs_of_life_come_from_the_event_loop_alone(gateway: StartGateway, manager: Manager) -> None:
    hang = (
        "import time\nfrom gptoss_api.server.pages import Pages\n"
        "async def hang(self, exchange): time.sleep(1.5)\nPages.docs = hang"
    )
    running = gateway(
        GPTOSS_UPSTREAM="demo",
        NOTIFY_SOCKET=manager.place,
        WATCHDOG_USEC="600000",
        before=f"{WATCHED}\n{hang}",
    )
    manager.until("READY")
    began = time.monotonic()
    for _ in range(4):
        assert manager.next() == {"WATCHDOG": "1"}
    assert 0.6 < time.monotonic() - began < 2.5
    with connect(running) as client:
        client.sendall(b"GET /docs HTTP/1.1\r\nhost: localhost\r\n\r\n")
        with contextlib.suppress(TimeoutError):
            # One may have been on its way.
            manager.next(0.3)
        with pytest.raises(TimeoutError):
            manager.next(0.8)
        manager.until("WATCHDOG")


def test_the_supervisor_speaks_for_all_workers(gateway: StartGateway, abstract: Manager) -> None:
    slow = (
        "import time\nfrom gptoss_api.server.run import DrainingServer\nreal = DrainingServer.start\n"
        "async def start(self, listeners):\n    time.sleep(0.7)\n    await real(self, listeners)\n"
        "DrainingServer.start = start"
    )
    running = gateway(
        GPTOSS_UPSTREAM="demo",
        GPTOSS_WORKERS="2",
        NOTIFY_SOCKET=abstract.place,
        WATCHDOG_USEC="400000",
        before=f"{WATCHED}\n{slow}",
    )
    # One sign before the workers accept is no sign that they do.
    assert abstract.next() == {"WATCHDOG": "1"}
    assert abstract.until("READY")["READY"] == "1"
    for _ in range(3):
        assert abstract.next() == {"WATCHDOG": "1"}
    assert ask(running, "GET", "/healthz").status == 200
    running.process.send_signal(signal.SIGHUP)
    abstract.until("RELOADING")
    abstract.until("READY")
    running.process.terminate()
    assert abstract.until("STOPPING")["STOPPING"] == "1"
    assert running.process.wait(10) == 0


@pytest.mark.parametrize(
    ("variables", "watched"),
    [
        ({"WATCHDOG_USEC": "20000000"}, True),
        ({"WATCHDOG_USEC": "20000000", "WATCHDOG_PID": str(os.getpid())}, True),
        ({"WATCHDOG_USEC": "20000000", "WATCHDOG_PID": str(os.getpid() + 1)}, False),
        ({"WATCHDOG_USEC": "0"}, False),
        ({"WATCHDOG_USEC": "soon"}, False),
        ({}, False),
    ],
)
def test_signs_of_life_are_given_where_this_process_is_watched(
    manager: Manager, variables: dict[str, str], watched: bool
) -> None:
    notifier = Notifier({"NOTIFY_SOCKET": manager.place, **variables})
    notifier.alive()
    notifier.alive()
    if watched:
        assert manager.next() == {"WATCHDOG": "1"}
        assert notifier.due is not None
        assert 9 < notifier.due - time.monotonic() <= 10
    else:
        assert notifier.due is None
    with pytest.raises(TimeoutError):
        manager.next(0.01)


def test_a_manager_that_is_gone_is_told_nothing_and_holds_nothing_up(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        Notifier({"NOTIFY_SOCKET": str(tmp_path / "nobody")}).ready()
    assert "could not be told READY=1" in caplog.text
    caplog.clear()
    Notifier({}).ready()
    assert not caplog.text
