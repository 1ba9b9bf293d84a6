"""What stands before a body: the address, the request head and the response headers."""

import re
from base64 import b64encode
from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from typing import NamedTuple
from urllib.parse import unquote, urlsplit

DEFAULT_PORTS = {"http": 80, "https": 443}

_TOKEN = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+").fullmatch
_NOT_IN_URL = re.compile(r"[^\x21-\x7e]").search
_NOT_IN_VALUE = re.compile(r"[\r\n\0]").search
# The client itself frames the body; a second opinion in the headers would split the request.
_FRAMING = frozenset({"content-length", "transfer-encoding"})


class Origin(NamedTuple):
    """Where a request goes. ``host`` is without the brackets of an IPv6 address."""

    scheme: str
    host: str
    port: int

    @property
    def where(self) -> str:
        """``host:port``, the name of the place in messages."""
        return f"{bracketed(self.host)}:{self.port}"


class Address(NamedTuple):
    """A URL taken apart; ``target`` is the path with the query, ``userinfo`` a Basic credential."""

    origin: Origin
    authority: str
    target: str
    userinfo: str | None


def bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def basic_credential(username: str | None, password: str | None) -> str | None:
    """The ``Basic`` credential of a URL's percent-encoded userinfo, if it has one."""
    if username is None:
        return None
    pair = f"{unquote(username)}:{unquote(password or '')}"
    return "Basic " + b64encode(pair.encode()).decode()


# An upstream has one address and a handful of headers; taking them apart costs more than sending them.
@lru_cache(maxsize=64)
def parse_address(url: str) -> Address:
    """Takes an ``http`` or ``https`` URL apart.

    Raises :class:`ValueError`, without repeating the URL since it may hold a secret.
    """
    if _NOT_IN_URL(url):
        raise ValueError("the URL has a space, a control character or a character outside ASCII")
    parts = urlsplit(url)
    default_port = DEFAULT_PORTS.get(parts.scheme)
    if default_port is None:
        raise ValueError("the URL must start with http:// or https://")
    if not parts.hostname:
        raise ValueError("the URL names no host")
    try:
        port = parts.port or default_port
    except ValueError:
        raise ValueError("the port of the URL is not a number from 0 to 65535") from None
    origin = Origin(parts.scheme, parts.hostname, port)
    return Address(
        origin,
        bracketed(origin.host) if port == default_port else origin.where,
        (parts.path or "/") + (f"?{parts.query}" if parts.query else ""),
        basic_credential(parts.username, parts.password),
    )


@lru_cache(maxsize=256)
def _lower_name(name: str) -> str:
    if not _TOKEN(name):
        raise ValueError(f"the header name {name!r} is not a token")
    lower = name.lower()
    if lower in _FRAMING:
        raise ValueError(f"the header {name!r} is set by the client itself")
    return lower


class RequestHeads:
    """The heads of requests to one address: ``target`` at ``authority``.

    ``extra`` holds defaults that the headers of a request override.
    """

    __slots__ = ("_authority", "_begin", "_extra", "_headers", "_method", "_target")

    def __init__(self, target: str, authority: str, extra: Mapping[str, str]) -> None:
        self._target = target
        self._authority = authority
        self._extra = tuple(extra.items())
        self._method = ""
        self._headers: Mapping[str, str] | None = None
        self._begin = b""

    def encode(self, method: str, headers: Mapping[str, str], length: int) -> bytes:
        """The request line and headers, ready to send before a body of so many bytes.

        The very ``headers`` of the request before are encoded no second time: none may be changed.
        Raises :class:`ValueError` for a method, name or value that would break the framing, without repeating
        the value.
        """
        if headers is not self._headers or method != self._method:
            self._begin = _request_start(
                method, self._target, self._authority, tuple(headers.items()), self._extra
            )
            self._headers, self._method = headers, method
        if length or method in ("POST", "PUT", "PATCH"):
            return b"%bContent-Length: %d\r\n\r\n" % (self._begin, length)
        return self._begin + b"\r\n"


# All requests of a kind to one server begin alike, but for those that are traced.
@lru_cache(maxsize=64)
def _request_start(
    method: str,
    target: str,
    authority: str,
    headers: tuple[tuple[str, str], ...],
    extra: tuple[tuple[str, str], ...],
) -> bytes:
    """The request line and the headers that do not depend on the body."""
    if not _TOKEN(method):
        raise ValueError("the HTTP method is not a token")
    lines = [f"{method} {target} HTTP/1.1"]
    given = {_lower_name(name) for name, _ in headers}
    if "host" not in given:
        lines.append(f"Host: {authority}")
    for name, value in headers:
        if _NOT_IN_VALUE(value):
            raise ValueError(f"the value of the header {name!r} has a line break or a NUL")
        lines.append(f"{name}: {value}")
    for name, value in extra:
        if name.lower() not in given:
            lines.append(f"{name}: {value}")
    lines.append("")
    try:
        return "\r\n".join(lines).encode("latin-1")
    except UnicodeEncodeError:
        raise ValueError("a header value has characters outside Latin-1") from None


# Every answer of a server has the same ones.
@lru_cache(maxsize=256)
def _received_name(name: bytes) -> str:
    return name.decode("latin-1").lower()


def _received_value(value: bytes) -> str:
    return value.decode("latin-1").strip(" \t")


class ResponseHeaders:
    """Response headers by name in any case; a header may occur more than once."""

    __slots__ = ("_values",)

    def __init__(self, received: Iterable[tuple[bytes, bytes]]) -> None:
        # As they came: hardly any is ever asked for.
        self._values: dict[str, list[bytes]] = {}
        for name, value in received:
            key = _received_name(name)
            if (known := self._values.get(key)) is None:
                self._values[key] = [value]
            else:
                known.append(value)

    def get(self, name: str) -> str | None:
        """The value; several occurrences are joined by a comma, as RFC 9110, section 5.3 allows."""
        values = self._values.get(name.lower())
        if values is None:
            return None
        return _received_value(values[0]) if len(values) == 1 else ", ".join(map(_received_value, values))

    def get_all(self, name: str) -> list[str]:
        """Every occurrence on its own, which ``Set-Cookie`` needs."""
        return [*map(_received_value, self._values.get(name.lower(), ()))]

    def __contains__(self, name: str) -> bool:
        return name.lower() in self._values

    def __iter__(self) -> Iterator[str]:
        """The names in lower case."""
        return iter(self._values)

    def __repr__(self) -> str:
        # Names only: values hold cookies.
        return f"ResponseHeaders({', '.join(self._values)})"
