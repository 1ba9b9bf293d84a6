"""The login: where it comes from, how it is kept fresh, and that it is never shown."""

import json
import logging
import os
import stat
import sys
from pathlib import Path

import pytest

from gptoss_api.upstreams.chatkit.credentials import Credentials

OLD_SESSION = "eyJvbGQi.old"
NEW_SESSION = "eyJuZXci.new"
PASTED = f"user_id=user-1; session={OLD_SESSION}"
needs_modes = pytest.mark.skipif(sys.platform == "win32", reason="modes are a POSIX matter")


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "config" / "credentials.json"


def test_the_header_has_what_there_is() -> None:
    assert Credentials.parse(PASTED).login.cookie_header == PASTED
    assert Credentials.parse("session=abc").login.cookie_header == "session=abc"
    assert Credentials().login.cookie_header == ""
    assert not Credentials().configured


def test_nothing_shows_a_value() -> None:
    credentials = Credentials.parse(PASTED)
    assert repr(credentials) == str(credentials) == "Credentials(user_id=***, session=***)"
    assert set(credentials.secrets) == {"user-1", OLD_SESSION}
    assert "user-1" not in credentials.account


def test_the_account_follows_the_user_alone() -> None:
    account = Credentials.parse(PASTED).account
    assert account == Credentials.parse(f"user_id=user-1; session={NEW_SESSION}").account
    assert account != Credentials.parse("user_id=user-2").account
    assert Credentials().account == ""


def test_refreshed_values_are_used() -> None:
    credentials = Credentials.parse(PASTED)
    lines = [f"session={NEW_SESSION}; Path=/; HttpOnly; SameSite=lax; Max-Age=1209600", "theme=dark; Path=/"]
    assert credentials.update_from_set_cookie(lines) is True
    assert credentials.login.cookie_header == f"user_id=user-1; session={NEW_SESSION}"
    assert credentials.update_from_set_cookie(lines) is False
    assert credentials.update_from_set_cookie([]) is False


@pytest.mark.parametrize(
    "line",
    [
        "session=null; Path=/; Max-Age=0",
        "session=null; expires=Thu, 01 Jan 1970 00:00:00 GMT; path=/",
        "session=; Path=/",
        "session=with space",
        "sessions=x",
        "session",
    ],
)
def test_a_deleted_or_broken_cookie_leaves_the_old_one(line: str) -> None:
    credentials = Credentials.parse(PASTED)
    assert credentials.update_from_set_cookie([line]) is False
    assert credentials.login.cookie_header == PASTED


def test_a_visitors_cookie_is_sent_but_makes_no_login(path: Path) -> None:
    credentials = Credentials.load(None, path)
    assert credentials.update_from_set_cookie(["user_id=anonymous-1; Path=/; HttpOnly"])
    assert credentials.login.cookie_header == "user_id=anonymous-1"
    assert not credentials.configured
    credentials.save_refreshed()
    assert not path.exists()


def test_refreshed_values_survive_a_restart_with_the_same_cookie(path: Path) -> None:
    first = Credentials.load(PASTED, path)
    assert not path.exists()
    first.update_from_set_cookie([f"session={NEW_SESSION}"])
    first.save_refreshed()
    for text in (PASTED, f"Cookie: other=1; {PASTED}", None, "  "):
        again = Credentials.load(text, path)
        assert again.configured
        assert again.login.cookie_header == f"user_id=user-1; session={NEW_SESSION}"
    # And once more, from what was already refreshed.
    second = Credentials.load(PASTED, path)
    second.update_from_set_cookie(["session=third"])
    second.save_refreshed()
    assert Credentials.load(PASTED, path).login.cookie_header == "user_id=user-1; session=third"


def test_a_newly_pasted_cookie_wins_over_the_file(path: Path) -> None:
    first = Credentials.load(PASTED, path)
    first.update_from_set_cookie([f"session={NEW_SESSION}"])
    first.save_refreshed()
    assert Credentials.load("user_id=user-1; session=pasted-later", path).login.cookie_header == (
        "user_id=user-1; session=pasted-later"
    )


def test_the_file_follows_every_refresh(path: Path) -> None:
    credentials = Credentials.load(PASTED, path)
    credentials.save_refreshed()
    assert not path.exists()
    for session in ("one", "two", "three"):
        credentials.update_from_set_cookie([f"session={session}"])
        credentials.save_refreshed()
        assert json.loads(path.read_text())["session"] == session


def test_the_file_does_not_hold_the_pasted_text(path: Path) -> None:
    credentials = Credentials.load(PASTED, path)
    credentials.update_from_set_cookie([f"session={NEW_SESSION}"])
    credentials.save_refreshed()
    assert OLD_SESSION not in path.read_text()


