"""Opening connections: TLS, names with several addresses, dead addresses."""

import asyncio
import contextlib
import socket
import ssl
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest

from gptoss_api.core.errors import Overloaded, UpstreamUnavailable
from gptoss_api.upstreams.http import HttpClient, dialing
from gptoss_api.upstreams.http.head import Origin

from .certificates import Certificate
from .exchange import Serve, fetch
from .servers import CHUNKED_HEAD, Peer, RawServer, always, chunked, response


async def test_https_is_verified_streamed_and_kept_alive(certificate: Certificate) -> None:
    async with RawServer(always(CHUNKED_HEAD + chunked(b"a", b"b")), certificate.server_context()) as server:
        client = HttpClient(ssl_context=certificate.client_context())
        for _ in range(3):
            assert await fetch(client, server.url) == (200, b"ab")
        assert server.connections == 1
        await client.close()


async def test_the_default_context_is_made_once_and_offers_http_1_1(
    certificate: Certificate, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate.cert))
    protocols: list[str | None] = []

    async def handler(peer: Peer) -> None:
        protocols.append(peer.writer.get_extra_info("ssl_object").selected_alpn_protocol())
        await peer.request()
        await peer.send(response(b"x", "Connection: close"))

    create = Mock(wraps=ssl.create_default_context)
    monkeypatch.setattr(ssl, "create_default_context", create)
    async with RawServer(handler, certificate.server_context()) as server:
        client = HttpClient()
        for _ in range(2):
            assert await fetch(client, server.url) == (200, b"x")
        await client.close()
    assert protocols == ["http/1.1", "http/1.1"]
    assert create.call_count == 1


async def test_no_tls_context_is_made_for_plain_http(
    client: HttpClient, serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ssl, "create_default_context", Mock(side_effect=AssertionError("not needed")))
    server = await serve(always(response(b"x")))
    assert await fetch(client, server.url) == (200, b"x")


async def test_an_unknown_issuer_is_unavailable_with_advice(
    client: HttpClient, certificate: Certificate
) -> None:
    async with RawServer(always(response(b"x")), certificate.server_context()) as server:
        with pytest.raises(UpstreamUnavailable, match=r"certificate.*self.signed.*SSL_CERT_FILE"):
            await fetch(client, server.url)


async def test_a_certificate_for_another_name_is_refused(
    certificate: Certificate, names: dict[str, list[dialing._AddressInfo]]
) -> None:
    async with RawServer(always(response(b"x")), certificate.server_context()) as server:
        names["other.test"] = [_tcp(server.port)]
        client = HttpClient(ssl_context=certificate.client_context())
        with pytest.raises(UpstreamUnavailable, match="certificate"):
            await fetch(client, "https://other.test/")
        await client.close()


async def test_tls_to_a_plain_server_is_unavailable(client: HttpClient, serve: Serve) -> None:
    async def handler(peer: Peer) -> None:
        await peer.reader.read(10)
        await peer.send(b"HTTP/1.1 400 Bad Request\r\n\r\n")

    server = await serve(handler)
    with pytest.raises(UpstreamUnavailable, match="https://"):
        await fetch(client, server.url.replace("http:", "https:"))


async def test_leaving_a_tls_response_early_closes_the_socket_at_once(certificate: Certificate) -> None:
    gone = asyncio.Event()

    async def handler(peer: Peer) -> None:
        await peer.request()
        await peer.send(CHUNKED_HEAD + b"1\r\na\r\n")
        await peer.gone()
        gone.set()

    async with RawServer(handler, certificate.server_context()) as server:
        client = HttpClient(ssl_context=certificate.client_context())
        async with client.request("GET", server.url) as answer:
            assert await answer.read_chunk() == b"a"
        await asyncio.wait_for(gone.wait(), 0.1)
        await client.close()


async def test_localhost_works_when_only_one_family_is_served(client: HttpClient, serve: Serve) -> None:
    server = await serve(always(response(b"x")))
    assert await fetch(client, f"http://localhost:{server.port}/") == (200, b"x")


async def test_an_ipv6_literal_is_reached(client: HttpClient) -> None:
    try:
        server = await asyncio.start_server(_answer_once, "::1", 0)
    except OSError:
        pytest.skip("no IPv6 loopback here")
    async with server:
        port = server.sockets[0].getsockname()[1]
        status, echoed = await fetch(client, f"http://[::1]:{port}/")
    assert status == 200
    assert f"Host: [::1]:{port}\r\n".encode() in echoed


