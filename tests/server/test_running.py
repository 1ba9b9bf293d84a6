"""A gateway leaves word where it serves, and the commands of its user find it there."""

import fcntl
import http.server
import json
import os
import platform
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from gptoss_api.config import resolve
from gptoss_api.server.neighbour import find_neighbour
from gptoss_api.server.running import find_address, noticed
from tests.conftest import RunningGateway, free_port, running_gateway

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="locks of POSIX")


@pytest.fixture(scope="module")
def started(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningGateway]:
    """A gateway at a port that only its own process was told."""
    with running_gateway(tmp_path_factory.mktemp("home"), GPTOSS_UPSTREAM="demo") as running:
        yield running


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.delenv("PORT", raising=False)
    return tmp_path / "state/gptoss-api/running"


# A port that nobody else listens on stands for the usual one, as it would without a developer's gateway.
USUAL = {"HOST": "127.0.0.77"}


def found(**environment: str) -> str:
    return find_address(resolve(environ={**USUAL, **environment}))


def _ask(home: Path, *arguments: str, **variables: str) -> "subprocess.CompletedProcess[str]":
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(home),
        **{f"XDG_{kind}_HOME": str(home / kind.lower()) for kind in ("CONFIG", "CACHE", "DATA", "STATE")},
        "GPTOSS_UPSTREAM": "demo",
        **USUAL,
        **variables,
    }
    command = [sys.executable, "-m", "gptoss_api", *arguments]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)


@contextmanager
def _answering() -> Iterator[str]:
    """What says of itself that it is a gateway."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            said = json.dumps({"name": "gptoss-api", "endpoints": []}).encode()
            self.send_response(200)
            self.send_header("content-length", str(len(said)))
            self.end_headers()
            self.wfile.write(said)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


@contextmanager
def _left(
    file: Path, url: str, *, start: float = 0.0, machine: str = "", mode: int = 0o600
) -> Iterator[None]:
    """Word that another process would leave, which holds it meanwhile."""
    file.parent.mkdir(parents=True, exist_ok=True)
    said = {"url": url, "pid": 1, "start": start, "machine": machine or platform.node()}
    file.write_text(json.dumps(said))
    file.chmod(mode)
    with file.open() as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        yield


def test_the_commands_find_a_gateway_at_a_port_that_they_were_not_told(started: RunningGateway) -> None:
    chat = _ask(started.home, "chat", "hi")
    assert "No gateway runs" not in chat.stderr
    assert chat.returncode == 0
    doctor = json.loads(_ask(started.home, "doctor", "--json").stdout)
    (port,) = (finding for finding in doctor["findings"] if finding["id"] == "port")
    assert f"is at {started.base_url}/v1" in port["what"]
    setup = _ask(started.home, "setup", "codex", "--print")
    assert f'base_url = "{started.base_url}/v1"' in setup.stdout


def test_a_port_that_was_chosen_is_where_one_is_looked_for(started: RunningGateway) -> None:
    chat = _ask(started.home, "chat", "hi", PORT=str(free_port()))
    assert "No gateway runs" in chat.stderr


def test_only_its_user_can_read_where_it_serves(started: RunningGateway) -> None:
    (file,) = (started.home / "state/gptoss-api/running").iterdir()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700
    said = json.loads(file.read_text())
    assert (said["url"], said["pid"]) == (started.base_url, started.process.pid)


@pytest.mark.parametrize("workers", ["1", "2"])
def test_any_free_port_is_told_once_and_no_longer_than_it_serves(tmp_path: Path, workers: str) -> None:
    state = tmp_path / "state/gptoss-api/running"
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(tmp_path),
        "XDG_STATE_HOME": str(tmp_path / "state"),
        "GPTOSS_UPSTREAM": "demo",
    }
    command = [sys.executable, "-m", "gptoss_api", "serve", "--port", "0", "--workers", workers]
    process = subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + 30
        while not (files := list(state.glob("*.json"))) and time.monotonic() < deadline:
            time.sleep(0.02)
        (file,) = files
        said = json.loads(file.read_text())
        assert said["pid"] == process.pid
        while find_neighbour(said["url"], {}, 1.0) is None and time.monotonic() < deadline:
            time.sleep(0.02)
    finally:
        process.terminate()
        process.wait(30)
    assert list(state.iterdir()) == []


def test_the_newest_that_answers_is_taken(folder: Path) -> None:
    with (
        _answering() as older,
        _answering() as newer,
        _left(folder / "1.json", older, start=1.0),
        _left(folder / "2.json", newer, start=2.0),
        _left(folder / "3.json", f"http://127.0.0.1:{free_port()}", start=3.0),
    ):
        assert found() == newer
        assert found(PORT="9") == "http://127.0.0.77:9"
        assert found(PORT="0") == newer


def test_one_whose_process_is_gone_is_not_asked_and_not_kept(folder: Path) -> None:
    with _answering() as stranger:
        with _left(folder / "1.json", stranger):
            assert found() == stranger
        assert found() == "http://127.0.0.77:8000"
        with noticed("http://127.0.0.1:9"):
            assert [file.name for file in folder.iterdir()] == [f"{os.getpid()}.json"]


def test_what_others_may_have_written_and_what_is_of_another_machine_does_not_count(folder: Path) -> None:
    with _answering() as stranger:
        with _left(folder / "1.json", stranger, mode=0o644):
            assert found() == "http://127.0.0.77:8000"
        with _left(folder / "1.json", stranger, machine="another"):
            assert found() == "http://127.0.0.77:8000"
        with _left(folder / "elsewhere", stranger):
            (folder / "1.json").unlink()
            (folder / "1.json").symlink_to(folder / "elsewhere")
            assert found() == "http://127.0.0.77:8000"


@pytest.mark.parametrize("said", ["", "[]", "{", '{"url": 1}', "http://127.0.0.1:9"])
def test_what_is_no_word_of_a_gateway_is_passed_over(folder: Path, said: str) -> None:
    with _left(folder / "1.json", "http://127.0.0.1:x"):
        assert found() == "http://127.0.0.77:8000"
        (folder / "1.json").write_text(said)
        assert found() == "http://127.0.0.77:8000"


def test_a_gateway_that_may_write_nothing_serves_all_the_same(folder: Path) -> None:
    folder.parent.parent.mkdir(parents=True)
    folder.parent.write_text("no folder")
    with noticed("http://127.0.0.1:9"):
        assert found() == "http://127.0.0.77:8000"
    folder.parent.unlink()
    folder.parent.mkdir(mode=0o500)
    with noticed("http://127.0.0.1:9"):
        assert found() == "http://127.0.0.77:8000"
