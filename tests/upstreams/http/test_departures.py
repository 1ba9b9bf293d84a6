"""Leaving early, cancellation and timeouts."""

import asyncio
import contextlib
import gc
import socket
import time

import pytest

from gptoss_api.core.errors import (
    UpstreamIncomplete,
    UpstreamTimeout,
)
from gptoss_api.upstreams.http import HttpClient
from gptoss_api.upstreams.http.connection import Connection

from .exchange import Serve, fetch
from .servers import CHUNKED_HEAD, Endless, Peer, always, chunked, response


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
        listener.setblocking(False)
        url = f"https://127.0.0.1:{listener.getsockname()[1]}/"
        task = asyncio.create_task(fetch(client, url))
        # Nobody answers the TLS handshake, so the client is still connecting.
        accepted, _ = await asyncio.get_running_loop().sock_accept(listener)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
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


async def test_a_slow_upload_is_not_taken_for_a_silent_upstream(client: HttpClient, serve: Serve) -> None:
    size = 20_000_000

    async def handler(peer: Peer) -> None:
        head = await peer.reader.readuntil(b"\r\n\r\n")
        assert b"Content-Length: %d" % size in head
        for _ in range(20):
            await peer.reader.readexactly(size // 20)
            await asyncio.sleep(0.03)
        await peer.send(response(b"taken"))

    server = await serve(handler)
    async with client.request("POST", server.url, body=bytes(size), idle_timeout=0.25) as answer:
        assert await answer.read_all(100) == b"taken"


async def test_a_request_that_is_not_taken_times_out(client: HttpClient, serve: Serve) -> None:
    async def handler(peer: Peer) -> None:
        await asyncio.sleep(5)

    server = await serve(handler)
    with pytest.raises(UpstreamTimeout):
        async with client.request("POST", server.url, body=bytes(20_000_000), idle_timeout=0.1):
            pytest.fail("no head came")


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
