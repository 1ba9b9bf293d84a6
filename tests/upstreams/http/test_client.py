"""The HTTP client over real sockets."""

import asyncio
import contextlib
import gc
import gzip
import socket
import time
import zlib
from collections.abc import Awaitable, Callable, Mapping
from typing import TypeAlias

import pytest

from gptoss_api.core.errors import (
    GatewayError,
    UpstreamFailure,
    UpstreamIncomplete,
    UpstreamTimeout,
    UpstreamUnavailable,
)
from gptoss_api.upstreams.http import HttpClient
from gptoss_api.upstreams.http.connection import Connection

from .servers import CHUNKED_HEAD, Handler, Peer, RawServer, always, chunked, response

Serve: TypeAlias = Callable[[Handler], Awaitable[RawServer]]


async def fetch(
    client: HttpClient, url: str, method: str = "GET", *, headers: Mapping[str, str] = {}, body: bytes = b""
) -> tuple[int, bytes]:
    async with client.request(method, url, headers=headers, body=body, idle_timeout=5.0) as answer:
        data = await answer.read_all(1 << 30)
        # The size was met, so the end may be still to come; see that it does.
        assert await answer.read_chunk() == b""
        return answer.status, data


# -- requests ----------------------------------------------------------------------------------


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


# -- bodies ------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [1, 3, 10_000])
async def test_every_framing_gives_the_same_body_however_it_is_cut(
    client: HttpClient, serve: Serve, size: int
) -> None:
    body = b'data: {"a": 1}\n\n' * 5
    forms = [
        response(body),
        CHUNKED_HEAD + chunked(body[:7], body[7:8], body[8:]),
        CHUNKED_HEAD.replace(b"chunked", b"Chunked")
        + b"5;ext=1\r\n"
        + body[:5]
        + b"\r\n"
        + chunked(body[5:]),
        CHUNKED_HEAD + chunked(body)[:-2] + b"X-Trailer: content-length\r\n\r\n",
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n" + response(body),
        b"HTTP/1.0 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body,
        b"HTTP/1.1 200 OK\r\nX: y\r\n\r\n" + body,
    ]

    async def handler(peer: Peer) -> None:
        request = await peer.request()
        data = forms[int(request.split(b" ")[1][1:])]
        for start in range(0, len(data), size):
            await peer.send(data[start : start + size])
            await asyncio.sleep(0)
        peer.writer.close()

    server = await serve(handler)
    for number in range(len(forms)):
        assert await fetch(client, f"{server.url}/{number}") == (200, body), forms[number]


async def test_chunks_are_given_out_as_they_arrive(client: HttpClient, serve: Serve) -> None:
    turn = asyncio.Event()

    async def handler(peer: Peer) -> None:
        await peer.request()
        await peer.send(CHUNKED_HEAD)
        for number in range(5):
            await turn.wait()
            turn.clear()
            await peer.send(b"3\r\na%d\n\r\n" % number)
        await turn.wait()
        await peer.send(b"0\r\n\r\n")

    server = await serve(handler)
    async with client.request("GET", server.url) as answer:
        assert answer.headers.get("content-type") == "text/event-stream"
        for number in range(5):
            turn.set()
            assert await answer.read_chunk() == b"a%d\n" % number
        turn.set()
        assert await answer.read_chunk() == b""
        assert await answer.read_chunk() == b""


async def test_everything_that_arrived_meanwhile_comes_in_one_chunk(client: HttpClient, serve: Serve) -> None:
    sent = asyncio.Event()

    async def handler(peer: Peer) -> None:
        await peer.request()
        await peer.send(CHUNKED_HEAD)
        for _ in range(10):
            await peer.send(chunked(b"abc")[:-5])
            await asyncio.sleep(0.005)
        sent.set()
        await peer.gone()

    server = await serve(handler)
    async with client.request("GET", server.url) as answer:
        await sent.wait()
        await asyncio.sleep(0.02)
        assert await answer.read_chunk() == b"abc" * 10


async def test_read_all_stops_at_its_limit(client: HttpClient, serve: Serve) -> None:
    server = await serve(always(response(b"x" * 1000)))
    async with client.request("GET", server.url) as answer:
        assert await answer.read_all(10) == b"x" * 10


