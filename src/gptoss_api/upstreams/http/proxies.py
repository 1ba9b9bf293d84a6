"""Which proxy the environment asks for, if any."""

import ipaddress
from typing import NamedTuple
from urllib.parse import urlsplit

from ...core.errors import UpstreamUnavailable
from .head import DEFAULT_PORTS, Origin, basic_credential


class Proxy(NamedTuple):
    """An HTTP proxy; ``credential`` is the value of ``Proxy-Authorization``."""

    origin: Origin
    credential: str | None


def _is_loopback(host: str) -> bool:
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


class Route(NamedTuple):
    """What two requests must share to share a connection."""

    origin: Origin
    proxy: Proxy | None


def environment_proxy(origin: Origin) -> Proxy | None:
    """The proxy for ``origin`` by HTTP_PROXY, HTTPS_PROXY, ALL_PROXY and NO_PROXY or the system's settings.

    Loopback never goes through a proxy. Raises :class:`UpstreamUnavailable` for a setting that
    cannot be served.
    """
    if _is_loopback(origin.host):
        return None
    # Imported late: it drags in http.client and email, and most installations have no proxy to ask about.
    from urllib.request import getproxies, proxy_bypass

    settings = getproxies()
    setting = settings.get(origin.scheme) or settings.get("all")
    if not setting or proxy_bypass(origin.host) or proxy_bypass(origin.where):
        return None
    return parse_proxy(setting, origin)


def parse_proxy(setting: str, origin: Origin) -> Proxy:
    """Reads a proxy URL, also one without its scheme; errors never repeat it since it may hold a password."""
    parts = urlsplit(setting if "://" in setting else f"http://{setting}")
    try:
        host, port = parts.hostname, parts.port
    except ValueError:
        host, port = None, None
    if parts.scheme not in DEFAULT_PORTS:
        raise UpstreamUnavailable(
            f"The environment asks for a {parts.scheme} proxy to reach {origin.where}, but only HTTP proxies "
            f"work: set {origin.scheme.upper()}_PROXY to an http:// address or add {origin.host} to NO_PROXY."
        )
    if not host:
        raise UpstreamUnavailable(
            f"The proxy setting to reach {origin.where} cannot be read: "
            f"{origin.scheme.upper()}_PROXY must look like http://host:port."
        )
    if parts.scheme == "https" and origin.scheme == "https":
        raise UpstreamUnavailable(
            f"The environment asks for a tunnel to {origin.where} through an https:// proxy, which does not "
            f"work: set HTTPS_PROXY to an http:// address or add {origin.host} to NO_PROXY."
        )
    return Proxy(
        Origin(parts.scheme, host, port or DEFAULT_PORTS[parts.scheme]),
        basic_credential(parts.username, parts.password),
    )
