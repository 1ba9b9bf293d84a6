"""What a client was given of one choice, to be counted when the turn ends."""

from collections.abc import Sequence
from io import StringIO

from ...core.events import (
    Event,
    ReasoningDelta,
    RefusalDelta,
    TextDelta,
    ToolCallDelta,
    ToolCallStarted,
)
from ...core.turn import AssistantMessage, ToolCall
from ...loop import in_thread
from ...text.tokens import Tokens
from ..usage import AT_ONCE
from . import bounds


class Delivered:
    """Collects what a client was given of one choice, to be counted when the turn ends."""

    def __init__(self) -> None:
        self._reasoning = StringIO()
        self._answer = StringIO()
        self._calls: dict[int, tuple[ToolCallStarted, StringIO]] = {}

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
        if self._answer.tell() > bounds.MAX_ANSWER or self._reasoning.tell() > bounds.MAX_ANSWER:
            raise bounds.endless()

    @property
    def empty(self) -> bool:
        """Nothing a client would call an answer was delivered; reasoning alone is none."""
        return not self._calls and not self.text.strip()

    @property
    def text(self) -> str:
        return self._answer.getvalue()

    @property
    def message(self) -> AssistantMessage:
        """The answer as its client will send it back."""
        calls = (
            ToolCall(call.id, call.name, arguments.getvalue(), call.kind)
            for call, arguments in self._calls.values()
        )
        return AssistantMessage(self.text, self._reasoning.getvalue(), tool_calls=tuple(calls))

    @property
    def called(self) -> bool:
        return bool(self._calls)

    async def tokens(self, tokens: Tokens) -> tuple[int, int]:
        """Tokens of the reasoning and of the rest; a long answer is counted in a thread."""
        if self._characters() <= AT_ONCE:
            return self.count(tokens)
        return await in_thread(self._characters(), self.count, tokens)

    def count(self, tokens: Tokens) -> tuple[int, int]:
        """The same at once."""
        text = tokens.count(self.text)
        # Each call is a message of its own.
        for call, arguments in self._calls.values():
            text += tokens.count(call.name + arguments.getvalue())
        return tokens.count(self._reasoning.getvalue()), text

    def _characters(self) -> int:
        calls = sum(arguments.tell() for _, arguments in self._calls.values())
        return self._reasoning.tell() + self._answer.tell() + calls
