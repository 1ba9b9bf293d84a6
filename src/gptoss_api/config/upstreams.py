"""The upstreams a user can name: in words, by address, and as tables of the TOML file."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final
from urllib.parse import urlsplit

from ..core.catalog import MODELS, find_model
from ..core.errors import ModelNotFound
from ..core.servers import AUTO, DEMO, GENERIC, SERVER_KINDS, ServerKind
from .values import Kind, RefusedValue, flag, http_url, number, path, seconds, word_list

_NAME: Final = re.compile(r"[A-Za-z0-9][\w.@:-]{0,63}")
_VARIABLE: Final = re.compile(r"[A-Za-z_]\w{0,127}")
_HEADER: Final = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]{1,64}")
_RESERVED: Final = frozenset({AUTO, DEMO})
# The kinds that a word alone can mean.
_WORDS: Final = tuple(kind.name for kind in SERVER_KINDS.values() if not kind.needs_address)


@dataclass(frozen=True, slots=True)
class UpstreamSettings:
    """One upstream. What is ``None`` or empty follows from its kind or from the settings for all.

    ``models`` maps canonical ids to the server's names, "" for the usual ones. Upstreams with a lower
    ``order`` are asked first, equals share the turns by ``weight``, 1 if ``None``. ``key_env`` and
    ``key_file`` say where the key is kept.
    """

    name: str
    kind: str
    url: str | None = None
    key_env: str | None = None
    key_file: Path | None = None
    models: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    order: int | None = None
    weight: float | None = None
    max_concurrency: int | None = None
    max_queue: int | None = None
    queue_timeout: float | None = None
    idle_timeout: float | None = None
    total_timeout: float | None = None
    first_byte_timeout: float | None = None
    whole_answers: bool | None = None


def named_upstream(word: str) -> UpstreamSettings | None:
    """The upstream that ``word`` means by itself: a kind, or an address; ``None`` where it is a name."""
    if word in _WORDS:
        return UpstreamSettings(word, word)
    if not word.startswith(("http://", "https://")):
        return None
    parts = urlsplit(word)
    url = word if parts.path.strip("/") else f"{word.rstrip('/')}/v1"
    return UpstreamSettings(parts.netloc, _kind_at(parts.hostname or "", parts.port or 0).name, url)


def _kind_at(host: str, port: int) -> ServerKind:
    """What an address is: its host tells, or else a port that only one kind uses."""
    kinds = SERVER_KINDS.values()
    by_port = (kind for kind in kinds if kind.port_is_telling and kind.port == port)
    return next((kind for kind in kinds if kind.is_at(host)), next(by_port, GENERIC))


def _parse_choice(value: object) -> str:
    """The words of ``GPTOSS_UPSTREAM``, each of which may be a kind, an address or a configured name."""
    chosen = list(dict.fromkeys(word_list(value)))
    if not chosen:
        raise ValueError
    for word in chosen:
        if "://" in word:
            http_url.parse(word)
        elif not _NAME.fullmatch(word):
            raise ValueError
    if len(chosen) > 1 and _RESERVED & set(chosen):
        raise RefusedValue("'auto' and 'demo' cannot be combined with other upstreams")
    return ", ".join(chosen)


def _parse_upstreams(value: object) -> tuple[UpstreamSettings, ...]:
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except ValueError:
            raise RefusedValue("expected a JSON array of objects") from None
    if not isinstance(value, list):
        raise RefusedValue("expected tables, each beginning with [[upstreams]]")
    found = tuple(
        _parse_table(entry, f"[[upstreams]] number {place}") for place, entry in enumerate(value, 1)
    )
    names = [entry.name for entry in found]
    for name in names:
        if names.count(name) > 1:
            raise RefusedValue(f"two [[upstreams]] are called {name!r}; give each a name of its own")
    return found


def _parse_table(table: object, where: str) -> UpstreamSettings:
    if not isinstance(table, dict):
        raise RefusedValue(f"{where}: expected a table")
    for key in table:
        if key not in _FIELDS and key not in ("kind", "name"):
            known = ", ".join(("name", "kind", *_FIELDS))
            raise RefusedValue(f"{where}: {str(key)[:60]!r} is not known; expected one of {known}")
    kind = table.get("kind")
    if kind is None and "url" in table:
        kind = GENERIC.name
    if not isinstance(kind, str) or kind not in SERVER_KINDS:
        raise RefusedValue(f"{where}: kind is {kind!r}; expected one of {', '.join(SERVER_KINDS)}")
    name = table.get("name", kind)
    if not isinstance(name, str) or not _NAME.fullmatch(name) or name in _RESERVED:
        raise RefusedValue(f"{where}: {name!r} cannot be a name; expected letters, digits and _ . -")
    values: dict[str, Any] = {}
    for key, (parse, allowed) in _FIELDS.items():
        if key in table:
            try:
                values[key] = parse(table[key])
            except RefusedValue as refused:
                raise RefusedValue(f"{where}: {key}: {refused}") from None
            except ValueError:
                raise RefusedValue(f"{where}: {key} is not allowed; expected {allowed}") from None
    if SERVER_KINDS[kind].needs_address and "url" not in values:
        raise RefusedValue(f"{where}: url is missing; expected the server's address up to /v1")
    if values.get("whole_answers"):
        _check_whole_answers(SERVER_KINDS[kind], values, where)
    return UpstreamSettings(name, kind, **values)


def _check_whole_answers(kind: ServerKind, values: Mapping[str, Any], where: str) -> None:
    if kind.protocol == "chatkit":
        raise RefusedValue(f"{where}: whole_answers: {kind.title} only gives streams; leave it out")
    if "first_byte_timeout" in values:
        raise RefusedValue(
            f"{where}: the first byte of a whole answer comes when all of it has been thought; "
            "leave out whole_answers or first_byte_timeout"
        )


def _parse_models(value: object) -> Mapping[str, str]:
    """Canonical ids with the server's names; "" means the usual one, where a list has only the id."""
    if isinstance(value, list) and all(isinstance(name, str) for name in value):
        # What others are called, the server alone knows.
        ids = [model.id for model in MODELS]
        value = {name: "" if name in ids else name for name in value}
    elif not isinstance(value, dict) or not all(
        isinstance(name, str) and name.strip() for name in value.values()
    ):
        raise ValueError
    try:
        known = {find_model(name).id: known_as for name, known_as in value.items()}
    except ModelNotFound:
        raise ValueError from None
    if not known or len(known) < len(value):
        raise ValueError
    return MappingProxyType(known)


