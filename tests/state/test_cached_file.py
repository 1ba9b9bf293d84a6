"""What can be made again: made once, checked, shared, and made anew wherever it cannot be trusted."""

import errno
import hashlib
import os
import sys
import threading
import time
import tracemalloc
from collections.abc import Callable
from mmap import mmap
from pathlib import Path

import pytest

from gptoss_api.state import cached_file, map_cached

CONTENT = bytes(range(256)) * 20_000
SHA256 = hashlib.sha256(CONTENT).hexdigest()

posix = pytest.mark.skipif(os.name != "posix", reason="files have no such owner and mode there")


class Maker:
    def __init__(self) -> None:
        self.times = 0

    def __call__(self) -> bytes:
        self.times += 1
        return CONTENT


@pytest.fixture
def make() -> Maker:
    return Maker()


def shown_in_maps(path: Path) -> bool:
    return str(path) in Path("/proc/self/maps").read_text()


def test_it_is_made_once_and_then_mapped(tmp_path: Path, make: Maker) -> None:
    path = tmp_path / "cache/deeper/thing"
    first = map_cached(path, SHA256, make)
    again = map_cached(path, SHA256, make)
    assert make.times == 1
    assert first[:] == again[:] == path.read_bytes() == CONTENT
    assert [file.name for file in path.parent.iterdir()] == ["thing"]
    if sys.platform == "linux":
        assert shown_in_maps(path)


def test_a_map_takes_no_memory_of_the_process(tmp_path: Path, make: Maker) -> None:
    map_cached(tmp_path / "thing", SHA256, make)
    tracemalloc.start()
    try:
        found = map_cached(tmp_path / "thing", SHA256, make)
        assert tracemalloc.get_traced_memory()[1] < 1 << 20
    finally:
        tracemalloc.stop()
    assert isinstance(found, mmap)
    with pytest.raises(TypeError):
        found[0] = 1


@posix
def test_nobody_else_may_read_or_write_it(tmp_path: Path, make: Maker) -> None:
    before = os.umask(0)
    try:
        map_cached(tmp_path / "cache/thing", SHA256, make)
    finally:
        os.umask(before)
    assert (tmp_path / "cache").stat().st_mode & 0o077 == 0
    assert (tmp_path / "cache/thing").stat().st_mode & 0o077 == 0


@pytest.mark.parametrize("kept", [b"", CONTENT[:-1], CONTENT[:-1] + b"\0", CONTENT + b"\0"])
def test_what_is_damaged_is_made_anew(kept: bytes, tmp_path: Path, make: Maker) -> None:
    path = tmp_path / "thing"
    path.write_bytes(kept)
    path.chmod(0o600)
    assert map_cached(path, SHA256, make)[:] == CONTENT
    assert path.read_bytes() == CONTENT
    assert make.times == 1


@posix
def test_a_pipe_in_its_place_is_replaced_and_not_waited_for(tmp_path: Path, make: Maker) -> None:
    os.mkfifo(tmp_path / "kept")
    assert map_cached(tmp_path / "kept", SHA256, make)[:] == CONTENT
    assert (tmp_path / "kept").is_file()


@posix
@pytest.mark.parametrize("mode", [0o620, 0o602, 0o666])
def test_what_others_can_write_to_is_made_anew(mode: int, tmp_path: Path, make: Maker) -> None:
    path = tmp_path / "thing"
    path.write_bytes(CONTENT)
    path.chmod(mode)
    with path.open("r+b") as theirs:
        found = map_cached(path, SHA256, make)
        theirs.write(bytes(1_000))
        theirs.flush()
        assert found[:] == CONTENT
    assert path.stat().st_mode & 0o077 == 0


@posix
def test_what_belongs_to_another_user_is_made_anew(
    tmp_path: Path, make: Maker, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "thing"
    path.write_bytes(CONTENT)
    owner = path.stat().st_uid
    if owner == 0:
        os.chown(path, 4_242, -1)
    else:
        monkeypatch.setattr(cached_file.os, "geteuid", lambda: owner + 1)  # type: ignore[attr-defined]  # a module
    assert map_cached(path, SHA256, make)[:] == CONTENT
    assert make.times == 1


def no_folder(path: Path, _patch: pytest.MonkeyPatch) -> None:
    path.parent.write_text("a file stands where the folder should be")


def no_room(_path: Path, patch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    patch.setattr(Path, "replace", refuse)


def no_maps(_path: Path, patch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(errno.ENODEV, "No such device")

    patch.setattr(cached_file, "mmap", refuse)


@pytest.mark.parametrize("broken", [no_folder, no_room, no_maps])
def test_where_nothing_can_be_kept_it_is_made_each_time(
    broken: Callable[[Path, pytest.MonkeyPatch], None],
    tmp_path: Path,
    make: Maker,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    path = tmp_path / "cache/thing"
    broken(path, monkeypatch)
    assert map_cached(path, SHA256, make) == CONTENT
    assert map_cached(path, SHA256, make) == CONTENT
    assert make.times == 2
    assert not list(tmp_path.glob("cache/thing?*"))


def test_several_that_make_it_at_once_all_have_it(tmp_path: Path) -> None:
    path = tmp_path / "thing"
    found: list[bytes] = []

    def slowly() -> bytes:
        time.sleep(0.02)
        return CONTENT

    threads = [
        threading.Thread(target=lambda: found.append(map_cached(path, SHA256, slowly)[:])) for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [CONTENT] * 8
    assert list(tmp_path.iterdir()) == [path]
