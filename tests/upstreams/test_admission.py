"""Admission: never too many, never a lost slot, fair between callers."""

import asyncio
import random
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gptoss_api.core.errors import Overloaded
from gptoss_api.upstreams.admission import Admission, Slot


@asynccontextmanager
async def slot_of(admission: Admission, caller: str) -> AsyncIterator[None]:
    """A slot as a turn holds it."""
    with Slot(admission, caller) as slot:
        if not slot.held:
            await slot.wait()
        yield


def steps_until_done(coroutine: Coroutine[object, None, object]) -> int:
    """How often a coroutine suspends before it ends."""
    suspensions = 0
    while True:
        try:
            coroutine.send(None)
        except StopIteration:
            return suspensions
        suspensions += 1


class Crowd:
    """Turns that hold their slot until told to leave, in the order in which they got it."""

    def __init__(self, admission: Admission) -> None:
        self.admission = admission
        self.entered: list[str] = []
        self._leave: dict[str, asyncio.Event] = {}
        self.tasks: dict[str, asyncio.Task[None]] = {}

    async def arrive(self, name: str, caller: str | None = None) -> None:
        self._leave[name] = asyncio.Event()
        self.tasks[name] = asyncio.create_task(self._run(name, caller or name[0]))
        await settle()

    async def _run(self, name: str, caller: str) -> None:
        async with slot_of(self.admission, caller):
            self.entered.append(name)
            await self._leave[name].wait()

    async def leave(self, name: str) -> None:
        self._leave[name].set()
        await settle()

    async def cancel(self, name: str) -> None:
        self.tasks[name].cancel()
        await settle()

    async def drain(self) -> None:
        for event in self._leave.values():
            event.set()
        await asyncio.gather(*self.tasks.values(), return_exceptions=True)


async def settle() -> None:
    for _ in range(4):
        await asyncio.sleep(0)


async def test_a_free_slot_is_taken_without_suspending() -> None:
    admission = Admission(1, 0)

    async def turn() -> None:
        async with slot_of(admission, "a"):
            assert admission.active == 1

    assert steps_until_done(turn()) == 0
    assert admission.active == 0


async def test_no_more_than_the_limit_run_and_the_next_follows_when_one_leaves() -> None:
    admission = Admission(2, 10)
    crowd = Crowd(admission)
    for name in ("a1", "a2", "a3"):
        await crowd.arrive(name)
    assert (crowd.entered, admission.active, admission.waiting) == (["a1", "a2"], 2, 1)
    await crowd.leave("a1")
    assert (crowd.entered, admission.active, admission.waiting) == (["a1", "a2", "a3"], 2, 0)
    await crowd.drain()
    assert (admission.active, admission.waiting) == (0, 0)


async def test_callers_take_turns_and_each_is_served_in_order() -> None:
    admission = Admission(1, 20)
    crowd = Crowd(admission)
    for name in ("a0", "a1", "a2", "a3", "b1", "b2", "c1"):
        await crowd.arrive(name)
    for _ in range(7):
        await crowd.leave(crowd.entered[-1])
    assert crowd.entered == ["a0", "a1", "b1", "c1", "a2", "b2", "a3"]


async def test_who_holds_fewest_is_next() -> None:
    admission = Admission(4, 20)
    crowd = Crowd(admission)
    for name in ("a1", "a2", "a3", "b1", "a4", "b2", "c1", "d1"):
        await crowd.arrive(name)
    # "a" holds three of the four and has waited longest.
    for left in ("b1", "a1", "a2", "c1"):
        await crowd.leave(left)
    assert crowd.entered == ["a1", "a2", "a3", "b1", "b2", "c1", "d1", "a4"]
    await crowd.drain()
    assert admission._held == {}


@pytest.mark.parametrize("slots", [1, 4, 16])
async def test_one_with_two_hundred_waiting_turns_does_not_double_the_waiting_of_nineteen(slots: int) -> None:
    """Every turn takes as long as any other, so time is counted in slots that came free."""

    async def waited(busy: int) -> float:
        admission, freed, waits = Admission(slots, 1024), 0, []
        running: list[asyncio.Event] = []

        async def turn(caller: str) -> None:
            since = freed
            async with slot_of(admission, caller):
                if caller != "busy":
                    waits.append(freed - since)
                running.append(end := asyncio.Event())
                await end.wait()

        async def client(caller: str) -> None:
            for _ in range(20):
                await turn(caller)

        tasks = [asyncio.create_task(turn("busy")) for _ in range(busy)]
        await settle()
        tasks += [asyncio.create_task(client(f"key {number}")) for number in range(19)]
        await settle()
        while running:
            freed += 1
            running.pop(0).set()
            await settle()
        await asyncio.gather(*tasks)
        assert len(waits) == 19 * 20
        return sum(waits) / len(waits)

    assert 0 < await waited(200) < 2 * await waited(0)


