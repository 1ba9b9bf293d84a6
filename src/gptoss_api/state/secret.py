"""A secret of this installation: made once, kept in a file, the same for all its processes."""

import contextlib
import logging
import os
import secrets
import tempfile
from pathlib import Path
from typing import Final

from .files import close_to_others

_SIZE: Final = 32

_log = logging.getLogger(__name__)


def load_secret(path: Path) -> bytes:
    """The secret in the file ``path``, which is made with mode 0600 where it is missing.

    Where no file can be kept, or one only that others can read, the secret lives as long as the process.
    """
    try:
        with contextlib.suppress(FileNotFoundError):
            return _checked(path)
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=path.name)
        made = Path(name)
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(secrets.token_bytes(_SIZE))
            # Whole or not at all, and of several processes the first one counts.
            with contextlib.suppress(FileExistsError):
                path.hardlink_to(made)
        finally:
            made.unlink()
        return _checked(path)
    except OSError as error:
        _log.warning(
            "no secret can be kept in %s, so what is stored can be read by this process alone: %s",
            path,
            error.strerror or error,
        )
        return secrets.token_bytes(_SIZE)


def _checked(path: Path) -> bytes:
    if close_to_others(path):
        _log.warning(
            "whoever has read %s can open what was sealed with it; remove it to have a new one", path
        )
    secret = path.read_bytes()
    if len(secret) < _SIZE:
        raise OSError(f"the file holds {len(secret)} bytes instead of {_SIZE}; remove it")
    return secret
