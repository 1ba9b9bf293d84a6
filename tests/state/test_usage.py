"""Accounts of turns in every kind of store."""

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from gptoss_api.core.accounting import DAY, HOUR, Sums, TurnAccount, moment_meant, shown, summed_up
from gptoss_api.state import StoreUnavailable, UsageBehind, UsageStore, open_usage
from gptoss_api.state.usage import HOURLY, LATEST
from gptoss_api.state.usage_sqlite import SqliteUsage

# 2026-08-05, ten past two in the afternoon.
NOW = 1_785_939_000.0


def turn(at: float = NOW, **more: object) -> TurnAccount:
    made = {
        "request_id": "req_1",
        "key": "key_a",
        "dialect": "chat",
        "model": "gpt-oss-120b",
        "upstream": "site",
        "outcome": "ok",
        "status": 200,
        "prompt": 10,
        "cached": 4,
        "completion": 7,
        "reasoning": 3,
        "first_ms": 20.0,
        "total_ms": 100.0,
    }
    return TurnAccount(at=at, **(made | more))  # type: ignore[arg-type]


@pytest.fixture
async def usage(store_url: str) -> AsyncIterator[UsageStore]:
    opened = open_usage(store_url, 400)
    yield opened
    await opened.close()


@pytest.fixture
def now(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "time", lambda: NOW)


async def test_turns_are_summed_up_by_whatever_is_asked(usage: UsageStore, now: None) -> None:
    await usage.add(
        [
            turn(),
            turn(NOW - HOUR, key="key_b", outcome="upstream_empty", status=502, first_ms=None, repairs=2),
            turn(NOW - DAY, dialect="ollama", model="gpt-oss-20b", upstream="box", status=429, outcome="x"),
        ]
    )
    await usage.add([turn(prompt=1, first_ms=40.0)])
    days = await usage.sums(NOW - 7 * DAY, NOW, "day")
    assert list(days) == ["2026-08-04", "2026-08-05"]
    assert days["2026-08-05"] == Sums(
        requests=3,
        errors=1,
        prompt=21,
        cached=12,
        completion=21,
        reasoning=9,
        repairs=2,
        firsts=2,
        first_ms=60.0,
        total_ms=300.0,
    )
    assert (days["2026-08-04"].limited, days["2026-08-04"].errors) == (1, 1)
    hours = await usage.sums(NOW - 7 * DAY, NOW, "hour")
    assert list(hours) == ["2026-08-04T14:00Z", "2026-08-05T13:00Z", "2026-08-05T14:00Z"]
    for by, names in (
        ("key", ["key_a", "key_b"]),
        ("model", ["gpt-oss-120b", "gpt-oss-20b"]),
        ("upstream", ["box", "site"]),
        ("dialect", ["chat", "ollama"]),
    ):
        assert list(await usage.sums(NOW - 7 * DAY, NOW, by)) == names  # type: ignore[arg-type]
    (of_b,) = (await usage.sums(NOW - 7 * DAY, NOW, "model", "key_b")).values()
    assert of_b.requests == 1
    assert list(await usage.sums(NOW - 600, NOW, "day")) == ["2026-08-05"]
    assert await usage.sums(NOW - 7 * DAY, NOW, "day", "key_c") == {}
    assert list(await usage.sums(NOW - 2 * DAY, NOW - DAY, "day")) == ["2026-08-04"]


async def test_turns_are_summed_up_over_time_by_what_is_asked(usage: UsageStore, now: None) -> None:
    small = "gpt-oss-20b"
    await usage.add([turn(), turn(NOW - HOUR, model=small), turn(NOW - DAY, model=small, key="key_b")])
    await usage.add([turn(prompt=1)])
    days = await usage.series(NOW - 7 * DAY, NOW, "day", "model")
    assert {place: sums.requests for place, sums in days.items()} == {
        ("2026-08-04", small): 1,
        ("2026-08-05", "gpt-oss-120b"): 2,
        ("2026-08-05", small): 1,
    }
    assert days["2026-08-05", "gpt-oss-120b"].prompt == 11
    hours = await usage.series(NOW - 2 * HOUR, NOW, "hour", "key")
    assert list(hours) == [("2026-08-05T13:00Z", "key_a"), ("2026-08-05T14:00Z", "key_a")]
    assert list(await usage.series(NOW - 7 * DAY, NOW, "day", "model", "key_b")) == [("2026-08-04", small)]


