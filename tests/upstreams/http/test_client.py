"""Requests as they leave and the pool of connections."""

import asyncio
import zlib

import pytest

from gptoss_api.core.errors import (
    UpstreamFailure,
    UpstreamUnavailable,
)
from gptoss_api.upstreams.http import HttpClient

from .exchange import Serve, fetch
from .servers import CHUNKED_HEAD, Peer, always, chunked, response


async def test_the_request_reaches_the_server_as_given(client: HttpClient, serve: Serve) -> None:
    seen: list[bytes] = []

    async def handler(peer: Peer) -> None:
        seen.append(await peer.request())
        await peer.send(response(b""))

    server = await serve(handler)
    await fetch(
        client, f"{server.url}/a/b?c=d%20e", "POST", headers={"X-Key": "v", "accept": "*/*"}, body=b"hello"
    )
    assert seen == [
        b"POST /a/b?c=d%20e HTTP/1.1\r\n"
        b"Host: 127.0.0.1:" + str(server.port).encode() + b"\r\n"
        b"X-Key: v\r\naccept: */*\r\nAccept-Encoding: identity\r\nContent-Length: 5\r\n\r\nhello"
    ]


async def test_a_large_body_arrives_whole(client: HttpClient, serve: Serve) -> None:
    body = bytes(range(256)) * 20_000

    async def handler(peer: Peer) -> None:
        request = await peer.request()
        await peer.send(response(str(zlib.crc32(request.split(b"\r\n\r\n", 1)[1])).encode()))

    server = await serve(handler)
    assert await fetch(client, server.url, "POST", body=body) == (200, str(zlib.crc32(body)).encode())


async def test_userinfo_of_the_url_becomes_basic_authorization(client: HttpClient, serve: Serve) -> None:
    async def handler(peer: Peer) -> None:
        await peer.send(response(await peer.request()))

    server = await serve(handler)
    _, echoed = await fetch(client, f"http://me:p%40ss@127.0.0.1:{server.port}/")
    assert b"Authorization: Basic bWU6cEBzcw==\r\n" in echoed
    assert b"p%40ss" not in echoed


@pytest.mark.parametrize("value", ["a\r\nX: y", "a\nb", "a\rb", "a\0b", "secret\u20ac"])
async def test_header_values_that_break_the_framing_are_refused(
    client: HttpClient, serve: Serve, value: str
) -> None:
    server = await serve(always(response(b"")))
    with pytest.raises(ValueError) as caught:
        await fetch(client, server.url, headers={"X-Key": value})
    assert value not in str(caught.value)
    assert server.connections == 0


@pytest.mark.parametrize("name", ["", "a b", "a:", "a\r\nb", "Content-Length", "transfer-encoding"])
async def test_header_names_that_break_the_framing_are_refused(client: HttpClient, name: str) -> None:
    with pytest.raises(ValueError):
        await fetch(client, "http://127.0.0.1:1/", headers={name: "1"})


@pytest.mark.parametrize(
    "url",
    [
        "ftp://h/",
        "http:///x",
        "http://h:99999/",
        "http://h:x/",
        "http://h/a b",
        "http://h/\r\nX: y",
        "/x",
        "http://ü/",
    ],
)
async def test_addresses_that_cannot_be_requested_are_refused(client: HttpClient, url: str) -> None:
    with pytest.raises(ValueError):
        await fetch(client, url)


async def test_a_connection_is_reused_after_a_whole_response(client: HttpClient, serve: Serve) -> None:
    server = await serve(always(CHUNKED_HEAD + chunked(b"ab", b"c")))
    for _ in range(5):
        assert await fetch(client, server.url) == (200, b"abc")
    assert server.connections == 1


async def test_parallel_requests_have_a_connection_each_and_share_them_later(
    client: HttpClient, serve: Serve
) -> None:
    server = await serve(always(response(b"x")))
    for _ in range(2):
        await asyncio.gather(*(fetch(client, server.url) for _ in range(4)))
    assert server.connections == 4


async def test_connection_close_is_obeyed(client: HttpClient, serve: Serve) -> None:
    server = await serve(always(response(b"x", "Connection: close")))
    for _ in range(2):
        assert await fetch(client, server.url) == (200, b"x")
    assert server.connections == 2


@pytest.mark.parametrize("with_reset", [False, True])
async def test_a_pooled_connection_that_died_is_replaced(
    client: HttpClient, serve: Serve, with_reset: bool
) -> None:
    async def handler(peer: Peer) -> None:
        await peer.request()
        await peer.send(response(b"x"))
        if with_reset:
            peer.writer.transport.abort()

    server = await serve(handler)
    assert await fetch(client, server.url, "POST", body=b"1") == (200, b"x")
    await asyncio.sleep(0.02)
    assert await fetch(client, server.url, "POST", body=b"2") == (200, b"x")
    assert server.connections == 2


