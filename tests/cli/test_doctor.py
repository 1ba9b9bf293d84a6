"""``gptoss-api doctor``: every part of what may be wrong is found, named and never said too much of."""

import json
import os
import select
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from email.utils import formatdate
from pathlib import Path
from typing import Any

import pytest

from gptoss_api.cli.diagnosis.machine import check_packages
from gptoss_api.upstreams.chatkit.credentials import file_before
from tests.backends.server import Backend, backend_thread
from tests.cli.conftest import Run, answering, clean_environment
from tests.conftest import Site
from tests.simulator import Simulator, simulator_thread

posix = pytest.mark.skipif(sys.platform == "win32", reason="terminals and modes of POSIX")

IDS = ["python", "dependencies", "configuration", "files", "port", "proxy", "store", "login", "upstream"]
# None of these is on this machine's loopback, and nothing else is to be reached.
OFFLINE = {"HTTPS_PROXY": "http://127.0.0.1:9", "PORT": "0"}


@pytest.fixture(scope="module")
def running() -> Iterator[Simulator]:
    with simulator_thread(auth="session") as started:
        yield started


@pytest.fixture
def sim(running: Simulator) -> Simulator:
    running.reset()
    return running


def found(done: "subprocess.CompletedProcess[str]") -> dict[str, dict[str, Any]]:
    """The findings by their ids; of several with one id the last."""
    return {finding["id"]: finding for finding in json.loads(done.stdout)["findings"]}


def turns(simulator: Simulator) -> list[str]:
    return [request.text for request in simulator.requests if request.method == "POST"]


def at(simulator: Simulator, **more: str) -> dict[str, str]:
    return {
        "GPTOSS_CHATKIT_URL": simulator.chatkit_url,
        "GPTOSS_COOKIE": simulator.cookie,
        **OFFLINE,
        **more,
    }


def test_a_machine_with_nothing_wrong_is_told_what_to_do_next(run_here: Run) -> None:
    done = run_here("doctor", "--json", **OFFLINE)
    report = json.loads(done.stdout)
    assert (done.returncode, report["ok"], report["errors"], report["form"]) == (0, True, 0, 1)
    assert [finding["id"] for finding in report["findings"]] == [*IDS, "clock"]
    by_id = found(done)
    assert by_id["upstream"]["level"] == "warning"
    assert "demo" in by_id["upstream"]["what"]
    assert " login`" in by_id["upstream"]["advice"]
    assert by_id["login"]["level"] == "ok"


def test_the_report_for_people_has_a_line_for_each(run_here: Run) -> None:
    done = run_here("doctor", **OFFLINE)
    lines = done.stdout.splitlines()
    assert lines[0].startswith("ok       python")
    assert lines[-1].startswith("no errors, ")
    for name in IDS:
        assert any(line.split()[1:2] == [name] for line in lines)


# Packages


@pytest.mark.parametrize(
    ("requirement", "pins", "level", "told"),
    [
        ("click>=8.1", {}, "ok", "new enough"),
        ("click>=8.1,<100", {}, "ok", ""),
        ("click<8,>=7", {}, "error", "does not fit <8,>=7"),
        ("click>=99", {}, "error", "does not fit >=99"),
        ("click==1.0", {}, "error", "does not fit ==1.0"),
        ("no-such-package>=1", {}, "error", "is not installed"),
        ("no-such-package>=1; extra == 'redis'", {}, "ok", ""),
        (f"no-such-package; sys_platform != '{sys.platform}'", {}, "ok", ""),
        ("click", {"click": "0.1"}, "warning", "was tested as 0.1"),
    ],
)
def test_packages_are_held_to_what_is_needed(
    requirement: str, pins: dict[str, str], level: str, told: str
) -> None:
    (finding,) = check_packages([requirement], pins)
    assert (finding.level, told in finding.what) == (level, True)
    assert bool(finding.advice) == (level != "ok")


# Settings and files


def test_a_setting_that_cannot_be_used_is_an_error_and_the_rest_is_left_out(run_here: Run) -> None:
    done = run_here("doctor", "--json", PORT="s3cret")
    assert (done.returncode, list(found(done))) == (1, ["python", "dependencies", "configuration"])
    assert "PORT" in found(done)["configuration"]["what"]


