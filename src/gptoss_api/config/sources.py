"""Where settings are read from: the command line, the environment, the TOML file.

A command-line option wins over the environment, which wins over the TOML file.
"""

import difflib
import os
import tomllib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from ..access.origins import is_loopback
from ..core.program import command
from ..core.redaction import NOT_SHOWN, Redactor
from ..core.servers import AUTO, DEMO, SERVER_KINDS
from .exposure import open_files, weak_keys
from .settings import OPTIONS, Option, Settings, config_folder
from .upstreams import named_upstream, upstream_choice
from .values import RefusedValue, parse_keys, path

# In the user's config folder.
CONFIG_NAME: Final = "config.toml"
# Of a file of settings or of keys, in bytes.
_MOST_TEXT: Final = 4 * 1024 * 1024

_redact: Final = Redactor()


class ConfigError(Exception):
    """A setting that cannot be used. The message is one line: which, what was given, what is allowed."""


@dataclass(frozen=True, slots=True)
class Source:
    """Where a value came from: the kind of place (``environment``, ``file`` …) and its name there."""

    kind: str
    name: str = ""

    def __str__(self) -> str:
        return f"{self.kind} {self.name}".rstrip()


DEFAULT = Source("default")


def _none_exist(settings: Settings) -> bool:
    return False


@dataclass(frozen=True, slots=True)
class Resolution:
    """Settings, where each that is no default came from, and what deserves a warning.

    Iterating gives every option with its value and source.
    """

    settings: Settings
    sources: Mapping[str, Source]
    warnings: tuple[str, ...] = ()

    def refuse_exposure(self, created_keys_exist: Callable[[Settings], bool] = _none_exist) -> None:
        """Raises :class:`ConfigError` for a gateway that everyone in the network could use."""
        settings = self.settings
        if settings.api_keys or settings.require_keys or settings.insecure or is_loopback(settings.host):
            return
        if not created_keys_exist(settings):
            raise ConfigError(
                f"{self.sources['host'].name}: {settings.host!r} lets other machines in and no API keys "
                f"are set; run '{command()} keys create NAME' or set GPTOSS_API_KEYS, or say --insecure to "
                "serve everyone"
            )

    def __iter__(self) -> Iterator[tuple[Option, object, Source]]:
        for option in OPTIONS:
            value = getattr(self.settings, option.name)
            yield option, value, self.sources.get(option.name, DEFAULT)


def resolve(
    command_line: Mapping[str, object] | None = None, environ: Mapping[str, str] | None = None
) -> Resolution:
    """Reads every setting from its places.

    ``command_line`` maps field names to what was given; ``None`` values are options not given.
    ``environ`` is the process environment unless given; an empty variable counts as unset.

    Raises:
        ConfigError: for a value that cannot be used, a TOML file that cannot be read, or an unknown
            key in it.
    """
    given = {name: value for name, value in (command_line or {}).items() if value is not None}
    environment = {name: text for name, text in (os.environ if environ is None else environ).items() if text}
    file, contents = _read_file(given, environment)
    values: dict[str, Any] = {"config_file": file}
    sources: dict[str, Source] = {}
    for option in OPTIONS:
        found = _find(option, given, environment, file, contents)
        if found is not None:
            raw, source = found
            values[option.name] = _parse(option, raw, source)
            sources[option.name] = source
    if (key_file := values.get("api_keys_file")) is not None:
        more = _read_keys(key_file, sources["api_keys_file"])
        values["api_keys"] = tuple(dict.fromkeys((*values.get("api_keys", ()), *more)))
        sources["api_keys"] = (
            Source(f"{sources['api_keys']} and file", str(key_file))
            if "api_keys" in sources
            else Source("file", str(key_file))
        )
    settings = Settings(**values)
    _check_names(settings, sources)
    warnings = (
        *_misspelt(environment),
        *weak_keys(settings, str(sources.get("api_keys", DEFAULT))),
        *open_files(settings, file, contents),
    )
    return Resolution(settings, sources, warnings)


def _check_names(settings: Settings, sources: Mapping[str, Source]) -> None:
    """Every word of ``upstream`` has to mean something."""
    configured = [entry.name for entry in settings.upstreams]
    for word in settings.upstream.split(", "):
        if word not in (AUTO, DEMO, *configured) and named_upstream(word) is None:
            source, allowed = sources["upstream"].name, upstream_choice.allowed
            if word in SERVER_KINDS:
                raise ConfigError(
                    f"{source}: {_shown(word)} is not allowed by itself: every such server has an address "
                    f'of its own; give that, or an entry of [[upstreams]] with kind = "{word}" and its url'
                )
            known = (*configured, *SERVER_KINDS, DEMO, AUTO)
            near = difflib.get_close_matches(word, known, 1)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            raise ConfigError(f"{source}: {_shown(word)} is not allowed; expected {allowed}{hint}")


