"""Large pieces of an answer, cut up so that nobody else waits long for the event loop.

Servers that do not stream, and streams that were held up, bring an answer in one piece; every reader behind
the upstream works on a batch at a time.
"""

import asyncio
from collections.abc import Iterator
from typing import Final

from msgspec.structs import replace

from ..core.events import Event, Events, ReasoningDelta, RefusalDelta, TextDelta, ToolCallDelta
from .base import Sink

# Characters of text in a batch, or bytes of one event: what any reader is done with in some milliseconds.
LARGE: Final = 16 * 1024


async def feed_paced(sink: Sink, events: Events) -> bool:
    """Feeds ``events`` in batches of at most ``LARGE`` characters; others have their turn between them.

    Says whether more is wanted.
    """
    for batch in slices_of(events):
        await sink.flow.free()
        if not sink.feed(batch):
            return False
        await asyncio.sleep(0)
    return True


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
