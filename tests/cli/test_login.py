"""``gptoss-api login``: cookies in, a file only its owner can read, nothing on the screen."""

import json
import os
import select
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.cli.conftest import Run, clean_environment
from tests.conftest import StartGateway
from tests.server.talking import CHAT, HELLO, ask
from tests.simulator import Simulator

COOKIES = "user_id=s3cret-u; theme=dark; session=s3cret-s"
CURL = (
    "curl 'https://api.gpt-oss.com/chatkit' \\\n  -H 'accept: text/event-stream' \\\n"
    f"  -H 'cookie: {COOKIES}' \\\n  --data-raw '{{}}'"
)
posix = pytest.mark.skipif(sys.platform == "win32", reason="terminals and modes of POSIX")


@pytest.fixture
def kept(tmp_path: Path) -> Path:
    return tmp_path / "gptoss-api" / "credentials.json"


@pytest.mark.parametrize(
    "pasted",
    [
        COOKIES,
        f"Cookie: {COOKIES}\n",
        f"Cookie\n{COOKIES}\n",
        CURL,
        f"{CURL}\n",
        f"'{COOKIES}'",
        f"‘{COOKIES}’\n",
        f"GPTOSS_COOKIE='{COOKIES}' make run\n",
        f"export GPTOSS_COOKIE={COOKIES}\n",
        f"\ufeff{COOKIES}\n",
        f"{COOKIES[:-3]}\n{COOKIES[-3:]}\n",
        '[{"name": "user_id", "value": "s3cret-u"}, {"name": "session", "value": "s3cret-s"}]',
    ],
)
def test_cookies_from_standard_input_are_kept(run: Run, kept: Path, pasted: str) -> None:
    done = run("login", "--no-check", stdin=pasted)
    assert done.returncode == 0
    assert done.stdout == f"The login is kept in {kept}.\n"
    assert "s3cret" not in done.stdout + done.stderr
    saved = json.loads(kept.read_text())
    assert (saved["user_id"], saved["session"]) == ("s3cret-u", "s3cret-s")


@posix
def test_only_the_owner_can_read_the_file(run: Run, kept: Path) -> None:
    run("login", "--no-check", stdin=COOKIES)
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600
    assert stat.S_IMODE(kept.parent.stat().st_mode) == 0o700


def test_the_gateway_finds_the_login(run: Run) -> None:
    run("login", "--no-check", stdin=COOKIES)
    assert "Answers come from gpt-oss.com: a login at gpt-oss.com is configured." in run("config").stdout


def test_a_file_from_windows_is_read(run: Run, kept: Path, tmp_path: Path) -> None:
    for encoding in ("utf-16", "utf-8-sig"):
        kept.unlink(missing_ok=True)
        done = subprocess.run(
            [sys.executable, "-m", "gptoss_api", "login", "--no-check"],
            input=f"GPTOSS_COOKIE='{COOKIES}'\r\n".encode(encoding),
            env=clean_environment(tmp_path),
            capture_output=True,
            timeout=30,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        assert json.loads(kept.read_text())["session"] == "s3cret-s"


@pytest.mark.parametrize(
    ("pasted", "told"),
    [
        ("", "is empty"),
        ("s3cret-nonsense", "Neither of the cookies"),
        ("user_id=s3cret-u", "The cookie session is missing"),
        ("user_id=s3cret-u; session=s3cret s", "characters that no cookie can have"),
        ("curl 'https://api.gpt-oss.com/s3cret'", "has no Cookie header"),
        ("'user_id=s3cret-u; session=s3cret-s", "not a cookie"),
        ("user_id=s3cret-u; session=s3cret-s'", "cut or wrapped"),
        ("GPTOSS_COOKIE='user_id=s3cret-u' session=s3cret-s make run", "after the value"),
        ("GPTOSS_COOKIE='user_id=…; session=…' make run", "cut or wrapped"),
        ("user_id=s3cret-u; session=s3cret-s and s3cret", "cut or wrapped"),
        ('[{"name": "session", "value": "s3cret', "like JSON"),
        ('[{"name": "session", "value": "s3cret-s", "domain": "example.com"}]', "Neither of the cookies"),
        ("curl 'https://example.com/' -b 'session=s3cret-s'", "another site"),
    ],
)
def test_what_holds_no_login_is_refused_in_one_line_and_changes_nothing(
    run: Run, kept: Path, pasted: str, told: str
) -> None:
    for before in (None, '{"user_id":"good-u","session":"good-s"}'):
        if before is not None:
            kept.parent.mkdir()
            kept.write_text(before)
        done = run("login", "--no-check", stdin=pasted)
        assert done.returncode == 1
        assert told in done.stderr
        assert done.stderr.count("\n") == 1
        assert "s3cret" not in done.stdout + done.stderr
        assert (kept.read_text() if kept.exists() else None) == before
    assert [entry.name for entry in kept.parent.iterdir()] == [kept.name]


@pytest.mark.parametrize("written", [b"\xff\xfe\xff", b"session=\xff\xff"])
def test_what_is_no_text_is_refused(tmp_path: Path, kept: Path, written: bytes) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "gptoss_api", "login", "--no-check"],
        input=written,
        env=clean_environment(tmp_path),
        capture_output=True,
        timeout=30,
        check=False,
    )
    assert (done.returncode, done.stderr) == (1, b"Error: The text is not UTF-8.\n")
    assert not kept.exists()