def _find(
    option: Option,
    given: Mapping[str, object],
    environment: Mapping[str, str],
    file: Path | None,
    contents: Mapping[str, object],
) -> tuple[object, Source] | None:
    if option.name in given:
        return given[option.name], Source("command line", option.flag)
    if option.env in environment:
        return environment[option.env], Source("environment", option.env)
    if option.toml is not None and option.toml in contents:
        return contents[option.toml], Source("file", f"{file}:{option.toml}")
    return None


def _parse(option: Option, raw: object, source: Source) -> object:
    try:
        return option.kind.parse(raw)
    except RefusedValue as refused:
        raise ConfigError(f"{source.name}: {_redact(str(refused))}") from None
    except ValueError:
        shown = NOT_SHOWN if option.secret or option.kind.delicate else _shown(raw)
        raise ConfigError(f"{source.name}: {shown} is not allowed; expected {option.kind.allowed}") from None


def _shown(value: object) -> str:
    """A wrong value in short; a key that was put into the wrong setting is hidden."""
    text = _redact(repr(value))
    return text if len(text) <= 80 else text[:77] + "..."


def _read_file(
    given: Mapping[str, object], environment: Mapping[str, str]
) -> tuple[Path | None, dict[str, object]]:
    """The TOML file in use and its keys; the default one need not exist."""
    named = given.get("config_file") or environment.get("GPTOSS_CONFIG")
    file = _named_file(str(named)) if named else config_folder() / CONFIG_NAME
    try:
        contents = tomllib.loads(_read_text(file))
    except FileNotFoundError:
        if named:
            raise ConfigError(f"{file}: there is no such configuration file") from None
        return None, {}
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{file}: is not valid TOML: {error}") from None
    known = [option.toml for option in OPTIONS if option.toml is not None]
    for key in contents:
        if key not in known:
            near = difflib.get_close_matches(key, known, 1, 0.0)[0]
            raise ConfigError(f"{file}: {_shown(key)} is not a setting; did you mean {near!r}?")
    return file, contents


def _named_file(text: str) -> Path:
    try:
        file = path.parse(text)
    except ValueError as refused:
        raise ConfigError(f"the configuration file cannot be read: {refused or 'it has no name'}") from None
    assert file is not None
    return file


def _read_keys(file: Path, source: Source) -> tuple[str, ...]:
    found: list[str] = []
    try:
        lines = _read_text(file).splitlines()
    except FileNotFoundError:
        raise ConfigError(f"{source.name}: there is no file {file}") from None
    for row, line in enumerate(lines, 1):
        text = line.strip()
        if text and not text.startswith("#"):
            try:
                found += parse_keys([text])
            except ValueError:
                raise ConfigError(
                    f"{file}:{row}: the key is not allowed; expected printable ASCII without spaces"
                ) from None
    if not found:
        raise ConfigError(f"{source.name}: {file} has no keys in it; expected one a line")
    return tuple(found)


def _read_text(file: Path) -> str:
    """The file's text. Raises ``FileNotFoundError`` where the caller knows better what that means."""
    try:
        with file.open("rb") as opened:
            # A device that was named by mistake may have no end.
            contents = opened.read(_MOST_TEXT + 1)
        if len(contents) > _MOST_TEXT:
            raise ConfigError(f"{file}: cannot be read: it is larger than {_MOST_TEXT >> 20} MiB")
        return contents.decode()
    except FileNotFoundError:
        raise
    except OSError as error:
        raise ConfigError(f"{file}: cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise ConfigError(f"{file}: cannot be read: it is not UTF-8 text") from None


# What the commands that ask a gateway read beside the settings; servers have no use for it.
CLIENT_VARIABLES: Final = ("GPTOSS_BASE_URL",)


def _misspelt(environment: Mapping[str, str]) -> Iterator[str]:
    known = [option.env for option in OPTIONS]
    for name in sorted(environment):
        if name.startswith("GPTOSS_") and name not in (*known, *CLIENT_VARIABLES):
            near = difflib.get_close_matches(name, known, 1)
            yield f"{name} is set but is not a setting" + (f"; did you mean {near[0]}?" if near else "")
