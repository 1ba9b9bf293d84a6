"""Other programs' files: read, and written whole or not at all."""

import contextlib
import os
import stat
import tempfile
from dataclasses import dataclass
from pathlib import Path

# For what did not exist: nobody else reads what a person sets up.
_NEW_MODE = 0o600


class CannotUse(Exception):
    """A file that cannot be read or written; the message is one sentence without its full stop."""


@dataclass(frozen=True, slots=True)
class Found:
    """What a file has, and its mode; ``path`` is that of the file itself where a link leads there."""

    path: Path
    content: bytes | None
    mode: int = _NEW_MODE


def find(path: Path) -> Found:
    """The file at ``path``; one that does not exist has no content.

    Raises:
        CannotUse: for what is not a file, or cannot be read.
    """
    try:
        real = path.resolve()
        if not real.exists():
            return Found(real, None)
        if not real.is_file():
            raise CannotUse(f"{path} is not a file")
        return Found(real, real.read_bytes(), stat.S_IMODE(real.stat().st_mode))
    except (OSError, RuntimeError) as error:
        raise CannotUse(f"{path} cannot be read ({_reason(error)})") from None


def write(before: Found, content: bytes | None) -> tuple[Path, ...]:
    """Has the file hold ``content``, or be gone; gives the folders that were made for it, outer first.

    Raises:
        CannotUse: where that is not possible, or the file is no longer what was ``found``.
    """
    path = before.path
    try:
        if find(path).content != before.content:
            raise CannotUse(f"{path} has just been changed by another program; run this again")
        if content is None:
            path.unlink(missing_ok=True)
            return ()
        made = tuple(folder for folder in reversed(path.parents) if not folder.exists())
        path.parent.mkdir(parents=True, exist_ok=True)
        _replace(path, content, before.mode)
    except OSError as error:
        raise CannotUse(f"{path} cannot be written ({_reason(error)})") from None
    return made


def remove_empty(folders: list[str]) -> None:
    """Removes those of the folders that are empty; they are given outer first."""
    for folder in reversed(folders):
        with contextlib.suppress(OSError):
            Path(folder).rmdir()


def _replace(path: Path, content: bytes, mode: int) -> None:
    descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    beside = Path(name)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        if path.exists() and hasattr(os, "chown"):
            owner = path.stat()
            with contextlib.suppress(OSError):
                os.chown(beside, owner.st_uid, owner.st_gid)
        beside.chmod(mode)
        beside.replace(path)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise


def _reason(error: Exception) -> str:
    return (error.strerror if isinstance(error, OSError) else None) or str(error)
