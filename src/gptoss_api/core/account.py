"""What a request has cost so far, whoever wants to know: limits while it runs, statistics afterwards."""

import time
from contextvars import ContextVar
from typing import Final

from msgspec import Struct

from .events import (
    Events,
    Finished,
    ReasoningDelta,
    RefusalDelta,
    Started,
    TextDelta,
    ToolCallDelta,
    ToolCallStarted,
    Usage,
    UsageReported,
)
from .result import Collector

# Characters of ordinary text in one token of o200k.
CHARACTERS_PER_TOKEN = 4


def estimated_tokens(characters: int) -> int:
    """About as many tokens as ordinary text of this length has."""
    return -(-characters // CHARACTERS_PER_TOKEN)


class Meter(Struct, eq=False):
    """Adds up the events of one request's turns; ``prompt_tokens`` is what its prompts are thought to have.

    ``first`` is when the first of them came, in ``time.perf_counter()`` seconds. ``usage`` at any moment is
    what was reported, or an estimate from what was written until then where the answer was not heard to its
    end. ``repairs`` counts what was mended in the answers, ``repaired`` names the kinds of what was asked
    again.
    """

    prompt_tokens: int = 0
    first: float | None = None
    started: Started | None = None
    _written: int = 0
    _reasoning: int = 0
    _repairs: int = 0
    _finished: tuple[str, ...] = ()
    _reported: Usage | None = None

    def observe(self, events: Events) -> None:
        if self.first is None:
            self.first = time.perf_counter()
        written = reasoning = 0
        for event in events:
            # The commonest first: this runs for every token.
            if type(event) is TextDelta or type(event) is RefusalDelta:
                written += len(event.text)
            elif type(event) is ReasoningDelta:
                reasoning += len(event.text)
            elif type(event) is ToolCallDelta:
                written += len(event.arguments)
            elif type(event) is ToolCallStarted:
                written += len(event.name)
            elif type(event) is Started:
                self.started = event
                self.prompt_tokens = event.prompt_tokens or self.prompt_tokens
            elif type(event) is UsageReported:
                self._reported = event.usage
            elif type(event) is Finished:
                self._repairs += event.repairs
                self._finished += event.repaired
        self._written += written
        self._reasoning += reasoning

    def take(self, answer: Collector) -> None:
        """Observes a whole answer at once, as far as it came; ``first`` is left to whoever fed it."""
        if (started := answer.started) is not None:
            self.started = started
            self.prompt_tokens = started.prompt_tokens or self.prompt_tokens
        for finished in answer.finished:
            self._repairs += finished.repairs
            self._finished += finished.repaired
        self._reported = answer.usage
        if answer.usage is None:
            self._written, self._reasoning = answer.written, answer.thought

    @property
    def usage(self) -> Usage:
        """Nothing where no upstream has begun to answer."""
        if self._reported is not None:
            return self._reported
        if self.started is None:
            return Usage(0, 0)
        reasoning = estimated_tokens(self._reasoning)
        return Usage(
            self.prompt_tokens,
            reasoning + estimated_tokens(self._written),
            reasoning_tokens=reasoning,
        )

    @property
    def repairs(self) -> int:
        started = self.started
        return self._repairs if started is None else max(self._repairs, started.repairs)

    @property
    def repaired(self) -> tuple[str, ...]:
        return self._finished or (() if self.started is None else self.started.repaired)


class UpstreamTime(Struct, eq=False):
    """How long a request has waited for upstreams, for a place at one too.

    Turns that it asks at the same time do not count twice. ``last`` is the one that was asked last, "" where
    none was.
    """

    asked: bool = False
    last: str = ""
    _running: int = 0
    _since: float = 0.0
    _seconds: float = 0.0

    def enter(self, upstream: str) -> None:
        if not self._running:
            self._since = time.perf_counter()
        self._running += 1
        self.asked = True
        self.last = upstream

    def leave(self) -> None:
        self._running -= 1
        if not self._running:
            self._seconds += time.perf_counter() - self._since

    @property
    def seconds(self) -> float:
        """Until now."""
        return self._seconds + (time.perf_counter() - self._since if self._running else 0.0)


# That of the request which is being answered, in its context and in that of every task that works for it.
UPSTREAM_TIME: Final[ContextVar[UpstreamTime | None]] = ContextVar("UPSTREAM_TIME", default=None)
