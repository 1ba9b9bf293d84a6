"""Sealed reasoning: only the same key and owner open it, and nobody can change it."""

from hypothesis import given
from hypothesis import strategies as st

from gptoss_api.dialects.sealing import Sealer

SEALER = Sealer(b"k" * 32)


@given(st.text())
def test_what_was_sealed_opens(text: str) -> None:
    assert SEALER.open(SEALER.seal(text, "ann"), "ann") == text


def test_the_text_cannot_be_read_and_no_two_seals_are_equal() -> None:
    first, second = SEALER.seal("the secret plan", "ann"), SEALER.seal("the secret plan", "ann")
    assert "secret" not in first
    assert first != second


def test_another_key_does_not_open_it() -> None:
    assert Sealer(b"x" * 32).open(SEALER.seal("plan", "ann"), "ann") is None


def test_another_owner_does_not_open_it() -> None:
    assert SEALER.open(SEALER.seal("plan", "ann"), "bob") is None


@given(st.integers(min_value=0), st.integers(1, 127))
def test_a_changed_character_is_noticed(place: int, change: int) -> None:
    sealed = SEALER.seal("plan", "ann")
    at = place % len(sealed)
    changed = sealed[:at] + chr(ord(sealed[at]) ^ change) + sealed[at + 1 :]
    assert SEALER.open(changed, "ann") in (None, "plan")
    if SEALER.open(changed, "ann") == "plan":
        # Base64 has spare bits in its last character; the bytes are the same.
        assert at >= len(sealed) - 3


@given(st.text())
def test_foreign_blobs_are_not_ours(text: str) -> None:
    assert SEALER.open(text, "ann") is None
    assert SEALER.open(f"gptoss1.{text}", "ann") is None
