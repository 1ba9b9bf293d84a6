"""Settings that change while the gateway runs: which of them take effect at once, and when they changed."""

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Final

from .settings import OPTIONS, Settings, config_folder
from .sources import CONFIG_NAME, ConfigError, resolve

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
        "prefer",
        "require_keys",
        "upstream",
        "upstream_key",
        "upstreams",
    }
)
UPSTREAMS: Final = frozenset({"prefer", "upstream", "upstream_key", "upstreams"})
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
    _refuse_what_is_no_file(*watched(current))
    resolution = resolve(given)
    resolution.refuse_exposure(lambda settings: True)
    new = resolution.settings
    differing = {
        field.name for field in fields(Settings) if getattr(new, field.name) != getattr(current, field.name)
    }
    changed = differing & RELOADABLE
    return Change(
        replace(current, config_file=new.config_file, **{name: getattr(new, name) for name in changed}),
        frozenset(changed),
        tuple(sorted(_NAMES[name] for name in differing - RELOADABLE - {"config_file"})),
    )


def shown_names(names: frozenset[str]) -> list[str]:
    """The settings as users know them."""
    return sorted(_NAMES[name] for name in names)


def fingerprint(*files: Path | None) -> tuple[object, ...]:
    """Another one whenever a file is; to be made in a thread, as a file may be on a machine that hangs."""
    found: list[object] = []
    for file in files:
        try:
            seen = None if file is None else file.stat()
        except OSError:
            seen = None
        found.append(None if seen is None else (seen.st_mtime_ns, seen.st_size, seen.st_ino, seen.st_mode))
    return tuple(found)


def watched(settings: Settings) -> tuple[Path | None, ...]:
    """The files whose changes are followed, also one that is not there yet."""
    return (settings.config_file or config_folder() / CONFIG_NAME, settings.api_keys_file)


def _refuse_what_is_no_file(*paths: Path | None) -> None:
    """Raises: ConfigError. To read a pipe would wait for whoever writes into it."""
    for path in paths:
        if path is not None and path.exists() and not path.is_file():
            raise ConfigError(f"{path}: not a regular file")
