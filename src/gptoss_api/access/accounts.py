"""Limits of keys, the same in every process that shares the store; by this process alone while it is away."""

import asyncio
import logging
import secrets
import time
from collections.abc import Coroutine, Sequence
from typing import Any, Final, Protocol, TypeVar

from ..core.account import Meter
from ..core.limits import Allowances, LimitStatus
from ..core.turn import Turn
from ..state import Change, StoreUnavailable
from .ledger import (
    MINUTE,
    Decision,
    Demand,
    Holding,
    budgets_left,
    read_ledger,
    standing,
    write_ledger,
)
from .records import KeyRecord, Period
from .steps import Hold, Look, Reserve, Settle, Step

T = TypeVar("T")

# What is set aside for the minute where a request does not say how long its answer may be.
USUAL_ANSWER: Final = 4_096
# Seconds between two times at which a process says what it holds.
_RENEW: Final = 4.0

_log = logging.getLogger(__name__)


class ChangeLedger(Protocol):
    """Changes the ledger of an account in the store; raises StoreUnavailable where it is away."""

    def __call__(self, account: str, change: Change[T], /) -> Coroutine[Any, Any, T]: ...


def demand_of(turns: Sequence[Turn], prompt_tokens: int, window: int) -> Demand:
    """What ``turns`` may cost whose prompts have ``prompt_tokens`` together.

    A turn that does not say how long its answer may be can fill the model's ``window``.
    """
    answers = [(turn.n, turn.max_tokens) for turn in turns]
    return Demand(
        prompt_tokens + sum(n * (USUAL_ANSWER if most is None else most) for n, most in answers),
        prompt_tokens + sum(n * (window if most is None else most) for n, most in answers),
    )


class Account:
    """One key's ledger as this process knows it, and what it holds of it."""

    def __init__(self) -> None:
        self.lock = asyncio.Lock()
        self.ledger: bytes | None = None
        self.turns = 0
        self.tokens = self.most = 0
        # Tokens used while the store was away, which it does not know of.
        self.owed = 0


class Accounts:
    """Admits requests of keys with limits. ``change`` reaches the ledgers in the store.

    While the store is away each process goes on from what it saw last, so that no request fails for it;
    ``alone`` counts those steps.
    """

    def __init__(self, change: ChangeLedger | None) -> None:
        self._change = change
        self._process = secrets.token_hex(4)
        self._accounts: dict[str, Account] = {}
        self._renewing: asyncio.Task[None] | None = None
        self._settling: set[asyncio.Task[None]] = set()
        self.alone = 0
        # Milliseconds by which the store's clock is ahead of this machine's.
        self._ahead = 0

    async def reserve(self, key: KeyRecord, demand: Demand, meter: Meter) -> "Reservation":
        """Admits a request of ``key``, whose costs ``meter`` adds up.

        Raises:
            RateLimited: where it does not fit now.
            BudgetExhausted: where it will not for a long time.
        """
        account = self._accounts.setdefault(key.id, Account())
        async with account.lock:
            held = self._holding(account)
            verdict = await self._step(
                key.id, account, Reserve(account.owed, MINUTE, key.limits, demand, held)
            )
            if verdict.refusal is not None:
                raise verdict.refusal
            account.turns += 1
            account.tokens += demand.tokens
            account.most += demand.most
        if self._renewing is None:
            self._renewing = asyncio.create_task(self._renew())
        return Reservation(self, key.id, demand, verdict, meter)

    async def standing(self, key: KeyRecord) -> dict[str, LimitStatus]:
        """How the limits of ``key`` stand now; see :func:`~.ledger.standing`."""
        account = self._accounts.setdefault(key.id, Account())
        async with account.lock:
            return await self._step(
                key.id,
                account,
                Look(account.owed, MINUTE, lambda ledger, now: standing(ledger, key.limits, now, MINUTE)),
            )

    async def budgets_left(self, key: KeyRecord) -> dict[Period, int]:
        """How many tokens are left of each budget of ``key`` in the period that runs."""
        account = self._accounts.setdefault(key.id, Account())
        async with account.lock:
            return await self._step(
                key.id,
                account,
                Look(account.owed, MINUTE, lambda ledger, now: budgets_left(ledger, key.limits, now)),
            )

    async def settle(self, key_id: str, demand: Demand, since: int, used: int) -> None:
        """Puts what was ``used`` in the place of what was reserved at the time ``since``."""
        account = self._accounts[key_id]
        # At once: whoever is next in this process must not be told of what is over.
        account.turns -= 1
        account.tokens -= demand.tokens
        account.most -= demand.most
        async with account.lock:
            held = self._holding(account)
            alone = self.alone
            await self._step(key_id, account, Settle(account.owed, MINUTE, since, demand, used, held))
            if self.alone > alone:
                account.owed += used

    def settle_soon(self, settling: Coroutine[None, None, None]) -> None:
        """Settles while nobody waits for it."""
        task = asyncio.create_task(settling)
        self._settling.add(task)
        task.add_done_callback(self._settling.discard)

    async def close(self) -> None:
        """Settles what is not yet."""
        if self._renewing is not None:
            self._renewing.cancel()
        if self._settling:
            await asyncio.wait(self._settling)

    def _holding(self, account: Account) -> Holding:
        return Holding(self._process, account.turns, Demand(account.tokens, account.most))

    async def _step(self, key_id: str, account: Account, step: Step[T]) -> T:
        """One step in the store, or in this process where that is away."""
        if self._change is not None:
            try:
                account.ledger, found = await self._change(key_id, step)
            except StoreUnavailable:
                pass
            else:
                account.owed -= step.owed
                if step.now is not None:
                    self._ahead = step.now - _milliseconds()
                return found
        self.alone += 1
        ledger = read_ledger(account.ledger)
        found = step.work(ledger, _milliseconds() + self._ahead)
        account.ledger = write_ledger(ledger)
        return found

    async def _renew(self) -> None:
        """Says again and again what this process holds, so that it is believed."""
        while True:
            await asyncio.sleep(_RENEW)
            for key_id, account in list(self._accounts.items()):
                if not account.turns:
                    continue
                async with account.lock:
                    held = self._holding(account)
                    await self._step(key_id, account, Hold(account.owed, MINUTE, held))


def _milliseconds() -> int:
    """Since 1970."""
    return round(time.time() * 1000)


class Reservation:
    """What one request may use, until it is settled; ``allowances`` are how its key stands.

    ``meter`` is to observe its events.
    """

    __slots__ = ("_accounts", "_demand", "_key_id", "_open", "_since", "allowances", "meter")

    def __init__(
        self, accounts: Accounts, key_id: str, demand: Demand, verdict: Decision, meter: Meter
    ) -> None:
        self._accounts = accounts
        self._key_id = key_id
        self._demand = demand
        self._since = verdict.now
        self._open = True
        self.allowances: Allowances = verdict.allowances
        self.meter = meter

    async def settle(self) -> None:
        """Charges what the meter has counted, once."""
        if self._open:
            self._open = False
            usage = self.meter.usage
            used = usage.prompt_tokens + usage.completion_tokens
            await self._accounts.settle(self._key_id, self._demand, self._since, used)

    def leave(self) -> None:
        """Settles what is not yet, without waiting: its request is over, however it ended."""
        if self._open:
            self._accounts.settle_soon(self.settle())
