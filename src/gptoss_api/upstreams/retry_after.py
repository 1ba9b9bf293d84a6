"""How long an upstream asks to be left alone, and the dates in its headers. Nothing in them raises."""

import re
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Final

from .http import ResponseHeaders

# In seconds. Nobody is sent away for longer: beyond it a clock is wrong, or it is no wait but a refusal.
LONGEST_WAIT: Final = 3600.0

# Fractions are not in the standard, and are sent all the same.
_SECONDS: Final = re.compile(r"([0-9]+)(?:\.[0-9]*)?")
_LONGEST_NUMBER: Final = 9
# The longest form of RFC 9110 has 33 characters.
_LONGEST_DATE: Final = 64


def read_retry_after(headers: ResponseHeaders) -> float | None:
    """The seconds that a response asks to wait, at most ``LONGEST_WAIT``; ``None`` if it does not say."""
    return parse_retry_after(headers.get("retry-after"))


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