@needs_modes
def test_file_and_folder_are_the_owners_alone(path: Path) -> None:
    previous = os.umask(0)
    try:
        Credentials.parse(PASTED, path).save()
        Credentials.parse(PASTED, path).save()
    finally:
        os.umask(previous)
    assert mode(path) == 0o600
    assert mode(path.parent) == 0o700
    assert [entry.name for entry in path.parent.iterdir()] == [path.name]


def test_a_folder_that_cannot_be_written_is_only_reported(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").write_text("in the way")
    credentials = Credentials.parse(PASTED, tmp_path / "file" / "credentials.json")
    with caplog.at_level(logging.WARNING):
        credentials.save()
    assert "cannot keep" in caplog.text
    assert OLD_SESSION not in caplog.text
    assert credentials.login.cookie_header == PASTED


def test_a_file_may_hold_plain_cookie_text(path: Path) -> None:
    path.parent.mkdir()
    path.write_text(f"Cookie: a=b; {PASTED}\n")
    assert Credentials.load(None, path).login.cookie_header == PASTED
    assert Credentials.load(PASTED, path).login.cookie_header == PASTED


USELESS = {
    "": "it is empty",
    " \n": "it is empty",
    "{": "it holds no login",
    "{}": "it holds no login",
    "[]": "it holds no login",
    "[" * 100_000: "it holds no login",
    '{"session": 5}': "it holds no login",
    '{"session": "a b"}': "it holds no login",
    '{"session": "", "pasted": "x"}': "it holds no login",
    '{"session": 5, "pasted": "x"}': "it holds no login",
    '{"session": "a b", "pasted": "x"}': "it holds no login",
    '{"version": 2, "session": "s", "pasted": "x"}': "another version of gptoss-api wrote it",
    '{"version": "2", "accounts": []}': "another version of gptoss-api wrote it",
    "hello": "it holds no login",
    f"'{PASTED}": "it holds no login",
}


@pytest.mark.parametrize(("content", "reason"), USELESS.items())
def test_a_file_without_a_login_is_told_of_and_left_alone(
    path: Path, content: str, reason: str, caplog: pytest.LogCaptureFixture
) -> None:
    path.parent.mkdir()
    path.write_text(content)
    credentials = Credentials.load(None, path)
    assert not credentials.configured
    assert credentials.unreadable == reason
    with_text = Credentials.load(PASTED, path)
    assert with_text.login.cookie_header == PASTED
    assert with_text.unreadable == ""
    assert f"{path} cannot be used: {reason}" in caplog.text
    assert path.read_text() == content


def test_no_file_is_no_login_and_nothing_is_wrong_with_it(path: Path, tmp_path: Path) -> None:
    assert Credentials.load(None, path).unreadable == ""
    (tmp_path / "file").write_text("")
    assert Credentials.load(None, tmp_path / "file" / "x.json").unreadable == ""
    assert Credentials.load(None, None).unreadable == ""


@needs_modes
def test_what_is_no_file_or_cannot_be_opened_is_told_of(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Credentials.parse(PASTED, path).store()
    linked, lost, circle, pipe = (tmp_path / name for name in ("linked", "lost", "circle", "pipe"))
    linked.symlink_to(path)
    lost.symlink_to(tmp_path / "nowhere")
    circle.symlink_to(circle)
    os.mkfifo(pipe)
    (tmp_path / "latin-1").write_bytes(b"session=\xe9")
    assert Credentials.load(None, linked).login.cookie_header == PASTED
    for place, reason in {
        tmp_path: "it cannot be read: Is a directory",
        lost: "it is a link that leads nowhere",
        circle: "it cannot be read: Too many levels of symbolic links",
        pipe: "it cannot be read: it is no regular file",
        tmp_path / "latin-1": "it cannot be read: it is no UTF-8 text",
    }.items():
        assert Credentials.load(None, place).unreadable == reason

    def denied(self: Path) -> bytes:
        raise PermissionError(13, "Permission denied", str(self))

    # The tests may run as a user to whom nothing is denied.
    monkeypatch.setattr(Path, "read_bytes", denied)
    assert Credentials.load(None, path).unreadable == "it cannot be read: Permission denied"


def test_a_file_may_hold_whatever_can_be_pasted(path: Path) -> None:
    path.parent.mkdir()
    cookies = [{"name": "user_id", "value": "user-1"}, {"name": "session", "value": OLD_SESSION}]
    for content in (
        f"GPTOSS_COOKIE='{PASTED}'\n".encode("utf-8-sig"),
        PASTED.encode("utf-16"),
        json.dumps(cookies).encode(),
        json.dumps({"cookies": cookies}).encode(),
        json.dumps({"user_id": "user-1", "session": OLD_SESSION}).encode(),
        json.dumps({"user_id": "user-1", "session": OLD_SESSION, "version": 1, "pasted": "x"}).encode(),
    ):
        path.write_bytes(content)
        credentials = Credentials.load(None, path)
        assert (credentials.login.cookie_header, credentials.unreadable) == (PASTED, "")


def test_a_text_without_cookies_is_an_error_even_with_a_file(path: Path) -> None:
    Credentials.parse(PASTED, path).save()
    with pytest.raises(ValueError, match="Neither"):
        Credentials.load("nonsense", path)


# A login while the gateway runs


def test_a_new_login_in_the_file_is_taken_over(path: Path) -> None:
    running = Credentials.load(None, path)
    assert not running.configured
    assert running.follow() is False
    Credentials.parse(PASTED, path).save()
    assert running.follow() is True
    assert running.configured
    assert running.login.cookie_header == PASTED
    assert running.follow() is False


def test_a_login_whose_file_is_removed_is_gone_and_never_written_again(path: Path) -> None:
    Credentials.parse(PASTED, path).store()
    running = Credentials.load(None, path)
    running.update_from_set_cookie(["session=refreshed; Path=/"])
    path.unlink()
    running.save_refreshed()
    assert not path.exists()
    assert (running.configured, running.login.cookie_header, running.secrets) == (False, "", ())
    Credentials.parse(PASTED, path).store()
    assert running.follow() is True
    assert running.login.cookie_header == PASTED


def test_a_file_that_is_put_there_unreadable_is_told_of_until_it_is_mended(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    running = Credentials.load(None, path)
    path.parent.mkdir()
    path.write_text("{broken")
    assert running.follow() is False
    assert running.unreadable == "it holds no login"
    assert running.follow() is False
    assert caplog.text.count("cannot be used: it holds no login") == 1
    path.unlink()
    assert running.follow() is False
    assert running.unreadable == ""
    path.write_text("")
    running.follow()
    assert running.unreadable == "it is empty"
    Credentials.parse(PASTED, path).save()
    assert running.follow() is True
    assert (running.unreadable, running.login.cookie_header) == ("", PASTED)


@needs_modes
def test_a_file_that_becomes_readable_is_read(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Credentials.parse(PASTED, path).store()
    with monkeypatch.context() as denied:
        denied.setattr("gptoss_api.upstreams.chatkit.credentials._content", _denied)
        running = Credentials.load(None, path)
    assert running.unreadable
    path.chmod(0o400)
    assert running.follow() is True
    assert running.login.cookie_header == PASTED


def _denied(path: Path) -> bytes:
    raise PermissionError(13, "Permission denied")


def test_new_secrets_are_told_to_who_hides_them(path: Path) -> None:
    running = Credentials.load(None, path)
    hidden: list[str] = []
    running.hide_with(hidden.extend)
    Credentials.parse(PASTED, path).save()
    running.follow()
    assert set(hidden) == {"user-1", OLD_SESSION}


def test_refreshed_values_do_not_overwrite_a_newer_login(path: Path) -> None:
    Credentials.parse(PASTED, path).save()
    running = Credentials.load(None, path)
    running.update_from_set_cookie(["session=refreshed"])
    Credentials.parse("user_id=user-2; session=newer", path).save()
    running.save_refreshed()
    assert running.login.cookie_header == "user_id=user-2; session=newer"
    assert Credentials.load(None, path).login.cookie_header == "user_id=user-2; session=newer"


def test_what_it_wrote_itself_is_no_new_login(path: Path) -> None:
    Credentials.parse(PASTED, path).save()
    running = Credentials.load(None, path)
    running.update_from_set_cookie([f"session={NEW_SESSION}"])
    running.save_refreshed()
    assert running.follow() is False
    assert running.login.cookie_header == f"user_id=user-1; session={NEW_SESSION}"


@pytest.mark.parametrize("content", ["", "{broken", "no cookies here"])
def test_a_file_that_became_unreadable_changes_nothing(path: Path, content: str) -> None:
    Credentials.parse(PASTED, path).save()
    running = Credentials.load(None, path)
    path.write_text(content)
    assert running.follow() is False
    assert running.login.cookie_header == PASTED
    assert running.unreadable == ""


def test_configured_cookies_stay_whatever_the_file_says(path: Path) -> None:
    running = Credentials.load(PASTED, path)
    Credentials.parse("user_id=user-2; session=newer", path).save()
    assert running.follow() is False
    assert running.login.cookie_header == PASTED
