"""``gptoss-api login`` tries what it was given, and a good login survives a bad one."""

import json
import os
import select
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from gptoss_api.core import program
from tests.cli.conftest import Run, answering, clean_environment
from tests.simulator import HttpReply, Simulator, simulator_thread
from tests.simulator.server import session_cookie

posix = pytest.mark.skipif(sys.platform == "win32", reason="terminals and modes of POSIX")


@pytest.fixture(scope="module")
def running() -> Iterator[Simulator]:
    with simulator_thread(auth="session") as started:
        yield started


@pytest.fixture
def site(running: Simulator) -> Simulator:
    running.reset()
    return running


@pytest.fixture
def kept(tmp_path: Path) -> Path:
    return tmp_path / "gptoss-api" / "credentials.json"


@pytest.fixture
def before(kept: Path) -> Path:
    return kept.with_name("credentials.before.json")


def session_in(file: Path) -> str:
    session: str = json.loads(file.read_text())["session"]
    return session


def test_a_login_that_the_site_takes_is_kept(run_here: Run, site: Simulator, kept: Path) -> None:
    done = run_here("login", stdin=site.cookie, GPTOSS_CHATKIT_URL=site.chatkit_url)
    assert (done.returncode, session_in(kept)) == (0, site.session)
    assert done.stdout.startswith("gpt-oss.com answered: the login is good.\n")
    assert "one short message ('Say OK.') to 127.0.0.1" in done.stderr
    assert [request.text for request in site.requests] == ["Say OK."]
    assert (site.requests[0].model, site.requests[0].effort) == ("gpt-oss-20b", "low")
    assert site.session not in done.stdout + done.stderr


def test_one_that_is_refused_changes_nothing(
    run_here: Run, site: Simulator, kept: Path, before: Path
) -> None:
    for expected in (None, site.session):
        if expected is not None:
            run_here("login", "--no-check", stdin=site.cookie)
        done = run_here("login", stdin="user_id=u; session=s3cret", GPTOSS_CHATKIT_URL=site.chatkit_url)
        assert (done.returncode, done.stdout) == (1, "")
        assert "does not take this login" in done.stderr
        assert "Nothing was changed" in done.stderr
        assert "s3cret" not in done.stderr
        assert (session_in(kept) if kept.exists() else None) == expected
        assert not before.exists()


def test_what_the_site_refreshes_meanwhile_is_kept(run_here: Run, site: Simulator, kept: Path) -> None:
    site.script("s23_refreshed_session")
    done = run_here("login", stdin=site.cookie, GPTOSS_CHATKIT_URL=site.chatkit_url)
    assert done.returncode == 0
    assert session_in(kept) not in (site.cookie, "")
    assert session_in(kept) in site.sessions


@pytest.mark.parametrize(
    ("reply", "code", "told"),
    [
        (HttpReply(403, '{"detail": "no"}', "application/json"), 1, "does not take this login"),
        (HttpReply(402, '{"detail": "no credits"}', "application/json"), 0, "takes the login, but"),
        (HttpReply(503, "<html>", "text/html"), 0, "could not be found out"),
        (HttpReply(429, "{}", "application/json"), 0, "could not be found out"),
    ],
)
def test_what_the_site_says_decides(
    run_here: Run, site: Simulator, kept: Path, reply: HttpReply, code: int, told: str
) -> None:
    site.always(reply)
    done = run_here("login", stdin=site.cookie, GPTOSS_CHATKIT_URL=site.chatkit_url)
    assert (done.returncode, kept.exists()) == (code, code == 0)
    assert told in done.stdout + done.stderr


@pytest.mark.parametrize(
    ("status", "told"),
    [
        (200, "Hugging Face knows it as the login of ada."),
        (401, "Hugging Face says that the login has expired."),
    ],
)
def test_who_made_the_login_is_asked_first_which_costs_nothing(
    run_here: Run, kept: Path, monkeypatch: pytest.MonkeyPatch, status: int, told: str
) -> None:
    with answering(status, b'{"preferred_username": "ada"}') as url:
        monkeypatch.setattr("gptoss_api.upstreams.chatkit.trial.USERINFO_URL", url)
        login = f"user_id=u; session={session_cookie('hf_s3cret')}"
        # The site itself is out of reach.
        done = run_here("login", stdin=login, HTTPS_PROXY="http://127.0.0.1:9")
    assert (done.returncode, session_in(kept)) == (0, session_cookie("hf_s3cret"))
    assert done.stdout.startswith(f"{told}\n")
    assert ("sending one short message" in done.stderr) == (status != 200)
    assert "hf_s3cret" not in done.stdout + done.stderr


def test_a_site_that_cannot_be_reached_leaves_it_untried(run_here: Run, kept: Path) -> None:
    done = run_here(
        "login", stdin="user_id=u; session=s3cret", GPTOSS_CHATKIT_URL="http://127.0.0.1:9/chatkit"
    )
    assert (done.returncode, session_in(kept)) == (0, "s3cret")
    assert "Warning: whether the login is good could not be found out." in done.stderr
    assert f"To remove it again: {program.command()} login --forget" in done.stderr
    assert "Traceback" not in done.stderr


