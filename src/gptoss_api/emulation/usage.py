"""Token usage of a turn whose upstream reports none: counted from what was asked and delivered."""

import asyncio
from collections.abc import Sequence
from typing import Final

from ..core.catalog import find_model
from ..core.errors import ContextLengthExceeded
from ..core.turn import Turn
from ..text.tokens import Tokens

# What Harmony adds around the text: a system message of about 70 tokens, and per message the role,
# channel and delimiter tokens (docs/design/emulation.md, "Token counts").
SYSTEM_OVERHEAD: Final = 70
MESSAGE_OVERHEAD: Final = 4

# The least room an answer must have. A larger completion limit does not ask for more: the model
# simply stops at the end of its window.
LEAST_ANSWER: Final = 8_192

# Characters up to which counting (about 0.2 microseconds each) is cheaper than a thread.
AT_ONCE: Final = 4_096


class PromptCount:
    """Counts the tokens of a prompt: a long one in a thread, while the model is already at work.

    ``segments`` make up the one user message that is sent, to a thread that has ``known`` tokens already.
    Use as a context manager around the turn.
    """

    def __init__(self, segments: Sequence[str], tokens: Tokens, known: int = 0) -> None:
        self._segments = segments
        self._tokens = tokens
        self._before = known or SYSTEM_OVERHEAD
        self._characters = sum(map(len, segments))
        self._task: asyncio.Task[int] | None = None

    def __enter__(self) -> "PromptCount":
        if self._characters > AT_ONCE or not self._tokens.loaded:
            self._task = asyncio.create_task(asyncio.to_thread(self._count))
        return self

    def __exit__(self, *_: object) -> None:
        if self._task is not None:
            self._task.cancel()

    async def check(self, turn: Turn) -> None:
        """Refuses a prompt that leaves no room for an answer; costs nothing for ordinary sizes.

        Raises:
            ContextLengthExceeded: with the exact number of tokens.
        """
        window = find_model(turn.model).context_window
        reserve = min(turn.max_tokens or LEAST_ANSWER, LEAST_ANSWER)
        # A token is at least one byte and a character at most four.
        if self._before + 4 * self._characters + MESSAGE_OVERHEAD + reserve <= window:
            return
        exact = await self.total()
        if exact + reserve > window:
            raise ContextLengthExceeded(exact, window, reserve)

    async def total(self) -> int:
        """All of the prompt's tokens, Harmony's frame included; afterwards the ranks are loaded."""
        return self._count() if self._task is None else await self._task

    def _count(self) -> int:
        return self._before + self._tokens.count_parts(self._segments) + MESSAGE_OVERHEAD