async def test_a_full_queue_refuses_at_once_and_says_when_to_come_back() -> None:
    admission = Admission(1, 1)
    crowd = Crowd(admission)
    await crowd.arrive("a1")
    await crowd.arrive("a2")
    with pytest.raises(Overloaded) as caught:
        await slot_of(admission, "a").__aenter__()
    assert caught.value.retry_after is not None
    assert 1 <= caught.value.retry_after <= 60
    assert f"Try again in about {caught.value.retry_after:.0f} s." in caught.value.message
    assert (admission.active, admission.waiting) == (1, 1)
    await crowd.drain()


async def test_in_a_full_queue_the_newest_of_who_has_most_makes_room_for_who_has_fewer() -> None:
    admission = Admission(1, 4)
    crowd = Crowd(admission)
    for name in ("a0", "a1", "a2", "a3", "c1"):
        await crowd.arrive(name)
    await crowd.arrive("b1")
    refused = crowd.tasks["a3"].exception()
    assert isinstance(refused, Overloaded)
    assert "most of them from this caller" in refused.message
    assert refused.retry_after is not None
    assert 1 <= refused.retry_after <= 60
    assert (admission.active, admission.waiting) == (1, 4)
    for _ in range(5):
        await crowd.leave(crowd.entered[-1])
    assert crowd.entered == ["a0", "a1", "c1", "b1", "a2"]


async def test_who_has_as_many_as_anyone_gets_nobody_elses_place() -> None:
    admission = Admission(1, 4)
    crowd = Crowd(admission)
    for name in ("a0", "a1", "a2", "b1", "b2"):
        await crowd.arrive(name)
    for name in ("a3", "b3"):
        await crowd.arrive(name)
        assert isinstance(crowd.tasks[name].exception(), Overloaded)
    assert admission.waiting == 4
    await crowd.drain()
    assert crowd.entered == ["a0", "a1", "b1", "a2", "b2"]


async def test_a_waiter_that_is_cancelled_already_makes_room_without_a_word() -> None:
    admission = Admission(1, 2)
    crowd = Crowd(admission)
    for name in ("a0", "a1", "a2"):
        await crowd.arrive(name)
    crowd.tasks["a2"].cancel()
    await crowd.arrive("b1")
    assert crowd.tasks["a2"].cancelled()
    assert admission.waiting == 2
    await crowd.drain()
    assert crowd.entered == ["a0", "a1", "b1"]


async def test_waiting_too_long_is_refused_and_leaves_the_queue() -> None:
    admission = Admission(1, 5, wait_timeout=0.02)
    crowd = Crowd(admission)
    await crowd.arrive("a1")
    with pytest.raises(Overloaded, match=r"0\.02 seconds") as caught:
        await slot_of(admission, "b").__aenter__()
    assert caught.value.retry_after is not None
    assert (admission.active, admission.waiting) == (1, 0)
    await crowd.leave("a1")
    assert admission.active == 0


async def test_a_slot_that_comes_in_time_is_not_taken_back() -> None:
    admission = Admission(1, 5, wait_timeout=0.03)
    crowd = Crowd(admission)
    await crowd.arrive("a1")
    await crowd.arrive("b1")
    await crowd.leave("a1")
    await asyncio.sleep(0.06)
    assert crowd.entered == ["a1", "b1"]
    assert admission.active == 1
    await crowd.drain()


async def test_a_cancelled_waiter_leaves_at_once() -> None:
    admission = Admission(1, 2)
    crowd = Crowd(admission)
    for name in ("a1", "b1", "b2"):
        await crowd.arrive(name)
    await crowd.cancel("b1")
    assert admission.waiting == 1
    await crowd.arrive("c1")
    await crowd.leave("a1")
    assert crowd.entered == ["a1", "b2"]
    await crowd.drain()


async def test_a_waiter_cancelled_in_the_moment_of_its_turn_passes_the_slot_on() -> None:
    admission = Admission(1, 5)
    crowd = Crowd(admission)
    for name in ("a1", "b1", "c1"):
        await crowd.arrive(name)
    # Handed over and cancelled before the waiter could run, in both orders.
    crowd._leave["a1"].set()
    await asyncio.sleep(0)
    crowd.tasks["b1"].cancel()
    await settle()
    assert crowd.entered == ["a1", "c1"]
    await crowd.arrive("d1")
    await crowd.arrive("e1")
    crowd.tasks["d1"].cancel()
    await crowd.leave("c1")
    assert crowd.entered == ["a1", "c1", "e1"]
    await crowd.drain()
    assert (admission.active, admission.waiting) == (0, 0)


