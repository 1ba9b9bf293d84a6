"""The secret of an installation."""

import logging
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from gptoss_api.state import load_secret


def test_it_is_made_once_and_nobody_else_may_read_it(tmp_path: Path) -> None:
    path = tmp_path / "state" / "secret.key"
    secret = load_secret(path)
    assert len(secret) == 32
    assert load_secret(path) == secret
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert [file.name for file in path.parent.iterdir()] == ["secret.key"]


def test_those_who_make_it_at_the_same_time_agree(tmp_path: Path) -> None:
    path = tmp_path / "secret.key"
    with ThreadPoolExecutor(16) as pool:
        assert len(set(pool.map(load_secret, [path] * 64))) == 1


def test_two_installations_differ(tmp_path: Path) -> None:
    assert load_secret(tmp_path / "one") != load_secret(tmp_path / "two")


def test_without_a_file_there_is_a_secret_all_the_same(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").write_text("")
    with caplog.at_level(logging.WARNING):
        assert len(load_secret(tmp_path / "file" / "secret.key")) == 32
    assert "no secret can be kept" in caplog.text


def test_a_file_that_was_cut_is_not_a_secret(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "secret.key"
    path.write_bytes(b"short")
    assert load_secret(path) != b"short"
    assert "remove it" in caplog.text


def test_a_file_that_was_open_to_others_is_closed(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "secret.key"
    secret = load_secret(path)
    path.chmod(0o666)
    assert load_secret(path) == secret
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert "was open to other users (mode 0666)" in caplog.text
    assert "remove it to have a new one" in caplog.text


def test_a_file_that_cannot_be_closed_to_others_is_not_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(path: Path, mode: int) -> None:
        raise PermissionError(1, "Operation not permitted")

    path = tmp_path / "secret.key"
    secret = load_secret(path)
    path.chmod(0o604)
    monkeypatch.setattr(Path, "chmod", refuse)
    assert load_secret(path) != secret
    assert "no secret can be kept" in caplog.text
    assert "open to other users (mode 0604)" in caplog.text
