"""A connection without a socket: what is written, when, and to whom."""

import asyncio

import pytest

from gptoss_api.server.exchange import ClientGone, Exchange
from tests.server.unwired import connected

GET = b"GET / HTTP/1.1\r\nhost: here\r\n\r\n"


async def a_moment() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def stream(exchange: Exchange) -> None:
    exchange.start(200, [(b"content-type", b"text/plain")], sized=False)
    exchange.write(b"one")
    exchange.end(b"two")


async def test_head_and_first_bytes_leave_in_one_write_and_the_end_with_the_last() -> None:
    protocol, transport = connected(stream)
    protocol.data_received(GET)
    await a_moment()
    first, last = transport.pieces
    assert first.endswith(b"transfer-encoding: chunked\r\n\r\n3\r\none\r\n")
    assert last == b"3\r\ntwo\r\n0\r\n\r\n"
    assert not transport.closed


async def test_a_client_that_knows_no_chunks_gets_none_and_the_end_of_the_connection() -> None:
    protocol, transport = connected(stream)
    protocol.data_received(b"GET / HTTP/1.0\r\n\r\n")
    await a_moment()
    head, _, body = transport.written.partition(b"\r\n\r\n")
    assert b"transfer-encoding" not in head
    assert body == b"onetwo"
    assert transport.closed


async def test_no_header_can_bring_another_one() -> None:
    failed: list[ValueError] = []

    async def serve(exchange: Exchange) -> None:
        try:
            exchange.respond(200, b"", [(b"x-name", b"value\r\nx-other: value")])
        except ValueError as error:
            failed.append(error)

    protocol, transport = connected(serve)
    protocol.data_received(GET)
    await a_moment()
    assert failed
    assert not transport.written
    assert transport.closed


async def test_what_follows_a_body_in_pieces_is_no_header() -> None:
    """A proxy may hand it on that would let nobody name an address in a header."""
    served: list[Exchange] = []

    async def serve(exchange: Exchange) -> None:
        served.append(exchange)
        exchange.respond(200, b"answer")

    protocol, _ = connected(serve)
    chunked = b"POST / HTTP/1.1\r\nhost: here\r\ntransfer-encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n"
    protocol.data_received(chunked + b"x-forwarded-for: 192.0.2.1\r\nhost: there\r\n\r\n" + GET)
    await a_moment()
    first, second = served
    assert first.headers == [(b"host", b"here"), (b"transfer-encoding", b"chunked")]
    assert second.headers == [(b"host", b"here")]


async def test_who_reads_no_answer_gets_no_further_one_until_it_does() -> None:
    served: list[Exchange] = []

    async def serve(exchange: Exchange) -> None:
        served.append(exchange)
        exchange.respond(200, b"answer")

    protocol, transport = connected(serve)
    protocol.pause_writing()
    protocol.data_received(GET * 3)
    await a_moment()
    assert not served
    protocol.resume_writing()
    await a_moment()
    assert len(served) == 3
    assert transport.written.count(b"answer") == 3


async def test_every_request_of_a_connection_that_is_lost_learns_of_it() -> None:
    outcomes: list[str] = []

    async def serve(exchange: Exchange) -> None:
        exchange.watch()
        try:
            await asyncio.sleep(10)
        except asyncio.CancelledError:
            outcomes.append("left" if exchange.gone else "cancelled")

    protocol, _ = connected(serve)
    protocol.data_received(GET * 2)
    await a_moment()
    protocol.connection_lost(None)
    await a_moment()
    assert outcomes == ["left"]
    assert not protocol.shared.tasks
    assert not protocol.shared.connections


async def test_a_body_that_breaks_off_is_the_end_of_its_request() -> None:
    outcomes: list[str] = []

    async def serve(exchange: Exchange) -> None:
        try:
            while exchange.more_body:
                outcomes.append((await exchange.part()).decode())
        except ClientGone:
            outcomes.append("gone")

    protocol, _ = connected(serve)
    protocol.data_received(b"POST / HTTP/1.1\r\ncontent-length: 10\r\n\r\nbody")
    await a_moment()
    protocol.connection_lost(None)
    await a_moment()
    assert outcomes == ["body", "gone"]


async def test_a_body_nobody_reads_is_not_received_without_end() -> None:
    release = asyncio.Event()
    sizes: list[int] = []

    async def serve(exchange: Exchange) -> None:
        await release.wait()
        while exchange.more_body or exchange.unread:
            sizes.append(len(await exchange.part()))
        exchange.respond(200, b"")

    protocol, transport = connected(serve)
    protocol.data_received(b"POST / HTTP/1.1\r\ncontent-length: 140000\r\n\r\n")
    protocol.data_received(b"x" * 70_000)
    await a_moment()
    assert not transport.reading
    release.set()
    await a_moment()
    assert transport.reading
    protocol.data_received(b"x" * 70_000)
    await a_moment()
    assert sizes == [70_000, 70_000]


@pytest.mark.parametrize("late", [0.0, 80.0])
async def test_a_connection_that_rests_too_long_is_closed(late: float) -> None:
    async def serve(exchange: Exchange) -> None:
        exchange.respond(200, b"")

    protocol, transport = connected(serve)
    protocol.data_received(GET)
    await a_moment()
    protocol.shared.sweep(asyncio.get_running_loop().time() + late)
    assert transport.closed is (late > 75)
