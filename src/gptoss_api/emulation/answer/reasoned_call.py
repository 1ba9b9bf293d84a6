"""A call that the model wrote at the end of its thoughts instead of in its answer."""

import re
from collections.abc import Sequence
from typing import Final

from msgspec.structs import replace

from ...text.tool_calls import (
    CallArgs,
    CallEnd,
    CallStart,
    Cancel,
    Content,
    ParserConfig,
    ParserEvent,
    ToolCallParser,
)
from .held import HeldCall

_OPENER: Final = re.compile(r"<[ \t]{0,2}tool[_-]call\b", re.IGNORECASE)
_CLOSED: Final = re.compile(r"(?:</[A-Za-z_]+>|[}\]])\s*\Z")
_RECIPIENT: Final = re.compile(r"\bto=[\w.]")
# Thoughts may hold drafts without end; a call that is meant stands at the end.
_TAIL: Final = 64 * 1024


def call_in_reasoning(config: ParserConfig, reasoning: str) -> HeldCall | None:
    """The call that is the very last thing in ``reasoning``, if there is one: keyed, or in native syntax.

    Only for an answer that is empty: models draft calls in their thoughts, and of several drafts only the
    last was meant (docs/design/emulation.md, "What gpt-oss does with described tools").
    """
    return _keyed(config, reasoning) or _native(config, reasoning)


def _keyed(config: ParserConfig, reasoning: str) -> HeldCall | None:
    tail = max(0, len(reasoning) - _TAIL)
    openers = list(_OPENER.finditer(reasoning, tail))
    if not openers or _CLOSED.search(reasoning, tail) is None:
        return None
    parser = ToolCallParser(config, keyed_only=True)
    events = [*parser.feed(reasoning[openers[-1].start() :]), *parser.finish()]
    return _only_call(events)


def _native(config: ParserConfig, reasoning: str) -> HeldCall | None:
    """A call whose Harmony leaked, with its tokens or without."""
    tail = reasoning[-_TAIL:]
    if not config.clean_leaks or _RECIPIENT.search(tail) is None:
        return None
    parser = ToolCallParser(replace(config, harmony_only=True, live=False))
    events = [event for event in (*parser.feed(tail), *parser.finish()) if not isinstance(event, Cancel)]
    last = max((at for at, event in enumerate(events) if isinstance(event, CallStart)), default=len(events))
    call = _only_call([event for event in events[last:] if not isinstance(event, Content)])
    if call is None:
        return None
    # What follows a call is not read any more, but may take it back.
    said = tail.rstrip().removesuffix("<|call|>").rstrip()
    return call if said.endswith("".join(call.parts).rstrip()) else None


def _only_call(events: Sequence[ParserEvent]) -> HeldCall | None:
    """The one call that ``events`` are, if it is whole."""
    call: HeldCall | None = None
    for event in events:
        match event:
            case CallStart(_, name) if call is None:
                call = HeldCall(name)
            case CallArgs(_, text) if call is not None:
                call.parts.append(text)
            case CallEnd(_, True):
                pass
            case _:
                return None
    return call
