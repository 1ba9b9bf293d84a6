"""What a key has used and what it has reserved, and whether one more request fits: arithmetic alone.

A minute's limit is a window that slides: what a request took comes back exactly a minute after it was taken,
so that no minute has more than the limit, wherever it begins. Budgets count what is used up from the first
moment of their period by the clock; nothing has to sweep them.
"""

from datetime import UTC, datetime
from typing import Final

import msgspec
from msgspec import Struct, field

from ..core.errors import BudgetExhausted, ConcurrencyLimited, RequestsLimited, TokensLimited
from ..core.limits import Allowances, LimitStatus
from .records import KeyLimits, Period, moment

# Milliseconds.
MINUTE: Final = 60_000
# Requests of one such part of the window come back together, when the last of them does.
PARTS: Final = 120
# Milliseconds for which a process is believed to hold what it said it holds.
HELD: Final = 15_000
# Seconds after which something else may have changed that no clock tells.
_SOON: Final = 1.0

Refusal = RequestsLimited | TokensLimited | ConcurrencyLimited | BudgetExhausted


class Demand(Struct, frozen=True):
    """What a request may take at most: ``tokens`` counted for the minute, and ``most`` for budgets."""

    tokens: int
    most: int


class Holding(Struct, frozen=True):
    """What one process has admitted and not settled: turns, and the sums of what they demand."""

    process: str
    turns: int = 0
    demand: Demand = Demand(0, 0)

    def and_one(self, demand: Demand) -> "Holding":
        """With one more turn."""
        held = self.demand
        return Holding(
            self.process, self.turns + 1, Demand(held.tokens + demand.tokens, held.most + demand.most)
        )


class Ledger(Struct, omit_defaults=True):
    """Times are in milliseconds since 1970.

    ``window`` has for each part of the last minute its latest time, requests and tokens; ``spent`` the
    number of the period that runs and its tokens; ``held`` for each process turns, the tokens that they
    demand of the minute and of budgets, and until when.
    """

    window: list[tuple[int, int, int]] = field(default_factory=list)
    spent: dict[str, tuple[int, int]] = field(default_factory=dict)
    held: dict[str, tuple[int, int, int, int]] = field(default_factory=dict)


class Decision(Struct, frozen=True):
    """Whether a request was admitted, at which time, and how its key stands afterwards."""

    now: int
    allowances: Allowances
    refusal: Refusal | None = None


_decoder: Final = msgspec.json.Decoder(Ledger)


def read_ledger(value: bytes | None) -> Ledger:
    """The ledger in ``value``; an empty one where there is none that can be read."""
    try:
        return Ledger() if value is None else _decoder.decode(value)
    except msgspec.MsgspecError:
        return Ledger()


def write_ledger(ledger: Ledger) -> bytes:
    return msgspec.json.encode(ledger)


def reserve(
    ledger: Ledger, limits: KeyLimits, demand: Demand, holding: Holding, now: int, minute: int = MINUTE
) -> Decision:
    """Takes what ``demand`` says, all of it or nothing. ``holding`` is what its process holds before."""
    _age(ledger, now, minute)
    hold(ledger, holding, now)
    refusal = _refusal(ledger, limits, demand, now, minute)
    if refusal is None:
        part = minute // PARTS or 1
        last = ledger.window[-1] if ledger.window else (0, 0, 0)
        if ledger.window and last[0] // part == now // part:
            ledger.window.pop()
        else:
            last = (now, 0, 0)
        ledger.window.append((max(now, last[0]), last[1] + 1, last[2] + demand.tokens))
        hold(ledger, holding.and_one(demand), now)
    allowances = allowances_of(ledger, limits, now, minute)
    if refusal is not None:
        refusal.allowances = allowances
    return Decision(now, allowances, refusal)


