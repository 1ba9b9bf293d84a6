"""How a caller stands with its limits, in the headers of OpenAI's API."""

import math
from collections.abc import Sequence

from ..core.limits import Allowances, LimitStatus

RawHeaders = Sequence[tuple[bytes, bytes]]


def limit_headers(allowances: Allowances) -> list[tuple[bytes, bytes]]:
    """``x-ratelimit-limit-requests`` and its relatives, for the limits that there are."""
    headers: list[tuple[bytes, bytes]] = []
    for name, allowance in ((b"requests", allowances.requests), (b"tokens", allowances.tokens)):
        if allowance is not None:
            headers += _limit(name, allowance)
    return headers


def _limit(name: bytes, allowance: LimitStatus) -> list[tuple[bytes, bytes]]:
    headers = [
        (b"x-ratelimit-limit-" + name, b"%d" % allowance.limit),
        (b"x-ratelimit-remaining-" + name, b"%d" % allowance.remaining),
    ]
    if allowance.reset is not None:
        headers.append((b"x-ratelimit-reset-" + name, duration(allowance.reset).encode()))
    return headers


def duration(seconds: float) -> str:
    """A duration as Go writes it and OpenAI sends it: ``17ms``, ``1.5s``, ``6m0s``, ``1h0m3s``."""
    milliseconds = math.ceil(seconds * 1000)
    if milliseconds < 1000:
        return f"{milliseconds}ms"
    hours, rest = divmod(milliseconds, 3_600_000)
    minutes, rest = divmod(rest, 60_000)
    text = f"{rest / 1000:g}s"
    if hours:
        return f"{hours}h{minutes}m{text}"
    return f"{minutes}m{text}" if minutes else text
