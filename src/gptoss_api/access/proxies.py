"""Proxies whose word is taken for where a request came from, and under which name.

Everybody can send ``X-Forwarded-*``; only what a known proxy wrote tells more than the connection does.
"""

from collections.abc import Iterable
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import Final

from .origins import LOOPBACK

PRIVATE: Final = "private"
# What these words stand for. Source: RFC 1918, RFC 4193, RFC 4291.
_NAMED: Final = {
    LOOPBACK: ("127.0.0.0/8", "::1/128"),
    PRIVATE: ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7", "fe80::/10"),
}
# Addresses of one request that are looked at, from the nearest; nobody has so many proxies in a row.
_LONGEST_CHAIN: Final = 32

Headers = Iterable[tuple[bytes, bytes]]


class TrustedProxies:
    """The proxies at ``networks``: addresses, networks such as 10.0.0.0/8, ``loopback`` or ``private``."""

    __slots__ = ("_networks", "any", "trusts")

    def __init__(self, networks: Iterable[str]) -> None:
        each = [part for text in networks for part in _NAMED.get(text, (text,))]
        self._networks = [ip_network(text) for text in each]
        # Whether there is one.
        self.any: Final = bool(each)
        # Few different peers ask again and again.
        self.trusts = lru_cache(maxsize=1024)(self._trusts)

    def client(self, peer: str, headers: Headers) -> str:
        """The address of the client: of the nearest host in ``X-Forwarded-For`` that is no such proxy.

        ``peer`` is the other end of the connection, which it is where no proxy is trusted.
        """
        if not self._networks or not self.trusts(peer):
            return peer
        # Several headers of that name are one list.
        chain = ",".join(value.decode("latin-1") for name, value in headers if name == b"x-forwarded-for")
        nearest = peer
        for entry in reversed(chain.rsplit(",", _LONGEST_CHAIN)[-_LONGEST_CHAIN:]):
            address = _bare(entry.strip())
            if address is None:
                # What is left of it was written by nobody that is known.
                break
            nearest = str(address)
            if not self.trusts(nearest):
                break
        return nearest

    def told(self, peer: str, headers: Headers, name: bytes) -> str:
        """What the proxy at ``peer`` says in its header ``name``; "" where it is not trusted or silent."""
        if not self._networks or not self.trusts(peer):
            return ""
        values = [value for found, value in headers if found == name]
        # Whoever came before it may have written something in front.
        return values[-1].decode("latin-1").rpartition(",")[2].strip() if values else ""

    def _trusts(self, host: str) -> bool:
        address = _bare(host)
        return address is not None and any(address in network for network in self._networks)


def _bare(text: str) -> IPv4Address | IPv6Address | None:
    """The address in ``address``, ``address:port`` or ``[address]:port``."""
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        address = ip_address(text.partition("%")[0])
    except ValueError:
        return None
    return (address.ipv4_mapped or address) if isinstance(address, IPv6Address) else address
