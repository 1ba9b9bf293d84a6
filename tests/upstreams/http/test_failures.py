"""What goes wrong at the other end, and as which error."""

import asyncio
import socket

import pytest

from gptoss_api.core.errors import (
    GatewayError,
    UpstreamFailure,
    UpstreamIncomplete,
    UpstreamUnavailable,
)
from gptoss_api.upstreams.http import HttpClient

from .exchange import Serve, fetch
from .servers import CHUNKED_HEAD, Handler, Peer, always, response


async def test_a_refused_connection_is_unavailable_and_names_the_place_only(client: HttpClient) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
        with pytest.raises(UpstreamUnavailable) as caught:
            await fetch(client, f"http://user:hidden@127.0.0.1:{port}/path?key=hidden")
    assert f"127.0.0.1:{port}" in caught.value.message
    assert "hidden" not in caught.value.message


@pytest.mark.parametrize("host", ["no-such-host.invalid", "a" * 80 + ".invalid", "a..invalid"])
async def test_a_name_that_does_not_resolve_is_unavailable(client: HttpClient, host: str) -> None:
    with pytest.raises(UpstreamUnavailable, match="cannot be resolved"):
        await fetch(client, f"http://{host}/")


@pytest.mark.parametrize(
    "data",
    [
        CHUNKED_HEAD + b"5\r\nab",
        CHUNKED_HEAD + b"2\r\nab\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nab",
        CHUNKED_HEAD + b"2\r\nab\r\nzz\r\n",
    ],
    ids=["in-a-chunk", "between-chunks", "too-short", "bad-chunk-size"],
)
async def test_a_body_that_breaks_off_is_incomplete_after_what_arrived(
    client: HttpClient, serve: Serve, data: bytes
) -> None:
    server = await serve(always(data, then_close=True))
    got = b""
    with pytest.raises(UpstreamIncomplete):  # noqa: PT012 - the loop is the reading under test
        async with client.request("GET", server.url) as answer:
            while chunk := await answer.read_chunk():
                got += chunk
    assert got == b"ab"


async def test_a_reset_ends_even_a_body_without_length_as_incomplete(
    client: HttpClient, serve: Serve
) -> None:
    async def handler(peer: Peer) -> None:
        await peer.request()
        await peer.send(b"HTTP/1.1 200 OK\r\n\r\nab")
        await asyncio.sleep(0.02)
        sock = peer.writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        peer.writer.transport.abort()

    server = await serve(handler)
    with pytest.raises(UpstreamIncomplete):
        await fetch(client, server.url)


@pytest.mark.parametrize(
    "data",
    [b"", b"SSH-2.0-OpenSSH_9.6\r\n", b"\x15\x03\x01\x00\x02\x02", b"<html>"],
    ids=["nothing", "ssh", "tls-alert", "html"],
)
async def test_what_is_no_http_at_all_is_an_upstream_failure(
    client: HttpClient, serve: Serve, data: bytes
) -> None:
    server = await serve(always(data, then_close=True))
    with pytest.raises(UpstreamFailure) as caught:
        await fetch(client, server.url)
    assert type(caught.value) is UpstreamFailure


@pytest.mark.parametrize(
    "data",
    [
        b"HTTP/1.1 200 OK\r\nContent-Le",
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nabcdef",
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nbad header\r\n\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: h2c\r\n\r\n",
        b"HTTP/1.1 100 Continue\r\n\r\n",
    ],
    ids=[
        "cut-head",
        "two-lengths",
        "both-framings",
        "transfer-gzip",
        "bad-header",
        "upgrade",
        "only-interim",
    ],
)
async def test_a_head_that_is_wrong_after_its_status_line_is_incomplete(
    client: HttpClient, serve: Serve, data: bytes
) -> None:
    server = await serve(always(data, then_close=True))
    with pytest.raises(UpstreamIncomplete):
        await fetch(client, server.url)


async def _endless_lines(peer: Peer) -> None:
    await peer.request()
    await peer.send(b"HTTP/1.1 200 OK\r\n")
    for number in range(100_000):
        await peer.send(b"X-%d: %s\r\n" % (number, b"y" * 500))


async def _endless_line(peer: Peer) -> None:
    await peer.request()
    await peer.send(b"HTTP/1.1 200 OK\r\nX: ")
    for _ in range(100_000):
        await peer.send(b"y" * 1000)


async def _endless_interims(peer: Peer) -> None:
    await peer.request()
    for _ in range(1_000_000):
        await peer.send(b"HTTP/1.1 102 Processing\r\n\r\n" * 100)


async def _endless_trailer(peer: Peer) -> None:
    await peer.request()
    await peer.send(CHUNKED_HEAD + b"0\r\nX: ")
    for _ in range(100_000):
        await peer.send(b"y" * 1000)


@pytest.mark.parametrize("handler", [_endless_lines, _endless_line, _endless_interims, _endless_trailer])
async def test_headers_without_end_are_cut_off(client: HttpClient, serve: Serve, handler: Handler) -> None:
    server = await serve(handler)
    with pytest.raises(UpstreamIncomplete, match="headers"):
        await asyncio.wait_for(fetch(client, server.url), 5)


async def test_a_head_over_the_limit_is_refused_even_in_one_piece(client: HttpClient, serve: Serve) -> None:
    server = await serve(always(response(b"x" * 10, "X: " + "y" * 70_000)))
    with pytest.raises(UpstreamIncomplete, match="64 KiB"):
        await fetch(client, server.url)


async def test_large_headers_within_the_limit_pass(client: HttpClient, serve: Serve) -> None:
    server = await serve(always(response(b"ok", "X: " + "y" * 60_000)))
    assert await fetch(client, server.url) == (200, b"ok")


async def test_failures_carry_no_header_or_query_of_the_request(client: HttpClient, serve: Serve) -> None:
    server = await serve(always(b"junk", then_close=True))
    with pytest.raises(GatewayError) as caught:
        await fetch(client, f"{server.url}/?key=hidden", headers={"Cookie": "hidden"})
    assert "hidden" not in repr(caught.value)
