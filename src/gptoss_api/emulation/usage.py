"""Token usage of a turn whose upstream reports none: counted from what was asked and delivered."""

import asyncio
from collections.abc import Sequence
from typing import Final

from ..core.errors import ContextLengthExceeded
from ..core.events import Usage
from ..core.turn import Turn
from ..loop import in_thread
from ..text.tokens import Tokens, utf8_length
from .answer.output import Delivered

# What Harmony adds around the text: a system message of about 70 tokens, and per message the role,
# channel and delimiter tokens (docs/design/emulation.md, "Token counts").
SYSTEM_OVERHEAD: Final = 70
MESSAGE_OVERHEAD: Final = 4

# The least room an answer must have. A larger completion limit does not ask for more: the model
# simply stops at the end of its window.
LEAST_ANSWER: Final = 8_192

# Characters up to which counting (about 0.2 microseconds each) is cheaper than a thread.
AT_ONCE: Final = 4_096


# What is looked at to estimate how far a prompt exceeds the window: so many places, so many characters each.
_SAMPLES: Final = 32
_SAMPLE: Final = 1_000


class PromptCount:
    """Counts the tokens of a prompt: a long one in a thread, while the model is already at work.

    ``segments`` make up the one user message that is sent, to a thread that has ``known`` tokens already.
    Counting ends when the ``window`` of the model is full. Use as a context manager around the turn.
    """

    def __init__(self, segments: Sequence[str], tokens: Tokens, window: int, known: int = 0) -> None:
        self._segments = segments
        self._tokens = tokens
        self._window = window
        self._frame = (known or SYSTEM_OVERHEAD) + MESSAGE_OVERHEAD
        self._characters = sum(map(len, segments))
        # A token is at least one byte.
        self._most = self._frame + sum(map(utf8_length, segments))
        self._task: asyncio.Task[int] | None = None
        self._counted: int | None = None

    def __enter__(self) -> "PromptCount":
        if self._characters > AT_ONCE or not self._tokens.loaded:
            self._task = asyncio.create_task(in_thread(self._characters, self._count))
        return self

    def __exit__(self, *_: object) -> None:
        if self._task is not None:
            self._task.cancel()

    async def check(self, turn: Turn) -> None:
        """Refuses a prompt that leaves no room for an answer; costs nothing for ordinary sizes.

        Raises:
            ContextLengthExceeded: with the number of tokens, exact up to the model's window.
        """
        window = self._window
        reserve = min(turn.max_tokens or LEAST_ANSWER, LEAST_ANSWER)
        if self._most + reserve <= window:
            return
        count = await self.size()
        if count + reserve > window:
            raise ContextLengthExceeded(count, window, reserve, counted=count <= window)

    async def room(self, asked: int | None) -> int | None:
        """``asked`` tokens for an answer, or as many as the window has room for; ``None`` for no limit.

        Servers refuse more. Nothing is counted where it is sure to fit.
        """
        if asked is None or self._most + asked <= self._window:
            return asked
        return max(min(asked, self._window - await self.total()), 1)

    @property
    def known(self) -> int | None:
        """What :meth:`total` gives, where that is counted already."""
        return self._counted

    async def total(self) -> int:
        """All of the prompt's tokens, Harmony's frame included; afterwards the ranks are loaded.

        Of a prompt larger than the window some number that is larger, too.
        """
        if self._counted is not None:
            return self._counted
        return self._count() if self._task is None else await self._task

    async def size(self) -> int:
        """The same, and of a prompt larger than the window about how many there are."""
        count = await self.total()
        if count <= self._window:
            return count
        return max(await in_thread(self._characters, self._estimate), count)

    def _count(self) -> int:
        room = max(self._window - self._frame, 0)
        self._counted = self._frame + self._tokens.count_parts(self._segments, room)
        return self._counted

    def _estimate(self) -> int:
        """About how many tokens the prompt has, from samples of it."""
        text = "".join(self._segments)
        step = max(len(text) // _SAMPLES, 1)
        samples = [text[at : at + _SAMPLE] for at in range(0, len(text), step)]
        return self._frame + self._tokens.count_parts(samples) * len(text) // sum(map(len, samples))


async def count_delivered(
    prompt: PromptCount, known: int, delivered: Sequence[Delivered], tokens: Tokens
) -> Usage:
    """The usage of a turn whose choices are ``delivered``; a long one is counted in a thread.

    ``known`` of the prompt's tokens were not sent.
    """
    asked = await prompt.total()
    reasoning = said = 0
    for choice in delivered:
        if choice.characters <= AT_ONCE:
            counts = choice.count(tokens)
        else:
            counts = await in_thread(choice.characters, choice.count, tokens)
        reasoning += counts[0]
        said += counts[1]
    return Usage(
        prompt_tokens=asked,
        completion_tokens=reasoning + said,
        reasoning_tokens=reasoning,
        cached_tokens=known,
    )
