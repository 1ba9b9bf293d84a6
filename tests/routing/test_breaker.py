"""The circuit breaker over a clock that the test moves."""

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from gptoss_api.routing.breaker import LONGEST_ASKED, Breaker, BreakerState


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def breaker(clock: Clock) -> Breaker:
    return Breaker(threshold=3, rest=5.0, longest_rest=40.0, clock=clock)


def fail(breaker: Breaker, times: int = 1) -> bool:
    opened = False
    for _ in range(times):
        breaker.begin()
        opened = breaker.failed()
    return opened


def test_it_opens_after_failures_in_a_row_and_only_then(breaker: Breaker) -> None:
    assert not fail(breaker, 2)
    breaker.begin()
    breaker.succeeded()
    assert not fail(breaker, 2)
    assert breaker.admits()
    assert fail(breaker)
    assert not breaker.admits()
    assert (breaker.state, breaker.remaining) == (BreakerState.OPEN, 5.0)


def test_after_its_rest_one_turn_at_a_time_is_let_through(breaker: Breaker, clock: Clock) -> None:
    fail(breaker, 3)
    clock.now += 5.0
    assert breaker.state is BreakerState.HALF_OPEN
    assert breaker.admits()
    breaker.begin()
    assert not breaker.admits()
    breaker.forgotten()
    assert breaker.admits()
    breaker.begin()
    breaker.succeeded()
    assert breaker.admits()
    breaker.begin()
    assert breaker.admits()


def test_each_failed_trial_doubles_the_rest_up_to_a_bound(breaker: Breaker, clock: Clock) -> None:
    fail(breaker, 3)
    rests = [breaker.remaining]
    for _ in range(5):
        clock.now += breaker.remaining
        assert fail(breaker)
        rests.append(breaker.remaining)
    assert rests == [5.0, 10.0, 20.0, 40.0, 40.0, 40.0]
    clock.now += 40.0
    breaker.begin()
    breaker.succeeded()
    fail(breaker, 3)
    assert breaker.remaining == 5.0


def test_it_waits_as_long_as_the_upstream_asks(breaker: Breaker, clock: Clock) -> None:
    breaker.begin()
    assert breaker.failed(asked=17.0)
    assert breaker.remaining == 17.0
    # A turn from before, with a longer wait.
    assert not breaker.failed(asked=30.0)
    assert breaker.remaining == 30.0
    assert not breaker.failed()
    assert breaker.remaining == 30.0
    clock.now += 30.0
    breaker.begin()
    assert breaker.failed(asked=1e9)
    assert breaker.remaining == LONGEST_ASKED


def test_an_answer_to_what_was_asked_before_does_not_end_a_rest(breaker: Breaker, clock: Clock) -> None:
    breaker.begin()
    fail(breaker, 3)
    breaker.succeeded()
    assert breaker.remaining == 5.0
    clock.now += 5.0
    breaker.begin()
    breaker.succeeded()
    assert breaker.admits()
    assert breaker.remaining == 0.0


def test_what_does_not_pass_by_itself_opens_it_at_once(breaker: Breaker) -> None:
    breaker.begin()
    assert breaker.failed(at_once=True)
    assert breaker.remaining == 20.0


class BreakerMachine(RuleBasedStateMachine):
    """Whatever happens, in whatever order: the breaker keeps its promises."""

    def __init__(self) -> None:
        super().__init__()
        self.clock = Clock()
        self.breaker = Breaker(threshold=2, rest=5.0, longest_rest=20.0, clock=self.clock)
        self.running = 0
        self.probes = 0

    @precondition(lambda self: self.breaker.admits())
    @rule()
    def begin(self) -> None:
        self.probes += self.breaker.state is BreakerState.HALF_OPEN
        self.breaker.begin()
        self.running += 1

    @precondition(lambda self: self.running > 0)
    @rule()
    def succeed(self) -> None:
        before = self.breaker.state
        self.breaker.succeeded()
        self.running -= 1
        assert (self.breaker.state is BreakerState.OPEN) == (before is BreakerState.OPEN)

    @precondition(lambda self: self.running > 0)
    @rule(asked=st.none() | st.floats(0.1, 100.0), at_once=st.booleans())
    def fail(self, asked: float | None, at_once: bool) -> None:
        was_open = self.breaker.state is not BreakerState.CLOSED
        opened = self.breaker.failed(asked=asked, at_once=at_once)
        self.running -= 1
        if opened or was_open:
            assert not self.breaker.admits()
        if asked:
            assert self.breaker.remaining >= min(asked, 20.0) - 1e-6

    @rule(seconds=st.floats(0.0, 30.0))
    def wait(self, seconds: float) -> None:
        self.clock.now += seconds

    @invariant()
    def a_rest_ends(self) -> None:
        assert 0.0 <= self.breaker.remaining <= LONGEST_ASKED
        assert (self.breaker.state is BreakerState.OPEN) == (self.breaker.remaining > 0)


TestBreakerMachine = BreakerMachine.TestCase
TestBreakerMachine.settings = settings(max_examples=80, deadline=None)