async def test_the_latest_are_kept_each_the_newest_first(usage: UsageStore, now: None) -> None:
    turns = [turn(request_id=f"req_{n}") for n in range(LATEST + 305)]
    for at in range(0, len(turns), 100):
        await usage.add(turns[at : at + 100])
    assert await usage.latest(3) == [turns[-1], turns[-2], turns[-3]]
    assert LATEST <= len(await usage.latest(2 * LATEST)) <= LATEST + 100


async def test_days_answer_for_what_is_long_past_and_old_days_go(tmp_path: Path, now: None) -> None:
    usage = SqliteUsage(tmp_path / "usage.db", 90)
    past = NOW - HOURLY - 2 * DAY
    await usage.add([turn(past), turn(past + HOUR), turn(past, key="key_b"), turn(NOW - 91 * DAY), turn()])
    await usage.close()
    usage = SqliteUsage(tmp_path / "usage.db", 90)
    await usage.add([turn()])
    hours = await usage.sums(0, NOW, "hour")
    assert {name: sums.requests for name, sums in hours.items()} == {
        "2026-07-03T00:00Z": 3,
        "2026-08-05T00:00Z": 2,
    }
    assert list(await usage.sums(NOW - DAY, NOW, "hour")) == ["2026-08-05T14:00Z"]
    assert (await usage.sums(0, NOW, "key"))["key_b"].requests == 1
    assert (await usage.sums(0, NOW, "day", "key_b"))["2026-07-03"].requests == 1
    await usage.close()


async def test_several_processes_count_together(store_url: str, now: None) -> None:
    if store_url.startswith("memory"):
        return
    first, second = open_usage(store_url, 400), open_usage(store_url, 400)
    for _ in range(10):
        await first.add([turn()])
        await second.add([turn(key="key_b")])
    assert [sums.requests for sums in (await first.sums(0, NOW, "day")).values()] == [20]
    await first.close()
    await second.close()


class Failing:
    """A store that is away for a while."""

    def __init__(self) -> None:
        self.away = True
        self.kept: list[TurnAccount] = []

    async def add(self, turns: list[TurnAccount]) -> None:
        if self.away:
            raise StoreUnavailable("It is away.")
        self.kept += turns

    async def close(self) -> None:
        pass


async def test_what_a_store_does_not_take_waits_for_it(caplog: pytest.LogCaptureFixture) -> None:
    store = Failing()
    behind = UsageBehind(store)  # type: ignore[arg-type]
    turns = [turn(request_id=f"req_{n}") for n in range(3)]
    for each in turns:
        behind.note(each)
    assert not await behind.flush()
    assert not await behind.flush()
    assert [record.message for record in caplog.records] == [
        "usage cannot be kept now, and waits: It is away."
    ]
    store.away = False
    await behind.close()
    assert store.kept == turns
    assert behind.lost == 0


async def test_what_waits_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gptoss_api.state.usage_behind.MOST", 5)
    store = Failing()
    behind = UsageBehind(store)  # type: ignore[arg-type]
    turns = [turn(request_id=f"req_{n}") for n in range(8)]
    for each in turns:
        behind.note(each)
    await behind.flush()
    store.away = False
    await behind.close()
    assert (store.kept, behind.lost) == (turns[3:], 3)


async def test_it_is_written_beside_the_answers_by_itself() -> None:
    store = Failing()
    store.away = False
    behind = UsageBehind(store)  # type: ignore[arg-type]
    behind.note(turn())
    assert store.kept == [], "nobody waits for it"
    deadline = time.monotonic() + 5
    while not store.kept:
        assert time.monotonic() < deadline
        await asyncio.sleep(0.02)
    await behind.close()


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("30m", NOW - 1_800),
        ("24h", NOW - DAY),
        ("7d", NOW - 7 * DAY),
        ("2w", NOW - 14 * DAY),
        ("2026-08-05", 1_785_888_000.0),
        ("2026-08-05T02:00:00+02:00", 1_785_888_000.0),
    ],
)
def test_times_that_people_write(text: str, meant: float) -> None:
    assert moment_meant(text, NOW) == meant


@pytest.mark.parametrize("text", ["", "7", "7y", "soon", "-1d"])
def test_what_is_no_time(text: str) -> None:
    with pytest.raises(ValueError):  # its words are of the library
        moment_meant(text, NOW)


def test_nothing_has_no_means() -> None:
    assert shown(Sums())["first_token_ms"] is None
    assert shown(Sums())["total_ms"] is None
    assert summed_up([]) == {}
