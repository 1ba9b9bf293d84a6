"""Large pieces of an answer, cut up so that nobody else waits long for the event loop.

Servers that do not stream, and streams that were held up, bring an answer in one piece; every reader behind
the upstream works on a batch at a time.
"""

import asyncio
from collections.abc import AsyncGenerator, Callable, Iterator, Sequence
from typing import Final

from msgspec.structs import replace

from ..core.events import Event, Events, ReasoningDelta, RefusalDelta, TextDelta, ToolCallDelta
from ..loop import in_thread

# Characters of text in a batch, or bytes of one event: what any reader is done with in some milliseconds.
LARGE: Final = 16 * 1024
# Bytes. Shorter events hold little text; a read full of them is no heavy work.
_LONG: Final = 2 * 1024


def is_large(chunk: bytes, payloads: Sequence[bytes]) -> bool:
    """Whether a read is too large for one batch. Only the first event of a read may be longer than it."""
    return len(chunk) > LARGE or (len(payloads) > 0 and len(payloads[0]) > LARGE)


async def read_beside(
    read: Callable[[Sequence[bytes]], list[Event]], payloads: Sequence[bytes]
) -> list[Event]:
    """What ``read`` makes of a large read, beside the event loop if its events are long."""
    size = sum(map(len, payloads))
    if size < LARGE or size < _LONG * len(payloads):
        return read(payloads)
    return await in_thread(size, read, payloads)


async def paced(events: Events) -> AsyncGenerator[Events, None]:
    """``events`` in batches of at most ``LARGE`` characters; others have their turn between them."""
    for batch in slices_of(events):
        yield batch
        await asyncio.sleep(0)


def slices_of(events: Events) -> Iterator[list[Event]]:
    """``events`` in batches of at most ``LARGE`` characters of text, long texts in several pieces."""
    batch: list[Event] = []
    room = LARGE
    for event in events:
        for piece, size in _pieces_of(event):
            if size > room:
                yield batch
                batch, room = [], LARGE
            batch.append(piece)
            room -= size
    if batch:
        yield batch


def _pieces_of(event: Event) -> Iterator[tuple[Event, int]]:
    match event:
        case TextDelta(text) | ReasoningDelta(text) | RefusalDelta(text) if len(text) > LARGE:
            for at in range(0, len(text), LARGE):
                piece = text[at : at + LARGE]
                yield type(event)(piece), len(piece)
        case ToolCallDelta(_, arguments) if len(arguments) > LARGE:
            for at in range(0, len(arguments), LARGE):
                piece = arguments[at : at + LARGE]
                yield replace(event, arguments=piece), len(piece)
        case TextDelta(text) | ReasoningDelta(text) | RefusalDelta(text) | ToolCallDelta(_, text):
            yield event, len(text)
        case _:
            yield event, 0