@pytest.mark.parametrize("status", ["204 No Content", "304 Not Modified"])
async def test_statuses_without_body_end_at_their_headers(
    client: HttpClient, serve: Serve, status: str
) -> None:
    server = await serve(always(f"HTTP/1.1 {status}\r\nETag: x\r\n\r\n".encode()))
    for _ in range(2):
        assert await fetch(client, server.url) == (int(status[:3]), b"")
    assert server.connections == 1


async def test_the_answer_to_head_ends_at_its_headers(client: HttpClient, serve: Serve) -> None:
    server = await serve(always(b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n"))
    for _ in range(2):
        assert await fetch(client, server.url, "HEAD") == (200, b"")
    assert server.connections == 1


def _bare_deflate(data: bytes) -> bytes:
    packer = zlib.compressobj(wbits=-15)
    return packer.compress(data) + packer.flush()


@pytest.mark.parametrize(
    ("encoding", "pack"),
    [
        ("gzip", gzip.compress),
        ("X-GZIP", gzip.compress),
        ("gzip", lambda data: gzip.compress(data[:9]) + gzip.compress(data[9:])),
        ("deflate", zlib.compress),
        ("deflate", _bare_deflate),
        ("identity", bytes),
    ],
)
async def test_encoded_bodies_are_decoded(
    client: HttpClient, serve: Serve, encoding: str, pack: Callable[[bytes], bytes]
) -> None:
    body = bytes(range(256)) * 10
    server = await serve(always(response(pack(body), f"Content-Encoding: {encoding}")))
    for _ in range(2):
        assert await fetch(client, server.url) == (200, body)
    assert server.connections == 1


async def test_a_compressed_stream_is_given_out_at_each_flush(client: HttpClient, serve: Serve) -> None:
    turn = asyncio.Event()
    packer = zlib.compressobj(wbits=31)

    async def handler(peer: Peer) -> None:
        await peer.request()
        await peer.send(b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n\r\n")
        for number in range(3):
            await turn.wait()
            turn.clear()
            data = packer.compress(b"data: %d\n\n" % number) + packer.flush(zlib.Z_SYNC_FLUSH)
            await peer.send(chunked(data)[:-5])
        await peer.send(chunked(packer.flush()))

    server = await serve(handler)
    async with client.request("GET", server.url) as answer:
        for number in range(3):
            turn.set()
            assert await answer.read_chunk() == b"data: %d\n\n" % number
        assert await answer.read_chunk() == b""


async def test_a_decompression_bomb_comes_in_bounded_pieces(client: HttpClient, serve: Serve) -> None:
    bomb = gzip.compress(bytes(30_000_000))
    server = await serve(always(response(bomb, "Content-Encoding: gzip")))
    total = 0
    async with client.request("GET", server.url) as answer:
        while data := await answer.read_chunk():
            assert len(data) <= 256 * 1024
            total += len(data)
    assert total == 30_000_000


@pytest.mark.parametrize(
    "body", [b"not gzip at all", gzip.compress(b"x" * 100)[:-3], gzip.compress(b"x" * 100)[:-8] + b"12345678"]
)
async def test_a_corrupt_compressed_body_is_incomplete(client: HttpClient, serve: Serve, body: bytes) -> None:
    server = await serve(always(response(body, "Content-Encoding: gzip")))
    with pytest.raises(UpstreamIncomplete):
        await fetch(client, server.url)


async def test_an_unknown_content_encoding_is_an_upstream_failure(client: HttpClient, serve: Serve) -> None:
    server = await serve(always(response(b"x", "Content-Encoding: br")))
    with pytest.raises(UpstreamFailure, match="br"):
        await fetch(client, server.url)


async def test_headers_keep_every_occurrence(client: HttpClient, serve: Serve) -> None:
    server = await serve(
        always(response(b"", "Set-Cookie: a=1; Expires=Wed, 01 Jan", "X-Y:  v  ", "set-cookie: b=2"))
    )
    async with client.request("GET", server.url) as answer:
        assert answer.headers.get_all("SET-COOKIE") == ["a=1; Expires=Wed, 01 Jan", "b=2"]
        assert answer.headers.get("x-y") == "v"
        assert answer.headers.get("absent") is None
        assert answer.headers.get_all("absent") == []
        assert "X-Y" in answer.headers
        assert "a=1" not in repr(answer.headers)


# -- the pool ----------------------------------------------------------------------------------


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
    # The second dies as well, but so does the third: one retry is all there is.
    with pytest.raises(UpstreamFailure):
        await fetch(client, server.url)
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


# -- leaving early -----------------------------------------------------------------------------


class Endless:
    """Streams until the client goes and notes the moment."""

    def __init__(self) -> None:
        self.gone_at: asyncio.Future[float] = asyncio.get_running_loop().create_future()

    async def __call__(self, peer: Peer) -> None:
        await peer.request()
        await peer.send(CHUNKED_HEAD + chunked(b"first")[:-5])
        await peer.gone()
        self.gone_at.set_result(time.perf_counter())

    async def delay(self, since: float) -> float:
        return await asyncio.wait_for(self.gone_at, 2) - since


async def test_leaving_the_block_early_closes_the_socket_at_once(client: HttpClient, serve: Serve) -> None:
    handler = Endless()
    server = await serve(handler)
    async with client.request("GET", server.url) as answer:
        assert await answer.read_chunk() == b"first"
        left = time.perf_counter()
    assert await handler.delay(left) < 0.1


@pytest.mark.parametrize("reading", [True, False], ids=["while-reading", "while-waiting-for-headers"])
async def test_cancellation_closes_the_socket_at_once(
    client: HttpClient, serve: Serve, reading: bool
) -> None:
    endless = Endless()

    async def silent(peer: Peer) -> None:
        await peer.request()
        await peer.gone()
        endless.gone_at.set_result(time.perf_counter())

    server = await serve(endless if reading else silent)

    async def consume() -> None:
        async with client.request("GET", server.url) as answer:
            while await answer.read_chunk():
                pass

    task = asyncio.create_task(consume())
    await asyncio.sleep(0.05)
    cancelled = time.perf_counter()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await endless.delay(cancelled) < 0.1


async def test_an_error_in_the_block_closes_the_socket_and_passes(client: HttpClient, serve: Serve) -> None:
    handler = Endless()
    server = await serve(handler)
    with pytest.raises(LookupError):
        async with client.request("GET", server.url):
            raise LookupError
    assert await handler.delay(time.perf_counter()) < 0.1


async def test_cancellation_while_connecting_leaves_nothing_behind(client: HttpClient) -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        url = f"https://127.0.0.1:{listener.getsockname()[1]}/"
        task = asyncio.create_task(fetch(client, url))
        await asyncio.sleep(0.05)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        accepted, _ = listener.accept()
        accepted.settimeout(2)
        with accepted, contextlib.suppress(ConnectionError):
            while await asyncio.to_thread(accepted.recv, 65536):
                pass


async def test_finish_reads_the_rest_so_that_the_connection_is_reused(
    client: HttpClient, serve: Serve
) -> None:
    async def handler(peer: Peer) -> None:
        while await peer.request():
            await peer.send(CHUNKED_HEAD + chunked(b"[DONE]")[:-5])
            await asyncio.sleep(0.02)
            await peer.send(b"0\r\n\r\n")

    server = await serve(handler)
    for _ in range(2):
        async with client.request("GET", server.url) as answer:
            assert await answer.read_chunk() == b"[DONE]"
            assert await answer.finish(1.0)
    assert server.connections == 1


async def test_finish_gives_up_after_its_time(client: HttpClient, serve: Serve) -> None:
    handler = Endless()
    server = await serve(handler)
    async with client.request("GET", server.url) as answer:
        began = time.perf_counter()
        assert not await answer.finish(0.05)
        assert time.perf_counter() - began < 0.5
    assert await handler.delay(time.perf_counter()) < 0.1


async def test_finish_swallows_a_broken_end(client: HttpClient, serve: Serve) -> None:
    server = await serve(always(CHUNKED_HEAD + b"5\r\nab", then_close=True))
    async with client.request("GET", server.url) as answer:
        assert not await answer.finish(1.0)


async def test_a_response_is_of_no_use_outside_its_block(client: HttpClient, serve: Serve) -> None:
    server = await serve(always(response(b"x")))
    async with client.request("GET", server.url) as answer:
        pass
    with pytest.raises(RuntimeError):
        await answer.read_chunk()
    with pytest.raises(RuntimeError):
        await answer.finish(1.0)


async def test_a_finished_exchange_needs_no_garbage_collector(client: HttpClient, serve: Serve) -> None:
    server = await serve(always(CHUNKED_HEAD + b"5\r\nab", then_close=True))
    gc.collect()
    gc.disable()
    try:
        with contextlib.suppress(UpstreamIncomplete):
            await fetch(client, server.url)
        await asyncio.sleep(0.01)
        assert [thing for thing in gc.get_objects() if isinstance(thing, Connection)] == []
    finally:
        gc.enable()


# -- time --------------------------------------------------------------------------------------


@pytest.mark.parametrize("begun", [b"", b"HTTP/1.1 200 OK\r\nX:"], ids=["silent", "half-a-head"])
async def test_silence_instead_of_headers_times_out(client: HttpClient, serve: Serve, begun: bytes) -> None:
    async def handler(peer: Peer) -> None:
        await peer.request()
        await peer.send(begun)
        await peer.gone()

    server = await serve(handler)
    began = time.perf_counter()
    with pytest.raises(UpstreamTimeout, match=rf"127\.0\.0\.1:{server.port} did not answer for 0\.1 seconds"):
        async with client.request("GET", server.url, idle_timeout=0.1):
            pytest.fail("no head came")
    assert 0.08 < time.perf_counter() - began < 1


async def test_silence_in_the_body_times_out_after_the_arrived_bytes(
    client: HttpClient, serve: Serve
) -> None:
    handler = Endless()
    server = await serve(handler)
    async with client.request("GET", server.url, idle_timeout=0.1) as answer:
        assert await answer.read_chunk() == b"first"
        with pytest.raises(UpstreamTimeout):
            await answer.read_chunk()
    assert await handler.delay(time.perf_counter()) < 0.1


async def test_a_slow_but_steady_stream_does_not_time_out(client: HttpClient, serve: Serve) -> None:
    async def handler(peer: Peer) -> None:
        await peer.request()
        await peer.send(CHUNKED_HEAD)
        for _ in range(10):
            await peer.send(chunked(b"x")[:-5])
            await asyncio.sleep(0.04)
        await peer.send(b"0\r\n\r\n")

    server = await serve(handler)
    async with client.request("GET", server.url, idle_timeout=0.15) as answer:
        assert await answer.read_all(100) == b"x" * 10


async def test_a_slow_reader_is_not_taken_for_a_silent_upstream(client: HttpClient, serve: Serve) -> None:
    body = bytes(3_000_000)
    server = await serve(always(response(body)))
    async with client.request("GET", server.url, idle_timeout=0.1) as answer:
        size = len(await answer.read_chunk())
        await asyncio.sleep(0.3)
        while data := await answer.read_chunk():
            size += len(data)
    assert size == len(body)


async def test_a_connect_that_never_succeeds_times_out() -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        port = listener.getsockname()[1]
        # TCP connects, but nobody answers the TLS handshake.
        client = HttpClient(connect_timeout=0.1)
        with pytest.raises(UpstreamTimeout, match=f"127.0.0.1:{port} within 0.1 seconds") as caught:
            await fetch(client, f"https://127.0.0.1:{port}/")
        assert caught.value.retryable
        await client.close()


# -- failures ----------------------------------------------------------------------------------


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


# -- backpressure ------------------------------------------------------------------------------


async def test_a_reader_that_does_not_read_stops_the_sender(client: HttpClient, serve: Serve) -> None:
    block = bytes(100_000)
    sent = 0

    async def handler(peer: Peer) -> None:
        nonlocal sent
        await peer.request()
        await peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 50000000\r\n\r\n")
        for _ in range(500):
            await peer.send(block)
            sent += len(block)

    server = await serve(handler)
    async with client.request("GET", server.url) as answer:
        await asyncio.sleep(0.3)
        # What the kernel's buffers on both ends take, which may be some megabytes, and 256 KiB of ours.
        stalled = sent
        assert stalled < 25_000_000
        await asyncio.sleep(0.1)
        assert sent == stalled
        first = len(await answer.read_chunk())
        assert first < 1_000_000
        total = first
        while data := await answer.read_chunk():
            total += len(data)
    assert total == 50_000_000


async def test_a_connection_whose_response_outran_the_reader_is_reused(
    client: HttpClient, serve: Serve
) -> None:
    server = await serve(always(response(bytes(700_000))))
    for _ in range(3):
        async with client.request("GET", server.url) as answer:
            assert len(await answer.read_all(800_000)) == 700_000
    assert server.connections == 1
