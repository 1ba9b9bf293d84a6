"""What looks like a secret is blotted out; what does not is left alone."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gptoss_api.core.redaction import BLOT, Redactor, _blot
from tests.secret_forms import FORMS

redact = Redactor()


@pytest.mark.parametrize("text", FORMS)
def test_named_and_telltale_secrets_go(text: str) -> None:
    assert "VALUE" not in redact(text)
    assert BLOT in redact(text)


@pytest.mark.parametrize(
    "text",
    [
        "request id=req_01 path=/v1/chat/completions tokens_in=74 tokens_out=214",
        "5 sessions and 3 tokens: fine",
        "the key is missing",
        "set GPTOSS_COOKIE to the cookies user_id and session",
        "half_done, keyboard",
        "Set HF_TOKEN_PATH, GROQ_API_KEY or OPENROUTER_API_KEY to a key.",
        "The session was long; cookies are tasty and tokens cost.",
        "max_tokens: 5, prompt_cache_key: not permitted",
        "Unexpected token 12606 while expecting start token 200006",
        "see https://host:8000/v1/disk-management@home and task-0123456789",
        "fw_version and r8_short",
        "",
    ],
)
def test_ordinary_lines_stay(text: str) -> None:
    assert redact(text) == text


def test_the_rest_of_a_line_stays() -> None:
    assert redact("session=abc; then user_id=def, ok") == f"session={BLOT}; then user_id={BLOT}, ok"
    assert redact("Cookie: a=b\nnext line") == f"Cookie: {BLOT}\nnext line"


def test_configured_secrets_go_wherever_they_stand_and_however_they_are_escaped() -> None:
    hiding = Redactor(['pass"word\\1', "plain-one", "plain-one-and-more", "a b/c"])
    assert hiding("<plain-one>") == f"<{BLOT}>"
    assert hiding("plain-one-and-more") == BLOT
    assert hiding('{"x":"pass\\"word\\\\1"}') == f'{{"x":"{BLOT}"}}'
    assert hiding("?q=a%20b%2Fc&r=a b/c") == f"?q={BLOT}&r={BLOT}"
    hiding.hide(["later-one"])
    assert hiding("later-one plain-one") == f"{BLOT} {BLOT}"


def test_what_is_too_short_for_a_secret_does_not_blot_out_words() -> None:
    assert Redactor(["a", ""])("a banana") == "a banana"


@given(st.text(), st.text(alphabet="abcXYZ019-_./+", min_size=6), st.text())
def test_a_configured_secret_never_survives(before: str, secret: str, after: str) -> None:
    assert secret not in Redactor([secret])(before + secret + after).replace(BLOT, "")


_words = st.sampled_from([*FORMS, "=", ":", '"', " ", "key", "@", "K", "ſession=", "://"])


@given(st.text(max_size=200) | st.lists(_words | st.text(max_size=3), max_size=8).map("".join))
def test_looking_for_signs_first_changes_nothing(text: str) -> None:
    assert redact(text) == redact._pattern.sub(_blot, text)


def test_long_texts_take_no_longer_for_each_character() -> None:
    for char in ("a", " ", "\\", ":", "/", "://", "key ", "session\\", "eyJ", "bearer "):
        text = char * (200_000 // len(char))
        begin = time.perf_counter()
        redact(text + "@")
        assert time.perf_counter() - begin < 1


def test_what_stands_for_a_value_stays() -> None:
    redact = Redactor()
    for said in (
        "config.toml:api_keys: the value given is not allowed; expected printable ASCII",
        "GPTOSS_SERVER_KEY: the value given is not allowed",
    ):
        assert redact(said) == said
    assert redact("api_keys: the-value-given") == "api_keys: ***"