def test_without_a_check_nothing_is_sent(run_here: Run, site: Simulator, kept: Path) -> None:
    done = run_here("login", "--no-check", stdin=site.cookie, GPTOSS_CHATKIT_URL=site.chatkit_url)
    assert (done.returncode, done.stdout) == (0, f"The login is kept in {kept}.\n")
    assert site.requests == []


def test_the_login_before_stays_beside_and_can_be_gone_back_to(
    run_here: Run, kept: Path, before: Path
) -> None:
    nothing = run_here("login", "--previous")
    assert (nothing.returncode, "no login before it is kept" in nothing.stderr) == (1, True)
    run_here("login", "--no-check", stdin="user_id=u; session=first")
    done = run_here("login", "--no-check", stdin="user_id=u; session=second")
    assert f"The one before is in {before}" in done.stdout
    assert "It is the same account as that of the login before." in done.stdout
    assert (session_in(kept), session_in(before)) == ("second", "first")
    other_account = run_here("login", "--no-check", stdin="user_id=other; session=third")
    assert "It is another account than that of the login before." in other_account.stdout
    run_here("login", "--previous")
    run_here("login", "--no-check", stdin="user_id=u; session=first")
    run_here("login", "--no-check", stdin="user_id=u; session=second")
    # The same again is no other login.
    assert "The one before" not in run_here("login", "--no-check", stdin="user_id=u; session=second").stdout
    for now, other in (("first", "second"), ("second", "first")):
        assert run_here("login", "--previous").returncode == 0
        assert (session_in(kept), session_in(before)) == (now, other)
    if sys.platform != "win32":
        assert stat.S_IMODE(before.stat().st_mode) == 0o600


def test_a_login_can_be_forgotten_and_then_the_one_before(run_here: Run, kept: Path, before: Path) -> None:
    for session in ("first", "second"):
        run_here("login", "--no-check", stdin=f"user_id=u; session={session}")
    done = run_here("login", "--forget")
    assert (done.returncode, kept.exists(), session_in(before)) == (0, False, "first")
    assert f"The login in {kept} is removed." in done.stdout
    for option in ("--previous", "--forget"):
        assert f"{program.command()} login {option}' " in done.stdout
    assert run_here("login", "--previous").returncode == 0
    assert session_in(kept) == "first"
    run_here("login", "--no-check", stdin="user_id=u; session=second")
    for removed in (kept, before):
        again = run_here("login", "--forget", GPTOSS_COOKIE="user_id=u; session=s")
        assert (again.returncode, removed.exists()) == (0, False)
        assert "GPTOSS_COOKIE is set and wins" in again.stderr
    nothing = run_here("login", "--forget")
    assert (nothing.returncode, nothing.stdout) == (0, f"There is no login in {kept}.\n")
    assert run_here("login", "--forget", "--previous").returncode == 2


def test_what_is_damaged_does_not_take_the_place_of_the_login_before(
    run_here: Run, kept: Path, before: Path
) -> None:
    run_here("login", "--no-check", stdin="user_id=u; session=first")
    run_here("login", "--no-check", stdin="user_id=u; session=second")
    kept.write_text("{broken")
    assert run_here("login", "--no-check", stdin="user_id=u; session=third").returncode == 0
    assert session_in(before) == "first"
    kept.write_text("{broken")
    assert run_here("login", "--previous").returncode == 0
    assert (session_in(kept), before.exists()) == ("first", False)


@posix
@pytest.mark.parametrize(("answer", "asked"), [("\n", 1), ("y\n", 1), ("n\n", 0)])
def test_a_person_is_asked_before_a_message_is_sent(
    tmp_path: Path, site: Simulator, kept: Path, answer: str, asked: int
) -> None:
    import pty

    master, slave = pty.openpty()
    try:
        process = subprocess.Popen(
            [sys.executable, "-m", "gptoss_api", "login"],
            stdin=slave,
            stdout=slave,
            stderr=slave,
            env=clean_environment(tmp_path, GPTOSS_CHATKIT_URL=site.chatkit_url),
        )
        _read_until(master, b"not shown: ")
        os.write(master, site.cookie.encode() + b"\n")
        shown = _read_until(master, b"[Y/n]: ")
        assert b"Send one short message" in shown
        assert site.requests == []
        os.write(master, answer.encode())
        shown = _read_until(master, b"is kept in")
        assert process.wait(10) == 0
        assert (len(site.requests), session_in(kept)) == (asked, site.session)
        assert (b"It was not tried." in shown) == (not asked)
    finally:
        os.close(master)
        os.close(slave)


def _read_until(terminal: int, marker: bytes) -> bytes:
    shown = b""
    deadline = time.monotonic() + 20
    while marker not in shown:
        assert time.monotonic() < deadline, shown
        if select.select([terminal], [], [], 0.1)[0]:
            shown += os.read(terminal, 65536)
    return shown
