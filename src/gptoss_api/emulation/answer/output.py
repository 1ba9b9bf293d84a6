"""The last station of an answer: counts what leaves, ends it at the token limit, checks JSON on its way."""

from collections.abc import Sequence
from io import StringIO
from typing import Final, Literal

from msgspec import Struct, field

from ...core.errors import UpstreamFailure
from ...core.events import (
    Event,
    LogprobsDelta,
    ReasoningDelta,
    RefusalDelta,
    TextDelta,
    ToolCallDelta,
    ToolCallFinished,
    ToolCallStarted,
)
from ...core.turn import AssistantMessage, ToolCall
from ...text.harmony import Run
from ...text.stops import TokenLimiter
from ...text.tokens import Tokens
from .json_gate import JsonGate

# Every token of a model's window, each as long as the longest one there is: nothing honest is longer.
MAX_ANSWER: Final = 131_072 * 128

# Reasoning, text, the call with this number, or the end of that call.
Segment = Literal["reasoning", "text"] | int | tuple[int]


def endless() -> UpstreamFailure:
    """The failure of an answer that is longer than ``MAX_ANSWER`` characters."""
    failure = UpstreamFailure("The upstream's answer does not end: it is longer than a model can write.")
    failure.retryable = False
    return failure


class Delivered(Struct):
    """Collects what a client was given of one choice, and thoughts that it was not shown, to be counted."""

    _reasoning: StringIO = field(default_factory=StringIO)
    _hidden: StringIO = field(default_factory=StringIO)
    _answer: StringIO = field(default_factory=StringIO)
    _calls: dict[int, tuple[ToolCallStarted, StringIO]] = {}

    def add(self, events: Sequence[Event]) -> None:
        """Raises: UpstreamFailure, where the answer has no end."""
        for event in events:
            kind = type(event)
            if kind is TextDelta or kind is RefusalDelta:
                self._answer.write(event.text)  # type: ignore[union-attr]  # narrowed by identity, the hot path
            elif kind is ReasoningDelta:
                self._reasoning.write(event.text)  # type: ignore[union-attr]  # as above
            elif isinstance(event, ToolCallStarted):
                self._calls[event.index] = event, StringIO()
            elif isinstance(event, ToolCallDelta):
                self._calls[event.index][1].write(event.arguments)
        if self._answer.tell() > MAX_ANSWER or self._reasoning.tell() > MAX_ANSWER:
            raise endless()

    def passed(self, runs: Sequence[Run], *, hides: bool) -> None:
        """The same of whole runs, whose thoughts it ``hides`` or shows.

        Raises:
            UpstreamFailure: where the answer has no end.
        """
        answer, reasoning = self._answer, self._hidden if hides else self._reasoning
        for kind, text in runs:
            if kind is TextDelta:
                answer.write(text)
            elif kind is ReasoningDelta:
                reasoning.write(text)
        if answer.tell() > MAX_ANSWER or reasoning.tell() > MAX_ANSWER:
            raise endless()

    def hide(self, thought: str) -> None:
        """Raises: UpstreamFailure, where the reasoning has no end."""
        self._hidden.write(thought)
        if self._hidden.tell() > MAX_ANSWER:
            raise endless()

    @property
    def thoughts(self) -> str:
        """The reasoning, whether it was shown or not."""
        return self._reasoning.getvalue() or self._hidden.getvalue()

    @property
    def empty(self) -> bool:
        """Nothing a client would call an answer was delivered; reasoning alone is none."""
        return not self._calls and not self._answer.getvalue().strip()

    @property
    def text(self) -> str:
        return self._answer.getvalue()

    @property
    def message(self) -> AssistantMessage:
        """The answer as its client will send it back."""
        calls: tuple[ToolCall, ...] = ()
        if self._calls:
            calls = tuple(
                [
                    ToolCall(call.id, call.name, arguments.getvalue(), call.kind)
                    for call, arguments in self._calls.values()
                ]
            )
        return AssistantMessage(self._answer.getvalue(), self._reasoning.getvalue(), tool_calls=calls)

    @property
    def called(self) -> bool:
        return bool(self._calls)

    def count(self, tokens: Tokens, *, hidden: bool = False) -> tuple[int, int]:
        """Tokens of the reasoning and of the rest; with ``hidden`` also of thoughts that were not shown."""
        text = tokens.count(self._answer.getvalue())
        # Each call is a message of its own.
        for call, arguments in self._calls.values():
            text += tokens.count(call.name + arguments.getvalue())
        thoughts = self._reasoning.getvalue() or (self._hidden.getvalue() if hidden else "")
        return tokens.count(thoughts) if thoughts else 0, text

    @property
    def characters(self) -> int:
        calls = 0
        if self._calls:
            calls = sum([arguments.tell() for _, arguments in self._calls.values()])
        return self._reasoning.tell() + self._hidden.tell() + self._answer.tell() + calls


