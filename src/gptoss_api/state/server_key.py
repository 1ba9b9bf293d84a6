"""The server's own key, with which it recognises what it once gave to clients."""

import contextlib
import logging
import os
import secrets
from hashlib import blake2b
from pathlib import Path
from typing import Final

KEY_BYTES: Final = 32

_FILE: Final = "server.key"

_log = logging.getLogger(__name__)


def server_key(configured: str | None, folder: Path) -> bytes:
    """The key made of the ``configured`` text, else the one in ``folder``, where it is made if need be.

    The file can be read by its owner alone. Where it cannot be written the key lives as long as the
    process, with a warning.
    """
    if configured is not None:
        return blake2b(configured.encode(), digest_size=KEY_BYTES, person=b"gptoss-key").digest()
    path = folder / _FILE
    try:
        return _read(path) or _make(path)
    except OSError as error:
        _log.warning(
            "%s cannot be used (%s): what clients keep in encrypted form is lost with this process; "
            "set GPTOSS_SERVER_KEY",
            path,
            error.strerror,
        )
        return secrets.token_bytes(KEY_BYTES)


def _read(path: Path) -> bytes | None:
    with contextlib.suppress(FileNotFoundError):
        key = path.read_bytes()
        if len(key) == KEY_BYTES:
            return key
        _log.warning("%s is no key of this gateway and is replaced", path)
    return None


def _make(path: Path) -> bytes:
    """Writes a new key beside its place and moves it there: another process reads all of it or none."""
    path.parent.mkdir(parents=True, exist_ok=True)
    key = secrets.token_bytes(KEY_BYTES)
    draft = path.with_name(f"{path.name}.{secrets.token_hex(8)}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        os.write(descriptor, key)
        os.close(descriptor)
        if path.exists():
            draft.replace(path)
        else:
            # Of two processes that start together one wins, and both use its key.
            with contextlib.suppress(FileExistsError):
                path.hardlink_to(draft)
    finally:
        draft.unlink(missing_ok=True)
    return _read(path) or key
