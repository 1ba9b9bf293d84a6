"""Which results are kept, which of them count, and in which order upstreams then come."""

import asyncio
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from gptoss_api.state import Entry, GuardedStore, Store, StoreUnavailable
from gptoss_api.verification import history
from gptoss_api.verification.card import Card, Run, Sample, Subject, make_card
from gptoss_api.verification.history import KEPT, RECENT, History, counts, packed, scores_of

NOW = 2_000_000_000.0
OFFICE = Subject("office", "vllm", "http://office:8000/v1", "gpt-oss-120b")
CLOUD = Subject("cloud", "groq", "https://api.groq.com/openai/v1", "gpt-oss-120b")


def card(subject: Subject = OFFICE, score: float | None = 1.0, **changes: Any) -> Card:
    run = Run(20, quick=False, planned=1, started=NOW - 60, seconds=9.0, interrupted=False)
    sample = Sample("tools.weather", 0, raw={"right_tool": ""}, gateway={"right_tool": ""})
    return replace(make_card(subject, run, [sample], {}), score=score, **changes)


async def test_every_store_keeps_results_in_their_order(store: Store) -> None:
    kept = History(GuardedStore(store, operation_time=10.0))
    assert list(await kept.cards()) == []
    first, second = card(score=0.5), card(CLOUD)
    await kept.keep(first)
    await kept.keep(second)
    assert list(await kept.cards()) == [first, second]


async def test_results_of_several_processes_at_once_all_stay(store: Store) -> None:
    histories = [History(GuardedStore(store, operation_time=10.0)) for _ in range(4)]
    await asyncio.gather(*(each.keep(card(score=place / 10)) for place, each in enumerate(histories)))
    assert sorted(each.score or 0 for each in await histories[0].cards()) == [0, 0.1, 0.2, 0.3]


async def test_what_another_version_kept_is_passed_over(store: Store) -> None:
    guarded = GuardedStore(store, operation_time=10.0)
    await guarded.put(history._SPACE, Entry(history._KEY, b'[{"object": "verification"}]'))
    kept = History(guarded)
    assert list(await kept.cards()) == []
    await kept.keep(card())
    assert len(await kept.cards()) == 1


class _Down:
    """A store that does nothing."""

    name = "down"

    def __getattr__(self, name: str) -> Any:
        async def fail(*arguments: Any, **more: Any) -> None:
            raise StoreUnavailable("down")

        return fail


async def test_a_store_that_is_down_is_told_and_takes_no_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(history, "_PATIENCE", 0.2)
    kept = History(GuardedStore(_Down()))
    with pytest.raises(StoreUnavailable):
        await kept.cards()
    with pytest.raises(StoreUnavailable):
        await kept.keep(card())


def decoded(value: bytes) -> list[Card]:
    return msgspec.json.decode(value, type=list[Card])


def test_of_each_upstream_and_model_the_newest_stay() -> None:
    small = replace(OFFICE, model="gpt-oss-20b")
    many = [card(each, started=NOW + place) for place in range(KEPT + 5) for each in (OFFICE, small, CLOUD)]
    kept = decoded(packed(many))
    assert kept == many[15:]
    assert len(kept) == 3 * KEPT


@given(st.lists(st.sampled_from([OFFICE, CLOUD]), max_size=12), st.integers(0, 12_000))
def test_however_little_room_there_is_the_newest_are_kept_in_order(
    subjects: list[Subject], size: int
) -> None:
    cards = [card(each, started=float(place)) for place, each in enumerate(subjects)]
    value = packed(cards, max(size, 2))
    assert len(value) <= max(size, 2)
    kept = decoded(value)
    assert kept == cards[len(cards) - len(kept) :]


@pytest.mark.parametrize(
    "changes",
    [
        {"complete": False},
        {"score": None},
        {"case_set": "0"},
        {"started": NOW - RECENT - 1},
        {"url": "http://other:8000/v1"},
        {"kind": "ollama"},
        {"upstream": "former"},
    ],
)
def test_what_says_nothing_about_an_upstream_as_it_is_now_does_not_count(changes: dict[str, Any]) -> None:
    assert counts(card(), [CLOUD, OFFICE], NOW)
    assert not counts(card(**changes), [CLOUD, OFFICE], NOW)
    assert scores_of([card(**changes)], [OFFICE], NOW).by_place == {}


def test_the_latest_that_counts_decides() -> None:
    cards = [card(score=0.2), card(score=0.9), card(score=0.1, complete=False)]
    scores = scores_of(cards, [OFFICE], NOW)
    assert scores.by_place == {("office", "gpt-oss-120b"): 0.9}


def test_the_best_comes_first_equals_stay_and_the_unknown_come_last() -> None:
    worst = replace(OFFICE, upstream="worst")
    cards = [card(worst, 0.0), card(OFFICE, 0.911), card(CLOUD, 0.914)]
    scores = scores_of(cards, [worst, OFFICE, CLOUD], NOW)
    rank = {name: scores.rank(name, "gpt-oss-120b") for name in ("office", "cloud", "worst", "new")}
    assert rank["office"] == rank["cloud"] < rank["worst"] < rank["new"]
    # Nothing is known of another model.
    assert scores.rank("cloud", "gpt-oss-20b") == rank["new"]
