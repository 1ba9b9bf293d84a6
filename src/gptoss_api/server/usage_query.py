"""What requests ask of the gateway's own pages in their query: from when until when, and by what."""

import time
from collections.abc import Mapping
from typing import Final
from urllib.parse import parse_qsl

from ..core.accounting import DAY, GROUPS, Group, moment_meant
from ..core.errors import InvalidValue, StateUnavailable, UnsupportedParameter
from .exchange import Exchange

_USUAL_SPAN: Final = "30d"
# Characters of a parameter that nobody knows.
_NAMED: Final = 64


def query_of(exchange: Exchange, *known: str) -> dict[str, str]:
    """Of several with one name the last.

    Raises:
        UnsupportedParameter: for a name that is not ``known`` there, as a misspelt one would change nothing.
    """
    asked = dict(parse_qsl(exchange.query.decode("latin-1"), keep_blank_values=True))
    for name in asked:
        if name not in known:
            takes = f"takes {', '.join(known)}" if known else "takes none"
            raise UnsupportedParameter(
                f"Unknown parameter: '{name[:_NAMED]}'. {exchange.path} {takes}.", param=name[:_NAMED]
            )
    return asked


def group_in(asked: Mapping[str, str]) -> Group:
    """``by``, a day unless given. Raises: InvalidValue."""
    by = asked.get("by", "day")
    for group in GROUPS:
        if by == group:
            return group
    raise InvalidValue(f"Invalid 'by': expected one of {', '.join(GROUPS)}.", param="by")


def span_in(asked: Mapping[str, str]) -> tuple[float, float]:
    """``since`` and ``until`` in Unix seconds, the last thirty days unless given. Raises: InvalidValue."""
    now = time.time()
    moments = []
    for name, usual in (("since", _USUAL_SPAN), ("until", "0m")):
        try:
            moments.append(moment_meant(asked.get(name, usual), now))
        except (ValueError, OverflowError):
            raise InvalidValue(
                f"Invalid '{name}': expected a span such as 7d, 24h or 30m, or a date such as 2026-08-05.",
                param=name,
            ) from None
    if moments[0] > moments[1]:
        raise InvalidValue("Invalid 'since': it is later than 'until'.", param="since")
    # A year beside what is kept at most: nobody reads an hour for each of ten thousand years.
    return max(moments[0], now - 4_000 * DAY), moments[1]


def unavailable() -> StateUnavailable:
    """What is said where usage cannot be read now."""
    return StateUnavailable("Usage cannot be read now: the store does not answer. Try again in a moment.")
