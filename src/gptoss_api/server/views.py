"""What the page shows of usage and of the gateway's state, as data.

Whoever has the key of an administrator sees everything, and so does everybody on this machine where no keys
are required; another key sees what is its own.
"""

import math
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final

import msgspec

from .. import __version__
from ..access import ApiKeys, Caller
from ..config import Settings
from ..core.accounting import DAY, TurnAccount, repairs_by_kind, shown, told
from ..core.errors import AdminKeyRequired, InvalidValue
from ..gateway import Gateway
from ..state import StoreUnavailable
from ..state.usage import HOURLY, LATEST, SPANS, Period
from ..telemetry.metrics import (
    IN_FLIGHT,
    QUEUE_DEPTH,
    UPSTREAM_IN_FLIGHT,
    UPSTREAM_STATE,
    USAGE_LOST,
    Snapshot,
)
from ..verification.history import History
from .administration import Administration
from .drain import Drain
from .exchange import Exchange
from .metrics import Metrics
from .pages import is_near
from .reloading import Reloader
from .routes import Handler
from .surface import REPORT, STATUS
from .usage_query import query_of, span_in, unavailable
from .verified import listed

# The longest span that is shown by hours, in seconds.
_BY_HOURS: Final = 2 * DAY
# Requests that are listed one by one.
_LISTED: Final = 200
_STATES: Final = ("resting", "on trial", "in use")
_BEGAN: Final = time.time()


class Views:
    """Answers the views of the page, each with one request."""

    def __init__(
        self,
        settings: Settings,
        gateway: Gateway,
        drain: Drain,
        administration: Administration,
        metrics: Metrics,
        reloader: Callable[[], Reloader | None],
    ) -> None:
        self._settings = settings
        self._gateway = gateway
        self._drain = drain
        self._administration = administration
        self._metrics = metrics
        self._reloader = reloader

    @property
    def handlers(self) -> dict[str, Handler]:
        return {REPORT: self.report, STATUS: self.status}

    @property
    def _keys(self) -> ApiKeys:
        return self._gateway.state.keys

    async def report(self, exchange: Exchange) -> None:
        """What was used ``since`` (30 days) and ``until`` (now): over time, in groups, and the last requests.

        Raises:
            AdminKeyRequired: for ``scope=all`` with a key of nobody who administers.
        """
        asked = query_of(exchange, "since", "until", "scope")
        since, until = span_in(asked)
        may_see_all = self._sees_all(exchange)
        key = _scope(asked, exchange.record.key, may_see_all=may_see_all)
        per: Period = "hour" if until - since <= _BY_HOURS and since >= time.time() - HOURLY else "day"
        # From the beginning of one on, so that all sums are those of the same time.
        since = since // SPANS[per] * SPANS[per]
        usage, names = self._gateway.state.usage, self._administration.names()
        try:
            series = await usage.series(since, until, per, "model", key)
            groups = {
                by: told(await usage.sums(since, until, by, key), by, names)
                for by in (("model", "key", "upstream", "dialect") if key is None else ("model",))
            }
            turns = await usage.latest(LATEST)
        except StoreUnavailable:
            raise unavailable() from None
        turns = [turn for turn in turns if since <= turn.at <= until and key in (None, turn.key)]
        body = {
            "object": "usage.report",
            "scope": "own" if key is not None else "all",
            "may_see_all": may_see_all,
            "key": {"id": exchange.record.key.id or None, "name": exchange.record.key.name or None},
            "since": since,
            "until": until,
            "per": per,
            "series": [{"at": at, "model": model} | shown(sums) for (at, model), sums in series.items()],
            "groups": groups,
            "recent": _recent(turns),
            "requests": [_listed(turn, names) for turn in turns[:_LISTED]],
            "limits": await self._administration.limits(exchange.record.key) if key is not None else {},
        }
        exchange.respond_json(200, msgspec.json.encode(body), [_NOT_KEPT])

    async def status(self, exchange: Exchange) -> None:
        """Whether the gateway can serve, and for those who see everything why or why not."""
        query_of(exchange)
        key, gateway = exchange.record.key, self._gateway
        health = await gateway.health()
        models = await gateway.models(patience=0.0)
        body: dict[str, Any] = {
            "object": "status",
            "version": __version__,
            "ready": health.ready and not self._drain.draining,
            "draining": self._drain.draining,
            "demo": gateway.is_demo,
            "models": [model.id for model in models if key.may_use(model.id)],
            "keys_required": self._keys.required,
            "key": {
                "id": key.id or None,
                "name": key.name or None,
                "admin": key.admin,
                "limits": await self._administration.limits(key),
            },
            "details": await self._details() if self._sees_all(exchange) else None,
        }
        exchange.respond_json(200, msgspec.json.encode(body), [_NOT_KEPT])

    async def _details(self) -> dict[str, Any]:
        gateway, state, settings = self._gateway, self._gateway.state, self._settings
        numbers = await self._metrics.all()
        reloader = self._reloader()
        return {
            "uptime_seconds": round(time.time() - _BEGAN),
            "workers": settings.workers,
            "in_flight": _gauge(numbers, IN_FLIGHT.name),
            "chosen_because": gateway.selection.because,
            "upstreams": [
                {
                    "name": found.name,
                    "kind": found.kind,
                    "address": found.address or None,
                    "ready": found.health.ready,
                    "detail": found.health.detail,
                    "state": _STATES[_gauge(numbers, UPSTREAM_STATE.name, found.name)],
                    "login": found.login or None,
                    "models": found.models,
                    "running": _gauge(numbers, UPSTREAM_IN_FLIGHT.name, found.name),
                    "waiting": _gauge(numbers, QUEUE_DEPTH.name, found.name),
                    "slots": found.slots * settings.workers,
                    "most_waiting": found.most_waiting * settings.workers,
                }
                for found in await gateway.details()
            ],
            "verified": await self._verified(),
            "store": {
                "name": state.store.name,
                "where": state.where,
                "what": state.what,
                "available": state.store.available,
                "failures": state.store.failures,
                "usage_lost": _gauge(numbers, USAGE_LOST.name),
            },
            "keys": {"created": len(self._keys.records), "configured": len(settings.api_keys)},
            "settings": None
            if reloader is None
            else {"problem": reloader.problem or None, "needs_restart": reloader.needs_restart},
        }

    async def _verified(self) -> list[dict[str, Any]]:
        """What is known of each upstream and model that was measured; nothing while the store is away."""
        try:
            cards = await History(self._gateway.state.store).cards()
        except StoreUnavailable:
            return []
        return listed(cards, self._gateway.subjects, time.time())

    def _sees_all(self, exchange: Exchange) -> bool:
        if self._keys.required:
            return exchange.record.key.admin
        if not is_near(exchange):
            # Who it is nobody knows: what is everybody's own here is everybody's.
            self._keys.authenticate_admin(exchange.record.headers)
        return True


