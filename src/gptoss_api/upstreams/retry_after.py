"""How long an upstream asks to be left alone, and the dates in its headers. Nothing in them raises."""

import re
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Final

from .http import ResponseHeaders
from .refusals import LONGEST_WAIT

# Fractions are not in the standard, and are sent all the same.
_SECONDS: Final = re.compile(r"([0-9]+)(?:\.[0-9]*)?")
_LONGEST_NUMBER: Final = 9
# The longest form of RFC 9110 has 33 characters.
_LONGEST_DATE: Final = 64
# A number above the first is a moment since 1970 in seconds, above the second in milliseconds.
_A_MOMENT: Final = 1e9
_A_MOMENT_IN_MS: Final = 1e12
_LONGEST_MOMENT: Final = 14
_RESETS: Final = ("x-ratelimit-reset", "ratelimit-reset")


def read_retry_after(headers: ResponseHeaders) -> float | None:
    """The seconds that a response asks to wait, at most ``LONGEST_WAIT``; ``None`` if it does not say.

    ``retry-after-ms`` is finer and comes first, as in OpenAI's own clients. When a limit is over comes last.
    """
    if (precise := _milliseconds(headers.get("retry-after-ms"))) is not None:
        return precise
    if (told := parse_retry_after(headers.get("retry-after"))) is not None:
        return told
    resets = (_until(headers.get(name)) for name in _RESETS)
    return next((wait for wait in resets if wait is not None), None)


def _milliseconds(value: str | None) -> float | None:
    wait = None if value is None else _SECONDS.fullmatch(value.strip())
    if wait is None:
        return None
    return min(float(wait[0]) / 1000, LONGEST_WAIT) if len(wait[1]) <= _LONGEST_NUMBER else LONGEST_WAIT


def _until(value: str | None) -> float | None:
    """The seconds to a moment since 1970, in seconds or in milliseconds, or as many seconds as it says."""
    wait = None if value is None else _SECONDS.fullmatch(value.strip())
    if wait is None or len(wait[1]) > _LONGEST_MOMENT:
        return None
    number = float(wait[0])
    if number >= _A_MOMENT:
        number /= 1000 if number >= _A_MOMENT_IN_MS else 1
        number = max(0.0, number - datetime.now(UTC).timestamp())
    return min(number, LONGEST_WAIT)


def parse_retry_after(value: str | None) -> float | None:
    """The seconds in a ``Retry-After`` header, a number or a date, at most ``LONGEST_WAIT``.

    ``None`` if it has no meaning. Source: RFC 9110, section 10.2.3.
    """
    if value is None:
        return None
    value = value.strip()
    if number := _SECONDS.fullmatch(value):
        return min(float(value), LONGEST_WAIT) if len(number[1]) <= _LONGEST_NUMBER else LONGEST_WAIT
    moment = parse_date(value)
    if moment is None:
        return None
    return min(max(0.0, (moment - datetime.now(UTC)).total_seconds()), LONGEST_WAIT)


def parse_date(value: str) -> datetime | None:
    """The moment in a header such as ``Expires``, with its time zone; ``None`` if there is no such moment."""
    value = value.strip()
    if len(value) > _LONGEST_DATE:
        return None
    try:
        moment = parsedate_to_datetime(value)
    # Of days, years and zones that do not exist the library says each in its own way.
    except (ValueError, OverflowError, TypeError, IndexError):
        return None
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
