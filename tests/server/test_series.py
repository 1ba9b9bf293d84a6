"""Several turns answered as one."""

from gptoss_api.core.events import (
    ChoiceStarted,
    Event,
    Events,
    Finished,
    Started,
    TextDelta,
    Usage,
    UsageReported,
)
from gptoss_api.core.turn import Turn, UserMessage
from gptoss_api.server.series import Series
from gptoss_api.upstreams.base import Sink
from tests.pulled import pulled


async def two_choices(turn: Turn, sink: Sink) -> None:
    text = turn.messages[0].text
    batches: list[Events] = [
        [Started(upstream="test", model=turn.model), TextDelta(text)],
        [Finished("stop"), ChoiceStarted(1), TextDelta(text.upper()), Finished("stop")],
        [UsageReported(Usage(1, 2, 1, 0, estimated=False))],
    ]
    for batch in batches:
        await sink.flow.free()
        sink.feed(batch)


async def test_choices_are_numbered_through_and_usage_is_added_up() -> None:
    # The same turn twice: turns are told apart by their place.
    turn = Turn("gpt-oss-120b", (UserMessage("a"),))
    events: list[Event] = []
    async with pulled(lambda sink: Series(two_choices, [turn, turn], sink).answer()) as batches:
        async for batch in batches:
            assert batch
            events += batch
    assert sum(isinstance(event, Started) for event in events) == 1
    assert [event.index for event in events if isinstance(event, ChoiceStarted)] == [1, 2, 3]
    assert "".join(event.text for event in events if isinstance(event, TextDelta)) == "aAaA"
    assert events[-1] == UsageReported(Usage(2, 4, 2, 0, estimated=False))
