"""The nonce of a conversation: group 3 of docs/design/cases.md."""

import re

import pytest

from gptoss_api.core.errors import InternalError
from gptoss_api.emulation.prompt.key import conversation_key, opening_hash
from gptoss_api.text.digest import digest


def _key(secret: bytes = b"s", message: str = "hi", counter: int = 0, taken: tuple[str, ...] = ()) -> str:
    return conversation_key(secret, b"opening", message, counter, lambda key: key in taken)


def test_a_key_is_four_easy_characters() -> None:
    assert re.fullmatch("[a-z2-7]{4}", _key())


def test_the_key_follows_secret_message_and_counter() -> None:
    assert _key() == _key()
    assert len({_key(), _key(b"t"), _key(message="ho"), _key(counter=1)}) == 4


def test_outer_white_space_of_the_message_does_not_count() -> None:
    assert _key(message=" hi\n") == _key()


def test_a_key_that_occurs_is_skipped() -> None:
    assert _key(taken=(_key(),)) == _key(counter=1)


def test_text_full_of_keys_leads_to_a_longer_one() -> None:
    key = conversation_key(b"s", b"o", "hi", 0, lambda key: len(key) == 4)
    assert re.fullmatch("[a-z2-7]{16}", key)


def test_the_search_ends() -> None:
    with pytest.raises(InternalError):
        conversation_key(b"s", b"o", "hi", 0, lambda key: True)


def test_borders_between_parts_count() -> None:
    assert digest([b"ab", b"c"]) != digest([b"a", b"bc"])


def test_the_opening_keeps_callers_apart() -> None:
    def opening(caller: str) -> bytes:
        return opening_hash(
            model="gpt-oss-20b", effort=None, style="ts", instructions=["x"], tools=b"", caller=caller
        )

    assert opening("a") != opening("b")