def test_everyone_getting_in_is_an_error(run_here: Run) -> None:
    done = run_here("doctor", "--json", HOST="0.0.0.0", **OFFLINE)
    assert (done.returncode, found(done)["configuration"]["level"]) == (1, "error")


@posix
def test_files_that_others_can_read_are_named(run_here: Run, tmp_path: Path) -> None:
    kept = tmp_path / "gptoss-api/credentials.json"
    assert run_here("login", "--no-check", stdin="user_id=u; session=s3cret").returncode == 0
    before = file_before(kept)
    before.write_text("{}")
    kept.chmod(0o640)
    before.chmod(0o644)
    done = run_here("doctor", "--json", GPTOSS_UPSTREAM="demo", **OFFLINE)
    open_files = [each for each in json.loads(done.stdout)["findings"] if each["id"] == "files"]
    assert [each["level"] for each in open_files] == ["warning", "warning"]
    assert [each["advice"] for each in open_files] == [f"Run: chmod 600 {file}" for file in (kept, before)]
    assert done.returncode == 0


# The login


@pytest.mark.parametrize(
    ("content", "told"), [("", "it is empty"), ("{broken", "holds no login"), (None, "Is a directory")]
)
def test_a_login_that_cannot_be_read_is_an_error(
    run_here: Run, tmp_path: Path, content: str | None, told: str
) -> None:
    kept = tmp_path / "gptoss-api/credentials.json"
    kept.parent.mkdir()
    if content is None:
        kept.mkdir()
    else:
        kept.write_text(content)
    done = run_here("doctor", "--json", **OFFLINE)
    login = found(done)["login"]
    assert (done.returncode, login["level"], told in login["what"]) == (1, "error", True)
    assert login["advice"].endswith(" login`.")


def test_a_login_that_is_needed_and_missing_is_an_error(run_here: Run) -> None:
    done = run_here("doctor", "--json", GPTOSS_UPSTREAM="gpt-oss.com", **OFFLINE)
    assert (done.returncode, found(done)["login"]["level"]) == (1, "error")


def test_only_a_turn_tells_that_a_login_is_void(run_here: Run, sim: Simulator) -> None:
    void = at(sim, GPTOSS_COOKIE="user_id=s3cret-u; session=s3cret-s")
    assert run_here("doctor", "--json", **void).returncode == 0
    assert turns(sim) == []
    done = run_here("doctor", "--json", "--live", **void)
    assert (done.returncode, found(done)["turn"]["level"]) == (1, "error")
    assert "s3cret" not in done.stdout


# Upstreams


def test_an_upstream_is_reached_and_answers(run_here: Run, sim: Simulator) -> None:
    done = run_here("doctor", "--json", "--live", **at(sim))
    by_id = found(done)
    assert done.returncode == 0
    assert {name: by_id[name]["level"] for name in ("upstream", "model", "turn")} == {
        "upstream": "ok",
        "model": "ok",
        "turn": "ok",
    }
    assert by_id["turn"]["subject"] == "gpt-oss.com"
    assert turns(sim) == ["Say OK."]
    # The login of the simulator was made in 2025.
    assert by_id["login"]["level"] == "warning"
    for secret in (sim.session, sim.user_id):
        assert secret not in done.stdout


def test_one_that_is_not_there_is_an_error(run_here: Run) -> None:
    done = run_here("doctor", "--json", GPTOSS_UPSTREAM="http://127.0.0.1:9/v1", **OFFLINE)
    assert (done.returncode, found(done)["upstream"]["level"]) == (1, "error")
    assert "model" not in found(done)


def test_a_server_without_the_model_is_an_error(run_here: Run) -> None:
    backend = Backend("vllm")
    with backend_thread(backend):
        done = run_here("doctor", "--json", "--live", GPTOSS_UPSTREAM=backend.address, **OFFLINE)
        assert {found(done)[name]["level"] for name in ("upstream", "model", "turn")} == {"ok"}
        backend.models = ["llama-3"]
        done = run_here("doctor", "--json", GPTOSS_UPSTREAM=backend.address, **OFFLINE)
    assert (done.returncode, found(done)["model"]["level"]) == (1, "error")


