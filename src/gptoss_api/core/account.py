"""What a request has cost so far, whoever wants to know: limits while it runs, statistics afterwards."""

from .events import (
    Events,
    ReasoningDelta,
    RefusalDelta,
    Started,
    TextDelta,
    ToolCallDelta,
    ToolCallStarted,
    Usage,
    UsageReported,
)

# Characters of ordinary text in one token of o200k.
CHARACTERS_PER_TOKEN = 4


def estimated_tokens(characters: int) -> int:
    """About as many tokens as ordinary text of this length has."""
    return -(-characters // CHARACTERS_PER_TOKEN)


class Meter:
    """Adds up the events of one request's turns; ``prompt_tokens`` is what its prompts are thought to have.

    ``usage`` at any moment: what was reported, or an estimate from what was written until then where the
    answer was not heard to its end.
    """

    __slots__ = ("_prompt_tokens", "_reasoning", "_reported", "_started", "_written")

    def __init__(self, prompt_tokens: int) -> None:
        self._prompt_tokens = prompt_tokens
        self._started = False
        self._written = self._reasoning = 0
        self._reported: Usage | None = None

    def observe(self, events: Events) -> None:
        for event in events:
            match event:
                case TextDelta(text) | RefusalDelta(text) | ToolCallDelta(_, text):
                    self._written += len(text)
                case ReasoningDelta(text):
                    self._reasoning += len(text)
                case ToolCallStarted():
                    self._written += len(event.name)
                case Started():
                    self._started = True
                    self._prompt_tokens = event.prompt_tokens or self._prompt_tokens
                case UsageReported(usage):
                    self._reported = usage

    @property
    def usage(self) -> Usage:
        """Nothing where no upstream has begun to answer."""
        if self._reported is not None:
            return self._reported
        if not self._started:
            return Usage(0, 0)
        reasoning = estimated_tokens(self._reasoning)
        return Usage(
            self._prompt_tokens,
            reasoning + estimated_tokens(self._written),
            reasoning_tokens=reasoning,
        )
