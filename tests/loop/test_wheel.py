"""Deadlines that share one timer."""

import asyncio
import gc
import weakref
from collections.abc import Callable, Iterator
from contextvars import ContextVar

import pytest
import uvloop
from hypothesis import settings as how
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from gptoss_api.loop import Deadline
from gptoss_api.loop.wheel import wheel_of
from tests.timed_loop import Loop

LATEST = 1 / 50


@pytest.fixture
def loop() -> Iterator[Loop]:
    loop = Loop()
    yield loop
    loop.close()


class Schedule(RuleBasedStateMachine):
    """Deadlines are set, moved and dropped, also by what is due, beside a list that says when they are."""

    def __init__(self) -> None:
        super().__init__()
        self.loop = Loop()
        self.wheel = wheel_of(self.loop)
        self.deadlines = [Deadline(self.loop, self.due_at(index)) for index in range(6)]
        self.expected: dict[int, float] = {}
        # What a deadline does when it is due: which one it sets or drops, and to how many seconds.
        self.then: dict[int, tuple[int, float | None]] = {}

    def due_at(self, index: int) -> Callable[[], None]:
        def due() -> None:
            # Neither early, nor lost to another one's change, nor doubled.
            when = self.expected.pop(index)
            assert when < self.loop.now
            if index in self.then:
                self.change(*self.then.pop(index))

        return due

    def change(self, index: int, seconds: float | None) -> None:
        if seconds is None:
            self.deadlines[index].drop()
            self.expected.pop(index, None)
        else:
            self.expected[index] = self.loop.now + seconds
            self.deadlines[index].set(self.loop.now + seconds)

    @rule(
        index=st.integers(0, 5),
        seconds=st.none() | st.sampled_from([-1.0, 0.0, 0.015625]) | st.floats(0, 0.1) | st.floats(0, 100),
    )
    def changes(self, index: int, seconds: float | None) -> None:
        self.change(index, seconds)

    @rule(index=st.integers(0, 5), other=st.integers(0, 5), seconds=st.none() | st.floats(0, 0.1))
    def answers_with_a_change(self, index: int, other: int, seconds: float | None) -> None:
        self.then[index] = (other, seconds)

    @rule(seconds=st.sampled_from([0.0, 0.001, 0.015625, 0.02, 0.5, 70.0]) | st.floats(0, 0.1))
    def time_passes(self, seconds: float) -> None:
        self.loop.now += seconds
        self.loop.settle()

    @invariant()
    def nothing_is_late(self) -> None:
        self.loop.settle()
        assert all(when + LATEST > self.loop.now for when in self.expected.values())

    @invariant()
    def only_what_is_set_is_kept(self) -> None:
        kept = [deadline for bucket in self.wheel.buckets.values() for deadline in bucket]
        assert sorted(map(self.deadlines.index, kept)) == sorted(self.expected)
        assert all(self.wheel.buckets.values())

    @invariant()
    def there_is_one_timer_and_none_forever(self) -> None:
        assert len(self.loop.timers) <= 1
        if self.expected:
            earliest = min(self.expected.values())
            assert self.loop.timers[0].when() <= earliest + LATEST

    @precondition(lambda self: not self.expected)
    @rule()
    def rests(self) -> None:
        self.loop.now += 200
        self.loop.settle()
        assert not self.loop.timers

    def teardown(self) -> None:
        self.loop.close()


TestSchedule = Schedule.TestCase
TestSchedule.settings = how(max_examples=60, stateful_step_count=30, deadline=None)


def test_one_can_drop_and_move_others_that_are_due_at_its_moment(loop: Loop) -> None:
    called: list[str] = []

    def first() -> None:
        called.append("first")
        dropped.drop()
        moved.set(loop.now + 1)

    one = Deadline(loop, first)
    dropped = Deadline(loop, lambda: called.append("dropped"))
    moved = Deadline(loop, lambda: called.append("moved"))
    for deadline in (one, dropped, moved):
        deadline.set(loop.now + 1)
    loop.pass_time(1.5)
    assert called == ["first"]
    loop.pass_time(1.5)
    assert called == ["first", "moved"]


def test_one_that_fails_does_not_stop_the_others(loop: Loop) -> None:
    called: list[str] = []

    def fail() -> None:
        raise RuntimeError("this one is broken")

    for due in (lambda: called.append("before"), fail, lambda: called.append("after")):
        Deadline(loop, due).set(loop.now + 1)
    loop.now += 2
    with pytest.raises(AssertionError):  # The loop was told of it.
        loop.settle()
    assert called == ["before", "after"]
    assert [type(error["exception"]) for error in loop.errors] == [RuntimeError]
    assert not loop.timers


def test_one_that_ends_the_program_leaves_the_others_to_come(loop: Loop) -> None:
    def leave() -> None:
        raise SystemExit

    called: list[str] = []
    Deadline(loop, leave).set(loop.now + 1)
    Deadline(loop, lambda: called.append("after")).set(loop.now + 1)
    loop.now += 2
    with pytest.raises(SystemExit):
        loop.settle()
    loop.settle()
    assert called == ["after"]


def test_what_is_due_is_in_no_requests_context(loop: Loop) -> None:
    asked: ContextVar[str] = ContextVar("asked", default="nobody")
    seen: list[str] = []
    asked.set("one of the requests")
    Deadline(loop, lambda: seen.append(asked.get())).set(loop.now + 1)
    loop.now += 2
    loop.settle()
    assert seen == ["nobody"]


def test_each_loop_has_a_wheel_that_goes_with_it() -> None:
    one, other = asyncio.new_event_loop(), uvloop.new_event_loop()
    assert wheel_of(one) is wheel_of(one) is not wheel_of(other)
    Deadline(one, print).set(one.time() + 60)
    gone = weakref.ref(one)
    one.close()
    other.close()
    del one
    gc.collect()
    assert gone() is None


@pytest.mark.parametrize("new_loop", [asyncio.new_event_loop, uvloop.new_event_loop])
def test_real_time_is_kept(new_loop: Callable[[], asyncio.AbstractEventLoop]) -> None:
    loop = new_loop()
    over: list[float] = []

    async def wait() -> None:
        for part in range(1, 8):
            reached = asyncio.Event()
            Deadline(loop, reached.set).set(when := loop.time() + part / 200)
            await reached.wait()
            over.append(loop.time() - when)

    try:
        loop.run_until_complete(wait())
    finally:
        loop.close()
    assert min(over) >= 0
