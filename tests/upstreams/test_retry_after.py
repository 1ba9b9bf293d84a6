"""How long upstreams ask to be left alone, whatever they write into the header."""

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from gptoss_api.core.errors import GatewayError, UpstreamRateLimited
from gptoss_api.upstreams.chatkit.credentials import Credentials
from gptoss_api.upstreams.http import ResponseHeaders
from gptoss_api.upstreams.refusals import LONGEST_WAIT, wait_in_words
from gptoss_api.upstreams.retry_after import parse_date, parse_retry_after, read_retry_after
from tests.backends.server import Backend, ask, connected, json_reply, turn

IMPOSSIBLE = [
    "Wed, 21 Oct 99999999999999999999 07:28:00 GMT",
    "Wed, 21 Oct 2026 07:28:00 +9999999999999",
    "Wed, 21 Oct 2026 07:28:00 +2500",
    "Wed, 31 Feb 2026 07:28:00 GMT",
    "Wed, 21 Oct 2026 99:99:99 GMT",
    "Wed, 21 Oct 2026 07:28:00 GMT" + " " * 60 + "x",
]


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (None, None),
        ("0", 0.0),
        (" 12 ", 12.0),
        ("-1", None),
        ("", None),
        ("soon", None),
        ("1.5", 1.5),
        ("1e5", None),
        ("3600", LONGEST_WAIT),
        ("3601", LONGEST_WAIT),
        ("999999999", LONGEST_WAIT),
        ("9" * 5000, LONGEST_WAIT),
        ("0." + "9" * 5000, 1.0),
    ],
)
def test_seconds_are_read_and_capped(value: str | None, seconds: float | None) -> None:
    assert parse_retry_after(value) == seconds


@pytest.mark.parametrize(
    ("message", "seconds"),
    [
        ("Rate limit reached for tokens. Please try again in 11.054s. Visit the page.", 11.054),
        ("Please try again in 6m11.5s.", 371.5),
        ("Please try again in 440ms.", 0.44),
        ("Please retry after 20 seconds.", 20.0),
        ("try again in 5 minutes", 300.0),
        ("Try again in 1h2m3s", LONGEST_WAIT),
        ("Please wait 2 sec", 2.0),
        ("Please try again later. Retry after 3s.", 3.0),
        ("try again in a moment", None),
        ("retry in 5 turns", None),
        ("it failed after 7s", None),
        ("try again in " + "9" * 5000 + "s", None),
    ],
)
def test_words_that_tell_a_wait_are_read(message: str, seconds: float | None) -> None:
    assert wait_in_words(message) == seconds


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"retry-after-ms": "400"}, 0.4),
        ({"retry-after-ms": " 1500.5 ", "retry-after": "9"}, 1.5005),
        ({"retry-after-ms": "soon", "retry-after": "9"}, 9.0),
        ({"retry-after-ms": "9" * 5000}, LONGEST_WAIT),
        ({"retry-after": "9", "x-ratelimit-reset": "3"}, 9.0),
        ({"x-ratelimit-reset": "3"}, 3.0),
        ({"ratelimit-reset": "50"}, 50.0),
        ({"x-ratelimit-reset": "1000000000"}, 0.0),
        ({"x-ratelimit-reset": "1000000000000"}, 0.0),
        ({"x-ratelimit-reset": "4102444800"}, LONGEST_WAIT),
        ({"x-ratelimit-reset": "4102444800000"}, LONGEST_WAIT),
        ({"x-ratelimit-reset": "tomorrow"}, None),
        ({"x-ratelimit-reset": "9" * 5000}, None),
    ],
)
def test_the_finest_header_that_has_a_meaning_counts(headers: dict[str, str], seconds: float | None) -> None:
    told = ResponseHeaders((name.encode(), value.encode()) for name, value in headers.items())
    assert read_retry_after(told) == seconds


def test_dates_are_read_and_capped() -> None:
    assert parse_retry_after("Wed, 21 Oct 2015 07:28:00 GMT") == 0.0
    assert parse_retry_after("Wed, 21 Oct 2099 07:28:00 GMT") == LONGEST_WAIT
    soon = parse_retry_after(format_datetime(datetime.now(UTC) + timedelta(minutes=5), usegmt=True))
    assert soon == pytest.approx(300, abs=5)


@pytest.mark.parametrize("value", IMPOSSIBLE)
def test_a_date_that_does_not_exist_has_no_meaning(value: str) -> None:
    assert parse_retry_after(value) is None


_NUMBER = st.integers(0, 10**25).map(str)


@given(
    st.text()
    | st.builds(
        "{}, {} {} {} {}:{}:{} {}".format,
        st.sampled_from(["Wed", "", "Wednesday"]),
        _NUMBER,
        st.sampled_from(["Oct", "Feb", "October", "13"]),
        _NUMBER,
        _NUMBER,
        _NUMBER,
        _NUMBER,
        st.sampled_from(["GMT", "UTC", "-0000", "", "EST"]) | _NUMBER.map("+{}".format),
    )
)
@example("Wed, 21 Oct 9999 23:59:59 -2359")
def test_no_value_raises(value: str) -> None:
    wait = parse_retry_after(value)
    assert wait is None or 0 <= wait <= LONGEST_WAIT
    moment = parse_date(value)
    assert moment is None or moment.tzinfo is not None


@pytest.mark.parametrize("value", IMPOSSIBLE)
async def test_a_limit_with_an_impossible_date_is_still_a_limit(value: str) -> None:
    header = ("retry-after", value)
    async with connected(Backend("vllm", json_reply(429, {"error": "slow down"}, header))) as upstream:
        with pytest.raises(UpstreamRateLimited) as raised:
            await ask(upstream, turn())
    assert raised.value.retry_after is None


async def test_nobody_is_sent_away_for_years() -> None:
    far = ("retry-after", "Wed, 21 Oct 2099 07:28:00 GMT")
    async with connected(Backend("vllm", json_reply(503, {"error": "down"}, far))) as upstream:
        with pytest.raises(GatewayError) as raised:
            await ask(upstream, turn())
    assert raised.value.retry_after == LONGEST_WAIT


@pytest.mark.parametrize("value", IMPOSSIBLE)
def test_a_cookie_that_expires_on_an_impossible_date_is_taken(value: str) -> None:
    credentials = Credentials()
    assert credentials.update_from_set_cookie([f"session=abc; Path=/; Expires={value}"])
    assert credentials.login.cookie_header == "session=abc"


def test_a_cookie_that_has_expired_is_not_taken() -> None:
    assert not Credentials().update_from_set_cookie(["session=abc; Expires=Thu, 01 Jan 1970 00:00:00 GMT"])