@posix
def test_a_link_to_the_file_stays_and_what_it_leads_to_is_the_new_login(
    run: Run, kept: Path, tmp_path: Path
) -> None:
    real = tmp_path / "elsewhere" / "login.json"
    real.parent.mkdir()
    real.write_text(json.dumps({"session": "of-before"}))
    real.chmod(0o600)
    kept.parent.mkdir()
    kept.symlink_to(real)
    assert run("login", "--no-check", stdin=COOKIES).returncode == 0
    assert kept.is_symlink()
    assert json.loads(real.read_text())["session"] == "s3cret-s"
    assert stat.S_IMODE(real.stat().st_mode) == 0o600


def test_a_place_that_cannot_be_written_is_named(run: Run, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    done = run("login", "--no-check", "--credentials-file", str(tmp_path / "file" / "x.json"), stdin=COOKIES)
    assert done.returncode == 1
    assert str(tmp_path / "file") in done.stderr
    assert done.stderr.count("\n") == 1
    assert "s3cret" not in done.stderr


def test_the_variable_may_have_quotes_of_its_own(run: Run) -> None:
    for text in (f"'{COOKIES}'", f"“{COOKIES}”", f"GPTOSS_COOKIE='{COOKIES}'", f"\ufeff{COOKIES}"):
        done = run("config", GPTOSS_COOKIE=text)
        assert done.returncode == 0
        assert "Answers come from gpt-oss.com: a login" in done.stdout
        assert "s3cret" not in done.stdout + done.stderr


def test_an_older_login_in_the_environment_is_warned_of(run: Run) -> None:
    done = run("login", "--no-check", stdin=COOKIES, GPTOSS_COOKIE="user_id=s3cret-u; session=s3cret-old")
    assert done.returncode == 0
    assert "GPTOSS_COOKIE is set to another login and wins over the file" in done.stderr
    for same in (COOKIES, f"'{COOKIES}'"):
        assert run("login", "--no-check", stdin=COOKIES, GPTOSS_COOKIE=same).stderr == ""
    useless = run("login", "--no-check", stdin=COOKIES, GPTOSS_COOKIE="s3cret-nonsense")
    assert useless.returncode == 0
    assert useless.stderr.startswith("Warning: GPTOSS_COOKIE is set and stops the start. Neither of")
    assert useless.stderr.count("\n") == 1
    assert "s3cret" not in useless.stderr


@posix
@pytest.mark.parametrize(
    "pasted",
    [
        COOKIES,
        CURL,
        f"user_id=s3cret-u; session={'s3cret' * 2000}",
        f"user_id=s3cret-u; sess\nion=s3cr\net-{'s' * 99}",
        f"GPTOSS_COOKIE='{COOKIES}' make run",
    ],
)
def test_a_paste_at_the_terminal_is_not_shown_nor_left_to_the_shell(
    tmp_path: Path, kept: Path, pasted: str
) -> None:
    import pty

    master, slave = pty.openpty()
    try:
        process = subprocess.Popen(
            [sys.executable, "-m", "gptoss_api", "login", "--no-check"],
            stdin=slave,
            stdout=slave,
            stderr=slave,
            env=clean_environment(tmp_path),
        )
        shown = _read_until(master, b"not shown: ")
        assert b"F12" in shown
        os.write(master, pasted.encode() + b"\n")
        shown += _read_until(master, b"is kept in")
        assert process.wait(10) == 0
        assert b"s3cret" not in shown
        assert json.loads(kept.read_text())["session"].startswith("s3cret")
        os.set_blocking(slave, False)
        with pytest.raises(BlockingIOError):
            os.read(slave, 1)
    finally:
        os.close(master)
        os.close(slave)


def _read_until(terminal: int, marker: bytes) -> bytes:
    shown = b""
    deadline = time.monotonic() + 10
    while marker not in shown:
        assert time.monotonic() < deadline, shown
        if select.select([terminal], [], [], 0.1)[0]:
            shown += os.read(terminal, 65536)
    return shown


def test_a_login_mends_a_running_gateway(simulator: Simulator, gateway: StartGateway) -> None:
    running = gateway(GPTOSS_CHATKIT_URL=simulator.chatkit_url)
    assert ask(running, "POST", CHAT, HELLO).error["code"] == "upstream_login_required"
    assert ask(running, "GET", "/readyz").status == 503
    done = subprocess.run(
        [sys.executable, "-m", "gptoss_api", "login", "--no-check"],
        input=simulator.cookie,
        env=clean_environment(running.home, XDG_CONFIG_HOME=str(running.home / "config")),
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert ask(running, "GET", "/readyz").status == 200
    assert ask(running, "POST", CHAT, HELLO).status == 200
