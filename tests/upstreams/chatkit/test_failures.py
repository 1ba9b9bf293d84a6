"""What the site's words are taken to mean, and how little of them is shown."""

import pytest

from gptoss_api.core.errors import (
    GatewayError,
    InsufficientQuota,
    ThreadLost,
    UpstreamFailure,
    UpstreamLoginRequired,
    UpstreamRateLimited,
)
from gptoss_api.upstreams.chatkit.failures import (
    EXCERPT_LENGTH,
    excerpt,
    failure_of_card,
    failure_of_error_event,
    parse_retry_after,
    redact,
)


@pytest.mark.parametrize(
    ("words", "kind"),
    [
        (["Sign in to continue"], UpstreamLoginRequired),
        (["You hit the limit.", "Log in for more."], UpstreamLoginRequired),
        (["Welcome", "Continue with Hugging Face"], UpstreamLoginRequired),
        (["Your session has expired"], UpstreamLoginRequired),
        (["You have reached the message limit"], UpstreamRateLimited),
        (["Too many requests, see your Hugging Face account"], UpstreamRateLimited),
        (["You have exceeded your monthly included credits"], InsufficientQuota),
        (["Please solve this captcha"], UpstreamFailure),
        (["We are designing something new"], UpstreamFailure),
        ([], UpstreamFailure),
    ],
)
def test_cards(words: list[str], kind: type[GatewayError]) -> None:
    assert type(failure_of_card(words)) is kind


@pytest.mark.parametrize(
    ("message", "kind"),
    [
        ("rate_limit_exceeded", UpstreamRateLimited),
        ("You hit a limit", UpstreamRateLimited),
        ("not authenticated", UpstreamLoginRequired),
        ("Thread thr_1 does not exist", ThreadLost),
        ("The Hugging Face provider is down", UpstreamFailure),
        ("The context length limit is 131072 tokens", UpstreamFailure),
        ("The thread pool is busy", UpstreamFailure),
        ("", UpstreamFailure),
    ],
)
def test_error_events(message: str, kind: type[GatewayError]) -> None:
    assert type(failure_of_error_event({"type": "error", "message": message})) is kind


def test_an_error_code_counts_but_is_not_shown() -> None:
    failure = failure_of_error_event({"code": "rate_limit_exceeded", "message": "Slow down"})
    assert isinstance(failure, UpstreamRateLimited)
    assert failure.message.endswith("Slow down")


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


@pytest.mark.parametrize(
    ("value", "seconds"),
    [(None, None), ("0", 0.0), (" 12 ", 12.0), ("-1", None), ("", None), ("soon", None), ("1.5", None)],
)
def test_retry_after_in_seconds(value: str | None, seconds: float | None) -> None:
    assert parse_retry_after(value) == seconds


def test_retry_after_as_a_date() -> None:
    assert parse_retry_after("Wed, 21 Oct 2015 07:28:00 GMT") == 0.0
    assert (parse_retry_after("Wed, 21 Oct 2099 07:28:00 GMT") or 0) > 1e9