def settle(
    ledger: Ledger,
    since: int,
    reserved: int,
    used: int,
    holding: Holding,
    now: int,
    minute: int = MINUTE,
) -> None:
    """Puts what was ``used`` in the place of what was ``reserved`` at the time ``since``.

    ``holding`` is what its process holds afterwards.
    """
    _age(ledger, now, minute)
    part = minute // PARTS or 1
    for place, (time, requests, tokens) in enumerate(ledger.window):
        if time // part == since // part:
            ledger.window[place] = (time, requests, max(0, tokens + used - reserved))
    charge(ledger, used, now)
    hold(ledger, holding, now)


def charge(ledger: Ledger, tokens: int, now: int) -> None:
    """Counts ``tokens`` as used in the periods that run now."""
    for period, number in _numbers(now).items():
        ledger.spent[period] = (number, _spent(ledger, period, now) + tokens)


def hold(ledger: Ledger, holding: Holding, now: int) -> None:
    """Notes what a process holds."""
    if holding.turns:
        demand = holding.demand
        ledger.held[holding.process] = (holding.turns, demand.tokens, demand.most, now + HELD)
    else:
        ledger.held.pop(holding.process, None)


def _age(ledger: Ledger, now: int, minute: int) -> None:
    """Forgets what no longer counts."""
    ledger.window = [entry for entry in ledger.window if entry[0] + minute > now]
    ledger.held = {process: held for process, held in ledger.held.items() if held[3] > now}


def _refusal(ledger: Ledger, limits: KeyLimits, demand: Demand, now: int, minute: int) -> Refusal | None:
    turns = sum(held[0] for held in ledger.held.values())
    if limits.concurrency is not None and turns >= limits.concurrency:
        return ConcurrencyLimited(
            f"This API key may have {limits.concurrency} request(s) answered at a time, and {turns} run. "
            "Wait until one has ended.",
            retry_after=_SOON,
        )
    if (refusal := _over_budget(ledger, limits, demand, now)) is not None:
        return refusal
    requests, tokens = _used(ledger)
    if limits.requests is not None and requests + 1 > limits.requests:
        wait = _wait(ledger, 1, requests + 1 - limits.requests, now, minute)
        return RequestsLimited(
            f"Rate limit reached for requests per minute (RPM) of this API key: limit {limits.requests}, "
            f"used {requests}, requested 1. Try again in {wait:.3g}s.",
            retry_after=wait,
        )
    if limits.tokens is None or tokens + demand.tokens <= limits.tokens:
        return None
    # A turn that is alone may be larger than the rest of the limit, or than all of it.
    if not turns and tokens < limits.tokens:
        return None
    running = min(tokens, sum(held[1] for held in ledger.held.values()))
    if tokens - running < limits.tokens:
        # Once those have ended which run now; how much of it they leave nobody knows.
        wait = _SOON
    else:
        wait = _wait(ledger, 2, tokens + 1 - limits.tokens, now, minute)
    return TokensLimited(
        f"Rate limit reached for tokens per minute (TPM) of this API key: limit {limits.tokens}, "
        f"used {tokens}, {running} of them set aside for requests that run now, requested {demand.tokens} "
        f"(the prompt, and the most that the answer may have). Try again in {wait:.3g}s.",
        retry_after=wait,
    )


def _over_budget(ledger: Ledger, limits: KeyLimits, demand: Demand, now: int) -> Refusal | None:
    reserved = sum(held[2] for held in ledger.held.values())
    for budget in limits.budgets:
        spent = _spent(ledger, budget.period, now)
        per = "" if budget.period == "total" else f" a {budget.period}"
        if spent >= budget.tokens:
            ends = period_ends(budget.period, now)
            when = "It does not renew" if ends is None else f"It renews at {moment(ends / 1000)}"
            return BudgetExhausted(
                f"This API key has used up its budget of {budget.tokens} tokens{per}. {when}; whoever runs "
                "this gateway can raise it."
            )
        if reserved and spent + reserved + demand.most > budget.tokens:
            return TokensLimited(
                f"What is left of this API key's budget of {budget.tokens} tokens{per} is reserved for "
                f"requests that run now: used {spent}, reserved {reserved}, requested {demand.most}. Wait "
                "until one has ended, or ask for a lower limit of the answer.",
                retry_after=_SOON,
            )
    return None


