"""What administrators ask for, and what a key is told about itself."""

import math
import time
from collections.abc import Callable, Mapping
from typing import Any, Final

import msgspec

from ..access import Accounts, ApiKeys, Caller, public_record
from ..config import ConfigError
from ..core.accounting import Group, told
from ..core.errors import InvalidRequest, InvalidValue
from ..state import StoreUnavailable, UsageBehind
from .exchange import Exchange
from .reloading import Reloader
from .routes import Handler
from .surface import OWN_USAGE
from .usage_query import group_in, query_of, span_in, unavailable

_LATEST: Final = 1_000


class Administration:
    """Everything under ``/admin``, where the edge lets only administrators in, and ``/v1/usage``."""

    def __init__(
        self,
        keys: ApiKeys,
        accounts: Accounts,
        usage: UsageBehind,
        reloader: Callable[[], Reloader | None],
    ) -> None:
        self._keys = keys
        self._reloader = reloader
        self._accounts = accounts
        self._usage = usage

    @property
    def handlers(self) -> dict[str, Handler]:
        """What answers at :data:`~gptoss_api.server.surface.ADMIN` but ``VERIFY``, and at ``OWN_USAGE``."""
        return {
            "/admin/keys": self.keys,
            "/admin/usage": self.usage,
            "/admin/requests": self.requests,
            OWN_USAGE: self.own_usage,
        }

    async def keys(self, exchange: Exchange) -> None:
        query_of(exchange)
        await self._keys.refresh()
        now = time.time()
        listed = [public_record(key, now) for key in self._keys.records]
        exchange.respond_json(200, msgspec.json.encode({"object": "list", "data": listed}))

    async def usage(self, exchange: Exchange) -> None:
        """Sums of what ended ``since`` (30 days) and ``until`` (now), ``by`` day unless asked otherwise."""
        asked = query_of(exchange, "since", "until", "by")
        by = group_in(asked)
        since, until = span_in(asked)
        data = await self.summed(since, until, by)
        exchange.respond_json(200, msgspec.json.encode({"object": "list", "by": by, "data": data}))

    async def requests(self, exchange: Exchange) -> None:
        """The last turns, the newest first: what they cost and how they ended, never what was said."""
        asked = query_of(exchange, "limit").get("limit", str(_LATEST))
        if not asked.isdecimal() or not 0 < int(asked[:9]) <= _LATEST:
            raise InvalidValue(f"Invalid 'limit': expected a number from 1 to {_LATEST}.", param="limit")
        try:
            turns = await self._usage.latest(int(asked))
        except StoreUnavailable:
            raise unavailable() from None
        names = self.names()
        data = [{"name": names.get(turn.key, "")} | msgspec.to_builtins(turn) for turn in turns]
        exchange.respond_json(200, msgspec.json.encode({"object": "list", "data": data}))

    async def reload(self, exchange: Exchange) -> None:
        """Takes over the settings as they are written down now; other workers follow within two seconds."""
        query_of(exchange)
        reloader = self._reloader()
        if reloader is None:
            raise InvalidRequest("This gateway does not follow its settings; start it anew.")
        try:
            outcome = await reloader.reload()
        except ConfigError as error:
            raise InvalidRequest(f"The settings stay as they were: {error}") from None
        body = {"object": "reload", "changed": outcome.changed, "needs_restart": outcome.needs_restart}
        exchange.respond_json(200, msgspec.json.encode(body))

    async def own_usage(self, exchange: Exchange) -> None:
        """What the key of this request used, by day and by model, and how its limits stand."""
        key = exchange.record.key
        since, until = span_in(query_of(exchange, "since", "until"))
        days = await self.summed(since, until, "day", key.id)
        models = await self.summed(since, until, "model", key.id)
        body: dict[str, Any] = {
            "object": "usage",
            "key": {"id": key.id or None, "name": key.name or None},
            "used": {
                member: sum(day[member] for day in days)
                for member in (
                    "requests",
                    "input_tokens",
                    "cached_tokens",
                    "output_tokens",
                    "reasoning_tokens",
                )
            },
            "days": days,
            "models": models,
            "limits": await self.limits(key),
        }
        exchange.respond_json(200, msgspec.json.encode(body))

    async def limits(self, key: Caller) -> dict[str, Any]:
        """By limit: how much it allows, what is used and what is left of it, and when nothing is used."""
        if key.record is None or not key.limited:
            return {}
        standing = await self._accounts.standing(key.record)
        return {
            name: {
                "limit": allowance.limit,
                "used": allowance.used,
                "remaining": allowance.remaining,
                "reset_seconds": None if allowance.reset is None else math.ceil(allowance.reset),
            }
            for name, allowance in standing.items()
        }

    async def summed(
        self, since: float, until: float, by: Group, key: str | None = None
    ) -> list[dict[str, Any]]:
        """The sums of all keys or of one, as they are told.

        Raises:
            StateUnavailable: where the store does not answer.
        """
        try:
            groups = await self._usage.sums(since, until, by, key)
        except StoreUnavailable:
            raise unavailable() from None
        return told(groups, by, self.names())

    def names(self) -> Mapping[str, str]:
        """Of keys that were created, by their ids."""
        return {record.id: record.name for record in self._keys.records}