def test_a_key_that_is_missing_is_an_error(run_here: Run) -> None:
    tables = json.dumps([{"kind": "generic", "url": "http://127.0.0.1:9/v1", "key_env": "NOT_SET"}])
    done = run_here("doctor", "--json", GPTOSS_UPSTREAMS=tables, **OFFLINE)
    assert (done.returncode, "NOT_SET" in found(done)["upstream"]["what"]) == (1, True)


@pytest.mark.parametrize(
    ("seconds", "level", "told"),
    [(0, "ok", "as that of"), (600, "warning", "behind"), (-600, "warning", "ahead"), (10**6, "error", "")],
)
def test_the_clock_is_compared(run_here: Run, seconds: int, level: str, told: str) -> None:
    with answering(404, b"", formatdate(time.time() + seconds, usegmt=True)) as url:
        clock = found(run_here("doctor", "--json", GPTOSS_CHATKIT_URL=url, **OFFLINE))["clock"]
    assert (clock["level"], told in clock["what"]) == (level, True)


# The machine


def test_a_port_that_another_program_has_is_an_error(run_here: Run) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = str(other.getsockname()[1])
        done = run_here("doctor", "--json", **{**OFFLINE, "PORT": port})
    finding = found(done)["port"]
    assert (done.returncode, finding["level"]) == (1, "error")
    assert "choose another PORT" in finding["advice"]


def test_a_gateway_that_runs_there_is_told(run_here: Run, site: Site) -> None:
    port = site.gateway.base_url.rpartition(":")[2]
    finding = found(run_here("doctor", "--json", **{**OFFLINE, "PORT": port}))["port"]
    assert finding["level"] == "ok"
    assert finding["what"].endswith(f"is at {site.gateway.base_url}/v1, its answers come from gpt-oss.com")


@pytest.mark.parametrize(
    ("variables", "level"),
    [
        ({"HTTP_PROXY": "http://me:s3cret@10.0.0.1:3128"}, "warning"),
        ({"http_proxy": "http://me:s3cret@10.0.0.1:3128"}, "warning"),
        ({"ALL_PROXY": "socks5://10.0.0.1"}, "warning"),
        ({"HTTP_PROXY": "http://10.0.0.1:3128", "NO_PROXY": "127.0.0.1"}, "warning"),
        ({"HTTP_PROXY": "http://10.0.0.1:3128", "NO_PROXY": "127.0.0.1,localhost"}, "ok"),
        ({"HTTP_PROXY": "http://10.0.0.1:3128", "no_proxy": "*"}, "ok"),
        ({"HTTPS_PROXY": "http://10.0.0.1:3128"}, "ok"),
        ({}, "ok"),
    ],
)
@pytest.mark.skipif(sys.platform != "linux", reason="other systems have settings of their own")
def test_proxies_that_catch_what_is_for_this_machine_are_told(
    run_here: Run, variables: dict[str, str], level: str
) -> None:
    done = run_here("doctor", "--json", GPTOSS_UPSTREAM="demo", PORT="0", **variables)
    assert found(done)["proxy"]["level"] == level
    assert "s3cret" not in done.stdout