_NOT_KEPT: Final = (b"cache-control", b"no-store")


def _scope(asked: Mapping[str, str], caller: Caller, *, may_see_all: bool) -> str | None:
    """The key whose usage is shown, ``None`` for that of all."""
    scope = asked.get("scope", "all" if may_see_all else "own")
    if scope not in ("all", "own"):
        raise InvalidValue("Invalid 'scope': expected all or own.", param="scope")
    if scope == "own":
        return caller.id
    if not may_see_all:
        raise AdminKeyRequired("What others used is told to administrators; ask with scope=own for your own.")
    return None


def _gauge(numbers: Snapshot, name: str, *labels: str) -> int:
    return int(numbers.numbers.get(name, {}).get(labels, 0))


def _listed(turn: TurnAccount, names: Mapping[str, str]) -> dict[str, Any]:
    told_of: dict[str, Any] = msgspec.to_builtins(turn)
    return {"name": names.get(turn.key, "")} | told_of


def _recent(turns: Sequence[TurnAccount]) -> dict[str, Any]:
    """What is only known of the latest turns: how their times are spread, and what went wrong."""
    return {
        "turns": len(turns),
        "since": turns[-1].at if turns else None,
        "times": [_times("", turns)]
        + [
            _times(model, [turn for turn in turns if turn.model == model])
            for model in sorted({turn.model for turn in turns})
        ],
        "errors": _counted((turn.outcome for turn in turns if turn.failed), "code"),
        "rate_limits": _counted((turn.outcome for turn in turns if turn.limited), "code"),
        "repairs": [
            {"kind": kind, "count": count}
            for kind, count in sum(
                (Counter(repairs_by_kind(turn)) for turn in turns if turn.repairs), Counter()
            ).most_common()
        ],
    }


def _counted(words: Iterable[str], name: str) -> list[dict[str, Any]]:
    return [{name: word, "count": count} for word, count in Counter(words).most_common()]


def _times(model: str, turns: Sequence[TurnAccount]) -> dict[str, Any]:
    """For a model, "" for all: the middle and the slow end of the times of answers, in milliseconds."""
    firsts = sorted(turn.first_ms for turn in turns if turn.first_ms is not None)
    totals = sorted(turn.total_ms for turn in turns if not turn.failed)
    return {
        "model": model,
        "answers": len(totals),
        "first_ms": {"p50": _percentile(firsts, 0.5), "p95": _percentile(firsts, 0.95)},
        "total_ms": {"p50": _percentile(totals, 0.5), "p95": _percentile(totals, 0.95)},
    }


def _percentile(ordered: Sequence[float], part: float) -> float | None:
    """By the nearest rank."""
    if not ordered:
        return None
    return round(ordered[math.ceil(part * len(ordered)) - 1], 1)
