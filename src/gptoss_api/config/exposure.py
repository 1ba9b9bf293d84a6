"""What in the settings would let others in: keys that can be guessed, files that others can read."""

import os
import shlex
import stat
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Final

from ..access.origins import is_loopback
from ..core.redaction import Redactor
from ..state import passwords
from .settings import OPTIONS, Settings

# Characters of an API key, and different ones among them, below which it can be guessed or tried out.
_LEAST_LENGTH: Final = 16
_LEAST_VARIETY: Final = 6
_NEW_KEY: Final = "python3 -c 'import secrets; print(secrets.token_urlsafe(32))'"

_redact: Final = Redactor()


def weak_keys(settings: Settings, source: str) -> Iterator[str]:
    """A warning where other machines get in with a key that can be guessed; ``source`` is where it stands."""
    keys = [*settings.api_keys, *filter(None, [settings.admin_key])]
    weak = [key for key in keys if len(key) < _LEAST_LENGTH or len(set(key)) < _LEAST_VARIETY]
    if weak and not is_loopback(settings.host):
        how_many = "a key" if len(weak) == 1 else f"{len(weak)} keys"
        yield (
            f"{source} has {how_many} that can be guessed, and {settings.host} lets other machines in; make "
            f"long random ones with {_NEW_KEY}"
        )


def open_files(settings: Settings, file: Path | None, contents: Mapping[str, object]) -> Iterator[str]:
    """A warning for each file with secrets in it that others can read; ``contents`` are those of ``file``."""
    holding = [settings.api_keys_file, settings.credentials_file]
    holding += [entry.key_file for entry in settings.upstreams]
    if _has_secrets(contents):
        holding.append(file)
    for path in dict.fromkeys(filter(None, holding)):
        if _is_open(path):
            yield f"others can read the secrets in {path}; run: chmod 600 {shlex.quote(str(path))}"


def _has_secrets(contents: Mapping[str, object]) -> bool:
    if any(option.secret and option.toml in contents for option in OPTIONS):
        return True
    state = contents.get("state")
    if isinstance(state, str) and passwords(state):
        return True
    upstreams = contents.get("upstreams")
    return isinstance(upstreams, Iterable) and any(
        _redact(line := f"{name}: {text}") != line
        for entry in upstreams
        if isinstance(entry, Mapping)
        for name, text in entry.get("headers", {}).items()
    )


def _is_open(path: Path) -> bool:
    """Whether others can read or change the file; where it is another user's, its group may be meant to."""
    if os.name == "nt":
        # Who may read a file there is not said by its mode.
        return False
    try:
        found = path.stat()
    except OSError:
        return False
    if not stat.S_ISREG(found.st_mode) or not found.st_size:
        return False
    return bool(found.st_mode & (0o077 if found.st_uid == os.geteuid() else 0o007))
