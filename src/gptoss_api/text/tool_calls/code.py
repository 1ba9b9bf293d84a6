"""Code in the answer: it is text, unless a fence holds a call and ends the message (forms C1, C2).

One machine, entered at a run of back-quotes or tildes and left where the code ends.

============================== ======================================== ====================================
reading                        left at                                  holds back, at most
============================== ======================================== ====================================
a run that may open a fence    the end of its line                      the line so far, 360 characters
the beginning of a fence       what shows whether it may hold a call    600 characters
inline code                    the same run again, or the line's end    the back-quotes at its end, 1,000
a run too long to be a mark    its end                                  nothing
a fence                        its closing line                         a line that may become it, 2,000
a fence that may hold a call   what follows its closing line            all of it, 1 MiB
============================== ======================================== ====================================

A held fence is no call before the message has ended: whoever writes on after a fence explains it. Only a
further fence of the kind may follow; they are held together, and each of them is a call or all are text.
"""

import re
from collections.abc import Callable
from functools import lru_cache
from typing import Final, Literal

from msgspec import Struct

from ..json_scalars import UNSEEN
from .events import Delivery
from .grammar import MAX_HEADER, SPACE, TAG, TAG_PREFIXES, may_become, read_tag
from .judge import LONGEST_START, Judge, call_shaped

CALL_WORDS: Final = frozenset(("tool_call", "tool_calls", "function_call", "tool_code", "tool"))
_DATA_WORDS: Final = frozenset(("json", "xml", "", "text", "plaintext"))
_MAX_RUN: Final = 200
# A longer run of back-quotes or tildes is no mark, nor is one with more space behind it.
LONGEST_RUN: Final = 1_000
_MAX_HELD: Final = 1024 * 1024
_RUN: Final = re.compile(r"`++|~++")
_INLINE_STOP: Final = re.compile(r"`+|\n")


class HeldFence(Struct, frozen=True):
    """A whole fence that may be a call: its info line's first word, and its content."""

    word: str
    content: str


class HeldCode(Struct, frozen=True):
    """The fences that end the message, with nothing between them, and all of them as they were written."""

    raw: str
    fences: list[HeldFence]


