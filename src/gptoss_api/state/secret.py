"""A secret of this installation: made once, kept in a file, the same for all its processes."""

import contextlib
import logging
import os
import secrets
import tempfile
from pathlib import Path
from typing import Final

_SIZE: Final = 32

_log = logging.getLogger(__name__)


def load_secret(path: Path) -> bytes:
    """The secret in the file ``path``, which is made with mode 0600 where it is missing.

    Where no file can be kept the secret lives as long as the process.
    """
    try:
        with contextlib.suppress(FileNotFoundError):
            return _checked(path)
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=path.parent, prefix=path.name) as file:
            file.write(secrets.token_bytes(_SIZE))
            file.flush()
            # Whole or not at all, and of several processes the first one counts.
            with contextlib.suppress(FileExistsError):
                os.link(file.name, path)
        return _checked(path)
    except OSError as error:
        _log.warning("no secret can be kept in %s: %s", path, error.strerror or error)
        return secrets.token_bytes(_SIZE)


def _checked(path: Path) -> bytes:
    secret = path.read_bytes()
    if len(secret) < _SIZE:
        raise OSError(f"the file holds {len(secret)} bytes instead of {_SIZE}; remove it")
    return secret
