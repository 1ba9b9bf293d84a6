"""A turn's whole answer, collected from its events, for clients that do not stream."""

import time
from typing import Any

from msgspec import Struct, field

from .events import (
    ChoiceStarted,
    Events,
    Finished,
    FinishReason,
    LogprobsDelta,
    ReasoningDelta,
    RefusalDelta,
    Started,
    TextDelta,
    ToolCallDelta,
    ToolCallFinished,
    ToolCallStarted,
    Usage,
    UsageReported,
)
from .turn import ToolCall


class Choice(Struct):
    """One complete answer; ``text`` is "" where the model only called tools."""

    text: str = ""
    reasoning: str = ""
    refusal: str = ""
    tool_calls: list[ToolCall] = field(default_factory=list)
    finish_reason: FinishReason | None = None
    repairs: int = 0
    notes: tuple[str, ...] = ()
    stop_sequence: str | None = None
    # Which of ``tool_calls`` ended whole, by their places.
    whole_calls: frozenset[int] = frozenset()
    logprobs: list[Any] = field(default_factory=list)


class _Pieces(Struct):
    text: list[str] = field(default_factory=list)
    reasoning: list[str] = field(default_factory=list)
    refusal: list[str] = field(default_factory=list)
    calls: list[tuple[ToolCallStarted, list[str]]] = field(default_factory=list)
    whole: set[int] = field(default_factory=set)
    finished: Finished | None = None
    logprobs: list[Any] = field(default_factory=list)

    @property
    def written(self) -> int:
        texts = [*self.text, *self.refusal]
        for call, parts in self.calls:
            texts += (call.name, *parts)
        return sum(map(len, texts))

    def choice(self) -> Choice:
        finished = self.finished
        return Choice(
            text="".join(self.text),
            reasoning="".join(self.reasoning),
            refusal="".join(self.refusal),
            tool_calls=[ToolCall(call.id, call.name, "".join(parts), call.kind) for call, parts in self.calls]
            if self.calls
            else [],
            finish_reason=finished.reason if finished else None,
            repairs=finished.repairs if finished else 0,
            notes=finished.notes if finished else (),
            stop_sequence=finished.stop_sequence if finished else None,
            whole_calls=frozenset(self.whole),
            logprobs=self.logprobs,
        )


class Collector:
    """Sums a turn's events up: feed every batch, then read ``started``, ``choices`` and ``usage``.

    ``opened`` is when the upstream began to answer and ``spoke`` when the first of the answer was there, in
    nanoseconds of the monotonic clock; 0 until then.
    """

    def __init__(self) -> None:
        self.started: Started | None = None
        self.usage: Usage | None = None
        self.opened = self.spoke = 0
        self._choices = [_Pieces()]

    @property
    def choices(self) -> list[Choice]:
        return [pieces.choice() for pieces in self._choices]

    @property
    def finished(self) -> list[Finished]:
        """The ends of the choices that have come."""
        return [pieces.finished for pieces in self._choices if pieces.finished is not None]

    @property
    def written(self) -> int:
        """How many characters the choices have, those of their calls included and without their thoughts."""
        return sum(pieces.written for pieces in self._choices)

    @property
    def thought(self) -> int:
        """How many characters their thoughts have."""
        return sum(sum(map(len, pieces.reasoning)) for pieces in self._choices)

    def feed(self, events: Events) -> None:
        if not self.spoke and events and type(events[-1]) is not Started:
            self.spoke = time.monotonic_ns()
            self.opened = self.opened or self.spoke
        current = self._choices[-1]
        texts = current.text
        for event in events:
            # The commonest by identity: a match takes four times as long.
            if type(event) is TextDelta:
                texts.append(event.text)
                continue
            if type(event) is ReasoningDelta:
                current.reasoning.append(event.text)
                continue
            match event:
                case Started():
                    self.started = event
                    self.opened = self.opened or time.monotonic_ns()
                case Finished():
                    current.finished = event
                case UsageReported(usage):
                    self.usage = usage
                case LogprobsDelta(entries):
                    current.logprobs += entries
                case RefusalDelta(text):
                    current.refusal.append(text)
                case ToolCallStarted():
                    current.calls.append((event, []))
                case ToolCallDelta(index, arguments):
                    current.calls[index][1].append(arguments)
                case ToolCallFinished(index, complete):
                    if complete:
                        current.whole.add(index)
                case ChoiceStarted():
                    current = _Pieces()
                    texts = current.text
                    self._choices.append(current)
