"""Opening connections: name resolution, happy eyeballs, proxy tunnels and TLS.

uvloop's ``create_connection`` tries addresses one after the other, so a dead IPv6 route would cost
the whole connect timeout; the race of RFC 8305 is therefore our own, on both kinds of loop.
"""

import asyncio
import errno
import re
import socket
import ssl
from itertools import chain, zip_longest
from typing import Any, TypeAlias

from ...core.errors import Overloaded, UpstreamTimeout, UpstreamUnavailable
from .connection import Connection
from .head import Origin
from .proxies import Proxy

# Head start of each address before the next one is tried, in seconds (RFC 8305, section 8).
_STAGGER = 0.25
_TUNNEL_HEAD_LIMIT = 16 * 1024
# The system asks after a silent peer: first after so many seconds, then as often as this, and gives it up
# after so many questions without an answer. A machine that is gone is noticed within two minutes, whatever
# is waited for; one that thinks answers without knowing.
_KEEPALIVE = (("TCP_KEEPIDLE", 60), ("TCP_KEEPALIVE", 60), ("TCP_KEEPINTVL", 15), ("TCP_KEEPCNT", 4))
_KEEPALIVE_OPTIONS = tuple(
    (getattr(socket, name), value) for name, value in _KEEPALIVE if hasattr(socket, name)
)

_AddressInfo: TypeAlias = tuple[int, int, int, str, Any]

_tunnel_status = re.compile(rb"HTTP/1\.[01] (\d{3})[ \r]").match


async def dial(
    origin: Origin, proxy: Proxy | None, tls: ssl.SSLContext | None, timeout: float | None
) -> Connection:
    """A fresh connection to ``origin``, through ``proxy`` if given, within ``timeout`` seconds.

    ``tls`` is needed when the origin or its proxy is ``https``. Raises
    :class:`UpstreamUnavailable` or :class:`UpstreamTimeout`, both ``unreached``, and
    :class:`Overloaded` where this process has no descriptor left.
    """
    try:
        return await _dial(origin, proxy, tls, timeout)
    except (UpstreamUnavailable, UpstreamTimeout) as failure:
        failure.unreached = True
        raise


async def _dial(
    origin: Origin, proxy: Proxy | None, tls: ssl.SSLContext | None, timeout: float | None
) -> Connection:
    first = origin if proxy is None else proxy.origin
    place = first.where if proxy is None else f"the proxy {first.where} (on the way to {origin.where})"
    try:
        async with asyncio.timeout(timeout):
            sock = await _open_socket(first, place)
            try:
                if proxy is not None and origin.scheme == "https":
                    await _open_tunnel(sock, origin, proxy)
                return await _start(sock, origin, first, tls)
            except BaseException:
                sock.close()
                raise
    except TimeoutError as error:
        late = UpstreamTimeout(
            f"No connection to {place}{'' if timeout is None else f' within {timeout:g} seconds'}: "
            "check the address and the network."
        )
        # Nothing was sent yet, so trying elsewhere is safe.
        late.retryable = True
        raise late from error
    except ssl.SSLCertVerificationError as error:
        raise UpstreamUnavailable(
            f"The TLS certificate of {origin.where} was not accepted ({error.verify_message}): check the "
            "address, the clock, and that the issuer is trusted here (SSL_CERT_FILE)."
        ) from error
    except ssl.SSLError as error:
        raise UpstreamUnavailable(
            f"No TLS with {origin.where} ({error.reason or 'handshake failed'}): check that it is really an "
            "https:// address."
        ) from error
    except ConnectionRefusedError as error:
        raise UpstreamUnavailable(
            f"Nothing answers at {place}: check that it is running and that the address is right."
        ) from error
    except OSError as error:
        if error.errno in (errno.EMFILE, errno.ENFILE):
            raise Overloaded(
                "The gateway has no descriptor left for a connection to its upstream. Try again in a moment; "
                "whoever runs it can allow it more (ulimit -n).",
                retry_after=1,
            ) from error
        reason = error.strerror or type(error).__name__
        raise UpstreamUnavailable(
            f"No connection to {place} ({reason}): check the address and the network."
        ) from error


