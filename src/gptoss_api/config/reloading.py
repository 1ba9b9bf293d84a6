"""Settings that change while the gateway runs: which of them take effect at once, and when they changed."""

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from hashlib import sha256
from pathlib import Path
from typing import Final

from .settings import OPTIONS, Settings
from .sources import resolve

# What a running gateway takes over; everything else is read at the start only.
RELOADABLE: Final = frozenset(
    {
        "admin_key",
        "aliases",
        "allowed_hosts",
        "api_keys",
        "api_keys_file",
        "cors_origin",
        "log_level",
        "require_keys",
        "upstream",
        "upstream_key",
        "upstreams",
    }
)
UPSTREAMS: Final = frozenset({"upstream", "upstream_key", "upstreams"})
_NAMES: Final = {option.name: option.toml or option.env for option in OPTIONS}


@dataclass(frozen=True, slots=True)
class Change:
    """What is in force from now on, the names of what changed, and of what changes with a restart only."""

    settings: Settings
    changed: frozenset[str]
    needs_restart: tuple[str, ...]


def reread(current: Settings, given: Mapping[str, object]) -> Change:
    """The settings as they are written down now, with what was ``given`` on the command line.

    Raises:
        ConfigError: where they cannot be used; then nothing changes.
    """
    resolution = resolve(given)
    resolution.refuse_exposure(lambda settings: True)
    new = resolution.settings
    differing = {
        field.name for field in fields(Settings) if getattr(new, field.name) != getattr(current, field.name)
    }
    changed = differing & RELOADABLE
    return Change(
        replace(current, **{name: getattr(new, name) for name in changed}),
        frozenset(changed),
        tuple(sorted(_NAMES[name] for name in differing - RELOADABLE)),
    )


def shown_names(names: frozenset[str]) -> list[str]:
    """The settings as users know them."""
    return sorted(_NAMES[name] for name in names)


def fingerprint(*files: Path | None) -> bytes:
    """Another one whenever the content of a file is; files that are not there are as if they were empty."""
    digest = sha256()
    for file in files:
        try:
            content = b"" if file is None else file.read_bytes()
        except OSError:
            content = b""
        digest.update(b"%d:%b" % (len(content), content))
    return digest.digest()