async def test_a_pooled_connection_that_dies_on_the_request_is_retried_once(
    client: HttpClient, serve: Serve
) -> None:
    requests: list[tuple[int, bytes]] = []

    async def handler(peer: Peer) -> None:
        requests.append((peer.number, await peer.request()))
        if peer.number <= 2:
            await peer.send(response(b"x"))
            requests.append((peer.number, await peer.request()))

    server = await serve(handler)
    await fetch(client, server.url)
    # The first connection dies under the second request, which the second connection serves.
    assert await fetch(client, server.url, "POST", body=b"b") == (200, b"x")
    # The second dies as well, but so does the third: one retry is all there is, also for who asks.
    with pytest.raises(UpstreamFailure) as caught:
        await fetch(client, server.url)
    assert not caught.value.retryable
    assert [number for number, _ in requests] == [1, 1, 2, 2, 3]


async def test_nothing_is_retried_once_a_byte_was_answered(client: HttpClient, serve: Serve) -> None:
    async def handler(peer: Peer) -> None:
        await peer.request()
        await peer.send(response(b"x"))
        await peer.request()
        await peer.send(b"HTTP/1.1 2")

    server = await serve(handler)
    await fetch(client, server.url)
    with pytest.raises(UpstreamFailure):
        await fetch(client, server.url)
    assert server.connections == 1


async def test_bytes_after_a_response_never_reach_the_next_one(client: HttpClient, serve: Serve) -> None:
    server = await serve(always(response(b"good") + response(b"evil")))
    for _ in range(3):
        assert await fetch(client, server.url) == (200, b"good")
    assert server.connections == 3


async def test_unasked_bytes_on_an_idle_connection_close_it(client: HttpClient, serve: Serve) -> None:
    async def handler(peer: Peer) -> None:
        while await peer.request():
            await peer.send(response(b"good"))
            await asyncio.sleep(0.01)
            await peer.send(response(b"evil"))

    server = await serve(handler)
    for _ in range(2):
        assert await fetch(client, server.url) == (200, b"good")
        await asyncio.sleep(0.05)
    assert server.connections == 2


async def test_an_answer_before_the_request_has_left_ends_the_connection(
    client: HttpClient, serve: Serve
) -> None:
    gone = asyncio.Event()

    async def handler(peer: Peer) -> None:
        await peer.reader.readuntil(b"\r\n\r\n")
        await peer.send(response(b"too large", status="413 Content Too Large"))
        await asyncio.sleep(0.05)
        await peer.gone()
        gone.set()

    server = await serve(handler)
    status, _ = await fetch(client, server.url, "POST", body=bytes(30_000_000))
    assert status == 413
    await asyncio.wait_for(gone.wait(), 2)


async def test_idle_connections_are_closed_after_their_time(serve: Serve) -> None:
    gone = asyncio.Event()

    async def handler(peer: Peer) -> None:
        await peer.request()
        await peer.send(response(b"x"))
        await peer.gone()
        gone.set()

    server = await serve(handler)
    client = HttpClient(idle_expiry=0.05)
    await fetch(client, server.url)
    await asyncio.wait_for(gone.wait(), 1)
    await client.close()


async def test_a_connection_past_its_time_is_not_used_even_before_it_is_swept(serve: Serve) -> None:
    server = await serve(always(response(b"x")))
    client = HttpClient(idle_expiry=0.3)
    await fetch(client, server.url)
    await asyncio.sleep(0.1)
    # Used again, the connection outlives the first sweep; its time is over at 0.4, the next sweep at 0.6.
    await fetch(client, server.url)
    assert server.connections == 1
    await asyncio.sleep(0.4)
    await fetch(client, server.url)
    assert server.connections == 2
    await client.close()


async def test_no_more_idle_connections_are_kept_than_allowed(serve: Serve) -> None:
    server = await serve(always(response(b"x")))
    client = HttpClient(max_idle_per_origin=1)
    for _ in range(2):
        await asyncio.gather(*(fetch(client, server.url) for _ in range(3)))
    assert server.connections == 5
    await client.close()


async def test_closing_the_client_ends_running_and_later_requests(serve: Serve) -> None:
    gone = asyncio.Event()

    async def handler(peer: Peer) -> None:
        await peer.request()
        await peer.send(CHUNKED_HEAD)
        await peer.gone()
        gone.set()

    server = await serve(handler)
    client = HttpClient()
    async with client.request("GET", server.url) as answer:
        reading = asyncio.create_task(answer.read_chunk())
        await asyncio.sleep(0.01)
        await client.close()
        with pytest.raises(UpstreamFailure):
            await reading
    await asyncio.wait_for(gone.wait(), 1)
    with pytest.raises(UpstreamUnavailable):
        await fetch(client, server.url)
