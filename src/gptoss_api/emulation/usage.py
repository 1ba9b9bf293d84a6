"""What a turn costs: as its upstream reports it, else counted from what was asked and said."""

import asyncio
from collections.abc import Sequence
from functools import partial
from typing import Final

from msgspec import Struct

from ..core.errors import ContextLengthExceeded
from ..core.events import Usage
from ..core.turn import Turn
from ..loop import in_thread
from ..text.tokens import Tokens, utf8_length
from .answer.output import Delivered
from .prompt.harmony import HarmonyText

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

    ``prompt`` is what the model reads of it. Counting ends when the ``window`` of the model is full. Use as a
    context manager around the turn. ``known`` is the number once it is counted, and ``is_aside`` says that it
    has to be waited for.
    """

    def __init__(self, prompt: HarmonyText, tokens: Tokens, window: int) -> None:
        self._segments: Sequence[str] = prompt.texts
        self._new: Sequence[str] = prompt.texts
        self._frame = prompt.tokens
        self._tokens = tokens
        self._window = window
        self._remembered = 0
        self._characters = sum(map(len, prompt.texts))
        self._most: int | None = None
        self._task: asyncio.Task[int] | None = None
        self.known: int | None = None
        self.is_aside = False

    def __enter__(self) -> "PromptCount":
        new = self._characters
        if new > AT_ONCE:
            self._remembered, self._new = self._tokens.remembered(self._segments)
            new = sum(map(len, self._new))
        if new > AT_ONCE or not self._tokens.loaded:
            self.is_aside = True
            self._task = asyncio.create_task(in_thread(new, self.count))
        return self

    def __exit__(self, *_: object) -> None:
        if self._task is not None:
            self._task.cancel()

    def leaves(self, room: int) -> bool:
        """Whether the window surely has ``room`` for an answer, as far as can be said without counting."""
        left = self._window - self._frame - room
        # A token is at least one byte, a character at most four.
        if 4 * self._characters <= left:
            return True
        if self._most is None:
            ascii_only = all(map(str.isascii, self._segments))
            self._most = self._characters if ascii_only else sum(map(utf8_length, self._segments))
        return self._most <= left

    async def check(self, turn: Turn) -> None:
        """Refuses a prompt that leaves no room for an answer; costs nothing for ordinary sizes.

        Raises:
            ContextLengthExceeded: with the number of tokens, exact up to the model's window.
        """
        window = self._window
        reserve = min(turn.max_tokens or LEAST_ANSWER, LEAST_ANSWER)
        if self.leaves(reserve):
            return
        count = await self.size()
        if count + reserve > window:
            raise ContextLengthExceeded(count, window, reserve, counted=count <= window)

    async def room(self, asked: int | None) -> int | None:
        """``asked`` tokens for an answer, or as many as the window has room for; ``None`` for no limit.

        Servers refuse more. Nothing is counted where it is sure to fit.
        """
        if asked is None or self.leaves(asked):
            return asked
        return max(min(asked, self._window - await self.total()), 1)

    async def total(self) -> int:
        """All of the prompt's tokens, Harmony's frame included; afterwards the ranks are loaded.

        Of a prompt larger than the window some number that is larger, too.
        """
        return self.count() if self._task is None else await self._task

    async def size(self) -> int:
        """The same, and of a prompt larger than the window about how many there are."""
        count = await self.total()
        if count <= self._window:
            return count
        return max(await in_thread(self._characters, self._estimate), count)

    def count(self) -> int:
        """The same, here and now."""
        if self.known is None:
            room = max(self._window - self._frame, 0)
            count = self._remembered + self._tokens.count_parts(self._new, max(room - self._remembered, 0))
            self.known = self._frame + count
        return self.known

    def _estimate(self) -> int:
        """About how many tokens the prompt has, from samples of it."""
        text = "".join(self._segments)
        step = max(len(text) // _SAMPLES, 1)
        samples = [text[at : at + _SAMPLE] for at in range(0, len(text), step)]
        return self._frame + self._tokens.count_parts(samples) * len(text) // sum(map(len, samples))


class Costs(Struct):
    """What the upstream turns that answer one turn cost.

    ``add`` what each reported when it is over, then ask for the ``usage`` of all. A number that no upstream
    gave, or gave as 0 where that cannot be, is counted.
    """

    _turns: int = 0
    _reports: list[Usage] = []
    _asked: Usage | None = None

    def add(self, report: Usage | None, *, as_asked: bool) -> None:
        """``as_asked`` turns sent what the client asked, and nothing of the gateway's own after it."""
        self._turns += 1
        if report is not None:
            self._reports.append(report)
            if as_asked and self._asked is None:
                self._asked = report

    async def usage(
        self,
        prompt: PromptCount,
        delivered: Sequence[Delivered],
        tokens: Tokens,
        *,
        known: int = 0,
        bounded: bool = False,
    ) -> Usage:
        """The usage of a turn whose choices are ``delivered``; long texts are counted in a thread.

        ``known`` of the prompt's tokens were not sent. An upstream only knows its own turns: what several
        of them wrote for one choice is counted here. Where the gateway itself has ``bounded`` the answer,
        thoughts that were not shown count no more than they did then.
        """
        asked, reports = self._asked, self._reports
        written = thought = 0
        if reports and len(reports) == self._turns == len(delivered):
            completed = [report.completion_tokens for report in reports]
            if 0 not in completed:
                written, thought = sum(completed), sum([report.reasoning_tokens for report in reports])
        counted = not written
        if counted or not thought:
            hidden = not (counted and bounded)
            said = thought = 0
            for choice in delivered:
                if counted or choice.thoughts:
                    if choice.characters <= AT_ONCE:
                        reasoning, text = choice.count(tokens, hidden=hidden)
                    else:
                        reasoning, text = await in_thread(
                            choice.characters, partial(choice.count, tokens, hidden=hidden)
                        )
                    thought += reasoning
                    said += text
            written = written or thought + said
        prompt_tokens = 0 if asked is None else asked.prompt_tokens
        if not prompt_tokens:
            prompt_tokens = await prompt.total() if prompt.is_aside else prompt.count()
        return Usage(
            prompt_tokens=prompt_tokens,
            completion_tokens=written,
            reasoning_tokens=min(thought, written),
            cached_tokens=known if asked is None else asked.cached_tokens,
            estimated=counted or asked is None or not asked.prompt_tokens,
        )
