"""A call that the model wrote at the end of its thoughts instead of in its answer."""

import re
from typing import Final

from ...text.tool_calls import CallArgs, CallEnd, CallStart, ParserConfig, ToolCallParser
from .held import HeldCall

_OPENER: Final = re.compile(r"<[ \t]{0,2}tool[_-]call\b", re.IGNORECASE)
_CLOSED: Final = re.compile(r"(?:</[A-Za-z_]+>|[}\]])\s*\Z")
# Thoughts may hold drafts without end; a call that is meant stands at the end.
_TAIL: Final = 64 * 1024


def call_in_reasoning(config: ParserConfig, reasoning: str) -> HeldCall | None:
    """The keyed call that is the very last thing in ``reasoning``, if there is one.

    Only for an answer that is empty: models draft calls in their thoughts, and of several drafts only the
    last was meant (docs/design/emulation.md, "What gpt-oss does with described tools").
    """
    tail = max(0, len(reasoning) - _TAIL)
    openers = list(_OPENER.finditer(reasoning, tail))
    if not openers or _CLOSED.search(reasoning, tail) is None:
        return None
    parser = ToolCallParser(config, keyed_only=True)
    events = [*parser.feed(reasoning[openers[-1].start() :]), *parser.finish()]
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