def _parse_headers(value: object) -> Mapping[str, str]:
    if not isinstance(value, dict):
        raise ValueError
    for name, text in value.items():
        if not _HEADER.fullmatch(name) or not isinstance(text, str) or not text.isprintable():
            raise ValueError
        if name.lower() == "authorization":
            raise RefusedValue(
                "keep the key out of the file: name its variable in key_env, or a file in key_file"
            )
    return MappingProxyType(value)


def _parse_variable(value: object) -> str:
    if not isinstance(value, str) or not _VARIABLE.fullmatch(value):
        raise ValueError
    return value


def _parse_weight(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value <= 1000:
        raise ValueError
    return float(value)


_order: Final = number(0, 1000)
_turns: Final = number(1, 10_000)
_queue: Final = number(0, 1_000_000)
_wait: Final = seconds(0, 86_400)
_silence: Final = seconds(0.01, 86_400)
_FIELDS: Final[Mapping[str, tuple[Any, str]]] = {
    "url": (http_url.parse, http_url.allowed),
    "key_env": (_parse_variable, "the name of an environment variable"),
    "key_file": (path.parse, path.allowed),
    "models": (
        _parse_models,
        'canonical ids with the server\'s names, such as {"gpt-oss-20b" = "gpt-oss:20b"}, or a list of names',
    ),
    "headers": (_parse_headers, "header names with texts"),
    "order": (_order.parse, _order.allowed),
    "weight": (_parse_weight, "a number above 0, up to 1000"),
    "max_concurrency": (_turns.parse, _turns.allowed),
    "max_queue": (_queue.parse, _queue.allowed),
    "queue_timeout": (_wait.parse, _wait.allowed),
    "idle_timeout": (_silence.parse, _silence.allowed),
    "total_timeout": (_silence.parse, _silence.allowed),
    "first_byte_timeout": (_silence.parse, _silence.allowed),
    "whole_answers": (flag.parse, flag.allowed),
}


def _show(value: tuple[UpstreamSettings, ...]) -> str:
    return ", ".join(
        entry.name if entry.name == entry.kind else f"{entry.name} ({entry.kind})" for entry in value
    )


upstream_choice: Final = Kind(
    _parse_choice,
    f"{AUTO}, {_WORDS[0]}, {DEMO}, {', '.join(_WORDS[1:])}, an address such as "
    "http://127.0.0.1:8080/v1, or a name in [[upstreams]]; several, separated by commas, are asked in order",
    words=(AUTO, DEMO, *_WORDS),
)
upstream_tables: Final = Kind(
    _parse_upstreams,
    'tables [[upstreams]] in the file, or the same as a JSON array such as [{"kind": "ollama"}]',
    _show,
)