async def test_an_error_inside_gives_the_slot_back() -> None:
    admission = Admission(1, 0)
    with pytest.raises(LookupError):
        async with slot_of(admission, "a"):
            raise LookupError
    assert admission.active == 0


async def test_the_advice_follows_how_long_turns_take() -> None:
    admission = Admission(1, 0)
    loop = asyncio.get_running_loop()
    real = loop.time
    async with slot_of(admission, "a"):
        loop.time = lambda: real() + 10.0  # type: ignore[method-assign]  # a turn of ten seconds without the wait
    loop.time = real  # type: ignore[method-assign]  # as it was
    async with slot_of(admission, "a"):
        with pytest.raises(Overloaded) as caught:
            await slot_of(admission, "a").__aenter__()
    assert caught.value.retry_after == pytest.approx(10.0, abs=1.0)


@pytest.mark.parametrize(("limit", "waiting"), [(0, 1), (1, -1)])
def test_senseless_bounds_are_refused(limit: int, waiting: int) -> None:
    with pytest.raises(ValueError):
        Admission(limit, waiting)


_action = st.one_of(
    st.tuples(st.just("arrive"), st.integers(0, 3)),
    st.tuples(st.sampled_from(["leave", "cancel", "settle"]), st.integers(0, 10)),
)


@settings(max_examples=150, deadline=None)
@given(st.integers(1, 3), st.integers(0, 4), st.lists(_action, max_size=40))
def test_no_sequence_of_events_loses_or_leaks_a_slot(
    limit: int, max_waiting: int, actions: list[tuple[str, int]]
) -> None:
    asyncio.run(_follow(limit, max_waiting, actions))


async def _follow(limit: int, max_waiting: int, actions: list[tuple[str, int]]) -> None:
    admission = Admission(limit, max_waiting)
    crowd = Crowd(admission)
    queued: dict[str, list[str]] = {}
    for number, (action, which) in enumerate(actions):
        running = [name for name in crowd.tasks if not crowd.tasks[name].done()]
        match action:
            case "arrive":
                name = f"{number}"
                await crowd.arrive(name, str(which))
                # Who finds a free slot may enter before one that was handed a slot in the same moment.
                if name not in crowd.entered:
                    queued.setdefault(str(which), []).append(name)
            # Without settling, so that events fall into the same turn of the loop.
            case "leave" if running:
                crowd._leave[running[which % len(running)]].set()
                if which % 2:
                    await asyncio.sleep(0)
            case "cancel" if running:
                crowd.tasks[running[which % len(running)]].cancel()
            case _:
                await settle()
                assert admission.waiting == 0 or admission.active == limit
        assert 0 <= admission.active <= limit
        assert 0 <= admission.waiting <= max_waiting
    await crowd.drain()
    assert (admission.active, admission.waiting) == (0, 0)
    for names in queued.values():
        served = [name for name in crowd.entered if name in names]
        assert served == [name for name in names if name in crowd.entered]
    for task in crowd.tasks.values():
        assert task.cancelled() or task.exception() is None or isinstance(task.exception(), Overloaded)


async def test_a_storm_of_turns_with_timeouts_and_cancels_ends_with_every_slot_free() -> None:
    chance = random.Random(7)
    admission = Admission(3, 50, wait_timeout=0.01)
    highest = 0

    async def turn(caller: str) -> None:
        nonlocal highest
        async with slot_of(admission, caller):
            highest = max(highest, admission.active)
            await asyncio.sleep(chance.random() * 0.003)

    tasks: list[asyncio.Task[None]] = []
    for _ in range(400):
        tasks.append(asyncio.create_task(turn(str(chance.randrange(5)))))
        if chance.random() < 0.5:
            tasks[chance.randrange(len(tasks))].cancel()
        if chance.random() < 0.3:
            await asyncio.sleep(chance.random() * 0.002)
    results = await asyncio.gather(*tasks, return_exceptions=True)
    assert highest == 3
    assert (admission.active, admission.waiting) == (0, 0)
    assert None in results
    assert any(isinstance(result, Overloaded) for result in results)
    assert all(r is None or isinstance(r, Overloaded | asyncio.CancelledError) for r in results)
