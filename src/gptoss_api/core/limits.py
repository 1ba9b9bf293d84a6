"""How a caller stands with its limits, in neutral form: what headers and refusals tell of it."""

from msgspec import Struct


class LimitStatus(Struct, frozen=True):
    """One limit. ``reset`` are the seconds until nothing of it is used; ``None`` where that never comes."""

    limit: int
    remaining: int
    reset: float | None


class Allowances(Struct, frozen=True):
    """Requests and tokens; of several limits on one of them, that with the least remaining."""

    requests: LimitStatus | None = None
    tokens: LimitStatus | None = None


NO_ALLOWANCES = Allowances()
