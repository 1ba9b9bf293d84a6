"""Harmony leaking into plain text: headers with their tokens (H1) or without (H2, H3).

Source: Harmony format guide, "Message format" and "Receiving tool calls";
docs/design/emulation.md, "Foreign forms".
"""

import re
from typing import Final

import regex
from msgspec import Struct

from .events import Delivery
from .grammar import MAX_HEADER, TOKEN, TOKEN_PREFIXES, may_become

_HEADER: Final = regex.compile(
    r"(?:<\|start\|>(?P<role>[^<{]*+))?(?P<rest>(?:<\|(?:channel|constrain)\|>[^<{]*+)*+)(?:<\|message\|>|(?=\{))"
)
_RECIPIENT: Final = re.compile(r"to=([^\s<]+)")
_CHANNEL: Final = re.compile(r"<\|channel\|>\s*(analysis|commentary|final)")
_BARE: Final = regex.compile(
    r"(?:assistant\s*)?(?:(?:commentary|analysis)\s*)?to=(?P<name>[\w.-]+)"
    r"(?:\s|code\b|json\b|commentary|<\|(?:channel|constrain|message)\|>)*+(?=\{)"
)
_THOUGHT: Final = regex.compile(r"analysis(?=[A-Z][a-z'’ ])|assistantfinal")
BARE_LETTERS: Final = "act"
# What none of a bare header, a glued thought and their beginnings goes on with.
NOT_BARE: Final = r"(?!(?:a(?:ss?|na?)?|c(?:om?)?|to?)\Z|assi|anal|comm|to=)"
_THOUGHT_END: Final = re.compile(r"<\||assistant(?=final|commentary|analysis)")
_THOUGHT_END_PREFIXES: Final = frozenset(
    marker[:size]
    for marker in ("<|", "assistantfinal", "assistantcommentary", "assistantanalysis")
    for size in range(1, len(marker))
)
_LONGEST_THOUGHT_END: Final = len("assistantcommentary")


class LeakedHeader(Struct, frozen=True):
    """``end`` is where the body begins; ``recipient`` is ``None`` where no tool is addressed."""

    end: int
    role: str
    channel: str
    recipient: str | None


def read_header(text: str, at: int, final: bool) -> LeakedHeader | bool | None:
    """The header with tokens at ``at``; ``None``: more is needed; ``False``: no header, a lone token."""
    return _read(_HEADER, text, at, final)


def read_bare_header(text: str, at: int, final: bool) -> LeakedHeader | bool | None:
    """The same for a header whose tokens were lost, which must name a recipient."""
    return _read(_BARE, text, at, final)


def thought_opener(text: str, at: int, final: bool) -> str | None:
    """The glued ``analysis`` or ``assistantfinal`` a message begins with; "" if none, ``None``: unknown."""
    found = _THOUGHT.match(text, at, partial=not final)
    if found is None:
        return ""
    return None if found.partial else found[0]


def _read(pattern: "regex.Pattern[str]", text: str, at: int, final: bool) -> LeakedHeader | bool | None:
    found = pattern.match(text, at, at + MAX_HEADER + 1, partial=not final or len(text) - at > MAX_HEADER)
    if found is None or found.end() == at:
        return False
    if found.partial:
        return None if len(text) - at <= MAX_HEADER and not final else False
    groups = found.groupdict()
    role, rest = (groups.get("role") or "").strip(), groups.get("rest") or ""
    words = " ".join(value for value in groups.values() if value)
    recipient = _RECIPIENT.search(words)
    known = _CHANNEL.search(rest)
    name = groups.get("name") or (recipient[1] if recipient else None)
    return LeakedHeader(found.end(), role, known[1] if known else "", name)


class ThoughtReader:
    """Leaked reasoning, up to the next token or, where it is ``glued``, to a role that lost its tokens.

    Holds back what may become either end: at most 18 characters.
    """

    def __init__(self, out: Delivery, *, glued: bool) -> None:
        self.over = False
        self._out = out
        self._glued = glued

    def read(self, text: str, at: int, final: bool) -> int:
        """The index up to which ``text`` is decided from ``at``; with ``over``, where the answer goes on."""
        search = at
        while found := _THOUGHT_END.search(text, search):
            begin = found.start()
            if text[begin] == "<":
                if TOKEN.match(text, begin):
                    return self._end(text, at, begin)
                if not final and may_become(text, begin, TOKEN_PREFIXES):
                    self._out.reasoning(text[at:begin])
                    return begin
            elif self._glued:
                return self._end(text, at, begin)
            search = begin + 1
        keep = len(text) if final else _settled(text, at)
        self._out.reasoning(text[at:keep])
        return keep

    def _end(self, text: str, at: int, begin: int) -> int:
        self.over = True
        self._out.reasoning(text[at:begin])
        self._out.line_start = True
        if text.startswith("assistantfinal", begin):
            self._out.answer()
            return begin + len("assistantfinal")
        return begin


def _settled(text: str, at: int) -> int:
    """Up to where ``text`` has no beginning of a thought's end."""
    size = len(text)
    return next(
        (
            begin
            for begin in range(max(at, size - _LONGEST_THOUGHT_END), size)
            if text[begin:] in _THOUGHT_END_PREFIXES
            or (text[begin] == "<" and may_become(text, begin, TOKEN_PREFIXES))
        ),
        size,
    )
