"""The server's key: the same after a restart, its owner's alone, shared where it is configured."""

import stat
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from gptoss_api.state.server_key import KEY_BYTES, server_key


def test_it_is_made_once_and_kept(tmp_path: Path) -> None:
    folder = tmp_path / "state" / "gptoss-api"
    key = server_key(None, folder)
    assert len(key) == KEY_BYTES
    assert server_key(None, folder) == key
    assert [path.name for path in folder.iterdir()] == ["server.key"]


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such modes")
def test_only_its_owner_reads_it(tmp_path: Path) -> None:
    server_key(None, tmp_path)
    assert stat.S_IMODE((tmp_path / "server.key").stat().st_mode) == 0o600


def test_those_that_start_together_get_one_key(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        keys = set(pool.map(lambda _: server_key(None, tmp_path), range(64)))
    assert len(keys) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["server.key"]


def test_a_configured_text_makes_the_same_key_everywhere(tmp_path: Path) -> None:
    text = "a secret of thirty-two characters"
    assert server_key(text, tmp_path / "a") == server_key(text, tmp_path / "b")
    assert server_key(text, tmp_path) != server_key(text + "!", tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_is_no_key_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "server.key").write_text("short")
    key = server_key(None, tmp_path)
    assert server_key(None, tmp_path) == key


def test_without_a_place_it_lives_with_the_process(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    place = tmp_path / "file"
    place.write_text("in the way")
    assert len(server_key(None, place)) == KEY_BYTES
    assert "GPTOSS_SERVER_KEY" in caplog.text
