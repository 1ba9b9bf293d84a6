"""The script that changes ledgers in Redis does what the arithmetic does."""

import json
import string
from datetime import UTC, datetime
from typing import Any

import pytest
import redis
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from gptoss_api.access import Budget, KeyLimits
from gptoss_api.access.ledger import MINUTE, Decision, Demand, Holding, Ledger, read_ledger, write_ledger
from gptoss_api.access.steps import LUA, Hold, Look, Reserve, Settle, Step
from tests.stores import RedisServer

# The same script with a clock of the tests.
TIMED = LUA.replace("redis.call('TIME')", "{ARGV[2], ARGV[3]}")
LEDGER = "ledger"

moments = st.datetimes(datetime(2026, 1, 1), datetime(2100, 12, 31)).map(
    lambda moment: round(moment.replace(tzinfo=UTC).timestamp() * 1000)
)
tokens = st.integers(0, 500)
limit = st.none() | st.integers(1, 1_000)
budgets = st.builds(Budget, st.integers(1, 2_000), st.sampled_from(["day", "month", "total"]))
limits = st.builds(
    KeyLimits, limit, limit, st.none() | st.integers(1, 5), st.lists(budgets, max_size=2).map(tuple)
)
demands = st.builds(Demand, tokens, tokens)
holdings = st.builds(Holding, st.sampled_from(string.ascii_lowercase[:4]), st.integers(0, 2), demands)


@st.composite
def steps(draw: st.DrawFn) -> Step[Any]:
    owed, minute = draw(st.just(0) | tokens), draw(st.sampled_from([MINUTE, 1_000, 50]))
    kind = draw(st.sampled_from(["reserve", "reserve", "settle", "hold", "look"]))
    holding = draw(holdings)
    if kind == "reserve":
        return Reserve(owed, minute, draw(limits), draw(demands), holding)
    if kind == "settle":
        since = draw(moments)
        return Settle(owed, minute, since, draw(demands), draw(tokens), holding)
    if kind == "hold":
        return Hold(owed, minute, holding)
    return Look(owed, minute, lambda ledger, now: len(ledger.spent))


@pytest.fixture(scope="module")
def client(redis_server: RedisServer) -> redis.Redis:
    return redis.Redis(port=redis_server.port, db=910)


def in_redis(client: redis.Redis, step: Step[Any], before: bytes | None, now: int) -> Any:
    client.delete(LEDGER)
    if before is not None:
        client.set(LEDGER, before)
    value, when, verdict = client.eval(TIMED, 1, LEDGER, step.arguments, now // 1000, now % 1000 * 1000)
    assert when == now
    return step.found(value, now, verdict)


def counted(value: bytes | None) -> Any:
    """What a ledger says, whatever was left out of it for being empty."""
    return json.loads(write_ledger(read_ledger(value)))


def kept(client: redis.Redis) -> bytes | None:
    value = client.get(LEDGER)
    assert not isinstance(value, str)
    return value


def told(found: Any) -> Any:
    if not isinstance(found, Decision):
        return found
    refusal = found.refusal
    return (
        found.now,
        found.allowances,
        refusal and (type(refusal), refusal.message, refusal.retry_after, refusal.allowances),
    )


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(moments, st.lists(st.tuples(st.integers(0, 40_000), steps()), min_size=1, max_size=15))
@example(round(datetime(2028, 2, 29, 23, 59, 59, tzinfo=UTC).timestamp() * 1000), [])
def test_redis_and_python_keep_the_same_books(
    client: redis.Redis, start: int, story: list[tuple[int, Step[Any]]]
) -> None:
    ledger, now = None, start
    for gap, step in [*story, (1_000, Settle(0, MINUTE, start, Demand(0, 0), 1, Holding("a")))]:
        now += gap
        if isinstance(step, Settle):
            step._since = now - gap
        mine, (_, here) = step(ledger, now)
        _, there = in_redis(client, step, ledger, now)
        assert told(there) == told(here)
        admitted = here.refusal is None if isinstance(here, Decision) else not isinstance(step, Look)
        # What is refused leaves nothing behind.
        assert counted(kept(client)) == counted(mine if admitted or step.owed else ledger)
        ledger = mine


@pytest.mark.parametrize("broken", [b"", b"not JSON", b"7", b'"text"'])
def test_a_value_that_is_no_ledger_is_an_empty_one(client: redis.Redis, broken: bytes) -> None:
    step = Reserve(0, MINUTE, KeyLimits(requests=1), Demand(1, 1), Holding("a"))
    _, verdict = in_redis(client, step, broken, 1_800_000_000_000)
    assert verdict.refusal is None
    assert read_ledger(kept(client)).window == [(1_800_000_000_000, 1, 1)]


def test_large_numbers_stay_whole(client: redis.Redis) -> None:
    step = Settle(0, MINUTE, 0, Demand(0, 0), 99_999_999_999, Holding("a"))
    in_redis(client, step, write_ledger(Ledger(spent={"total": (0, 1)})), 4_000_000_000_000)
    assert read_ledger(kept(client)).spent["total"] == (0, 100_000_000_000)
