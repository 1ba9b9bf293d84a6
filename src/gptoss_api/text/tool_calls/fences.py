"""Code fences: where they open and close, and whether one may hold a call (forms C1, C2)."""

import re
from functools import lru_cache
from typing import Final

from msgspec import Struct

from .headers import ToolNames, read_tag
from .markers import MAX_HEADER, TAG, TAG_PREFIXES, may_become
from .shapes import LONGEST_START, call_shaped

CALL_WORDS: Final = frozenset(("tool_call", "tool_calls", "function_call", "tool_code", "tool"))
DATA_WORDS: Final = frozenset(("json", "xml", "", "text", "plaintext"))
_MAX_RUN: Final = 200
# A longer run of back-quotes or tildes is no mark, nor is one with more space behind it.
LONGEST_RUN: Final = 1_000


class Fence(Struct, frozen=True):
    """``run`` is the opening run, ``word`` the first word of the info line, ``opening`` the raw line."""

    run: str
    word: str
    opening: str


@lru_cache(maxsize=64)
def _closing(char: str, size: int) -> tuple[re.Pattern[str], re.Pattern[str]]:
    mark = re.escape(char)
    space = rf"[ \t]{{0,{LONGEST_RUN}}}"
    whole = re.compile(rf"^[ \t]{{0,3}}{mark}{{{size},{LONGEST_RUN}}}{space}(?:\r?\n|\Z)", re.MULTILINE)
    return whole, re.compile(rf"[ \t]{{0,3}}{mark}{{0,{LONGEST_RUN}}}{space}\r?\Z")


def open_fence(text: str, at: int, end: int, final: bool) -> Fence | bool | None:
    """The fence whose run is ``text[at:end]``; ``False``: it is inline code, ``None``: more is needed."""
    line = text.find("\n", end, end + MAX_HEADER)
    if line < 0:
        if len(text) - end < MAX_HEADER and not final:
            return None if text[at] == "~" or text.find("`", end) < 0 else False
        return False
    info = text[end:line].strip()
    if text[at] == "`" and "`" in info:
        return False
    return Fence(text[at:end], (info.split(None, 1) or [""])[0].lower(), text[at : line + 1])


def close_fence(fence: Fence, text: str, at: int, final: bool, line_start: bool) -> tuple[int, int]:
    """How far ``text`` from ``at`` belongs to the fence, and where it is over (-1: not yet)."""
    whole, partial = _closing(fence.run[0], min(len(fence.run), _MAX_RUN))
    search = at
    while found := whole.search(text, search):
        begin = found.start()
        if begin == at and not line_start and (begin == 0 or text[begin - 1] != "\n"):
            search = text.find("\n", begin)
            if search < 0:
                break
            continue
        if not final and found.end() == len(text) and text[-1] != "\n":
            return begin, -1
        return begin, found.end()
    last = text.rfind("\n", at) + 1
    if last == 0:
        last = at if line_start else len(text)
    if not final and last < len(text) and partial.match(text, last):
        return last, -1
    return len(text), -1


def may_hold_call(
    word: str, body: str, key: str, names: ToolNames, *, free: bool, bare: bool, final: bool
) -> bool | None:
    """Whether the fence whose content begins with ``body`` may hold a call; ``None``: not known yet.

    ``free`` is true where an unkeyed call in an ordinary fence counts: nothing precedes the fence, or
    a call is required. ``bare`` is true where plain arguments are a call, too.
    """
    taught = word in CALL_WORDS
    start = body.lstrip()
    settled = final or len(body) > LONGEST_START
    if not start:
        return False if settled else None
    if bare and start[0] == "{":
        return True
    if start[0] in "{[":
        return call_shaped(start, names, settled) if taught or free else False
    if start[0] != "<":
        return False
    found = TAG.match(start)
    if found is None:
        return None if may_become(start, 0, TAG_PREFIXES) and not settled else False
    end = start.find(">", 0, MAX_HEADER)
    if end < 0:
        return None if len(start) < MAX_HEADER and not settled else False
    header = read_tag(found[1].lower(), start[found.end() : end])
    if header.key is not None:
        return header.key == key and names.find(header.name) is not None
    if header.kind == "wrapper":
        return taught or free
    return (taught or free) and (not header.name or names.find(header.name) is not None)