class CodeReader:
    """Reads code from the run that opens it; ``over`` where text goes on.

    ``tags`` says that fences may hold calls, ``keyed_only`` that only those with the key are meant.
    """

    def __init__(self, judge: Judge, out: Delivery, *, tags: bool, keyed_only: bool) -> None:
        self.over = True
        self.size = 0  # How many characters are held until the message ends.
        self._judge = judge
        self._out = out
        self._tags = tags
        self._keyed_only = keyed_only
        # Of the class: bound to this reader it would be a circle.
        self._reading: Callable[[CodeReader, str, int, bool], int] = CodeReader._inline
        self._run = ""  # The back-quotes that opened inline code.
        self._long_run = ""  # The character of a run that is too long to be a mark.
        self._fence = _Fence("", "", "")
        self._line_begun = False  # Inside a fence.
        self._held: list[str] = []
        self._bounds: list[
            tuple[str, int, int]
        ] = []  # Of each held fence: its word, where its content stands.
        self._body = 0  # Where the content of the last of them begins.

    def open(self, text: str, begin: int, at: int, end: int, final: bool) -> int:
        """What the run ``text[at:end]``, indented from ``begin``, opens: the index after what is decided.

        ``over`` turns false where it opens code; ``begin`` itself is given where more is needed.
        """
        if end - at > LONGEST_RUN:
            self._out.plain(text[begin:end])
            return self._over_run(text, end)
        if end == len(text) and not final:
            return begin
        if self._out.line_start and end - at >= 3:
            fence = _open_fence(text, at, end, final)
            if fence is None:
                return begin
            if isinstance(fence, _Fence):
                return self._enter(fence, text, begin, at, final)
        self._out.plain(text[begin:end])
        if text[at] == "`":
            self._run = text[at:end]
            self._go_on(CodeReader._inline)
        return end

    def read(self, text: str, at: int, final: bool) -> int:
        """The index up to which ``text`` is decided from ``at``."""
        return self._reading(self, text, at, final)

    def take_held(self) -> HeldCode | None:
        """What is held when the message ends."""
        if not self._held:
            return None
        if self._reading is CodeReader._candidate:
            self._bounds.append((self._fence.word, self._body, self.size))
        bounds, self._bounds = self._bounds, []
        raw = self._take_raw()
        return HeldCode(raw, [HeldFence(word, raw[begin:end]) for word, begin, end in bounds])

    def _go_on(self, reading: "Callable[[CodeReader, str, int, bool], int]") -> None:
        self._reading = reading
        self.over = False

    def _inline(self, text: str, at: int, final: bool) -> int:
        found = _INLINE_STOP.search(text, at)
        if found is None:
            self._out.content(text[at:])
            return len(text)
        long = found.end() - found.start() > LONGEST_RUN
        if found.end() == len(text) and text[found.start()] == "`" and not final and not long:
            self._out.content(text[at : found.start()])
            return found.start()
        self._out.content(text[at : found.end()])
        if long:
            return self._over_run(text, found.end())
        if found[0] == "\n" or found[0] == self._run:
            self._leave()
        return found.end()

    def _leave(self) -> None:
        self._run = ""
        self.over = True

    def _over_run(self, text: str, end: int) -> int:
        """A run that is too long to be a mark is text, with all that follows of it."""
        if end == len(text):
            self._long_run = text[-1]
            self._go_on(CodeReader._rest_of_run)
        return end

    def _rest_of_run(self, text: str, at: int, final: bool) -> int:
        rest = text[at:].lstrip(self._long_run)
        end = len(text) - len(rest)
        self._out.plain(text[at:end])
        if not rest:
            return end
        if self._run:
            self._reading = CodeReader._inline
            return self._inline(text, end, final)
        self._leave()
        return end

    def _enter(self, fence: "_Fence", text: str, begin: int, at: int, final: bool) -> int:
        body = at + len(fence.opening)
        may = self._may_hold_call(fence, text, body, final)
        if may is None:
            return begin
        if may:
            self._out.content(text[begin:at])
            self._begin_candidate(fence)
        else:
            self._fence = fence
            self._line_begun = False
            self._out.plain(text[begin:body])
            self._go_on(CodeReader._fenced)
        return body

    def _may_hold_call(self, fence: "_Fence", text: str, body: int, final: bool) -> bool | None:
        if not self._tags or self._out.wrapper or fence.word not in CALL_WORDS | _DATA_WORDS:
            return False
        free = (self._out.blank or self._judge.required) and not self._keyed_only
        start = text[body : body + LONGEST_START + 1]
        may = _may_hold_call(fence.word, start, self._judge, free, final)
        return False if may is None and final else may

    def _begin_candidate(self, fence: "_Fence") -> None:
        self._fence = fence
        self._line_begun = False
        self._hold(fence.opening)
        self._body = self.size
        self._go_on(CodeReader._candidate)

    def _fenced(self, text: str, at: int, final: bool) -> int:
        end, over = _close_fence(self._fence, text, at, final, not self._line_begun)
        self._out.content(text[at : max(end, over)])
        if over >= 0:
            self._leave()
            return over
        self._pass(text, at, end)
        return end

    def _candidate(self, text: str, at: int, final: bool) -> int:
        """A fence that may hold a call is held until what follows it is known."""
        end, over = _close_fence(self._fence, text, at, final, not self._line_begun)
        self._hold(text[at : max(end, over)])
        if self.size > _MAX_HELD:
            self._out.content(self._take_raw())
            self._go_on(CodeReader._fenced)
            if over >= 0:
                self._leave()
        elif over >= 0:
            self._bounds.append((self._fence.word, self._body, self.size - (over - end)))
            self._reading = CodeReader._after_candidate
        if over >= 0:
            return over
        self._pass(text, at, end)
        return end

    def _pass(self, text: str, at: int, end: int) -> None:
        if end > at:
            self._line_begun = text[end - 1] != "\n"

    def _after_candidate(self, text: str, at: int, final: bool) -> int:
        """Another fence of the kind may follow, and nothing else."""
        begin = SPACE.match(text, at).end()  # type: ignore[union-attr]  # it also matches nothing
        self._hold(text[at:begin])
        if begin == len(text):
            return begin
        fence = _next_fence(text, begin, final)
        body = begin + len(fence.opening) if fence else begin
        may = self._may_hold_call(fence, text, body, final) if fence else fence
        if may and fence:
            self._begin_candidate(fence)
            return body
        if may is False:
            self._out.content(self._take_raw())
            self._leave()
        return begin

    def _hold(self, text: str) -> None:
        self._held.append(text)
        self.size += len(text)

    def _take_raw(self) -> str:
        raw = "".join(self._held)
        self._held.clear()
        self._bounds.clear()
        self.size = 0
        return raw


