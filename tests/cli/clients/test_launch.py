"""``gptoss-api launch``: a client with the gateway's address for this once, and nothing left of it."""

import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.cli.conftest import clean_environment
from tests.conftest import RunningGateway, free_port, running_gateway

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="signals and programs of POSIX")

KEY = "sesame-open-key-of-the-tests"
# Stands in for every client: tells how it was started, and does what its last argument says.
CLIENT = """\
#!{python}
import json, os, pathlib, signal, sys, time
told = [argument for argument in sys.argv[1:]]
files = {{}}
for value in [*told, *os.environ.values()]:
    path = pathlib.Path(value)
    if value.startswith({temp!r}) and path.exists():
        for each in [path] if path.is_file() else [one for one in path.rglob("*") if one.is_file()]:
            files[str(each)] = each.read_text()
seen = {{"arguments": told, "environment": dict(os.environ), "files": files}}
pathlib.Path(os.environ["HOME"], "seen.json").write_text(json.dumps(seen))
if told[-1] == "wait":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(43))
    signal.signal(signal.SIGINT, lambda *_: sys.exit(44))
    pathlib.Path(os.environ["HOME"], "ready").touch()
    time.sleep(60)
if told[-1] == "die":
    os.kill(os.getpid(), signal.SIGKILL)
if told[-1] == "count":
    counted, count = os.pipe()
    os.set_blocking(count, False)
    signal.set_wakeup_fd(count)
    signal.signal(signal.SIGINT, lambda *_: None)
    pathlib.Path(os.environ["HOME"], "ready").touch()
    seen = b""
    while len(seen) < 3:
        seen += os.read(counted, 9)
        pathlib.Path(os.environ["HOME"], f"seen{{len(seen)}}").touch()
    time.sleep(0.5)
    os.set_blocking(counted, False)
    try:
        seen += os.read(counted, 9)
    except BlockingIOError:
        pass
    sys.exit(50 + len(seen))
sys.exit(7)
"""
COMMANDS = {
    "codex": "codex",
    "claude-code": "claude",
    "opencode": "opencode",
    "qwen-code": "qwen",
    "cline": "cline",
    "continue": "cn",
    "aider": "aider",
    "llm": "llm",
    "open-webui": "open-webui",
}

Start = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningGateway]:
    home = tmp_path_factory.mktemp("home")
    with running_gateway(home, GPTOSS_UPSTREAM="demo", GPTOSS_API_KEYS=KEY) as running:
        yield running


@pytest.fixture
def temp(tmp_path: Path) -> Path:
    folder = tmp_path / "temp"
    folder.mkdir()
    return folder


@pytest.fixture
def start(tmp_path: Path, temp: Path, gateway: RunningGateway) -> Iterator[Start]:
    programs = tmp_path / "bin"
    programs.mkdir()
    for command in COMMANDS.values():
        (programs / command).write_text(CLIENT.format(python=sys.executable, temp=str(temp)))
        (programs / command).chmod(0o755)
    running = []

    def run(*arguments: str, **variables: str) -> "subprocess.Popen[str]":
        environment = {"PORT": gateway.base_url.rpartition(":")[2], "GPTOSS_API_KEY": KEY, **variables}
        process = subprocess.Popen(
            [sys.executable, "-m", "gptoss_api", "launch", *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env=clean_environment(
                tmp_path, **{"PATH": f"{programs}:/usr/bin:/bin", "TMPDIR": str(temp), **environment}
            ),
        )
        running.append(process)
        return process

    yield run
    for process in running:
        process.kill()
        process.communicate()


@pytest.mark.parametrize("name", COMMANDS)
def test_a_client_is_started_with_the_gateway_and_nothing_is_left(
    start: Start, tmp_path: Path, temp: Path, gateway: RunningGateway, name: str
) -> None:
    process = start(name, "--", "exec", "--flag", "--", "hello")
    output = process.communicate(timeout=30)[0]
    assert process.returncode == 7, output
    seen = json.loads((tmp_path / "seen.json").read_text())
    assert seen["arguments"][-4:] == ["exec", "--flag", "--", "hello"]
    assert seen["arguments"].count("--") == 1
    told = json.dumps([seen["arguments"], seen["environment"], *seen["files"].values()])
    assert gateway.base_url in told
    assert "gpt-oss-120b" in told
    # A key is in the environment alone: every user sees arguments, and files may stay.
    assert KEY in seen["environment"].values()
    assert KEY not in json.dumps([seen["arguments"], *seen["files"].values()])
    assert not list(temp.iterdir())
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bin", "seen.json", "temp"]


def test_the_model_is_what_was_asked_for(start: Start, tmp_path: Path) -> None:
    start("--model", "gpt-oss-20b", "codex", "hello").communicate(timeout=30)
    assert 'model="gpt-oss-20b"' in json.loads((tmp_path / "seen.json").read_text())["arguments"]


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 43), (signal.SIGINT, 44)])
def test_signals_reach_the_client_and_nothing_is_left(
    start: Start, tmp_path: Path, temp: Path, number: int, code: int
) -> None:
    process = start("claude-code", "wait")
    _wait_for(tmp_path / "ready", process)
    assert list(temp.iterdir())
    process.send_signal(number)
    output = process.communicate(timeout=30)[0]
    assert process.returncode == code, output
    assert not list(temp.iterdir())


