"""Several turns answered one after the other as if they were choices of one."""

from collections.abc import Awaitable, Callable, Sequence

from ..core.events import ChoiceStarted, Event, Events, Started, Usage, UsageReported
from ..core.turn import Turn
from ..upstreams.base import Sink

AnswerTurn = Callable[[Turn, Sink], Awaitable[None]]


class Series:
    """Has ``turns`` answered one after the other, their choices numbered through and their usage added up."""

    def __init__(self, answer_turn: AnswerTurn, turns: Sequence[Turn], sink: Sink) -> None:
        self._answer_turn = answer_turn
        self._turns = turns
        self._sink = sink
        self.flow = sink.flow
        self._choice = -1
        self._usages: list[Usage] = []

    async def answer(self) -> None:
        for turn in self._turns:
            await self._answer_turn(turn, self)
        if len(self._usages) == len(self._turns):
            await self.flow.free()
            self._sink.feed([UsageReported(_sum(self._usages))])

    def feed(self, events: Events) -> bool:
        out: list[Event] = []
        for event in events:
            match event:
                case Started() if self._choice < 0:
                    self._choice = 0
                    out.append(event)
                case Started() | ChoiceStarted():
                    self._choice += 1
                    out.append(ChoiceStarted(self._choice))
                case UsageReported(usage):
                    self._usages.append(usage)
                case _:
                    out.append(event)
        return self._sink.feed(out) if out else True


def _sum(usages: Sequence[Usage]) -> Usage:
    return Usage(
        prompt_tokens=sum(usage.prompt_tokens for usage in usages),
        completion_tokens=sum(usage.completion_tokens for usage in usages),
        reasoning_tokens=sum(usage.reasoning_tokens for usage in usages),
        cached_tokens=sum(usage.cached_tokens for usage in usages),
        estimated=any(usage.estimated for usage in usages),
    )