class _Fence(Struct, frozen=True):
    """``run`` is the opening run, ``word`` the first word of the info line, ``opening`` the raw line."""

    run: str
    word: str
    opening: str


@lru_cache(maxsize=64)
def _closing(char: str, size: int) -> tuple[re.Pattern[str], re.Pattern[str]]:
    mark = re.escape(char)
    space = rf"[ \t{UNSEEN}]{{0,{LONGEST_RUN}}}"
    whole = re.compile(rf"^[ \t]{{0,3}}{mark}{{{size},{LONGEST_RUN}}}{space}(?:\r?\n|\Z)", re.MULTILINE)
    return whole, re.compile(rf"[ \t]{{0,3}}{mark}{{0,{LONGEST_RUN}}}{space}\r?\Z")


def _open_fence(text: str, at: int, end: int, final: bool) -> _Fence | Literal[False] | None:
    """The fence whose run is ``text[at:end]``; ``False``: it is inline code, ``None``: more is needed."""
    line = text.find("\n", end, end + MAX_HEADER)
    if line < 0:
        if len(text) - end < MAX_HEADER and not final:
            return None if text[at] == "~" or text.find("`", end) < 0 else False
        return False
    info = text[end:line].strip()
    if text[at] == "`" and "`" in info:
        return False
    return _Fence(text[at:end], (info.split(None, 1) or [""])[0].lower(), text[at : line + 1])


def _next_fence(text: str, at: int, final: bool) -> "_Fence | Literal[False] | None":
    """The fence at ``at``, where a line begins; ``False``: there is none, ``None``: more is needed."""
    run = _RUN.match(text, at)
    if run is None or len(run[0]) > LONGEST_RUN:
        return False
    if run.end() == len(text) and not final:
        return None
    return _open_fence(text, at, run.end(), final) if len(run[0]) >= 3 else False


def _close_fence(fence: _Fence, text: str, at: int, final: bool, line_start: bool) -> tuple[int, int]:
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


def _may_hold_call(word: str, body: str, judge: Judge, free: bool, final: bool) -> bool | None:
    """Whether the fence whose content begins with ``body`` may hold a call; ``None``: not known yet.

    ``free`` is true where an unkeyed call in an ordinary fence counts: nothing precedes the fence, or
    a call is required.
    """
    names = judge.names
    taught = word in CALL_WORDS
    start = body[SPACE.match(body).end() :]  # type: ignore[union-attr]  # it also matches nothing
    settled = final or len(body) > LONGEST_START
    if not start:
        return False if settled else None
    if start[0] == "{" and judge.bare_tool() is not None:
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
        return header.key == judge.config.key and names.find(header.name) is not None
    if header.kind == "wrapper":
        return taught or free
    return (taught or free) and (not header.name or names.find(header.name) is not None)
