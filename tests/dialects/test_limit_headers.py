"""Limits in the headers of OpenAI's and Anthropic's APIs."""

import time
from datetime import UTC, datetime

import pytest

from gptoss_api.core.limits import NO_ALLOWANCES, Allowances, LimitStatus
from gptoss_api.dialects.limit_headers import duration, limit_headers
from gptoss_api.dialects.messages.limit_headers import limit_headers as anthropics


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0ms"),
        (0.0171, "18ms"),
        (0.12, "120ms"),
        (1, "1s"),
        (1.5, "1.5s"),
        (59.9999, "1m0s"),
        (60, "1m0s"),
        (360, "6m0s"),
        (3_723, "1h2m3s"),
        (7_200, "2h0m0s"),
        (30 * 86_400, "720h0m0s"),
    ],
)
def test_durations_are_written_as_go_writes_them(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_only_limits_that_are_there_have_headers() -> None:
    assert limit_headers(NO_ALLOWANCES) == anthropics(NO_ALLOWANCES) == []
    headers = limit_headers(Allowances(LimitStatus(60, 1, 1.0), None))
    assert headers == [
        (b"x-ratelimit-limit-requests", b"60"),
        (b"x-ratelimit-remaining-requests", b"59"),
        (b"x-ratelimit-reset-requests", b"1s"),
    ]
    # What never renews has no time at which it does.
    assert [name for name, _ in limit_headers(Allowances(None, LimitStatus(5, 7, None)))] == [
        b"x-ratelimit-limit-tokens",
        b"x-ratelimit-remaining-tokens",
    ]


def test_anthropics_reset_is_a_moment() -> None:
    headers = dict(anthropics(Allowances(LimitStatus(60, 1, 90.0), LimitStatus(9, 8, None))))
    reset = datetime.strptime(headers[b"anthropic-ratelimit-requests-reset"].decode(), "%Y-%m-%dT%H:%M:%SZ")
    assert abs(reset.replace(tzinfo=UTC).timestamp() - time.time() - 90) < 3
    assert headers[b"anthropic-ratelimit-tokens-remaining"] == b"1"
    assert b"anthropic-ratelimit-tokens-reset" not in headers
    assert headers[b"x-ratelimit-reset-requests"] == b"1m30s"
