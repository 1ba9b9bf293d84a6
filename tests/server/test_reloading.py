"""Settings that change while the gateway runs: what is taken over, what is refused, what goes on."""

import contextlib
import json
import os
import pty
import re
import signal
import sys
import threading
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from gptoss_api.config.reloading import RELOADABLE, fingerprint
from gptoss_api.config.settings import OPTIONS
from tests.conftest import RunningGateway, StartGateway
from tests.server.talking import CHAT, HELLO, ask
from tests.simulator import Answer, Simulator

pytestmark = [pytest.mark.waits, pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")]

FIRST, SECOND = "first-key-of-the-tests", "second-key-of-the-tests"
ADMIN = "admin-key-of-the-tests"


def soon(condition: Callable[[], bool], seconds: float = 6) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def written(file: Path, *lines: str) -> Path:
    """Replaces the file as editors do: another one is renamed to it."""
    new = file.with_suffix(".new")
    new.write_text("\n".join((f'admin_key = "{ADMIN}"', *lines)))
    new.chmod(0o600)
    new.replace(file)
    return file


def keys(*given: str) -> str:
    return f"api_keys = {json.dumps(given)}"


def status(running: RunningGateway, key: str, **body: Any) -> int:
    return ask(running, "POST", CHAT, HELLO | body, {"x-api-key": key}).status


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return written(tmp_path / "config.toml", keys(FIRST))


def test_a_changed_file_is_followed(file: Path, gateway: StartGateway) -> None:
    running = gateway(GPTOSS_UPSTREAM="demo", GPTOSS_CONFIG=str(file))
    assert (status(running, FIRST), status(running, SECOND)) == (200, 401)
    assert status(running, FIRST, model="llama3") == 404
    written(
        file, keys(SECOND), 'cors_origin = ["https://app.example"]', "[aliases]", '"llama3" = "gpt-oss-20b"'
    )
    soon(lambda: status(running, SECOND) == 200)
    assert status(running, FIRST) == 401
    assert status(running, SECOND, model="llama3") == 200
    preflight = {"origin": "https://app.example", "access-control-request-method": "POST"}
    reply = ask(running, "OPTIONS", CHAT, None, preflight)
    assert reply.headers["access-control-allow-origin"] == "https://app.example"
    assert "settings changed: aliases, api_keys, cors_origin" in running.log()
    # In place, as other editors do.
    file.write_text(file.read_text().replace(SECOND, FIRST) + '\n"qwen" = "gpt-oss-20b"\n')
    soon(lambda: status(running, FIRST, model="qwen") == 200)
    assert FIRST not in running.log()
    assert SECOND not in running.log()


def test_a_broken_file_changes_nothing_and_is_shown(file: Path, gateway: StartGateway) -> None:
    running = gateway(GPTOSS_UPSTREAM="demo", GPTOSS_CONFIG=str(file))

    def shown() -> Any:
        return ask(running, "GET", "/", None, {"x-api-key": FIRST}).json().get("settings")

    assert shown() is None
    for broken in ("this is no TOML", 'workers = "many"', 'cors_origin = "nonsense"'):
        written(file, keys(SECOND), broken)
        soon(lambda: shown() is not None)
        assert status(running, FIRST) == 200
        assert "stay as they were" in running.log()
        refused = ask(running, "POST", "/admin/reload", None, {"x-api-key": ADMIN})
        assert refused.status == 400
        assert "stay as they were" in refused.error["message"]
        written(file, keys(FIRST))
        soon(lambda: shown() is None)
    assert "Traceback" not in running.log()


def test_what_needs_a_restart_is_said_by_name(file: Path, gateway: StartGateway) -> None:
    running = gateway(GPTOSS_UPSTREAM="demo", GPTOSS_CONFIG=str(file))
    written(file, keys(FIRST), "max_n = 7", "[aliases]", '"llama3" = "gpt-oss-20b"')
    reply = ask(running, "POST", "/admin/reload", None, {"x-api-key": ADMIN})
    assert reply.status == 200
    assert reply.json() == {"object": "reload", "changed": ["aliases"], "needs_restart": ["max_n"]}
    assert "settings that need a restart: max_n" in running.log()
    told = ask(running, "GET", "/", None, {"x-api-key": FIRST}).json()["settings"]
    assert told == {"problem": None, "needs_restart": ["max_n"]}
    assert ask(running, "POST", "/admin/reload", None, {"x-api-key": FIRST}).status == 403
    assert ask(running, "POST", "/admin/reload").status == 401


def test_a_hangup_takes_settings_over_and_stops_nothing(file: Path, gateway: StartGateway) -> None:
    running = gateway(GPTOSS_UPSTREAM="demo", GPTOSS_CONFIG=str(file))
    running.process.send_signal(signal.SIGHUP)
    soon(lambda: "settings were read again: nothing changed" in running.log())
    written(file, keys(SECOND))
    running.process.send_signal(signal.SIGHUP)
    soon(lambda: status(running, SECOND) == 200, 1.5)
    assert running.process.poll() is None


@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_hangup_cuts_no_stream(
    workers: str, file: Path, simulator: Simulator, gateway: StartGateway
) -> None:
    running = gateway(simulator, GPTOSS_CONFIG=str(file), GPTOSS_WORKERS=workers)
    simulator.always(Answer("", deltas=["word "] * 20, pace=0.1))
    answers: list[bytes] = []

    def stream() -> None:
        answers.append(ask(running, "POST", CHAT, HELLO | {"stream": True}, {"x-api-key": FIRST}).body)

    streams = [threading.Thread(target=stream) for _ in range(4)]
    for each in streams:
        each.start()
    soon(lambda: len(simulator.requests) >= len(streams), 20)
    for _ in range(5):
        running.process.send_signal(signal.SIGHUP)
        time.sleep(0.1)
    for each in streams:
        each.join()
    assert all(answer.count(b"word ") == 20 and b"[DONE]" in answer for answer in answers)
    # It was one, and not the signal's usual end: the process goes on.
    assert "SIGHUP" in running.log() or "settings were read again" in running.log()
    assert status(running, FIRST) == 200


@pytest.mark.parametrize("workers", ["1", "2"])
def test_running_streams_end_on_the_old_upstream_and_new_turns_go_to_the_new(
    workers: str, file: Path, simulator: Simulator, gateway: StartGateway
) -> None:
    running = gateway(
        simulator,
        GPTOSS_CONFIG=str(file),
        GPTOSS_WORKERS=workers,
        GPTOSS_UPSTREAM="",
        GPTOSS_MAX_CONCURRENCY="200",
    )
    written(file, keys(FIRST), 'upstream = "gpt-oss.com"')
    simulator.always(Answer("", deltas=["word "] * 20, pace=0.2))
    answers: list[bytes] = []

    def stream() -> None:
        body = HELLO | {"stream": True}
        answers.append(ask(running, "POST", CHAT, body, {"x-api-key": FIRST}).body)

    streams = [threading.Thread(target=stream) for _ in range(100)]
    for each in streams:
        each.start()
    soon(lambda: len(simulator.requests) >= 50, 20)
    written(file, keys(FIRST), 'upstream = "demo"')

    def answered_by() -> set[str]:
        replies = [ask(running, "POST", CHAT, HELLO, {"x-api-key": FIRST}) for _ in range(4)]
        return {reply.headers["x-gptoss-upstream"] for reply in replies}

    soon(lambda: answered_by() == {"demo"}, 30)
    for each in streams:
        each.join()
    assert all(answer.count(b"word ") == 20 and b"[DONE]" in answer for answer in answers)


def test_a_worker_that_begins_later_has_the_settings_of_the_others(file: Path, gateway: StartGateway) -> None:
    running = gateway(GPTOSS_UPSTREAM="demo", GPTOSS_CONFIG=str(file), GPTOSS_WORKERS="2")
    written(file, keys(SECOND))
    soon(lambda: {status(running, SECOND) for _ in range(8)} == {200})
    for worker in re.findall(r"worker \d is process (\d+)", running.log()):
        os.kill(int(worker), signal.SIGKILL)
    soon(lambda: len(re.findall(r"worker \d is process", running.log())) == 4)
    soon(lambda: {status(running, SECOND) for _ in range(8)} == {200})


def test_a_terminal_that_closes_ends_it_in_order(tmp_path: Path) -> None:
    """It cannot be told from its signal; the gateway sees that its terminal is gone."""
    log = tmp_path / "log"
    environment = {"HOME": str(tmp_path), "PATH": os.environ["PATH"], "GPTOSS_UPSTREAM": "demo", "PORT": "0"}
    process, terminal = pty.fork()
    if process == 0:
        with log.open("wb") as output:
            os.dup2(output.fileno(), 2)
        command = [sys.executable, "-m", "gptoss_api", "serve"]
        os.execve(sys.executable, command, environment)
    soon(lambda: log.exists() and b"listens on" in log.read_bytes(), 20)
    (address,) = re.findall(r"listens on (\S+)", log.read_text())

    def serves() -> bool:
        with contextlib.suppress(OSError):
            return urllib.request.urlopen(f"{address}/healthz", timeout=2).status == 200  # type: ignore[no-any-return]
        return False

    soon(serves)
    os.close(terminal)
    ended: list[int] = []

    def over() -> bool:
        ended[:] = os.waitpid(process, os.WNOHANG)
        return ended[0] == process

    soon(over, 10)
    assert os.waitstatus_to_exitcode(ended[1]) == 0
    assert "stopped" in log.read_text()


def test_what_can_be_taken_over_are_settings() -> None:
    assert {option.name for option in OPTIONS} >= RELOADABLE


def test_what_a_file_is_shows_whenever_it_changes(tmp_path: Path) -> None:
    file = tmp_path / "config.toml"
    nothing = fingerprint(file, None)
    file.touch()
    empty = fingerprint(file, None)
    file.write_text("a = 1")
    assert len({nothing, empty, fingerprint(file, None), fingerprint(None, file)}) == 4


def test_a_file_that_is_emptied_or_removed_opens_nothing(file: Path, gateway: StartGateway) -> None:
    running = gateway(GPTOSS_UPSTREAM="demo", GPTOSS_CONFIG=str(file))
    assert ask(running, "GET", "/v1/models").status == 401
    file.write_text("")
    soon(lambda: "settings changed" in running.log())
    assert ask(running, "GET", "/v1/models").status == 401
    assert status(running, FIRST) == 401
    written(file, keys(SECOND))
    soon(lambda: status(running, SECOND) == 200)


def test_a_file_that_is_made_after_the_start_is_followed_too(gateway: StartGateway) -> None:
    running = gateway(GPTOSS_UPSTREAM="demo")
    file = running.home / "config" / "gptoss-api" / "config.toml"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text('[aliases]\n"llama3" = "gpt-oss-20b"\n')
    body = HELLO | {"model": "llama3"}
    soon(lambda: ask(running, "POST", CHAT, body).status == 200)
    assert "settings that need a restart" not in running.log()
    file.write_text("")
    soon(lambda: ask(running, "POST", CHAT, body).status == 404)


def test_what_is_no_file_is_not_waited_for(file: Path, gateway: StartGateway) -> None:
    running = gateway(GPTOSS_UPSTREAM="demo", GPTOSS_CONFIG=str(file))
    file.unlink()
    os.mkfifo(file)
    soon(lambda: "not a regular file" in running.log())
    assert status(running, FIRST) == 200
    file.unlink()
    written(file, keys(SECOND))
    soon(lambda: status(running, SECOND) == 200)
