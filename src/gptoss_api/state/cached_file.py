"""Files that hold what can be built again: built once, mapped by every process that needs them."""

import hashlib
import os
import stat
import tempfile
from collections.abc import Callable
from contextlib import suppress
from mmap import ACCESS_READ, mmap
from pathlib import Path

_WRITABLE_BY_OTHERS = stat.S_IWGRP | stat.S_IWOTH
# Without waiting for whoever would write to a named pipe.
_READ_AT_ONCE = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)


def map_cached(path: Path, sha256: str, build: Callable[[], bytes]) -> bytes | mmap:
    """What ``build`` builds, from the file ``path`` where that holds it, else built and kept there.

    Processes share the pages of a map, and those they never look at take no memory. A file is only trusted if
    nobody but this user and root can write to it, and its checksum is ``sha256``. Where no such file can be
    kept, what was built is the value.
    """
    with suppress(OSError):
        if (found := _mapped(path, sha256)) is not None:
            return found
    built = build()
    with suppress(OSError):
        _keep(path, built)
        if (found := _mapped(path, sha256)) is not None:
            return found
    return built


def _mapped(path: Path, sha256: str) -> mmap | None:
    with os.fdopen(os.open(path, _READ_AT_ONCE), "rb") as file:
        status = os.fstat(file.fileno())
        if not stat.S_ISREG(status.st_mode):
            return None
        if os.name == "posix" and (
            status.st_uid not in (0, os.geteuid()) or status.st_mode & _WRITABLE_BY_OTHERS
        ):
            return None
        if hashlib.file_digest(file, "sha256").hexdigest() != sha256:
            return None
        return mmap(file.fileno(), 0, access=ACCESS_READ)


def _keep(path: Path, built: bytes) -> None:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=path.name)
    temporary = Path(name)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(built)
        # Whole or not at all: others may be reading.
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
