"""How little of an upstream's words is shown."""

import pytest

from gptoss_api.upstreams.refusals import EXCERPT_LENGTH, excerpt, redact


@pytest.mark.parametrize(
    "secret",
    [
        "session=eyJoZl9hY2Nlc3M",
        "Cookie: user_id=abc",
        '"session": "abc.def"',
        "user_id=3f0c7d8e",
        "Authorization: Bearer abc.def",
        "hf_abcdefgh12345678",
        "eyJoZl9hY2Nlc3NfdG9rZW4iOiJ4In0.aaa.bbb",
        "gsk_0abc4efgh1234",
        "known-secret",
    ],
)
def test_secrets_are_taken_out(secret: str) -> None:
    shown = redact(f"before {secret} after", ("known-secret", ""))
    assert shown.startswith("before ")
    assert shown.endswith(" after")
    assert "***" in shown
    for part in ("eyJ", "abc", "3f0c", "hf_", "known"):
        assert part not in shown


def test_ordinary_words_stay() -> None:
    text = "The session was long; cookies are tasty and tokens cost."
    assert redact(text, ("s", "on")) == text


def test_an_excerpt_is_one_short_line() -> None:
    shown = excerpt("line one\n\tline two\x1b[31m\x00 " + "x" * 1000)
    assert shown.startswith("line one line two [31m x")
    assert len(shown) == EXCERPT_LENGTH
    assert shown.endswith("…")
    assert excerpt("short") == "short"
