"""Bodies in every framing and encoding, headers, backpressure."""

import asyncio
import gzip
import random
import zlib
from collections.abc import Callable

import pytest

from gptoss_api.core.errors import (
    UpstreamFailure,
    UpstreamIncomplete,
)
from gptoss_api.upstreams.http import HttpClient

from .exchange import Serve, fetch
from .servers import CHUNKED_HEAD, Peer, always, chunked, response


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


async def test_who_is_told_of_changes_can_take_all_that_a_compressed_body_has_brought(
    client: HttpClient, serve: Serve
) -> None:
    body = random.Random(7).randbytes(1000) * 900
    over = asyncio.Event()

    async def handler(peer: Peer) -> None:
        await peer.request()
        await peer.send(b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n\r\n" + _flushed(body))
        await over.wait()

    def _flushed(data: bytes) -> bytes:
        packer = zlib.compressobj(wbits=31)
        return packer.compress(data) + packer.flush(zlib.Z_SYNC_FLUSH)

    server = await serve(handler)
    changed = asyncio.Event()
    async with client.request("GET", server.url) as answer, asyncio.timeout(10):
        source, taken = answer.source, b""
        source.watch(changed.set)
        while len(taken) < len(body):
            taken += source.take() or b""
            if not source.done and len(taken) < len(body):
                await changed.wait()
                changed.clear()
        assert not source.ended
        over.set()
    assert taken == body


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
    "body",
    [b"not gzip at all", gzip.compress(b"x" * 100)[:-3], gzip.compress(b"x" * 100)[:-8] + b"12345678"],
    ids=["not gzip", "cut", "wrong checksum"],
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
