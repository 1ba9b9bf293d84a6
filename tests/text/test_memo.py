"""What is remembered of texts, and how much of it."""

import pytest

from gptoss_api.text.memo import Memo


def test_what_was_put_is_there() -> None:
    memo: Memo[str, int] = Memo(1_000)
    assert memo.get("a") is None
    memo.put("a", 1, 10)
    assert memo.get("a") == 1
    memo.put("a", 2, 10)
    assert memo.get("a") == 2


def test_several_are_found_as_each_of_them_is() -> None:
    memo: Memo[str, int] = Memo(1_000)
    for name in ("old", "a", "b", "c", "d", "e", "young"):
        memo.put(name, len(name), 100)
    assert memo.get_each(["young", "none", "old", "young"]) == [5, None, 3, 5]
    # What was found among the old is young again.
    for name in ("f", "g"):
        memo.put(name, 1, 100)
    assert memo.get_each([]) == []
    assert memo.get("old") == 3


def test_what_is_used_stays_and_the_rest_goes() -> None:
    memo: Memo[int, str] = Memo(1_000)
    for number in range(200):
        memo.put(number, str(number), 50)
        assert memo.get(0) == "0"
    assert memo.get(199) == "199"
    assert memo.get(100) is None


@pytest.mark.parametrize("size", [1, 7, 50, 125])
def test_no_more_is_kept_than_there_is_room_for(size: int) -> None:
    memo: Memo[int, int] = Memo(1_000)
    for number in range(3_000):
        memo.put(number, number, size)
        memo.get(number // 2)
    kept = sum(memo.get(number) is not None for number in range(3_000))
    assert 1 <= kept * size <= 1_000


def test_a_value_that_takes_the_place_of_another_takes_its_room() -> None:
    memo: Memo[str, int] = Memo(1_000)
    memo.put("other", 0, 100)
    for number in range(100):
        memo.put("a", number, 100)
    assert (memo.get("a"), memo.get("other")) == (99, 0)


def test_what_is_large_is_not_kept() -> None:
    memo: Memo[str, int] = Memo(1_000)
    memo.put("a", 1, 100)
    memo.put("large", 2, 126)
    assert memo.get("large") is None
    assert memo.get("a") == 1