class Output:
    """Takes pieces in the order in which the client shall get them; :meth:`take` gives them as events.

    ``limit`` counts reasoning, text, and the names and arguments of calls together, in o200k tokens.
    ``reached`` says that it cut the answer; nothing comes out afterwards. ``gate``, if any, decides when
    text may leave. ``delivered`` collects what is taken.
    """

    def __init__(
        self, limit: int | None, tokens: Tokens, gate: JsonGate | None, delivered: Delivered
    ) -> None:
        self.reached = False
        self.refused = False
        self._limit = limit
        self._tokens = tokens
        self._limiter: TokenLimiter[Segment] | None = None if limit is None else TokenLimiter(limit, tokens)
        self._gate = gate
        self._delivered = delivered
        self._events: list[Event] = []
        self._waiting: dict[int, tuple[ToolCallStarted, int]] = {}

    @property
    def call_waits(self) -> bool:
        """Whether a call has begun of which nothing may leave yet."""
        return bool(self._waiting)

    def reasoning(self, text: str) -> None:
        self._put("reasoning", text)

    def text(self, text: str) -> None:
        """Raises: JsonBroken, from the gate."""
        self._put("text", text)

    def start(self, call: ToolCallStarted) -> None:
        if self._limiter is None:
            self._events.append(call)
            return
        # A call whose name exceeds the limit never begins.
        self._waiting[call.index] = (call, len(call.name))
        self._put(call.index, call.name)

    def arguments(self, index: int, text: str) -> None:
        self._put(index, text)

    def finish(self, index: int, *, complete: bool = True) -> None:
        self._put((index,), "")
        if not self.reached:
            self._events.append(ToolCallFinished(index, complete))

    def passed(self, text: TextDelta) -> None:
        """Text that there is nothing to hold to."""
        self._events.append(text)

    def checked(self, text: str) -> None:
        """Text that passed limit and gate already."""
        if text:
            self._events.append(TextDelta(text))

    def logprobs(self, told: LogprobsDelta) -> None:
        """They leave with what has left of their text, and are not counted."""
        self._events.append(told)

    def refuse(self, text: str) -> None:
        """A refusal; it is not counted, as it ends the answer anyway."""
        if text:
            self.refused = True
            self._events.append(RefusalDelta(text))

    def end(self) -> None:
        """Nothing follows: lets go of what was held back to count it."""
        if self._limiter is not None:
            self._limited(*self._limiter.finish())

    def restart(self) -> None:
        """Another attempt follows: what was held back and will not be delivered does not count."""
        if self._limit is not None:
            spent = sum(self._delivered.count(self._tokens))
            self._limiter = TokenLimiter(max(self._limit - spent, 0), self._tokens)

    def take(self) -> list[Event]:
        """Raises: UpstreamFailure, where the answer has no end."""
        events, self._events = self._events, []
        if events:
            self._delivered.add(events)
        return events

    def _put(self, segment: Segment, text: str) -> None:
        if self._limiter is None:
            if text:
                self._pass(segment, text)
            return
        self._limited(*self._limiter.feed(segment, text))

    def _limited(self, passed: Sequence[tuple[Segment, str]], reached: bool) -> None:
        for segment, text in passed:
            self._pass(segment, text)
        # What the gate does not want any more is not cut off.
        self.reached = reached and not (self._gate is not None and self._gate.over)

    def _pass(self, segment: Segment, text: str) -> None:
        if segment == "text":
            if self._gate is not None:
                text = self._gate.feed(text)
            if text:
                self._events.append(TextDelta(text))
        elif segment == "reasoning":
            self._events.append(ReasoningDelta(text))
        else:
            assert isinstance(segment, int)
            if segment in self._waiting:
                text = self._begin(segment, text)
            if text:
                self._events.append(ToolCallDelta(segment, text))

    def _begin(self, index: int, text: str) -> str:
        """The call begins once its whole name has passed; gives what of ``text`` is arguments."""
        call, missing = self._waiting[index]
        if len(text) < missing:
            self._waiting[index] = (call, missing - len(text))
            return ""
        del self._waiting[index]
        self._events.append(call)
        return text[missing:]