async def _answer_once(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(response(await reader.readuntil(b"\r\n\r\n")))
    writer.close()


@pytest.fixture
def black_hole() -> Iterator[int]:
    """A loopback port that neither accepts nor refuses: its queue of connections is full."""
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(socket.socket())
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        for _ in range(4):
            filler = stack.enter_context(socket.socket())
            filler.setblocking(False)
            filler.connect_ex(listener.getsockname())
        port = listener.getsockname()[1]
        with socket.socket() as probe:
            probe.settimeout(0.2)
            with contextlib.suppress(TimeoutError):
                probe.connect(("127.0.0.1", port))
                pytest.skip("this system accepts beyond the queue")
        yield port


def _tcp(port: int) -> dialing._AddressInfo:
    return (socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", ("127.0.0.1", port))


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> dict[str, list[dialing._AddressInfo]]:
    """A name service of one's own."""
    table: dict[str, list[dialing._AddressInfo]] = {}

    async def resolve(origin: Origin, place: str) -> list[dialing._AddressInfo]:
        return table[origin.host]

    monkeypatch.setattr(dialing, "_resolve", resolve)
    return table


async def test_a_dead_address_costs_a_head_start_not_the_timeout(
    client: HttpClient, serve: Serve, black_hole: int, names: dict[str, list[dialing._AddressInfo]]
) -> None:
    server = await serve(always(response(b"x")))
    names["two.test"] = [_tcp(black_hole), _tcp(server.port)]
    began = time.perf_counter()
    assert await fetch(client, "http://two.test/") == (200, b"x")
    assert time.perf_counter() - began < 1.5


async def test_the_losing_attempt_is_given_up(
    client: HttpClient, serve: Serve, black_hole: int, names: dict[str, list[dialing._AddressInfo]]
) -> None:
    server = await serve(always(response(b"x")))
    names["two.test"] = [_tcp(black_hole), _tcp(server.port)]
    before = asyncio.all_tasks()
    async with client.request("GET", "http://two.test/"):
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        left = [task for task in asyncio.all_tasks() - before if "_connect" in repr(task)]
        assert left == []


async def test_an_attempt_that_connects_too_late_is_closed(
    client: HttpClient,
    serve: Serve,
    names: dict[str, list[dialing._AddressInfo]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    server = await serve(always(response(b"x")))
    names["two.test"] = [_tcp(1), _tcp(server.port)]
    connect = dialing._connect
    late = socket.socket()

    async def connect_late(address: dialing._AddressInfo) -> socket.socket:
        if address[4][1] == server.port:
            return await connect(address)
        # Connected in the moment in which the race was lost.
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.sleep(10)
        return late

    monkeypatch.setattr(dialing, "_connect", connect_late)
    assert await fetch(client, "http://two.test/") == (200, b"x")
    assert late.fileno() == -1


async def test_a_refusing_address_is_passed_over_at_once(
    client: HttpClient, serve: Serve, names: dict[str, list[dialing._AddressInfo]]
) -> None:
    server = await serve(always(response(b"x")))
    names["two.test"] = [_tcp(1), _tcp(server.port)]
    began = time.perf_counter()
    assert await fetch(client, "http://two.test/") == (200, b"x")
    assert time.perf_counter() - began < 0.2


async def test_when_every_address_refuses_the_place_is_unavailable(
    client: HttpClient, names: dict[str, list[dialing._AddressInfo]]
) -> None:
    names["two.test"] = [_tcp(1), _tcp(2)]
    with pytest.raises(UpstreamUnavailable, match=r"two\.test:80"):
        await fetch(client, "http://two.test/")


async def test_addresses_of_both_families_take_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    six = [(socket.AF_INET6, socket.SOCK_STREAM, 6, "", (f"::{n}", 80, 0, 0)) for n in (1, 2)]
    four = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (f"127.0.0.{n}", 80)) for n in (1, 2, 3)]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: [*six, *four])
    addresses = await dialing._resolve(Origin("http", "many.test", 80), "many.test:80")
    assert addresses == [six[0], four[0], six[1], four[1], four[2]]


@pytest.mark.skipif(sys.platform != "linux", reason="counts descriptors as Linux does")
async def test_a_lack_of_descriptors_is_not_blamed_on_the_network(client: HttpClient, serve: Serve) -> None:
    import resource

    server = await serve(always(response(b"x")))
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    taken: list[socket.socket] = []
    try:
        highest = max(int(entry.name) for entry in Path("/proc/self/fd").iterdir())
        resource.setrlimit(resource.RLIMIT_NOFILE, (highest + 8, limits[1]))
        with contextlib.suppress(OSError):
            while True:
                taken.append(socket.socket())
        with pytest.raises(Overloaded, match="no descriptor left"):
            await fetch(client, server.url)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
        for each in taken:
            each.close()
    assert await fetch(client, server.url) == (200, b"x")


@pytest.mark.skipif(sys.platform != "linux", reason="other systems call the options otherwise")
async def test_the_system_asks_after_a_peer_that_is_silent(
    client: HttpClient, serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    connect = dialing._connect
    seen: list[int] = []

    async def looked_at(address: Any) -> socket.socket:
        sock = await connect(address)
        seen.append(sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE))
        for option in (socket.TCP_KEEPIDLE, socket.TCP_KEEPINTVL, socket.TCP_KEEPCNT):
            seen.append(sock.getsockopt(socket.IPPROTO_TCP, option))
        return sock

    monkeypatch.setattr(dialing, "_connect", looked_at)
    server = await serve(always(response(b"x")))
    assert await fetch(client, server.url) == (200, b"x")
    assert seen == [1, 60, 15, 4]
