"""How the text of a setting becomes its value, and what to say where it cannot.

Each kind takes a string, as the environment and the command line give it, or the native value of
a TOML file, and raises ``ValueError`` for anything else.
"""

import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Generic, TypeVar
from urllib.parse import urlsplit

from ..access.origins import ANY, LOOPBACK, NONE, host_name, normal_origin
from ..access.proxies import PRIVATE
from ..core.catalog import MODELS, find_model
from ..core.errors import ModelNotFound
from ..state import STORE_URLS, without_password

T = TypeVar("T")
Word = TypeVar("Word", bound=str)

_HOST_NAME = re.compile(r"[a-z0-9_]([a-z0-9_.-]{0,251}[a-z0-9_])?", re.IGNORECASE)
_SECONDS = re.compile(r"([0-9]+(?:\.[0-9]+)?) *(ms|s|m|h)?")
_SIZE = re.compile(r"([0-9]+(?:\.[0-9]+)?) *(?:([kmg])(?:i?b)?|b)?", re.IGNORECASE)
_UNIT_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}
# Seconds or bytes that no setting allows.
_LARGEST = 1e15
_FLAGS = {
    "on": True, "true": True, "yes": True, "1": True,
    "off": False, "false": False, "no": False, "0": False,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Kind(Generic[T]):
    """A kind of value: how it is read, which values it allows (in words), and how it is shown.

    ``delicate`` values may hold a password: only what ``show`` gives is shown, and no wrong one is repeated.
    ``words`` are those that a shell completes.
    """

    parse: Callable[[object], T]
    allowed: str
    show: Callable[[T], str] = str
    delicate: bool = False
    words: tuple[str, ...] = ()


class RefusedValue(ValueError):
    """A value that cannot be used, with words of its own for what is wrong."""


def _text(value: object) -> str:
    if not isinstance(value, str) or not value.strip():
        raise ValueError
    return value.strip()


def word_list(value: object) -> list[str]:
    """The items of a comma-separated text or of a TOML array of strings."""
    items = value.split(",") if isinstance(value, str) else value
    if not isinstance(items, list):
        raise ValueError
    return [_text(item) for item in items if item != "" and not (isinstance(item, str) and item.isspace())]


def _aliases(value: object) -> tuple[tuple[str, str], ...]:
    pairs = list(value.items()) if isinstance(value, dict) else [_pair(item) for item in word_list(value)]
    if len(dict(pairs)) < len(pairs):
        raise RefusedValue("an alias stands there twice")
    return tuple((_text(name), _model_name(_text(model))) for name, model in pairs)


def _pair(item: str) -> tuple[str, str]:
    name, equals, model = item.rpartition("=")
    if not equals:
        raise ValueError
    return name, model


def _model_name(name: str) -> str:
    try:
        find_model(name)
    except ModelNotFound:
        known = " or ".join(model.id for model in MODELS)
        raise RefusedValue(f"{name[:80]!r} is no model that an alias can mean; expected {known}") from None
    return name


aliases: Kind[tuple[tuple[str, str], ...]] = Kind(
    _aliases,
    'a table of names and models such as "gpt-4o-mini" = "gpt-oss-20b", or the same as '
    "gpt-4o-mini=gpt-oss-20b,*=gpt-oss-120b",
    lambda value: ", ".join(f"{name}={model}" for name, model in value),
)


def text(least: int) -> Kind[str | None]:
    """A text of at least ``least`` characters, as it is."""

    def parse(value: object) -> str | None:
        if not isinstance(value, str) or len(value) < least:
            raise ValueError
        return value

    return Kind(parse, f"a text of at least {least} characters")


def number(low: int, high: int, remark: str = "") -> Kind[int]:
    """A whole number in ``low..high``."""

    def parse(value: object) -> int:
        if isinstance(value, bool) or not isinstance(value, int | str):
            raise ValueError
        if isinstance(value, str) and not re.fullmatch("[0-9]{1,12}", value.strip()):
            raise ValueError
        if not low <= int(value) <= high:
            raise ValueError
        return int(value)

    return Kind(parse, f"a whole number from {low} to {high}{remark}")


def seconds(low: float, high: float) -> Kind[float]:
    """A duration in ``low..high``: a number of seconds, or with a unit (``ms``, ``s``, ``m``, ``h``)."""

    def parse(value: object) -> float:
        if isinstance(value, str) and (match := _SECONDS.fullmatch(value.strip())):
            length = float(match[1]) * _UNIT_SECONDS[match[2] or "s"]
        elif isinstance(value, int | float) and not isinstance(value, bool):
            length = float(value) if abs(value) < _LARGEST else math.inf
        else:
            raise ValueError
        if not math.isfinite(length) or not low <= length <= high:
            raise ValueError
        return length

    return Kind(parse, f"seconds from {low:g} to {high:g}, such as 30, 1.5, 500ms or 2m", "{:g}".format)


def or_off(kind: Kind[float]) -> Kind[float]:
    """What ``kind`` allows, or ``off``, which is 0."""

    def parse(value: object) -> float:
        off = value is False or (isinstance(value, str) and value.strip().lower() == "off")
        return 0.0 if off else kind.parse(value)

    return Kind(parse, f"{kind.allowed}; or 'off'", lambda value: kind.show(value) if value else "off")


def size(low: int, high: int) -> Kind[int]:
    """A number of bytes in ``low..high``; K, M and G (also KiB, KB …) count in steps of 1024."""

    def parse(value: object) -> int:
        if isinstance(value, str) and (match := _SIZE.fullmatch(value.strip())):
            many = float(match[1]) * 1024 ** " kmg".index((match[2] or " ").lower())
            count = int(many) if many < _LARGEST else high + 1
        elif isinstance(value, int) and not isinstance(value, bool):
            count = value
        else:
            raise ValueError
        if not low <= count <= high:
            raise ValueError
        return count

    return Kind(parse, f"a size from {show_size(low)} to {show_size(high)}, such as 8MiB or 512K", show_size)


def show_size(count: int) -> str:
    for unit, step in (("GiB", 1024**3), ("MiB", 1024**2), ("KiB", 1024)):
        if count >= step and count % step == 0:
            return f"{count // step}{unit}"
    return str(count)


def choice(*allowed: Word) -> Kind[Word]:
    """One of a few words."""
    by_name = {word.lower(): word for word in allowed}

    def parse(value: object) -> Word:
        try:
            return by_name[_text(value).lower()]
        except KeyError:
            raise ValueError from None

    return Kind(parse, f"one of {', '.join(allowed)}", words=allowed)


def _parse_flag(value: object) -> bool:
    if isinstance(value, bool):
        return value
    try:
        return _FLAGS[_text(value).lower()]
    except KeyError:
        raise ValueError from None


def _parse_host(value: object) -> str:
    text = _text(value)
    bare = text.removeprefix("[").removesuffix("]")
    try:
        return str(ip_address(bare))
    except ValueError:
        if not _HOST_NAME.fullmatch(text) or re.fullmatch(r"[0-9.]+", text):
            raise
        return text


def _parse_url(value: object) -> str:
    text = _text(value)
    parts = urlsplit(text)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.port == 0:
        raise ValueError
    # A password in a URL would be shown by everything that shows the URL.
    if "@" in parts.netloc or parts.query or parts.fragment or not text.isprintable() or " " in text:
        raise ValueError
    return text


def _parse_origins(value: object) -> tuple[str, ...]:
    words = [word if word in (ANY, LOOPBACK, NONE) else normal_origin(word) for word in word_list(value)]
    if not words or (len(words) > 1 and (ANY in words or NONE in words)):
        raise ValueError
    return tuple(dict.fromkeys(words))


def _parse_hosts(value: object) -> tuple[str, ...]:
    words = word_list(value)
    if not words or (len(words) > 1 and ANY in words):
        raise ValueError
    return tuple(dict.fromkeys(word if word in (ANY, LOOPBACK) else _bare_host(word) for word in words))


def _bare_host(word: str) -> str:
    # A port is refused: the gateway would have to know the ports of every proxy before it.
    bare = f"[{word}]" if word.count(":") > 1 and not word.startswith("[") else word
    name = host_name(bare)
    if not name or len(name) < len(bare.strip("[]").removesuffix(".")):
        raise ValueError
    return _parse_host(name)


def _parse_networks(value: object) -> tuple[str, ...]:
    words = [word.lower() for word in word_list(value)]
    return tuple(
        dict.fromkeys(word if word in (LOOPBACK, PRIVATE) else str(ip_network(word)) for word in words)
    )


def is_key(word: str) -> bool:
    """Whether ``word`` can be an API key: printable ASCII without spaces, as it must fit into a header."""
    return re.fullmatch("[!-~]+", word) is not None


def parse_keys(value: object) -> tuple[str, ...]:
    """API keys: printable ASCII without spaces, as they must fit into a header.

    Raises:
        ValueError: without the key in its message.
    """
    words = word_list(value)
    if not words or not all(map(is_key, words)):
        raise ValueError
    return tuple(dict.fromkeys(words))


def _parse_release(value: object) -> str:
    text = _text(value)
    # Clients split it at the dots and read numbers.
    if not re.fullmatch(r"[0-9]{1,6}(\.[0-9]{1,6}){1,3}", text):
        raise ValueError
    return text


def _parse_address(value: object) -> str:
    text = _text(value)
    name, _, port = text.rpartition(":")
    if not re.fullmatch("[0-9]{1,5}", port) or not 0 < int(port) <= 65535:
        raise ValueError
    named = _parse_host(name)
    return f"[{named}]:{port}" if ":" in named else f"{named}:{port}"


def _parse_store(value: object) -> str:
    text = _text(value)
    parts = urlsplit(text)
    if parts.port == 0 or not text.isprintable():
        raise ValueError
    return text


def _parse_path(value: object) -> Path:
    text = _text(value)
    if "\0" in text:
        raise ValueError
    try:
        return Path(text).expanduser()
    except RuntimeError:
        raise RefusedValue(f"{text[:80]!r} is in the home of nobody that this machine knows") from None


flag = Kind(_parse_flag, "on or off", lambda value: "on" if value else "off")
release = Kind(_parse_release, "numbers with dots between them, such as 0.13.4")
address: Kind[str | None] = Kind(_parse_address, "a host and a port, such as 127.0.0.1:9464")
host = Kind(_parse_host, "an IP address or a host name")
http_url: Kind[str | None] = Kind(_parse_url, "an http:// or https:// URL without user, query or fragment")
origins = Kind(
    _parse_origins,
    "'*', 'none', or origins such as https://app.example, separated by commas ('loopback': every local one)",
    ", ".join,
)
hosts = Kind(
    _parse_hosts,
    "'*', or host names without port, separated by commas ('loopback': every local one)",
    ", ".join,
)
networks = Kind(
    _parse_networks,
    "addresses or networks such as 10.0.0.5 or 10.0.0.0/8, 'loopback' or 'private', separated by commas",
    ", ".join,
)
keys = Kind(parse_keys, "keys of printable ASCII without spaces, separated by commas", ", ".join)
# Whether there are cookies in the text is for the upstream to say.
cookie: Kind[str | None] = Kind(_text, "the site's cookies as text, such as 'user_id=...; session=...'")
# Whether a store can be made of it is for the store to say.
store: Kind[str | None] = Kind(
    _parse_store, STORE_URLS, lambda url: without_password(url or ""), delicate=True
)
api_key: Kind[str | None] = Kind(
    lambda value: parse_keys([value])[0], "a key of printable ASCII without spaces"
)
path: Kind[Path | None] = Kind(_parse_path, "the path of a file")
