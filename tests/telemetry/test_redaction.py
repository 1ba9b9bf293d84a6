"""What looks like a secret is blotted out; what does not is left alone."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gptoss_api.telemetry.redaction import BLOT, Redactor

redact = Redactor()


@pytest.mark.parametrize(
    "text",
    [
        "Cookie: user_id=VALUE-1; theme=VALUE-2; session=VALUE-3",
        "set-cookie: session=VALUE; Path=/; HttpOnly",
        '{"cookie": "a=VALUE; b=VALUE"}',
        "session=VALUE",
        "session: VALUE",
        '{"session":"VALUE","user_id":"VALUE"}',
        "{'user_id': 'VALUE'}",
        "GPTOSS_COOKIE=VALUE",
        "Authorization: Bearer VALUE",
        "authorization: Basic VALUE",
        "Proxy-Authorization: VALUE",
        "sent Bearer VALUE upstream",
        "x-api-key: VALUE",
        "GPTOSS_API_KEYS=VALUE",
        "api_key=VALUE&x=1",
        "?access_token=VALUE",
        "refresh_token: VALUE",
        "password=VALUE",
        "hf_VALUEvalue0123",
        "in the middle eyJVALUE.VALUE-VALUE_ of it",
        "sk-VALUE-0123",
    ],
)
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


@given(st.text(max_size=200))
def test_looking_for_signs_first_changes_nothing(text: str) -> None:
    assert redact(text) == redact._pattern.sub(lambda m: (m["cookie"] or m["name"] or "") + BLOT, text)
