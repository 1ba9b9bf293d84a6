"""A gateway that runs out of descriptors says so once, burns no time, and goes on once there are some."""

import json
import socket
import sys
import time
from pathlib import Path

import pytest

from tests.conftest import RunningGateway, StartGateway
from tests.server.talking import CHAT, HELLO, ask, connect

pytestmark = [
    pytest.mark.alone,
    pytest.mark.skipif(sys.platform != "linux", reason="bounds and watches a process as Linux does"),
]

FEW = """
import resource
resource.setrlimit(resource.RLIMIT_NOFILE, (100, 100))
import gptoss_api.server.listening as listening
listening._QUIET = 2.0
"""
# What an event loop may do that has no descriptor left to refuse a connection with.
CLOSES_LISTENER = """
import asyncio
from gptoss_api.server.run import DrainingServer
start = DrainingServer.start
async def and_close(self, listeners):
    await start(self, listeners)
    asyncio.get_running_loop().call_later(1.0, lambda: self._servers[0].close())
DrainingServer.start = and_close
"""
NO_FILE_AT_FIRST = """
import errno
import gptoss_api.text.ranks as ranks
class NoFile:
    left = 2
    def joinpath(self, *names):
        self.left -= 1
        if self.left >= 0:
            raise OSError(errno.EMFILE, "Too many open files")
        return package.joinpath(*names)
package, no_file = ranks.files("gptoss_api.text"), NoFile()
ranks.files = lambda _: no_file
"""
# Another thread may take what the event loop keeps in reserve, in the moment in which it uses it.
TAKES_THE_RESERVE = """
import os, threading, time
from gptoss_api.server.run import DrainingServer
start = DrainingServer.start
def take():
    time.sleep(1.0)
    taken, end = [], time.monotonic() + 0.5
    while time.monotonic() < end:
        try:
            taken.append(os.dup(2))
        except OSError:
            time.sleep(0.0001)
    time.sleep(7.0)
    for each in taken:
        os.close(each)
async def and_take(self, listeners):
    await start(self, listeners)
    threading.Thread(target=take, daemon=True).start()
DrainingServer.start = and_take
"""
WORDS = "no descriptors are left"


def busy_seconds(running: RunningGateway) -> float:
    """The processor time that the gateway took so far."""
    fields = Path(f"/proc/{running.process.pid}/stat").read_text().rsplit(") ", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / 100


def crowd(running: RunningGateway) -> list[socket.socket]:
    return [connect(running) for _ in range(150)]


def test_running_out_of_descriptors_is_told_once_and_passes(gateway: StartGateway) -> None:
    running = gateway(GPTOSS_UPSTREAM="demo", before=FEW)
    # What is loaded at the start takes descriptors for a moment too.
    assert ask(running, "POST", CHAT, HELLO).status == 200
    for episode in (1, 2):
        connections = crowd(running)
        time.sleep(1.5)
        before = busy_seconds(running)
        time.sleep(2.0)
        assert busy_seconds(running) - before < 0.5
        assert running.log().count(WORDS) == episode
        for connection in connections:
            connection.close()
        time.sleep(1.0)
        assert ask(running, "POST", CHAT, HELLO).status == 200
        time.sleep(3.0)
    assert running.log().count(WORDS) == 2
    assert "Traceback" not in running.log()


def test_the_loop_stands_still_again_after_its_reserve_was_taken(gateway: StartGateway) -> None:
    running = gateway(GPTOSS_UPSTREAM="demo", before=FEW + TAKES_THE_RESERVE)
    end = time.monotonic() + 2.0
    connections = []
    while time.monotonic() < end:
        connections += [connect(running) for _ in range(20)]
        time.sleep(0.05)
    time.sleep(2.5)
    before = busy_seconds(running)
    time.sleep(2.0)
    assert busy_seconds(running) - before < 0.5
    for connection in connections:
        connection.close()
    time.sleep(4.0)
    assert ask(running, "POST", CHAT, HELLO).status == 200


def test_a_listener_that_the_event_loop_closes_is_opened_again(gateway: StartGateway) -> None:
    running = gateway(GPTOSS_UPSTREAM="demo", before=CLOSES_LISTENER)
    end = time.monotonic() + 3.0
    while time.monotonic() < end:
        assert ask(running, "POST", CHAT, HELLO).status == 200


def test_what_cannot_be_loaded_for_want_of_descriptors_is_loaded_later(
    gateway: StartGateway, tmp_path: Path
) -> None:
    running = gateway(GPTOSS_UPSTREAM="demo", XDG_CACHE_HOME=str(tmp_path), before=NO_FILE_AT_FIRST)
    time.sleep(2.0)
    assert json.loads(ask(running, "POST", CHAT, HELLO).body)["usage"]["prompt_tokens"] > 0
    assert "stopping" not in running.log()


def test_enough_descriptors_are_no_news(gateway: StartGateway) -> None:
    running = gateway(GPTOSS_UPSTREAM="demo", before=FEW)
    connections = [connect(running) for _ in range(30)]
    time.sleep(2.5)
    for connection in connections:
        connection.close()
    assert WORDS not in running.log()
