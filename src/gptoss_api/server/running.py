"""Where the gateways of this user run, as they themselves say in files that only the user can read."""

import contextlib
import os
import platform
import stat
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import msgspec
from msgspec import Struct

from ..config import Resolution
from ..state import state_folder
from .neighbour import NEAR, address_of, find_neighbour, patience_for

if sys.platform != "win32":
    import fcntl

_FOLDER: Final = "running"
# A longer file is none of ours, in bytes.
_LONGEST: Final = 4096
_OTHERS: Final = stat.S_IRWXG | stat.S_IRWXO


class _Notice(Struct, frozen=True):
    """A gateway's ``url`` without ``/v1``, its process on ``machine``, and when it began, in seconds."""

    url: str
    pid: int
    start: float
    machine: str


@contextlib.contextmanager
def noticed(url: str) -> Iterator[None]:
    """Leaves word meanwhile that this process serves at ``url``; silently none where that is not possible."""
    path = state_folder() / _FOLDER / f"{os.getpid()}.json"
    with contextlib.ExitStack() as until_the_end:
        with contextlib.suppress(OSError):
            _leave(path, _Notice(url, os.getpid(), time.time(), platform.node()), until_the_end)
        yield


def find_address(resolution: Resolution) -> str:
    """Where a gateway with these settings is: at their host and port, whether or not it runs.

    Where no port was chosen and no gateway is at the usual one, it is the newest of this user that answers,
    if there is any.
    """
    port = resolution.settings.port
    usual = address_of(resolution.settings.host, port)
    if port and ("port" in resolution.sources or find_neighbour(usual, {}, patience_for(usual)) is not None):
        return usual
    for notice in sorted(_read_all(), key=lambda notice: notice.start, reverse=True):
        if find_neighbour(notice.url, {}, NEAR) is not None:
            return notice.url
    return usual


def _leave(path: Path, notice: _Notice, until_the_end: contextlib.ExitStack) -> None:
    """Writes the file, which stays locked and there until the end."""
    if sys.platform == "win32":
        return
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    for left in path.parent.glob("*.json"):
        if _read(left) is None:
            left.unlink(missing_ok=True)
    new = path.with_suffix(".new")
    new.unlink(missing_ok=True)
    descriptor = os.open(new, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
    with contextlib.ExitStack() as held:
        held.callback(os.close, descriptor)
        os.write(descriptor, msgspec.json.encode(notice))
        _lock(descriptor, exclusive=True)
        new.replace(path)
        until_the_end.push(held.pop_all())
    until_the_end.callback(_remove, path)


def _lock(descriptor: int, *, exclusive: bool) -> None:
    """A lock goes with its process, however that ends, and nobody has it by having the process's number.

    Raises:
        BlockingIOError: where another process has one.
        OSError: where the file system has none.
    """
    if sys.platform != "win32":
        fcntl.flock(descriptor, (fcntl.LOCK_EX if exclusive else fcntl.LOCK_SH) | fcntl.LOCK_NB)


def _remove(path: Path) -> None:
    with contextlib.suppress(OSError):
        path.unlink()


def _read_all() -> Iterator[_Notice]:
    try:
        paths = list((state_folder() / _FOLDER).glob("*.json"))
    except OSError:
        return
    for path in paths:
        if (notice := _read(path)) is not None and notice.machine == platform.node():
            yield notice


def _read(path: Path) -> _Notice | None:
    """What a process that still runs has left in ``path``; ``None`` for what anybody else may have."""
    flags = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
    try:
        descriptor = os.open(path, flags)
    except OSError:
        return None
    try:
        if not _is_ours(descriptor):
            return None
        notice = msgspec.json.decode(os.read(descriptor, _LONGEST), type=_Notice)
        return notice if urlsplit(notice.url).port else None
    except (OSError, msgspec.DecodeError, ValueError):
        return None
    finally:
        os.close(descriptor)


def _is_ours(descriptor: int) -> bool:
    """Whether nobody but this user can have written the file, and its writer still holds it."""
    if sys.platform == "win32":
        return False
    found = os.fstat(descriptor)
    if not stat.S_ISREG(found.st_mode) or found.st_uid != os.geteuid() or found.st_mode & _OTHERS:
        return False
    try:
        _lock(descriptor, exclusive=False)
    except BlockingIOError:
        return True
    return False
