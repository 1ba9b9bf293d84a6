"""The arithmetic of limits, on a clock of the test's own."""

from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gptoss_api.access import Budget, KeyLimits
from gptoss_api.access import ledger as arithmetic
from gptoss_api.access.ledger import (
    HELD,
    Decision,
    Demand,
    Holding,
    Ledger,
    charge,
    hold,
    period_ends,
    read_ledger,
    reserve,
    write_ledger,
)
from gptoss_api.core.errors import BudgetExhausted, ConcurrencyLimited, RequestsLimited, TokensLimited

NOON = round(datetime(2026, 11, 28, 12, tzinfo=UTC).timestamp() * 1000)
SMALL = Demand(10, 10)
NOTHING = Holding("here")


def ask(
    ledger: Ledger, limits: KeyLimits, now: float, demand: Demand = SMALL, holding: Holding = NOTHING
) -> Decision:
    """``now`` in seconds after noon."""
    return reserve(ledger, limits, demand, holding, NOON + round(now * 1000))


def done(ledger: Ledger, verdict: Decision, used: int, now: float, reserved: int = 10) -> None:
    arithmetic.settle(ledger, verdict.now, reserved, used, NOTHING, NOON + round(now * 1000))


def test_a_minute_has_as_many_requests_as_its_limit_says() -> None:
    ledger, limits = Ledger(), KeyLimits(requests=3)
    for second in (0.0, 1.0, 2.0):
        verdict = ask(ledger, limits, second)
        assert verdict.refusal is None
        done(ledger, verdict, 5, second)
    refused = ask(ledger, limits, 10.0)
    assert isinstance(refused.refusal, RequestsLimited)
    assert refused.refusal.retry_after == 50.0
    assert "limit 3, used 3, requested 1. Try again in 50s" in refused.refusal.message
    assert refused.refusal.allowances.requests is not None
    assert refused.refusal.allowances.requests.remaining == 0
    assert ask(ledger, limits, 59.999).refusal is not None
    assert ask(ledger, limits, 60.0).refusal is None
    assert ask(ledger, limits, 60.1).refusal is not None


@settings(deadline=None)
@given(st.integers(1, 40), st.lists(st.floats(0, 3).map(lambda gap: round(gap, 3)), min_size=1, max_size=300))
def test_no_minute_anywhere_has_more_than_the_limit(limit: int, gaps: list[float]) -> None:
    ledger, limits, now = Ledger(), KeyLimits(requests=limit), 0.0
    admitted: list[float] = []
    for gap in gaps:
        now += gap
        ledger = read_ledger(write_ledger(ledger))
        verdict = ask(ledger, limits, now)
        if verdict.refusal is None:
            admitted.append(now)
            done(ledger, verdict, 0, now)
        else:
            assert verdict.refusal.retry_after is not None
            # Exact: then it fits, and the moment before it did not.
            then = now + verdict.refusal.retry_after
            assert ask(read_ledger(write_ledger(ledger)), limits, then).refusal is None
            assert ask(read_ledger(write_ledger(ledger)), limits, then - 0.002).refusal is not None
        assert sum(time > now - 59.999 for time in admitted) <= limit
    assert len(ledger.window) <= 122