def test_a_store_that_cannot_be_used_is_an_error(run_here: Run, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    state = f"sqlite://{tmp_path}/file/state.db"
    done = run_here("doctor", "--json", GPTOSS_STATE=state, **OFFLINE)
    assert (done.returncode, found(done)["store"]["level"]) == (1, "error")
    assert found(run_here("doctor", "--json", GPTOSS_STATE="memory://", **OFFLINE))["store"]["level"] == "ok"


def test_a_store_that_is_none_is_to_be_moved_away(run_here: Run, tmp_path: Path) -> None:
    state = tmp_path / "state.db"
    state.write_text("no database\n" * 100)
    said = found(run_here("doctor", "--json", GPTOSS_STATE=f"sqlite://{state}", **OFFLINE))["store"]
    assert said["level"] == "error"
    assert said["advice"].startswith("Move that file away")


# The recording


def test_a_recorded_turn_has_nothing_personal(run_here: Run, sim: Simulator, tmp_path: Path) -> None:
    file = tmp_path / "turn.json"
    done = run_here("doctor", "--record", str(file), "--yes", **at(sim))
    assert done.returncode == 0, done.stderr
    text = file.read_text()
    assert text in done.stdout
    if sys.platform != "win32":
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
    recorded = json.loads(text)
    assert (recorded["outcome"], len(recorded["exchanges"])) == ("answered", 1)
    thread = next(iter(sim.threads.values()))
    for personal in (sim.session, sim.user_id, thread.id, "Say", "said", str(sim.port), os.uname().nodename):
        assert personal not in text
    lines = recorded["exchanges"][0]["response"]["lines"]
    assert lines[0].startswith('data: {"type":"thread.created","thread":{')
    assert ": keep-alive" in lines
    # What comes after the answer is there, too.
    assert lines[-2].startswith('data: {"type":"thread.updated",')
    assert "cookie: (removed)" in recorded["exchanges"][0]["request"]["headers"]


def test_a_turn_that_failed_is_recorded_too(run_here: Run, sim: Simulator, tmp_path: Path) -> None:
    sim.always("s08_login_card")
    file = tmp_path / "turn.json"
    done = run_here("doctor", "--json", "--record", str(file), "--yes", **at(sim))
    assert (done.returncode, found(done)["turn"]["level"]) == (1, "error")
    recorded = json.loads(file.read_text())
    assert recorded["outcome"] == "UpstreamLoginRequired"
    assert "Sign in to continue" in file.read_text()


def test_it_is_not_written_without_leave(run_here: Run, sim: Simulator, tmp_path: Path) -> None:
    file = tmp_path / "turn.json"
    done = run_here("doctor", "--record", str(file), **at(sim))
    assert (done.returncode, file.exists()) == (1, False)
    assert "nobody can be asked; see --yes" in done.stderr
    file.write_text("mine")
    done = run_here("doctor", "--record", str(file), "--yes", **at(sim))
    assert (done.returncode, file.read_text(), "exists" in done.stderr) == (1, "mine", True)
    nothing = run_here("doctor", "--record", str(tmp_path / "other"), "--yes", **OFFLINE)
    assert (nothing.returncode, (tmp_path / "other").exists()) == (1, False)


@pytest.mark.parametrize("missing", ["none/turn.json", "none/at/all/turn.json", "file/turn.json", "x" * 300])
def test_a_place_where_no_recording_can_be_is_told_before_a_turn_is_spent(
    run_here: Run, sim: Simulator, tmp_path: Path, missing: str
) -> None:
    (tmp_path / "file").write_text("mine")
    asked = len(sim.requests)
    done = run_here("doctor", "--record", str(tmp_path / missing), "--yes", **at(sim))
    assert (done.returncode, done.stdout, len(sim.requests)) == (1, "", asked)
    assert len(done.stderr.splitlines()) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


@posix
def test_a_person_sees_it_and_is_asked(sim: Simulator, tmp_path: Path) -> None:
    import pty

    file = tmp_path / "turn.json"
    file.write_text("mine")
    master, slave = pty.openpty()
    try:
        process = subprocess.Popen(
            [sys.executable, "-m", "gptoss_api", "doctor", "--record", str(file)],
            stdin=slave,
            stdout=slave,
            stderr=slave,
            env=clean_environment(tmp_path, **at(sim)),
        )
        _read_until(master, b"Replace it? [y/N]: ")
        assert sim.requests == []
        os.write(master, b"y\n")
        shown = _read_until(master, b"[Y/n]: ")
        assert b"This is what the recording holds" in shown
        assert file.read_text() == "mine"
        os.write(master, b"\n")
        _read_until(master, b"Look at it once more")
        assert process.wait(20) == 0
        assert json.loads(file.read_text())["outcome"] == "answered"
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
    finally:
        os.close(master)
        os.close(slave)


def _read_until(terminal: int, marker: bytes) -> bytes:
    shown = b""
    deadline = time.monotonic() + 30
    while marker not in shown:
        assert time.monotonic() < deadline, shown
        if select.select([terminal], [], [], 0.1)[0]:
            shown += os.read(terminal, 65536)
    return shown
