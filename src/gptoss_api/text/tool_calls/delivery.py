"""What has been decided, as events: text with its trailing space held back, and calls."""

from typing import Final

from .contract import (
    CallArgs,
    CallEnd,
    CallStart,
    Cancel,
    Content,
    ParserEvent,
    Problem,
    ProblemCode,
    Reasoning,
)
from .markers import MAX_HEADER

MAX_CALLS: Final = 128
_MAX_GAP: Final = 400
_SPACE: Final = " \t\r\n"


class Delivery:
    """Collects the events of one piece.

    Blank lines before a call are not content, so trailing space waits for what follows it. Once a
    call has begun no text is delivered any more; it is only counted (``gap``). ``line_start`` and
    ``blank`` tell where the next character stands: at a line's beginning, in a message without text.
    ``thought`` says that the text is a chain of thought. Where ``at_once``, no space waits.
    """

    __slots__ = (
        "_at_once", "_events", "_run", "_space", "_text",
        "blank", "calls", "cancelled", "gap", "line_start", "thought",
    )  # fmt: skip

    def __init__(self, *, thought: bool = False, at_once: bool = False) -> None:
        self.thought = thought
        self._at_once = at_once
        self.calls = 0
        self.gap = 0
        self.line_start = True
        self.blank = True
        self.cancelled = False
        self._events: list[ParserEvent] = []
        self._text: list[str] = []
        self._space = ""
        self._run = 0  # How much space has come since the last text.

    @property
    def waiting(self) -> bool:
        """Whether space is held back."""
        return bool(self._space)

    def content(self, text: str) -> None:
        if not text:
            return
        solid = text.rstrip(_SPACE)
        self._see(text, solid)
        if self.calls:
            if self.gap or solid:
                self.gap += len(text if self.gap else text.lstrip(_SPACE))
            return
        if self._at_once:
            self.blank &= not solid
            self._text.append(text)
            return
        if solid:
            self.blank = False
            self._run = 0
            if self._space:
                self._text.append(self._space)
                self._space = ""
            self._text.append(solid)
        self._space += text[len(solid) :]
        self._run += len(text) - len(solid)
        if self._run > MAX_HEADER:
            # Not the few blank lines before a call: it counts as text, though it opens none.
            self._text.append(self._space[:-1])
            self._space = self._space[-1:]

    def reasoning(self, text: str) -> None:
        if text and not self.calls:
            self._flush()
            self._events.append(Reasoning(text))

    def answer(self) -> None:
        """What follows is the answer, whatever the text was so far."""
        if self.thought:
            self._let_go()
            self._flush()
            self.thought = False
            self.blank = True

    def start(self, name: str) -> int:
        self._space = ""
        self._flush()
        self._events.append(CallStart(self.calls, name))
        self.calls += 1
        return self.calls - 1

    def adopt(self, events: list[ParserEvent], calls: int) -> None:
        """The first calls, as another parser found them."""
        self._space = ""
        self._flush()
        self._events += events
        self.calls = calls
        self.cancelled = any(isinstance(event, Cancel) for event in events)

    def arguments(self, index: int, json_text: str) -> None:
        self._events.append(CallArgs(index, json_text))

    def end(self, index: int, *, complete: bool = True) -> None:
        self._events.append(CallEnd(index, complete))
        self.gap = 0
        self.line_start = True

    def problem(self, code: ProblemCode, detail: str, index: int | None = None) -> None:
        self._flush()
        self._events.append(Problem(code, detail, index))

    def cancel(self, reason: str) -> None:
        self.cancelled = True
        self._flush()
        self._events.append(Cancel(reason))

    def too_far(self) -> bool:
        """Whether so much text follows the last call that no further call will."""
        return self.gap > _MAX_GAP

    def take(self, *, last: bool = False) -> list[ParserEvent]:
        """The events since the last time; the ``last`` time with the space held back."""
        if last:
            self._let_go()
        self._flush()
        events, self._events = self._events, []
        return events

    def _let_go(self) -> None:
        if self._space and not self.calls:
            self._text.append(self._space)
            self._space = ""

    def _flush(self) -> None:
        if self._text:
            text = "".join(self._text)
            self._events.append(Reasoning(text) if self.thought else Content(text))
            self._text.clear()

    def _see(self, text: str, solid: str) -> None:
        newline = text.rfind("\n")
        if newline >= 0:
            self.line_start = len(solid) <= newline
        elif solid:
            self.line_start = False
