"""A stream to a client travels in its dialect's form: content type, and what is written in a long silence."""

import asyncio
import os
import socket

import pytest

from gptoss_api.dialects.base import SERVER_SENT_EVENTS, StreamFormat
from gptoss_api.server.exchange import ClientStream, Exchange
from tests.server.unwired import chunks_of, connected

LINES = StreamFormat(b"application/x-ndjson", b"\n")
MUTE = StreamFormat(b"application/json", b"")


async def written(
    form: StreamFormat, silence: float, keep_alive: float = 0.02, agent: bytes = b"curl"
) -> tuple[bytes, list[bytes]]:
    """The head and the pieces that a client gets who waits ``silence`` seconds for a single piece."""

    async def serve(exchange: Exchange) -> None:
        stream = ClientStream(exchange, form, keep_alive)
        await asyncio.sleep(silence)
        await stream.write(b"piece")
        await stream.close(b"end")

    protocol, transport = connected(serve)
    protocol.data_received(b"GET / HTTP/1.1\r\nuser-agent: %b\r\n\r\n" % agent)
    await asyncio.sleep(silence + 0.1)
    head, _, body = transport.written.partition(b"\r\n\r\n")
    protocol.connection_lost(None)
    return head, chunks_of(body)


@pytest.mark.parametrize("form", [SERVER_SENT_EVENTS, LINES], ids=["events", "lines"])
async def test_a_silence_is_broken_by_the_forms_own_sign_of_life(form: StreamFormat) -> None:
    head, pieces = await written(form, 0.2)
    assert b"content-type: " + form.content_type in head
    *signs, piece, last, end = pieces
    assert signs
    assert set(signs) == {form.keep_alive}
    assert [piece, last, end] == [b"piece", b"end", b""]


async def test_a_form_without_one_opens_with_its_first_piece() -> None:
    head, pieces = await written(MUTE, 0.2)
    assert head.startswith(b"HTTP/1.1 200 ")
    assert pieces == [b"piece", b"end", b""]


async def test_a_client_that_takes_comments_for_events_gets_no_empty_line_with_them() -> None:
    _, pieces = await written(SERVER_SENT_EVENTS, 0.1, agent=b"OpenAI/Go 0.1.0-alpha.50")
    assert set(pieces[:-3]) == {b": keep-alive\n"}
    ping = StreamFormat(b"text/event-stream", b"event: ping\n\n")
    _, pieces = await written(ping, 0.1, agent=b"OpenAI/Go 0.1.0-alpha.50")
    assert set(pieces[:-3]) == {b"event: ping\n\n"}


async def test_signs_of_life_can_be_switched_off() -> None:
    _, pieces = await written(SERVER_SENT_EVENTS, 0.1, keep_alive=0)
    assert pieces == [b"piece", b"end", b""]


async def test_a_sign_that_the_system_takes_in_part_is_made_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    async def waits(exchange: Exchange) -> None:
        await asyncio.Event().wait()

    ours, theirs = socket.socketpair()
    with ours, theirs:
        protocol, transport = connected(waits)
        monkeypatch.setattr(transport, "get_extra_info", lambda name: ours)
        protocol.data_received(b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n")
        write = os.write
        monkeypatch.setattr(os, "write", lambda descriptor, data: write(descriptor, data[:3]))
        assert protocol.eof_received()
        assert theirs.recv(100) + transport.written == b"HTTP/1.1 100 Continue\r\n\r\n"
        protocol.connection_lost(None)