def test_at_a_terminal_the_key_is_asked_for_unseen_and_ctrl_c_comes_once(
    start: Start, tmp_path: Path, gateway: RunningGateway
) -> None:
    import pty

    # Of the fixture only its programs.
    place = {"PATH": f"{tmp_path / 'bin'}:/usr/bin:/bin", "TMPDIR": str(tmp_path / "temp")}
    environment = clean_environment(tmp_path, **place, PORT=gateway.base_url.rpartition(":")[2])
    process, terminal = pty.fork()
    if process == 0:
        os.execve(
            sys.executable, [sys.executable, "-m", "gptoss_api", "launch", "codex", "count"], environment
        )
    try:
        seen = b""
        while b"Key of the gateway" not in seen:
            seen += _read(terminal)
        os.write(terminal, KEY.encode() + b"\n")
        _wait_for(tmp_path / "ready")
        assert json.loads((tmp_path / "seen.json").read_text())["environment"]["GPTOSS_API_KEY"] == KEY
        # One that is sent twice at once may arrive once: of three that hardly happens to all.
        for number in (1, 2, 3):
            os.write(terminal, b"\x03")
            _wait_for(tmp_path / f"seen{number}")
            time.sleep(0.1)
        seen += _read(terminal)
        assert os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]) == 53
        assert KEY.encode() not in seen
    finally:
        os.close(terminal)


def test_a_client_that_a_signal_ends_is_told_as_shells_tell_it(start: Start, temp: Path) -> None:
    process = start("claude-code", "die")
    process.communicate(timeout=30)
    assert process.returncode == 128 + signal.SIGKILL
    assert not list(temp.iterdir())


def test_where_no_gateway_runs_one_does_as_long_as_the_client(
    start: Start, tmp_path: Path, temp: Path
) -> None:
    port = str(free_port())
    process = start("continue", "wait", PORT=port, GPTOSS_UPSTREAM="demo")
    _wait_for(tmp_path / "ready", process)
    seen = json.loads((tmp_path / "seen.json").read_text())
    assert f"http://127.0.0.1:{port}/v1" in json.dumps(seen["files"])
    process.terminate()
    output = process.communicate(timeout=30)[0]
    assert process.returncode == 43
    assert "one is started for as long as Continue runs" in output
    assert "demo" in output
    assert not list(temp.iterdir())
    with pytest.raises(ConnectionRefusedError):
        _connect(int(port))


def test_a_gateway_that_does_not_start_is_told(start: Start, temp: Path) -> None:
    process = start("codex", "hello", PORT=str(free_port()), GPTOSS_UPSTREAM="nowhere")
    output = process.communicate(timeout=30)[0]
    assert process.returncode == 2
    assert "GPTOSS_UPSTREAM" in output
    process = start("codex", "hello", PORT=str(free_port()), GPTOSS_METRICS_ADDR="192.0.2.1:9")
    output = process.communicate(timeout=30)[0]
    assert process.returncode == 1
    assert "did not start" in output
    assert not list(temp.iterdir())


@pytest.mark.parametrize(
    ("arguments", "variables", "told"),
    [
        (("zed",), {}, "setup zed"),
        (("vscode",), {}, "setup vscode"),
        (("codex",), {"PATH": "/nowhere"}, "npm install -g @openai/codex"),
        (("codex",), {"GPTOSS_API_KEY": ""}, "set GPTOSS_API_KEY"),
        (("codex",), {"GPTOSS_API_KEY": "another-key-that-is-wrong"}, "does not take this key"),
        (("--base-url", "http://127.0.0.1:9", "codex"), {}, "Nothing answers"),
    ],
)
def test_what_stands_in_the_way_is_told(
    start: Start, tmp_path: Path, arguments: tuple[str, ...], variables: dict[str, str], told: str
) -> None:
    process = start(*arguments, **variables)
    output = process.communicate(timeout=30)[0]
    assert process.returncode == 1
    assert told in output
    assert not (tmp_path / "seen.json").exists()


def _read(terminal: int) -> bytes:
    assert select.select([terminal], [], [], 40)[0]
    try:
        return os.read(terminal, 65_536)
    except OSError:
        return b""


def _wait_for(path: Path, process: "subprocess.Popen[str] | None" = None) -> None:
    deadline = time.monotonic() + 40
    while not path.exists():
        if process is not None:
            assert process.poll() is None, process.communicate()[0]
        assert time.monotonic() < deadline
        time.sleep(0.02)


def _connect(port: int) -> None:
    import socket

    socket.create_connection(("127.0.0.1", port), timeout=5).close()
