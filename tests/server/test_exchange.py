"""A stream to a client travels in its dialect's form: content type, and what is written in a long silence."""

import asyncio

import pytest
from starlette.types import Message

from gptoss_api.dialects.base import SERVER_SENT_EVENTS, StreamFormat
from gptoss_api.server.exchange import ClientStream

LINES = StreamFormat(b"application/x-ndjson", b"\n")
MUTE = StreamFormat(b"application/json", b"")


async def written(form: StreamFormat, silence: float) -> list[Message]:
    """What a client gets that waits ``silence`` seconds for a single piece."""
    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    stream = ClientStream(send, form, keep_alive=0.02)
    await asyncio.sleep(silence)
    await stream.write(b"piece")
    await stream.close(b"end")
    return sent


@pytest.mark.parametrize("form", [SERVER_SENT_EVENTS, LINES], ids=["events", "lines"])
async def test_a_silence_is_broken_by_the_forms_own_sign_of_life(form: StreamFormat) -> None:
    start, *bodies = await written(form, 0.2)
    assert dict(start["headers"])[b"content-type"] == form.content_type
    signs = [body["body"] for body in bodies[:-2]]
    assert signs
    assert set(signs) == {form.keep_alive}
    assert [body["body"] for body in bodies[-2:]] == [b"piece", b"end"]


async def test_a_form_without_one_opens_with_its_first_piece() -> None:
    start, *bodies = await written(MUTE, 0.2)
    assert start["type"] == "http.response.start"
    assert [body["body"] for body in bodies] == [b"piece", b"end"]
    assert [body["more_body"] for body in bodies] == [True, False]
