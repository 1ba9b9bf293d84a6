"""The nonce of a conversation: group 3 of docs/design/cases.md."""

import re
from typing import Any

import pytest

from gptoss_api.core.errors import InternalError
from gptoss_api.core.turn import InstructionMessage
from gptoss_api.emulation.prompt.key import Preamble, transport_key
from gptoss_api.emulation.prompt.tool_section import Style
from gptoss_api.text.digest import digest

from ..scripted import WEATHER, asks


def _key(secret: bytes = b"s", message: str = "hi", counter: int = 0, taken: tuple[str, ...] = ()) -> str:
    return transport_key(secret, b"opening", message, counter, lambda key: key in taken)


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
    key = transport_key(b"s", b"o", "hi", 0, lambda key: len(key) == 4)
    assert re.fullmatch("[a-z2-7]{16}", key)


def test_the_search_ends() -> None:
    with pytest.raises(InternalError):
        transport_key(b"s", b"o", "hi", 0, lambda key: True)


def test_borders_between_parts_count() -> None:
    assert digest([b"ab", b"c"]) != digest([b"a", b"bc"])


def preamble(*instructions: str, style: Style = "ts", **settings: Any) -> Preamble:
    return Preamble(asks(*map(InstructionMessage, instructions), "Hello!", **settings), style)


def test_everything_before_the_first_message_counts() -> None:
    others = (
        preamble("x", caller="a"),
        preamble("x", effort="low"),
        preamble("x", tools=[WEATHER]),
        preamble("x", style="json"),
        preamble("y"),
        preamble("x", "y"),
        preamble(),
    )
    assert len({preamble("x").digest, *(other.digest for other in others)}) == len(others) + 1


def test_what_follows_and_how_instructions_are_spelled_does_not_count() -> None:
    assert preamble(" a\r\nb ").digest == preamble("a\nb", "").digest
    assert Preamble(asks("One"), "ts").digest == Preamble(asks("Two", "Three"), "ts").digest


def test_lone_surrogates_count() -> None:
    assert preamble("\ud800").digest != preamble("\ud801").digest
