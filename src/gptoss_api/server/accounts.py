"""What is kept of a request that ended: an account without a word of what was said."""

import time

from ..core.accounting import TurnAccount
from ..core.events import NO_UPSTREAM
from .request import RequestRecord


def upstream_of(record: RequestRecord) -> str:
    """Who answered, or where nobody did who was asked last; "" where nobody was."""
    started = record.meter.started
    if started is None:
        return record.upstream_time.last
    return "" if started.upstream == NO_UPSTREAM else started.upstream


def account_of(
    record: RequestRecord, dialect: str, *, status: int | None = None, outcome: str | None = None
) -> TurnAccount:
    """The account of a request that ended just now, with its own ``status`` and ``outcome`` unless given."""
    meter, now = record.meter, time.perf_counter()
    started, first, usage = meter.started, meter.first, meter.usage
    total = now - record.arrived
    upstream_time = record.upstream_time
    # In the order of its fields: naming so many takes five times as long as all the rest.
    return TurnAccount(
        time.time(),
        record.id,
        record.key.id,
        dialect,
        record.model,
        upstream_of(record),
        record.outcome if outcome is None else outcome,
        record.status if status is None else status,
        usage.prompt_tokens,
        usage.cached_tokens,
        usage.completion_tokens,
        usage.reasoning_tokens,
        meter.repairs,
        started.thread if started else "",
        None if first is None else (first - record.arrived) * 1000,
        total * 1000,
        meter.repaired,
        max(0.0, total - upstream_time.seconds) * 1000 if upstream_time.asked else None,
    )
