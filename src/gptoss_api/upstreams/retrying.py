"""Whether a turn that failed before its first byte is worth a second try at the same upstream."""

import random
from typing import Final

from ..core.errors import GatewayError, ThreadLost, UpstreamRateLimited

# Seconds. A retry is worth a short wait only; a longer one is the client's to decide.
RETRY_PAUSE: Final = 0.25
LONGEST_RETRY_PAUSE: Final = 2.0


def retry_pause(failure: GatewayError) -> float | None:
    """How many seconds to wait before asking again, or ``None`` if that makes no sense here."""
    if not failure.retryable or isinstance(failure, ThreadLost):
        return None
    if failure.retry_after is not None:
        return failure.retry_after if failure.retry_after <= LONGEST_RETRY_PAUSE else None
    if isinstance(failure, UpstreamRateLimited):
        return None
    return RETRY_PAUSE * random.uniform(1.0, 2.0)  # noqa: S311  # spreads retries, guards nothing
