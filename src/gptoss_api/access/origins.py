"""Who may call from a browser: the ``Origin`` a page comes from and the ``Host`` it asks for.

A gateway on a local port is reachable by every page the user opens. The origin keeps other sites
from reading answers (CORS); the host keeps them from posing as a local site by pointing their own
name at 127.0.0.1 (DNS rebinding).
"""

import re
from collections.abc import Iterable
from functools import lru_cache
from ipaddress import IPv6Address, ip_address
from urllib.parse import urlsplit

ANY = "*"
LOOPBACK = "loopback"
NONE = "none"

# Of programs with a browser inside: no website has such an origin.
_APP_ORIGIN = re.compile(r"(?:app|capacitor|tauri|vscode-webview)://[a-z0-9_.-]*")
# Characters of an origin, of which no name has more than 255. Whether it is local is remembered.
_LONGEST = 512
_AUTHORITY = re.compile(r"(?:[a-z0-9_.-]+|\[[0-9a-f:.]+\])(?::[0-9]+)?")


# Asked for every request, of few different hosts.
@lru_cache(maxsize=256)
def is_loopback(host: str) -> bool:
    """Whether ``host`` is ``localhost``, in 127.0.0.0/8, or ``::1``; IPv6 with or without brackets.

    No name is ever resolved: a name that today points to 127.0.0.1 may point elsewhere tomorrow.
    """
    name = host.lower()
    if name == "localhost":
        return True
    try:
        address = ip_address(name.removeprefix("[").removesuffix("]"))
    except ValueError:
        return False
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        return address.ipv4_mapped.is_loopback
    return address.is_loopback


class OriginPolicy:
    """The origins that may read answers: ``*``, ``loopback`` (any port, and programs' own) or exact ones."""

    __slots__ = ("_any", "_loopback", "_origins")

    def __init__(self, origins: Iterable[str]) -> None:
        self._origins = frozenset(origins)
        self._any = ANY in self._origins
        self._loopback = LOOPBACK in self._origins

    @property
    def varies(self) -> bool:
        """Whether answers differ by origin and so need ``Vary: Origin``."""
        return not self._any

    def allow(self, origin: str) -> str | None:
        """The value of ``Access-Control-Allow-Origin`` for ``origin``, or ``None`` to refuse it."""
        if self._any:
            return ANY
        if origin.lower() in self._origins or (self._loopback and is_loopback_origin(origin)):
            return origin
        return None


class HostPolicy:
    """The names under which the gateway answers: loopback always, and ``*`` or exact host names.

    Who asks for a loopback name reached this machine by itself: no other site's name points here.
    """

    __slots__ = ("_any", "_hosts", "allowed")

    def __init__(self, hosts: Iterable[str]) -> None:
        self._hosts = frozenset(hosts)
        self._any = ANY in self._hosts
        # Asked for every request, of few different hosts.
        self.allowed = lru_cache(maxsize=256)(self._allowed)

    def _allowed(self, host_header: str | None) -> bool:
        """Whether a request with this ``Host`` header is answered; its port does not matter.

        Every browser sends the header, so a request without one comes from no web page.
        """
        if self._any or host_header is None:
            return True
        host = host_name(host_header)
        return host in self._hosts or _is_local(host)

    def own(self, origin: str, host_header: str | None) -> bool:
        """Whether a page of ``origin`` is one that this gateway served itself, under the name it is asked by.

        The name must be an address or one that was listed: with ``*`` every site can point its own name here.
        The scheme does not matter, which a proxy may change.
        """
        _, separator, authority = origin.lower().partition("://")
        host = host_name(authority)
        if not separator or host_header is None or authority != host_header.strip().lower():
            return False
        return host in self._hosts or _is_local(host) or (self._any and _is_address(host))


def is_loopback_origin(origin: str) -> bool:
    """Whether ``origin`` is ``http(s)://`` and a loopback host with any port, or a local program's own."""
    if len(origin) > _LONGEST:
        return False
    origin = origin.lower()
    if _APP_ORIGIN.fullmatch(origin):
        return True
    scheme, separator, authority = origin.partition("://")
    return bool(separator) and scheme in ("http", "https") and _is_local(host_name(authority))


def _is_local(host: str) -> bool:
    """Whether a browser reaches this machine under ``host``; names in ``.localhost`` are nobody else's."""
    # Not asked of where to listen: a resolver may know them otherwise. Source: RFC 6761, section 6.3.
    return is_loopback(host) or host.endswith(".localhost")


def _is_address(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True


def host_name(authority: str) -> str:
    """The host of ``host[:port]``: lower case, no port, no IPv6 brackets, no trailing dot.

    ``""`` for what is no such thing, which no policy allows.
    """
    text = authority.strip().lower()
    if text.startswith("["):
        host, bracket, rest = text[1:].partition("]")
        if not bracket or ":" not in host:
            return ""
    else:
        host, colon, _ = text.partition(":")
        rest = text[len(host) :] if colon else ""
    if rest and not (rest[0] == ":" and (rest[1:] == "" or (rest[1:].isascii() and rest[1:].isdigit()))):
        return ""
    return host.removesuffix(".")


def normal_origin(text: str) -> str:
    """An origin as browsers write it: lower case, no default port, no trailing slash, names in ASCII.

    Raises:
        ValueError: for anything but ``scheme://host[:port]``.
    """
    parts = urlsplit(text.strip().lower())
    port = parts.port
    if not parts.scheme or not parts.hostname or parts.path not in ("", "/"):
        raise ValueError(text)
    if parts.query or parts.fragment or not _AUTHORITY.fullmatch(parts.netloc):
        raise ValueError(text)
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    default = {"http": 80, "https": 443}.get(parts.scheme)
    return f"{parts.scheme}://{host}" + ("" if port in (None, default) else f":{port}")
