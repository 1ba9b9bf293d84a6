"""A login that is there counts, whatever state it is in: never does the demo answer in its place."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from gptoss_api.core import program
from tests.cli.conftest import Run, clean_environment
from tests.cli.conftest import run as run
from tests.conftest import RunningGateway, StartGateway
from tests.server.talking import CHAT, HELLO, Reply, ask
from tests.simulator import Simulator

RESPONSES = "/v1/responses"
STREAMED = {**HELLO, "stream": True}


@pytest.fixture
def kept(tmp_path: Path) -> Path:
    """Where the login of the command ``run`` is kept."""
    file = tmp_path / "gptoss-api" / "credentials.json"
    file.parent.mkdir()
    return file


@pytest.mark.parametrize("upstream", ["auto", "gpt-oss.com", "ollama, gpt-oss.com"])
@pytest.mark.parametrize("command", ["serve", "config"])
@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("", "it is empty"),
        ('{"session": "s3cret', "it holds no login"),
        ('{"version": 7, "session": "s3cret"}', "another version of gptoss-api wrote it"),
        (None, "it cannot be read: Is a directory"),
    ],
)
def test_a_login_that_cannot_be_read_stops_the_start(
    run: Run, kept: Path, upstream: str, command: str, content: str | None, reason: str
) -> None:
    if content is None:
        kept.mkdir()
    else:
        kept.write_text(content)
        kept.chmod(0o600)
    done = run(command, GPTOSS_UPSTREAM=upstream, PORT="0", HF_TOKEN="hf_s3cret12345")
    assert done.returncode == 2
    assert done.stderr == (
        f"Error: {kept}: the login cannot be used: {reason}; "
        f"run '{program.command()} login' again, or remove the file\n"
    )
    assert "s3cret" not in done.stdout


def test_workers_do_not_start_either(run: Run, kept: Path) -> None:
    kept.write_text("")
    done = run("serve", "--workers", "2", PORT="0")
    assert (done.returncode, "the login cannot be used: it is empty" in done.stderr) == (2, True)


def test_tables_with_the_site_need_the_login_too(run: Run, kept: Path) -> None:
    kept.write_text("")
    tables = json.dumps([{"kind": "ollama"}, {"kind": "gpt-oss.com"}])
    assert run("config", GPTOSS_UPSTREAMS=tables).returncode == 2
    assert run("config", GPTOSS_UPSTREAMS='[{"kind": "ollama"}]').returncode == 0


@pytest.mark.parametrize(
    ("variables", "answers"),
    [
        ({"GPTOSS_UPSTREAM": "demo"}, "demo"),
        ({"GPTOSS_UPSTREAM": "ollama"}, "ollama"),
        ({"GPTOSS_COOKIE": "user_id=u; session=s"}, "gpt-oss.com"),
    ],
)
def test_who_does_not_need_the_file_is_not_stopped_by_it(
    run: Run, kept: Path, variables: dict[str, str], answers: str
) -> None:
    kept.write_text("{broken")
    done = run("config", **variables)
    assert (done.returncode, f"Answers come from {answers}: " in done.stdout) == (0, True)


# A demo that makes room


@pytest.fixture
def auto(simulator: Simulator, gateway: StartGateway, tmp_path: Path) -> Callable[..., RunningGateway]:
    """Starts gateways that find nothing; to them and their workers the simulator is the site."""
    (tmp_path / "sitecustomize.py").write_text(
        "from msgspec.structs import replace\n"
        "import gptoss_api.core.servers as servers, gptoss_api.upstreams.demo as demo\n"
        "site = servers.SERVER_KINDS[servers.SITE]\n"
        f"servers.SERVER_KINDS[servers.SITE] = replace(site, url={simulator.chatkit_url!r})\ndemo.PACE = 0\n"
    )

    def start(**variables: str) -> RunningGateway:
        running = gateway(GPTOSS_UPSTREAM="auto", PYTHONPATH=str(tmp_path), **variables)
        assert answered_by(ask(running, "POST", CHAT, HELLO)) == "demo"
        return running

    return start


def answered_by(reply: Reply) -> str:
    assert reply.status == 200, reply.body
    return reply.headers["x-gptoss-upstream"]


def file_of(running: RunningGateway) -> Path:
    return running.home / "config" / "gptoss-api" / "credentials.json"


def log_in(running: RunningGateway, cookies: str) -> None:
    subprocess.run(
        [sys.executable, "-m", "gptoss_api", "login", "--no-check"],
        input=cookies,
        env=clean_environment(running.home, XDG_CONFIG_HOME=str(running.home / "config")),
        capture_output=True,
        text=True,
        timeout=30,
        check=True,
    )


@pytest.mark.parametrize(
    ("path", "body"),
    [
        (CHAT, HELLO),
        (CHAT, STREAMED),
        (RESPONSES, {"input": "Hello"}),
        ("/v1/completions", {"prompt": "Hello"}),
    ],
)
def test_the_demo_makes_room_for_a_login(
    auto: Callable[..., RunningGateway], simulator: Simulator, path: str, body: dict[str, object]
) -> None:
    running = auto()
    log_in(running, simulator.cookie)
    reply = ask(running, "POST", path, body)
    assert answered_by(reply) == "gpt-oss.com"
    assert b"no model is behind" not in reply.body
    assert len(simulator.requests) == 1
    upstream = ask(running, "GET", "/").json()["upstream"]
    assert (upstream["name"], "demo" in upstream, "warning" in upstream) == ("gpt-oss.com", False, False)
    assert upstream["chosen_because"] == "a login at gpt-oss.com is configured"
    told = "answers come from gpt-oss.com instead of the demo: a login at gpt-oss.com is configured"
    assert running.log().count(told) == 1
    for part in simulator.cookie.split("; "):
        assert part.partition("=")[2] not in running.log()


@pytest.mark.parametrize("path", ["/readyz", "/", "/v1/models"])
def test_it_does_so_whatever_is_asked_first(
    auto: Callable[..., RunningGateway], simulator: Simulator, path: str
) -> None:
    running = auto()
    log_in(running, simulator.cookie)
    assert ask(running, "GET", path).status == 200
    assert "instead of the demo" in running.log()


@pytest.mark.skipif(sys.platform == "win32", reason="workers are not possible there")
def test_every_worker_does_so_at_once_though_nothing_is_asked(auto: Callable[..., RunningGateway]) -> None:
    running = auto(GPTOSS_WORKERS="2")
    workers(running)
    log_in(running, "user_id=u; session=s")
    wait_for(lambda: running.log().count("instead of the demo") == 2)


def test_a_demo_that_was_asked_for_stays(gateway: StartGateway, simulator: Simulator) -> None:
    running = gateway(GPTOSS_UPSTREAM="demo")
    log_in(running, simulator.cookie)
    assert answered_by(ask(running, "POST", CHAT, HELLO)) == "demo"


@pytest.mark.parametrize("content", ["", "{broken", '{"version": 7}', None])
def test_the_demo_does_not_answer_in_the_place_of_a_login_that_cannot_be_read(
    auto: Callable[..., RunningGateway], simulator: Simulator, content: str | None
) -> None:
    running = auto()
    file = file_of(running)
    file.parent.mkdir(parents=True, exist_ok=True)
    if content is None:
        file.mkdir()
    else:
        file.write_text(content)
    for body in (HELLO, STREAMED):
        reply = ask(running, "POST", CHAT, body)
        assert reply.status == 401
        assert reply.error["code"] == "upstream_login_required"
        assert "gptoss-api login" in reply.error["message"]
        assert str(file) not in reply.error["message"]
    assert ask(running, "GET", "/readyz").status == 503
    assert str(file) in running.log()
    if content is None:
        file.rmdir()
    log_in(running, simulator.cookie)
    assert answered_by(ask(running, "POST", CHAT, HELLO)) == "gpt-oss.com"
    assert ask(running, "GET", "/readyz").status == 200


@pytest.mark.skipif(sys.platform == "win32", reason="workers are not possible there")
def test_every_worker_makes_room_and_one_that_is_replaced_does_not_stop_the_rest(
    auto: Callable[..., RunningGateway], simulator: Simulator
) -> None:
    running = auto(GPTOSS_WORKERS="2")
    before = workers(running)
    log_in(running, simulator.cookie)
    seen = set()
    for number in (1, 2):
        other = before[3 - number]
        os.kill(other, signal.SIGSTOP)
        try:
            seen.add(answered_by(ask(running, "POST", CHAT, HELLO)))
        finally:
            os.kill(other, signal.SIGCONT)
    assert seen == {"gpt-oss.com"}
    file_of(running).write_text("{broken")
    for process in before.values():
        os.kill(process, signal.SIGKILL)
    wait_for(lambda: not set(before.values()) & set(workers(running).values()))
    assert ask(running, "POST", CHAT, HELLO).error["code"] == "upstream_login_required"
    log_in(running, simulator.cookie)
    assert answered_by(ask(running, "POST", CHAT, HELLO)) == "gpt-oss.com"
    assert "Traceback" not in running.log()


def command(running: RunningGateway, *words: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "gptoss_api", *words],
        env=clean_environment(running.home, XDG_CONFIG_HOME=str(running.home / "config")),
        capture_output=True,
        text=True,
        timeout=30,
        check=True,
    )


def test_a_login_that_is_forgotten_brings_the_demo_back_and_another_takes_its_place_again(
    auto: Callable[..., RunningGateway], simulator: Simulator
) -> None:
    running = auto()
    log_in(running, "user_id=1; session=junk")
    assert ask(running, "POST", CHAT, HELLO).status != 200
    command(running, "login", "--forget")
    wait_for(lambda: "answers come from demo now" in running.log())
    assert answered_by(ask(running, "POST", CHAT, HELLO)) == "demo"
    assert not file_of(running).exists()
    log_in(running, simulator.cookie)
    assert answered_by(ask(running, "POST", CHAT, HELLO)) == "gpt-oss.com"
    assert "junk" not in running.log()


@pytest.mark.skipif(sys.platform == "win32", reason="workers are not possible there")
def test_every_worker_comes_back_from_a_login_that_was_there_at_the_start(
    gateway: StartGateway, tmp_path: Path
) -> None:
    file = tmp_path / "login.json"
    file.write_text("user_id=u; session=s")
    file.chmod(0o600)
    running = gateway(GPTOSS_UPSTREAM="auto", GPTOSS_CREDENTIALS_FILE=str(file), GPTOSS_WORKERS="2")
    workers(running)
    file.unlink()
    wait_for(lambda: running.log().count("answers come from demo now") == 2)
    assert answered_by(ask(running, "POST", CHAT, HELLO)) == "demo"


def workers(running: RunningGateway) -> dict[int, int]:
    """The process of each worker, by its number."""
    wait_for(lambda: len(set(re.findall(r"worker (\d+) is process", running.log()))) == 2)
    found = re.findall(r"worker (\d+) is process (\d+)", running.log())
    return {int(number): int(process) for number, process in found}


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)
