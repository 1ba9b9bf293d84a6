"""What a client was given of one choice, to be counted when the turn ends."""

import asyncio
from collections.abc import Sequence

from ..core.events import (
    Event,
    ReasoningDelta,
    RefusalDelta,
    TextDelta,
    ToolCallDelta,
    ToolCallStarted,
)
from ..text.tokens import Tokens
from .usage import AT_ONCE


class Delivered:
    """Collects what a client was given of one choice, to be counted when the turn ends."""

    def __init__(self) -> None:
        self._reasoning: list[str] = []
        self._answer: list[str] = []
        self._calls: dict[int, list[str]] = {}

    def add(self, events: Sequence[Event]) -> None:
        for event in events:
            kind = type(event)
            if kind is TextDelta or kind is RefusalDelta:
                self._answer.append(event.text)  # type: ignore[union-attr]  # narrowed by identity, the hot path
            elif kind is ReasoningDelta:
                self._reasoning.append(event.text)  # type: ignore[union-attr]  # as above
            elif kind is ToolCallStarted:
                self._calls[event.index] = [event.name]  # type: ignore[union-attr]  # as above
            elif kind is ToolCallDelta:
                self._calls[event.index].append(event.arguments)  # type: ignore[union-attr]  # as above

    @property
    def empty(self) -> bool:
        """Nothing a client would call an answer was delivered; reasoning alone is none."""
        return not self._calls and not any(part.strip() for part in self._answer)

    @property
    def text(self) -> str:
        return "".join(self._answer)

    @property
    def called(self) -> bool:
        return bool(self._calls)

    async def tokens(self, tokens: Tokens) -> tuple[int, int]:
        """Tokens of the reasoning and of the rest; a long answer is counted in a thread."""
        if self._characters() <= AT_ONCE:
            return self._count(tokens)
        return await asyncio.to_thread(self._count, tokens)

    def _characters(self) -> int:
        calls = sum(sum(map(len, parts)) for parts in self._calls.values())
        return sum(map(len, self._reasoning)) + sum(map(len, self._answer)) + calls

    def _count(self, tokens: Tokens) -> tuple[int, int]:
        reasoning = tokens.count("".join(self._reasoning)) if self._reasoning else 0
        text = tokens.count("".join(self._answer)) if self._answer else 0
        # Each call is a message of its own.
        return reasoning, text + sum(tokens.count("".join(parts)) for parts in self._calls.values())
