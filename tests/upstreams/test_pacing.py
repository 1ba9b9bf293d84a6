"""How large pieces of an answer are cut up."""

import asyncio
import threading

from hypothesis import given, settings
from hypothesis import strategies as st

from gptoss_api.core.events import (
    Event,
    Events,
    Finished,
    ReasoningDelta,
    RefusalDelta,
    TextDelta,
    ToolCallDelta,
    ToolCallFinished,
    ToolCallStarted,
)
from gptoss_api.loop import Flow
from gptoss_api.upstreams.pacing import LARGE, feed_paced, slices_of
from gptoss_api.upstreams.reading import read_beside

_SIZE = st.one_of(st.integers(0, 5), st.integers(LARGE - 2, LARGE + 2), st.integers(2 * LARGE, 4 * LARGE))
_EVENT = st.one_of(
    st.builds(
        lambda kind, size: kind("x" * size), st.sampled_from([TextDelta, ReasoningDelta, RefusalDelta]), _SIZE
    ),
    st.builds(lambda index, size: ToolCallDelta(index, "x" * size), st.integers(0, 2), _SIZE),
    st.sampled_from([ToolCallStarted(0, "c", "f"), ToolCallFinished(0), Finished("stop")]),
)


def size_of(event: Event) -> int:
    return len(getattr(event, "text", getattr(event, "arguments", "")))


def summed(events: list[Event]) -> list[tuple[object, int]]:
    """What is said in which order, however it is cut."""
    out: list[tuple[object, int]] = []
    for event in events:
        what = (type(event), getattr(event, "index", None))
        if out and out[-1][0] == what and size_of(event):
            out[-1] = (what, out[-1][1] + size_of(event))
        elif size_of(event) or not hasattr(event, "text"):
            out.append((what, size_of(event)))
    return out


@settings(deadline=None)
@given(st.lists(_EVENT, max_size=6))
def test_nothing_is_lost_and_no_batch_is_large(events: list[Event]) -> None:
    batches = list(slices_of(events))
    assert all(batches)
    assert all(sum(map(size_of, batch)) <= LARGE for batch in batches)
    assert summed([event for batch in batches for event in batch]) == summed(events)


def test_small_events_stay_together() -> None:
    events: list[Event] = [TextDelta("a"), ToolCallStarted(0, "c", "f"), Finished("stop")]
    assert list(slices_of(events)) == [events]


async def test_others_have_their_turn_between_the_batches() -> None:
    turns = 0

    async def other() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    task = asyncio.create_task(other())
    seen: list[int] = []

    class Noting:
        flow = Flow()

        def feed(self, events: Events) -> bool:
            seen.append(turns)
            return True

    assert await feed_paced(Noting(), [TextDelta("x" * 4 * LARGE)])
    task.cancel()
    assert seen == [0, 1, 2, 3]


async def test_only_long_events_are_read_beside_the_loop() -> None:
    where: list[bool] = []

    def read(payloads: object) -> list[Event]:
        where.append(threading.current_thread() is threading.main_thread())
        return []

    for payloads in ([b"x" * 100], [b"x" * 200] * 1000, [b"x" * 3 * LARGE], [b"x" * 3000] * 20):
        await read_beside(read, payloads)
    assert where == [True, True, False, False]
