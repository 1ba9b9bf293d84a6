"""Limits while the store is there, while it is away, and afterwards."""

import asyncio
import time
from collections.abc import AsyncIterator
from typing import TypeVar

import pytest

from gptoss_api.access import Accounts, Budget, KeyLimits, KeyRecord, demand_of
from gptoss_api.access import accounts as module
from gptoss_api.access.ledger import Demand, read_ledger
from gptoss_api.core.account import Meter
from gptoss_api.core.errors import BudgetExhausted, ConcurrencyLimited, RateLimited
from gptoss_api.core.events import (
    Events,
    ReasoningDelta,
    RefusalDelta,
    Started,
    TextDelta,
    ToolCallDelta,
    ToolCallStarted,
    Usage,
    UsageReported,
)
from gptoss_api.core.turn import Turn
from gptoss_api.state import Change, StoreUnavailable

T = TypeVar("T")

ASKED = Demand(100, 100)


class Shelf:
    """One ledger in a store that can be away, on a clock of its own."""

    def __init__(self) -> None:
        self.value: bytes | None = None
        self.now = 1_800_000_000_000
        self.away = False

    async def change(self, account: str, change: Change[T]) -> T:
        await asyncio.sleep(0)
        if self.away:
            raise StoreUnavailable("away")
        self.value, found = change(self.value, self.now)
        return found

    @property
    def spent(self) -> int:
        return read_ledger(self.value).spent["total"][1]


@pytest.fixture
def shelf() -> Shelf:
    return Shelf()


@pytest.fixture
async def accounts(shelf: Shelf) -> AsyncIterator[Accounts]:
    made = Accounts(shelf.change)
    yield made
    await made.close()


def key(**limits: object) -> KeyRecord:
    return KeyRecord("key_anna", "anna", "00", "0000", 1.0, limits=KeyLimits(**limits))  # type: ignore[arg-type]


def metered(prompt: int, completion: int) -> Meter:
    meter = Meter(10)
    meter.observe([UsageReported(Usage(prompt, completion))])
    return meter


async def test_two_processes_share_a_limit(shelf: Shelf, accounts: Accounts) -> None:
    other = Accounts(shelf.change)
    limited = key(requests=2)
    await accounts.reserve(limited, ASKED, Meter(0))
    await other.reserve(limited, ASKED, Meter(0))
    for each in (accounts, other):
        with pytest.raises(RateLimited):
            await each.reserve(limited, ASKED, Meter(0))
    await other.close()


async def test_what_was_used_is_charged_once(shelf: Shelf, accounts: Accounts) -> None:
    reservation = await accounts.reserve(key(tokens=1_000), ASKED, metered(30, 12))
    await reservation.settle()
    await reservation.settle()
    reservation.leave()
    await accounts.close()
    assert shelf.spent == 42
    ledger = read_ledger(shelf.value)
    assert ledger.window[0][2] == 42
    assert ledger.held == {}


async def test_who_leaves_is_charged_without_being_waited_for(shelf: Shelf, accounts: Accounts) -> None:
    reservation = await accounts.reserve(key(tokens=1_000), ASKED, metered(30, 12))
    reservation.leave()
    await accounts.close()
    assert shelf.spent == 42


async def test_while_the_store_is_away_a_process_goes_on_from_what_it_saw_last(
    shelf: Shelf, accounts: Accounts
) -> None:
    limited = key(concurrency=2)
    await accounts.reserve(limited, ASKED, Meter(0))
    shelf.away = True
    second = await accounts.reserve(limited, ASKED, Meter(0))
    with pytest.raises(ConcurrencyLimited):
        await accounts.reserve(limited, ASKED, Meter(0))
    assert accounts.alone == 2
    await second.settle()
    await accounts.reserve(limited, ASKED, Meter(0))


async def test_while_the_store_is_away_its_clock_goes_on(shelf: Shelf, accounts: Accounts) -> None:
    # By the clock of this machine its minute is over.
    shelf.now = round(time.time() * 1000) - 300_000
    limited = key(requests=1)
    await accounts.reserve(limited, ASKED, Meter(0))
    shelf.away = True
    with pytest.raises(RateLimited):
        await accounts.reserve(limited, ASKED, Meter(0))


async def test_what_is_used_meanwhile_is_owed_to_the_store(shelf: Shelf, accounts: Accounts) -> None:
    limited = key(budgets=(Budget(500, "total"),))
    await (await accounts.reserve(limited, ASKED, metered(100, 0))).settle()
    shelf.away = True
    for _ in range(2):
        await (await accounts.reserve(limited, ASKED, metered(150, 0))).settle()
    assert shelf.spent == 100
    shelf.away = False
    await (await accounts.reserve(limited, ASKED, metered(100, 0))).settle()
    assert shelf.spent == 500
    with pytest.raises(BudgetExhausted):
        await accounts.reserve(limited, ASKED, Meter(0))


async def test_without_a_store_there_are_limits_all_the_same() -> None:
    alone = Accounts(None)
    await alone.reserve(key(requests=1), ASKED, Meter(0))
    with pytest.raises(RateLimited):
        await alone.reserve(key(requests=1), ASKED, Meter(0))
    await alone.close()


async def test_a_process_says_again_and_again_what_it_holds(
    shelf: Shelf, accounts: Accounts, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_RENEW", 0.01)
    other = Accounts(shelf.change)
    limited = key(concurrency=1)
    held = await accounts.reserve(limited, ASKED, Meter(0))
    for _ in range(3):
        shelf.now += 10_000
        until = shelf.now + 14_000
        async with asyncio.timeout(5):
            while all(entry[3] < until for entry in read_ledger(shelf.value).held.values()):
                await asyncio.sleep(0.005)
    with pytest.raises(ConcurrencyLimited):
        await other.reserve(limited, ASKED, Meter(0))
    await held.settle()
    await other.reserve(limited, ASKED, Meter(0))
    await other.close()


def test_a_demand_is_the_prompt_and_the_most_that_every_choice_may_have() -> None:
    asked = [Turn("gpt-oss-20b", (), max_tokens=50, n=2), Turn("gpt-oss-20b", (), max_tokens=7)]
    assert demand_of(asked, 1_000, 131_072) == Demand(1_107, 1_107)
    open_ended = demand_of([Turn("gpt-oss-20b", (), n=2)], 1_000, 131_072)
    assert open_ended == Demand(1_000 + 2 * module.USUAL_ANSWER, 1_000 + 2 * 131_072)


@pytest.mark.parametrize(
    ("events", "usage"),
    [
        ([], Usage(0, 0)),
        ([Started("x", "y")], Usage(10, 0)),
        ([Started("x", "y", prompt_tokens=90), TextDelta("four" * 5)], Usage(90, 5)),
        (
            [Started("x", "y"), ReasoningDelta("12345"), RefusalDelta("no"), TextDelta("so")],
            Usage(10, 3, reasoning_tokens=2),
        ),
        ([Started("x", "y"), ToolCallStarted(0, "call_1", "name"), ToolCallDelta(0, "{}  ")], Usage(10, 2)),
        ([Started("x", "y"), TextDelta("abc"), UsageReported(Usage(7, 8, 1, 2))], Usage(7, 8, 1, 2)),
    ],
)
def test_a_meter_knows_at_any_moment_what_was_caused(events: Events, usage: Usage) -> None:
    meter = Meter(10)
    for event in events:
        meter.observe([event])
    assert meter.usage == usage
