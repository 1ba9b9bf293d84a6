"""StoredResponse responses on every store, and the paging of their items."""

from typing import Any

import pytest
from msgspec import Raw, json

from gptoss_api.core.errors import InvalidRequest, NotFound, StateUnavailable
from gptoss_api.dialects.openai_errors import openai_error
from gptoss_api.server.responses.conversation import page, read_chain
from gptoss_api.server.responses.stored import StoredResponse, StoredResponses
from gptoss_api.state import GuardedStore, MemoryStore, Store, StoreUnavailable


@pytest.fixture
def stored() -> StoredResponses:
    return StoredResponses(GuardedStore(MemoryStore()), ttl=60, most=100, size=10**9, total=10**9)


def record(text: str, *chain: str, status: str = "completed") -> StoredResponse:
    response = {"id": "x", "output": [{"id": f"msg_{text}_out", "text": f"{text}!"}]}
    return StoredResponse(
        Raw(json.encode(response)), Raw(json.encode([{"id": f"msg_{text}", "text": text}])), status, chain
    )


async def test_a_record_is_its_callers_alone(stored: StoredResponses) -> None:
    await stored.put("ann", "resp_1", record("one"))
    assert (await stored.get("ann", "resp_1")).input_items() == [{"id": "msg_one", "text": "one"}]
    for caller, response_id in (("bob", "resp_1"), ("", "resp_1"), ("ann", "resp_2")):
        with pytest.raises(NotFound):
            await stored.get(caller, response_id)


async def test_a_store_that_rests_is_not_taken_for_one_that_has_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    store = MemoryStore()
    guarded = GuardedStore(store)
    stored = StoredResponses(guarded, ttl=60, most=100, size=10**9, total=10**9)
    await stored.put("ann", "resp_1", record("one"))

    async def unplugged(*_: object) -> None:
        raise StoreUnavailable("it is unplugged")

    with monkeypatch.context() as broken:
        broken.setattr(store, "get", unplugged)
        with pytest.raises(StateUnavailable):
            await stored.get("ann", "resp_1")
    # It rests now, whatever else is known of it.
    guarded._down = False
    with pytest.raises(StateUnavailable):
        await stored.get("ann", "resp_1")
    assert await stored.put("ann", "resp_2", record("two")) == "unavailable"


async def test_a_chain_is_read_oldest_first(stored: StoredResponses) -> None:
    await stored.put("ann", "r1", record("one"))
    await stored.put("ann", "r2", record("two", "r1"))
    await stored.put("ann", "r3", record("three", "r1", "r2"))
    chain, items, _ = await read_chain(stored, "ann", "r3")
    assert chain == ("r1", "r2", "r3")
    assert [item["text"] for item in items] == ["one", "one!", "two", "two!", "three", "three!"]


async def test_a_chain_with_a_missing_link_is_not_answered_as_if_it_were_whole(
    stored: StoredResponses,
) -> None:
    await stored.put("ann", "r1", record("one"))
    await stored.put("ann", "r2", record("two", "r1"))
    await stored.delete("ann", "r1")
    with pytest.raises(NotFound) as caught:
        await read_chain(stored, "ann", "r2")
    assert openai_error(caught.value).code == "previous_response_not_found"


@pytest.mark.parametrize("status", ["queued", "in_progress", "failed", "cancelled"])
async def test_what_has_no_answer_cannot_be_continued(stored: StoredResponses, status: str) -> None:
    await stored.put("ann", "r1", record("one", status=status))
    with pytest.raises(InvalidRequest, match=status.replace("_", " ")):
        await read_chain(stored, "ann", "r1")


async def test_a_request_to_cancel_is_heard_once(stored: StoredResponses) -> None:
    await stored.request_cancel("ann", "r1")
    assert not await stored.cancel_requested("bob", "r1")
    assert await stored.cancel_requested("ann", "r1")
    assert not await stored.cancel_requested("ann", "r1")


async def test_callers_do_not_push_out_each_others_responses(store: Store) -> None:
    stored = StoredResponses(GuardedStore(store), ttl=60, most=50, size=10**9, total=10**9)
    await stored.put("ann", "resp_a", record("one"))
    ids = [f"resp_{number}" for number in range(250)]
    for response_id in ids:
        assert await stored.put("bob", response_id, record("one")) is None
    assert (await stored.get("ann", "resp_a")).status == "completed"
    left = [await is_stored(stored, "bob", response_id) for response_id in ids]
    assert all(left[-50:])
    # SQLite counts only from time to time.
    assert sum(left) <= 50 + 64


async def test_large_responses_push_out_only_their_callers_own(store: Store) -> None:
    stored = StoredResponses(GuardedStore(store), ttl=60, most=5_000, size=1_000_000, total=10**9)
    await stored.put("ann", "resp_a", record("one"))
    ids = [f"resp_{number}" for number in range(40)]
    for response_id in ids:
        assert await stored.put("bob", response_id, record("x" * 25_000)) is None
        await stored.put_events("bob", response_id, b"x" * 50_000)
    assert await is_stored(stored, "ann", "resp_a")
    left = [await is_stored(stored, "bob", response_id) for response_id in ids]
    # Each is 150 kB: the record has its text four times.
    assert 5 <= sum(left) <= 8
    assert all(left[-5:])


@pytest.mark.parametrize(("size", "least"), [(1_000, 900), (10**9, 4 * 1024**2)])
async def test_of_what_is_too_large_nothing_is_stored(size: int, least: int) -> None:
    stored = StoredResponses(GuardedStore(MemoryStore()), ttl=60, most=100, size=size, total=10**9)
    assert await stored.put("ann", "resp_1", record("x" * (least // 4 - 200))) is None
    assert await stored.put("ann", "resp_2", record("x" * (least // 4 + 200))) == "too-large"
    assert not await is_stored(stored, "ann", "resp_2")


async def is_stored(stored: StoredResponses, caller: str, response_id: str) -> bool:
    try:
        await stored.get(caller, response_id)
    except NotFound:
        return False
    return True


ITEMS: list[dict[str, Any]] = [{"id": f"i{number}"} for number in range(5)]


def ids(listed: dict[str, Any]) -> list[str]:
    return [item["id"] for item in listed["data"]]


def test_pages_follow_each_other_in_both_orders() -> None:
    first = page(ITEMS, after=None, limit=2, newest_first=True)
    assert (ids(first), first["has_more"], first["last_id"]) == (["i4", "i3"], True, "i3")
    last = page(ITEMS, after="i3", limit=3, newest_first=True)
    assert (ids(last), last["has_more"], last["first_id"]) == (["i2", "i1", "i0"], False, "i2")
    assert ids(page(ITEMS, after="i1", limit=9, newest_first=False)) == ["i2", "i3", "i4"]
    assert page([], after=None, limit=9, newest_first=False)["data"] == []


def test_a_page_after_an_unknown_item_is_refused() -> None:
    with pytest.raises(InvalidRequest) as caught:
        page(ITEMS, after="other", limit=2, newest_first=False)
    assert caught.value.param == "after"