async def _start(
    sock: socket.socket, origin: Origin, first: Origin, tls: ssl.SSLContext | None
) -> Connection:
    loop = asyncio.get_running_loop()
    if origin.scheme == "https":
        server_hostname: str | None = origin.host
    else:
        server_hostname = first.host if first.scheme == "https" else None
    _, connection = await loop.create_connection(
        lambda: Connection(loop, origin.where),
        sock=sock,
        ssl=tls if server_hostname is not None else None,
        server_hostname=server_hostname,
    )
    return connection


async def _open_tunnel(sock: socket.socket, origin: Origin, proxy: Proxy) -> None:
    """Has the proxy connect on to ``origin`` (RFC 9110, section 9.3.6)."""
    loop = asyncio.get_running_loop()
    head = f"CONNECT {origin.where} HTTP/1.1\r\nHost: {origin.where}\r\n"
    if proxy.credential is not None:
        head += f"Proxy-Authorization: {proxy.credential}\r\n"
    await loop.sock_sendall(sock, head.encode("latin-1") + b"\r\n")
    answer = bytearray()
    # In TLS the client speaks first, so nothing but the proxy's answer can arrive here.
    while b"\r\n\r\n" not in answer:
        data = await loop.sock_recv(sock, 4096)
        answer += data
        if not data or len(answer) > _TUNNEL_HEAD_LIMIT:
            break
    found = _tunnel_status(answer)
    if found is None or not answer.endswith(b"\r\n\r\n"):
        raise UpstreamUnavailable(
            f"The proxy {proxy.origin.where} gave no HTTP answer when asked for a tunnel to {origin.where}: "
            "check HTTPS_PROXY."
        )
    if not found[1].startswith(b"2"):
        status = found[1].decode()
        advice = (
            "put a user name and password into HTTPS_PROXY"
            if status == "407"
            else f"check HTTPS_PROXY, or add {origin.host} to NO_PROXY"
        )
        raise UpstreamUnavailable(
            f"The proxy {proxy.origin.where} refused a tunnel to {origin.where} (status {status}): {advice}."
        )


async def _open_socket(origin: Origin, place: str) -> socket.socket:
    addresses = await _resolve(origin, place)
    if len(addresses) == 1:
        return await _connect(addresses[0])
    queue = iter(addresses)
    attempts: list[asyncio.Task[socket.socket]] = []
    winner: asyncio.Task[socket.socket] | None = None
    try:
        running: set[asyncio.Task[socket.socket]] = set()
        while True:
            address = next(queue, None)
            if address is not None:
                attempts.append(asyncio.create_task(_connect(address)))
                running.add(attempts[-1])
            elif not running:
                # All failed; the first address is the one the system prefers, so its error tells most.
                return attempts[0].result()
            done, running = await asyncio.wait(
                running,
                timeout=None if address is None else _STAGGER,
                return_when=asyncio.FIRST_COMPLETED,
            )
            winner = next((attempt for attempt in done if attempt.exception() is None), None)
            if winner is not None:
                return winner.result()
    finally:
        for attempt in attempts:
            if attempt is not winner:
                attempt.cancel()
                attempt.add_done_callback(_discard)


def _discard(attempt: asyncio.Task[socket.socket]) -> None:
    if not attempt.cancelled() and attempt.exception() is None:
        attempt.result().close()


async def _resolve(origin: Origin, place: str) -> list[_AddressInfo]:
    """The addresses of a host with the families taking turns, in the system's order of preference."""
    host, port = origin.host, origin.port
    try:
        # A literal address needs no resolver and so no thread.
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST)
    except (OSError, UnicodeError):
        try:
            found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except (socket.gaierror, UnicodeError) as error:
            raise UpstreamUnavailable(
                f"The name of {place} cannot be resolved: check the address and the network's DNS."
            ) from error
    preferred = [info for info in found if info[0] == found[0][0]]
    others = [info for info in found if info[0] != found[0][0]]
    return [info for info in chain.from_iterable(zip_longest(preferred, others)) if info is not None]


async def _connect(address: _AddressInfo) -> socket.socket:
    family, kind, proto, _, sockaddr = address
    sock = socket.socket(family, kind, proto)
    try:
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for option, value in _KEEPALIVE_OPTIONS:
            sock.setsockopt(socket.IPPROTO_TCP, option, value)
        await asyncio.get_running_loop().sock_connect(sock, sockaddr)
    except BaseException:
        sock.close()
        raise
    return sock
