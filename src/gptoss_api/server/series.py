"""Several turns answered one after the other as if they were choices of one."""

from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, aclosing, asynccontextmanager

from ..core.events import ChoiceStarted, Event, Events, Started, Usage, UsageReported
from ..core.turn import Turn

OpenTurn = Callable[[Turn], AbstractAsyncContextManager[AsyncIterator[Events]]]


@asynccontextmanager
async def open_series(open_turn: OpenTurn, turns: Sequence[Turn]) -> AsyncIterator[AsyncIterator[Events]]:
    """The answers of ``turns``, their choices numbered through and their usage added up."""
    async with aclosing(_answer(open_turn, turns)) as batches:
        yield batches


async def _answer(open_turn: OpenTurn, turns: Sequence[Turn]) -> AsyncGenerator[Events, None]:
    choice = 0
    usages: list[Usage] = []
    for number, turn in enumerate(turns):
        async with open_turn(turn) as batches:
            async for batch in batches:
                out: list[Event] = []
                for event in batch:
                    match event:
                        case Started() if number == 0:
                            out.append(event)
                        case Started() | ChoiceStarted():
                            choice += 1
                            out.append(ChoiceStarted(choice))
                        case UsageReported(usage):
                            usages.append(usage)
                        case _:
                            out.append(event)
                if out:
                    yield out
    if len(usages) == len(turns):
        yield [UsageReported(_sum(usages))]


def _sum(usages: Sequence[Usage]) -> Usage:
    return Usage(
        prompt_tokens=sum(usage.prompt_tokens for usage in usages),
        completion_tokens=sum(usage.completion_tokens for usage in usages),
        reasoning_tokens=sum(usage.reasoning_tokens for usage in usages),
        cached_tokens=sum(usage.cached_tokens for usage in usages),
        estimated=any(usage.estimated for usage in usages),
    )
