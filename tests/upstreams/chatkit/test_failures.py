"""What the site's words are taken to mean, and how little of them is shown."""

import json

import pytest

from gptoss_api.core.errors import (
    GatewayError,
    InsufficientQuota,
    ThreadLost,
    UpstreamFailure,
    UpstreamLoginRequired,
    UpstreamRateLimited,
)
from gptoss_api.core.redaction import Redactor
from gptoss_api.upstreams.chatkit.failures import (
    failure_of_card,
    failure_of_error_event,
    failure_of_response,
)
from tests.secret_forms import FORMS


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


@pytest.mark.parametrize("secret", FORMS)
def test_secrets_in_the_sites_words_are_not_shown(secret: str) -> None:
    said = f"Something odd: {secret}"
    for failure in (
        failure_of_card(["Odd", said]),
        failure_of_error_event({"type": "error", "message": said}),
        failure_of_response(400, "application/json", json.dumps({"detail": said}).encode()),
        failure_of_response(403, "text/plain", said.encode()),
        failure_of_response(502, "text/html", f"<title>{said}</title>".encode()),
    ):
        assert "***" in failure.message
        assert "VALUE" not in failure.message


@pytest.mark.parametrize("gap", range(170, 210, 3))
def test_no_half_of_a_login_is_shown_where_a_long_message_is_cut(gap: int) -> None:
    said = f"Odd {'-' * gap} 0123456789"
    redact = Redactor(["0123456789"])
    for failure in (
        failure_of_card([said], redact),
        failure_of_error_event({"type": "error", "message": said}, redact),
        failure_of_response(400, "text/plain", said.encode(), redact=redact),
    ):
        assert "Odd" in failure.message
        assert "012" not in failure.message
