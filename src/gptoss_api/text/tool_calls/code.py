"""Code in the answer: inline code and fences are text, unless a fence holds a call and ends the message."""

import re
from abc import abstractmethod
from typing import Final

from .blocks import deliver
from .contract import ParserConfig
from .fences import CALL_WORDS, DATA_WORDS, LONGEST_RUN, Fence, close_fence, may_hold_call, open_fence
from .judging import Judge
from .openers import OpenerReading
from .reading import SPACE, State
from .shapes import LONGEST_START

_MAX_HELD_FENCE: Final = 1024 * 1024
_INLINE_STOP: Final = re.compile(r"`+|\n")


class CodeReading(OpenerReading):
    """Reads code, and holds a fence that may be a call."""

    def __init__(self, config: ParserConfig, judge: Judge, keyed_only: bool) -> None:
        super().__init__(config, judge, keyed_only)
        self._run = ""  # The back-quotes that opened inline code.
        self._long_run = ""  # The character of a run that is too long to be a mark, and what follows it.
        self._resumed: State = self._text
        self._fence = Fence("```", "", "")
        self._in_line = False  # Inside a fence: the current line has begun.
        self._raw: list[str] = []  # What is held until the message ends.
        self._raw_size = 0
        self._raw_body = 0

    @abstractmethod
    def _calls_inside(self, content: str) -> bool: ...

    def _ticks(self, text: str, at: int, end: int, final: bool, begin: int | None = None) -> int:
        begin = at if begin is None else begin
        if end - at > LONGEST_RUN:
            self._plain(text[begin:end])
            return self._over_run(text, end)
        if end == len(text) and not final:
            return begin
        if self._out.line_start and end - at >= 3:
            fence = open_fence(text, at, end, final)
            if fence is None:
                return begin
            if isinstance(fence, Fence):
                return self._open_fence(fence, text, begin, at, final)
        self._plain(text[begin:end])
        if text[at] == "`":
            self._run = text[at:end]
            self._state = self._inline
        return end

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
            self._state = self._text
        return found.end()

    def _over_run(self, text: str, end: int) -> int:
        """A run that is too long to be a mark is text, with all that follows of it."""
        if end == len(text):
            self._long_run = text[-1]
            self._resumed, self._state = self._state, self._rest_of_run
        return end

    def _rest_of_run(self, text: str, at: int, _final: bool) -> int:
        rest = text[at:].lstrip(self._long_run)
        if rest:
            self._state = self._resumed
        end = len(text) - len(rest)
        self._plain(text[at:end])
        return end

    def _open_fence(self, fence: Fence, text: str, begin: int, at: int, final: bool) -> int:
        self._fence = fence
        body = at + len(fence.opening)
        may: bool | None = False
        if self._tags and not self._wrapper and (fence.word in CALL_WORDS or fence.word in DATA_WORDS):
            free = (self._out.blank or self._judge.required) and not self._keyed_only
            start = text[body : body + LONGEST_START + 1]
            may = may_hold_call(
                fence.word,
                start,
                self.config.key,
                self._judge.names,
                free=free,
                bare=self._judge.bare_tool() is not None,
                final=final,
            )
            if may is None and not final:
                return begin
        if may:
            self._out.content(text[begin:at])
            self._raw.append(fence.opening)
            self._raw_size = len(fence.opening)
            self._state = self._candidate
        else:
            self._plain(text[begin:body])
            self._state = self._fenced
        self._in_line = False
        return body

    def _fenced(self, text: str, at: int, final: bool) -> int:
        end, over = close_fence(self._fence, text, at, final, not self._in_line)
        self._out.content(text[at : max(end, over)])
        if over >= 0:
            self._state = self._text
            return over
        if end > at:
            self._in_line = text[end - 1] != "\n"
        return end

    def _candidate(self, text: str, at: int, final: bool) -> int:
        """A fence that may hold a call is held until what follows it is known."""
        end, over = close_fence(self._fence, text, at, final, not self._in_line)
        taken = text[at : max(end, over)]
        self._raw.append(taken)
        self._raw_size += len(taken)
        if over >= 0:
            self._raw_body = self._raw_size - (over - end)
            self._state = self._candidate_tail
        if self._raw_size > _MAX_HELD_FENCE:
            self._flush_raw()
            self._state = self._fenced if over < 0 else self._text
        if over >= 0:
            return over
        if end > at:
            self._in_line = text[end - 1] != "\n"
        return end

    def _candidate_tail(self, text: str, at: int, _final: bool) -> int:
        begin = SPACE.match(text, at).end()  # type: ignore[union-attr]  # it also matches nothing
        self._raw.append(text[at:begin])
        self._raw_size += begin - at
        if begin < len(text):
            self._flush_raw()
            self._state = self._text
        return begin

    def _flush_raw(self) -> None:
        raw = "".join(self._raw)
        self._raw.clear()
        self._raw_size = 0
        self._out.content(raw)

    def _judge_fence(self) -> None:
        """The message ended with a held fence: a call, or text after all."""
        raw = "".join(self._raw)
        end = self._raw_body if self._state == self._candidate_tail else len(raw)
        content = raw[len(self._fence.opening) : end]
        if content.lstrip().startswith("<"):
            if not self._calls_inside(content):
                self._flush_raw()
        elif verdict := self._judge.message(content):
            deliver(verdict, self._out, self._judge)
        else:
            self._flush_raw()
