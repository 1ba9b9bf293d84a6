"""The boundaries that a turn's events imply: where reasoning, text, a refusal and a call begin and end.

Events only say what is added; dialects with blocks say also when each begins and what it was at its end. At
most one part of text (reasoning, text, refusal) is open at a time, and any number of calls:

===================  ==========================================  =======================
event                ends                                        begins
===================  ==========================================  =======================
a delta of text      the open part of text, if of another kind   one of its kind, if none
``ToolCallStarted``  the open part of text                       a call
``ToolCallFinished`` that call                                   nothing
===================  ==========================================  =======================

Deltas without text are as if they were not there. What else happens is handed on; at the end of the answer
the dialect says whether what is still open is whole.
"""

from typing import Generic, Literal, Protocol, TypeVar

from ..core.events import (
    Event,
    Events,
    ReasoningDelta,
    RefusalDelta,
    TextDelta,
    ToolCallDelta,
    ToolCallFinished,
    ToolCallStarted,
)

TextKind = Literal["text", "reasoning", "refusal"]
T = TypeVar("T")


class TextPart(Generic[T]):
    """A piece of text that is being written. ``data`` is the dialect's own."""

    __slots__ = ("data", "kind", "pieces")

    def __init__(self, kind: TextKind, data: T) -> None:
        self.kind: TextKind = kind
        self.data = data
        self.pieces: list[str] = []

    @property
    def text(self) -> str:
        return "".join(self.pieces)


class CallPart(Generic[T]):
    """A call that is being written. ``data`` is the dialect's own."""

    __slots__ = ("call", "data", "pieces")

    def __init__(self, call: ToolCallStarted, data: T) -> None:
        self.call = call
        self.data = data
        self.pieces: list[str] = []

    @property
    def arguments(self) -> str:
        return "".join(self.pieces)


class PartSink(Protocol[T]):
    """What hears of the boundaries; what it answers to a beginning is kept with the part."""

    def text_started(self, kind: TextKind) -> T: ...

    def text_delta(self, data: T, text: str) -> None: ...

    def text_ended(self, part: TextPart[T]) -> None: ...

    def call_started(self, call: ToolCallStarted) -> T: ...

    def call_ended(self, part: CallPart[T], *, complete: bool) -> None: ...

    def other(self, event: Event) -> None:
        """An event that is no part of anything."""
        ...


class Parts(Generic[T]):
    """Tells ``sink`` of the parts in a turn's events. A delta of a call goes where a delta of text goes."""

    __slots__ = ("_calls", "_sink", "_text")

    def __init__(self, sink: PartSink[T]) -> None:
        self._sink = sink
        self._text: TextPart[T] | None = None
        self._calls: dict[int, CallPart[T]] = {}

    def feed(self, events: Events) -> None:
        kind: TextKind
        for event in events:
            # Compared by identity, the commonest first: this runs for every token.
            if type(event) is TextDelta:
                kind = "text"
            elif type(event) is ReasoningDelta:
                kind = "reasoning"
            elif type(event) is ToolCallDelta:
                if event.arguments and (call := self._calls.get(event.index)) is not None:
                    call.pieces.append(event.arguments)
                    self._sink.text_delta(call.data, event.arguments)
                continue
            elif type(event) is RefusalDelta:
                kind = "refusal"
            else:
                self._seldom(event)
                continue
            if text := event.text:
                part = self._text
                if part is None or part.kind != kind:
                    part = self._start(kind)
                part.pieces.append(text)
                self._sink.text_delta(part.data, text)

    def end_text(self) -> None:
        """Ends the part of text that is open, if there is one."""
        part, self._text = self._text, None
        if part is not None:
            self._sink.text_ended(part)

    def end_calls(self, *, complete: bool) -> None:
        """Ends the calls that are open, in their order. One whose end was seen is none of them."""
        for index in sorted(self._calls):
            self._sink.call_ended(self._calls.pop(index), complete=complete)

    def _start(self, kind: TextKind) -> TextPart[T]:
        self.end_text()
        self._text = part = TextPart(kind, self._sink.text_started(kind))
        return part

    def _seldom(self, event: Event) -> None:
        """Events that come a few times in a stream."""
        match event:
            case ToolCallStarted(index):
                self.end_text()
                self._calls[index] = CallPart(event, self._sink.call_started(event))
            case ToolCallFinished(index, complete):
                if index in self._calls:
                    self._sink.call_ended(self._calls.pop(index), complete=complete)
            case _:
                self._sink.other(event)