def allowances_of(ledger: Ledger, limits: KeyLimits, now: int, minute: int) -> Allowances:
    """What is left of ``limits``, of a ledger that has been changed at the time ``now``."""
    requests, tokens = _used(ledger)
    reset = (ledger.window[-1][0] + minute - now) / 1000 if ledger.window else 0.0
    of_tokens = [] if limits.tokens is None else [_allowance(limits.tokens, tokens, reset)]
    reserved = sum(held[2] for held in ledger.held.values())
    for budget in limits.budgets:
        ends = period_ends(budget.period, now)
        used = _spent(ledger, budget.period, now) + reserved
        of_tokens.append(_allowance(budget.tokens, used, None if ends is None else (ends - now) / 1000))
    return Allowances(
        None if limits.requests is None else _allowance(limits.requests, requests, reset),
        min(of_tokens, key=lambda allowance: allowance.remaining, default=None),
    )


def standing(ledger: Ledger, limits: KeyLimits, now: int, minute: int = MINUTE) -> dict[str, LimitStatus]:
    """How each limit stands, by the names that administrators see (``records.public_record``)."""
    _age(ledger, now, minute)
    requests, tokens = _used(ledger)
    reset = (ledger.window[-1][0] + minute - now) / 1000 if ledger.window else 0.0
    found: dict[str, LimitStatus] = {}
    if limits.requests is not None:
        found["requests_per_minute"] = _allowance(limits.requests, requests, reset)
    if limits.tokens is not None:
        found["tokens_per_minute"] = _allowance(limits.tokens, tokens, reset)
    if limits.concurrency is not None:
        running = sum(held[0] for held in ledger.held.values())
        found["concurrency"] = _allowance(limits.concurrency, running, None)
    for budget in limits.budgets:
        ends = period_ends(budget.period, now)
        name = "tokens_in_total" if budget.period == "total" else f"tokens_per_{budget.period}"
        spent = _spent(ledger, budget.period, now)
        found[name] = _allowance(budget.tokens, spent, None if ends is None else (ends - now) / 1000)
    return found


def budgets_left(ledger: Ledger, limits: KeyLimits, now: int) -> dict[Period, int]:
    """The tokens that are left of each budget; what runs now is not charged yet."""
    return {
        budget.period: max(0, budget.tokens - _spent(ledger, budget.period, now)) for budget in limits.budgets
    }


def _allowance(limit: int, used: int, reset: float | None) -> LimitStatus:
    return LimitStatus(limit, used, reset)


def _used(ledger: Ledger) -> tuple[int, int]:
    return sum(entry[1] for entry in ledger.window), sum(entry[2] for entry in ledger.window)


def _wait(ledger: Ledger, place: int, needed: int, now: int, minute: int) -> float:
    """Seconds until ``needed`` of what stands at ``place`` in the window's entries has come back."""
    for entry in ledger.window:
        needed -= entry[place]
        if needed <= 0:
            return (entry[0] + minute - now) / 1000
    return _SOON


def _spent(ledger: Ledger, period: str, now: int) -> int:
    number, tokens = ledger.spent.get(period, (0, 0))
    return tokens if number == _numbers(now)[period] else 0


def _numbers(now: int) -> dict[str, int]:
    """The number of each period that runs."""
    date = datetime.fromtimestamp(now / 1000, UTC)
    return {"day": now // 86_400_000, "month": date.year * 12 + date.month - 1, "total": 0}


def period_ends(period: Period, now: int) -> int | None:
    """When the period that runs ends, in milliseconds since 1970; ``None`` for one that does not."""
    if period == "total":
        return None
    if period == "day":
        return (now // 86_400_000 + 1) * 86_400_000
    date = datetime.fromtimestamp(now / 1000, UTC)
    year, month = divmod(date.year * 12 + date.month, 12)
    return round(datetime(year, month + 1, 1, tzinfo=UTC).timestamp() * 1000)
