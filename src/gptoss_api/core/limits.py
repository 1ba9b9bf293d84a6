"""How a caller stands with its limits, in neutral form: what headers and refusals tell of it."""

from msgspec import Struct


class LimitStatus(Struct, frozen=True):
    """One limit, and how much of it is ``used``: more than all of it after a request that went beyond.

    ``reset`` are the seconds until nothing of it is used; ``None`` where that never comes.
    """

    limit: int
    used: int
    reset: float | None

    @property
    def remaining(self) -> int:
        return max(0, self.limit - self.used)


class Allowances(Struct, frozen=True):
    """Requests and tokens; of several limits on one of them, that with the least remaining."""

    requests: LimitStatus | None = None
    tokens: LimitStatus | None = None


NO_ALLOWANCES = Allowances()