def test_under_tenfold_load_every_minute_is_used_to_the_full() -> None:
    ledger, limits = Ledger(), KeyLimits(requests=60)
    admitted = [0, 0, 0]
    for tick in range(1800):
        verdict = ask(ledger, limits, tick / 10)
        if verdict.refusal is None:
            admitted[tick // 600] += 1
            done(ledger, verdict, 0, tick / 10)
    assert admitted[0] == 60
    assert all(abs(count - 60) <= 1 for count in admitted)


def test_tokens_are_reserved_before_and_corrected_after() -> None:
    ledger, limits = Ledger(), KeyLimits(tokens=100)
    first = ask(ledger, limits, 0, Demand(60, 60))
    assert first.refusal is None
    second = ask(ledger, limits, 1, Demand(60, 60), Holding("here", 1, Demand(60, 60)))
    assert isinstance(second.refusal, TokensLimited)
    # What runs may end at any moment, and leave more than it was thought to.
    assert second.refusal.retry_after == 1.0
    assert "limit 100, used 60, 60 of them set aside" in second.refusal.message
    done(ledger, first, 20, 2, reserved=60)
    third = ask(ledger, limits, 3, Demand(60, 60))
    assert third.refusal is None
    assert third.allowances.tokens is not None
    assert third.allowances.tokens.remaining == 20


def test_a_turn_that_is_alone_may_be_larger_than_the_limit_and_then_it_is_used_up() -> None:
    ledger, limits = Ledger(), KeyLimits(tokens=100)
    huge = ask(ledger, limits, 0, Demand(5_000, 5_000))
    assert huge.refusal is None
    assert ask(ledger, limits, 1, SMALL, Holding("here", 1, Demand(5_000, 5_000))).refusal is not None
    done(ledger, huge, 300, 2, reserved=5_000)
    refused = ask(ledger, limits, 3)
    assert isinstance(refused.refusal, TokensLimited)
    assert refused.refusal.retry_after == 57.0
    assert ask(ledger, limits, 60).refusal is None


def test_a_demand_larger_than_the_limit_waits_for_the_others_to_end() -> None:
    ledger, limits = Ledger(), KeyLimits(tokens=100)
    ask(ledger, limits, 0)
    refused = ask(ledger, limits, 1, Demand(500, 500), Holding("here", 1, Demand(10, 10)))
    assert isinstance(refused.refusal, TokensLimited)
    assert refused.refusal.retry_after == 1.0


def test_what_was_reserved_for_longer_than_a_minute_is_settled_without_it() -> None:
    ledger, limits = Ledger(), KeyLimits(tokens=100)
    first = ask(ledger, limits, 0)
    done(ledger, first, 5_000, 61)
    assert ask(ledger, limits, 62).refusal is None
    assert ledger.spent["total"] == (0, 5_000)


def test_turns_at_a_time_are_counted_over_all_processes() -> None:
    ledger, limits = Ledger(), KeyLimits(concurrency=2)
    here, there = ask(ledger, limits, 0), ask(ledger, limits, 1, SMALL, Holding("there"))
    assert here.refusal is None
    assert there.refusal is None
    refused = ask(ledger, limits, 2, SMALL, Holding("here", 1, Demand(10, 10)))
    assert isinstance(refused.refusal, ConcurrencyLimited)
    assert refused.refusal.retry_after == 1.0
    done(ledger, here, 5, 3)
    assert ask(ledger, limits, 4).refusal is None


def test_a_process_that_died_holds_nothing_for_long() -> None:
    ledger, limits = Ledger(), KeyLimits(concurrency=1)
    ask(ledger, limits, 0, SMALL, Holding("there"))
    assert ask(ledger, limits, HELD / 1000 - 0.1).refusal is not None
    assert ask(ledger, limits, HELD / 1000).refusal is None
    # One that lives says so again and again.
    hold(ledger, Holding("there", 1, SMALL), NOON + HELD)
    assert ask(ledger, limits, HELD / 1000 + 10, SMALL, Holding("elsewhere")).refusal is not None


@pytest.mark.parametrize("period", ["day", "month", "total"])
def test_a_budget_is_used_up_and_renews_by_the_clock(period: str) -> None:
    ledger, limits = Ledger(), KeyLimits(budgets=(Budget(100, period),))  # type: ignore[arg-type]  # a period
    done(ledger, ask(ledger, limits, 0), 100, 1)
    refused = ask(ledger, limits, 2).refusal
    assert isinstance(refused, BudgetExhausted)
    assert refused.should_retry is False
    words = {
        "day": "It renews at 2026-11-29T00:00:00Z",
        "month": "It renews at 2026-12-01T00:00:00Z",
        "total": "does not renew",
    }
    assert words[period] in refused.message
    later = {"day": 12 * 3600.0, "month": 2.5 * 86_400}.get(period, 400 * 86_400.0)
    assert isinstance(ask(ledger, limits, later - 1).refusal, BudgetExhausted)
    assert (ask(ledger, limits, later).refusal is None) == (period != "total")


def test_december_ends_with_the_year() -> None:
    december = round(datetime(2026, 12, 31, 23, tzinfo=UTC).timestamp() * 1000)
    assert period_ends("month", december) == period_ends("day", december) == december + 3_600_000
    assert period_ends("total", december) is None


def test_what_is_left_of_a_budget_is_not_promised_twice() -> None:
    ledger, limits = Ledger(), KeyLimits(budgets=(Budget(100, "day"),))
    first = ask(ledger, limits, 0, Demand(60, 60))
    refused = ask(ledger, limits, 1, Demand(60, 60), Holding("here", 1, Demand(60, 60)))
    assert isinstance(refused.refusal, TokensLimited)
    assert refused.refusal.retry_after == 1.0
    assert "used 0, reserved 60, requested 60" in refused.refusal.message
    done(ledger, first, 30, 2, reserved=60)
    assert ask(ledger, limits, 3, Demand(60, 60)).refusal is None


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(1, 60), st.integers(0, 60), st.booleans()), max_size=60))
def test_a_budget_is_never_overrun_by_more_than_one_turn(turns: list[tuple[int, int, bool]]) -> None:
    """Whatever runs at the same time, as long as no turn uses more than it reserved."""
    ledger, limits, total = Ledger(), KeyLimits(budgets=(Budget(100, "total"),)), 0
    running: list[tuple[Decision, int, int]] = []

    def held() -> Holding:
        reserved = sum(entry[1] for entry in running)
        return Holding("here", len(running), Demand(reserved, reserved))

    def end() -> int:
        verdict, reserved, used = running.pop(0)
        holding = held()
        arithmetic.settle(ledger, verdict.now, reserved, used, holding, NOON)
        return used

    for reserved, used, waits in turns:
        holding = held()
        verdict = ask(ledger, limits, 0, Demand(reserved, reserved), holding)
        if verdict.refusal is None:
            running.append((verdict, reserved, min(used, reserved)))
        if running and not waits:
            total += end()
    while running:
        total += end()
    assert total <= 100 + 60
    assert ledger.spent.get("total", (0, 0))[1] == total


def test_the_tightest_limit_of_tokens_is_told() -> None:
    ledger = Ledger()
    limits = KeyLimits(requests=5, tokens=1_000, budgets=(Budget(500, "day"), Budget(9_000, "total")))
    told = ask(ledger, limits, 0, Demand(100, 300)).allowances
    assert told.tokens is not None
    assert (told.tokens.limit, told.tokens.remaining, told.tokens.reset) == (500, 200, 12 * 3600.0)
    assert told.requests is not None
    assert (told.requests.limit, told.requests.remaining, told.requests.reset) == (5, 4, 60.0)
    assert ask(Ledger(), KeyLimits(concurrency=1), 0).allowances.requests is None


def test_tokens_that_the_store_did_not_hear_of_are_counted_later() -> None:
    ledger, limits = Ledger(), KeyLimits(budgets=(Budget(100, "day"),))
    charge(ledger, 100, NOON)
    assert isinstance(ask(ledger, limits, 1).refusal, BudgetExhausted)


@pytest.mark.parametrize("value", [None, b"", b"no ledger", b"[]", b'{"window":3}'])
def test_what_cannot_be_read_is_an_empty_ledger(value: bytes | None) -> None:
    assert read_ledger(value) == Ledger()
