"""Several upstreams as one: each turn goes to the best that can serve it, and on to the next if that fails.

Nothing is tried again once something was delivered. Upstreams of the same order share the load by weight; a
conversation stays where it began as long as that upstream answers, without any state kept for it.
"""

import asyncio
import hashlib
import logging
import math
from collections.abc import Callable, Iterator, Sequence
from typing import Final

from msgspec import Struct, field

from ..core.errors import GatewayError, UpstreamTimeout, UpstreamUnavailable
from ..core.events import Events
from ..core.turn import Turn, UserMessage
from ..loop import Limit
from ..upstreams.base import Capabilities, Health, Sink, Upstream, log_fields
from .breaker import Breaker, BreakerState
from .failover import judge, most_telling

_LONGEST_REASON: Final = 200
# By so many messages, and so many characters of each, conversations are told apart.
_OPENING: Final = 64
_BEGINNING: Final = 16_384

_log = logging.getLogger(__name__)


class Route(Struct):
    """One upstream and its place among the others.

    Lower ``order`` comes first; among equals ``weight`` is the share. ``patience`` bounds the wait for the
    first byte, in seconds (``None``: the upstream's own bounds only).
    """

    upstream: Upstream
    order: int = 0
    weight: float = 1.0
    patience: float | None = None
    breaker: Breaker = field(default_factory=Breaker)
    reason: str = ""
    # Whether it rests because nothing was there.
    unreached: bool = False

    @property
    def name(self) -> str:
        return self.upstream.name


class Router:
    """Answers turns through the best of ``routes``; itself an upstream.

    ``rank`` says of an upstream and a model where it comes before the routes' own order counts: lower first.
    Raises what the most telling upstream raised, or :class:`UpstreamUnavailable` where all of them rest.
    """

    def __init__(
        self, routes: Sequence[Route], *, rank: Callable[[str, str], float] = lambda upstream, model: 0
    ) -> None:
        if not routes:
            raise ValueError("a router needs at least one upstream")
        self._rank = rank
        self._routes = tuple(routes)
        self.name = ", ".join(route.name for route in routes)

    @property
    def capabilities(self) -> Capabilities:
        return self._routes[0].upstream.capabilities

    async def answer(self, turn: Turn, sink: Sink) -> None:
        """See :class:`gptoss_api.upstreams.base.Upstream`."""
        failures: list[GatewayError] = []
        for route in self._in_order(turn):
            # Asked anew for each: while others were tried it may have begun to rest.
            if not route.breaker.admits():
                continue
            attempt = _Attempt(sink)
            try:
                await self._through(route, turn, attempt)
                return
            except GatewayError as failure:
                if attempt.begun or not judge(failure).elsewhere:
                    raise
                failures.append(failure)
                _log.info(
                    "%s could not answer: %s",
                    route.name,
                    failure.message[:_LONGEST_REASON],
                    extra=log_fields(turn.request_id),
                )
        raise most_telling(failures) if failures else self._all_rest()

    def first(self, turn: Turn) -> int:
        """Which of the routes is the first that ``turn`` would take, if none rests."""
        return self._routes.index(next(self._in_order(turn)))

    async def health(self) -> Health:
        """Ready where one upstream is; the words tell of each."""
        each = await self.healths()
        told = (f"{route.name}: {health.detail}" for route, health in zip(self._routes, each, strict=True))
        return Health(any(health.ready for health in each), " ".join(told))

    @property
    def breakers(self) -> dict[str, BreakerState]:
        """The state of each upstream's breaker, by its name."""
        return {route.name: route.breaker.state for route in self._routes}

    async def healths(self) -> list[Health]:
        """That of each upstream in the order of the routes; one that rests is not ready.

        One that rests because it was not there, and is there again, need not rest any longer.
        """
        return [await self._health(route) for route in self._routes]

    async def _health(self, route: Route) -> Health:
        health = await route.upstream.health()
        if route.breaker.state is not BreakerState.OPEN:
            return health
        if route.unreached and health.ready:
            route.breaker.hurry()
            return health
        return Health(False, f"rests for {route.breaker.remaining:.0f} s: {route.reason}")

    async def close(self) -> None:
        for route in self._routes:
            await route.upstream.close()

    async def _through(self, route: Route, turn: Turn, attempt: "_Attempt") -> None:
        """Has one upstream answer, and its breaker told how it went."""
        breaker = route.breaker
        if breaker.state is BreakerState.HALF_OPEN:
            _log.info("%s is tried again", route.name, extra=log_fields(turn.request_id))
        breaker.begin()
        told = False
        until = None if route.patience is None else asyncio.get_running_loop().time() + route.patience
        try:
            try:
                with Limit(until) as attempt.patience:
                    await route.upstream.answer(turn, attempt)
            except TimeoutError:
                raise UpstreamTimeout(
                    f"{route.name} did not begin to answer within {route.patience:g} seconds."
                ) from None
            # Who wanted no more of it learnt nothing about the upstream.
            if not attempt.broken_off:
                told = True
                self._succeeded(route, turn)
        except GatewayError as failure:
            told = True
            self._failed(route, failure, turn)
            raise
        finally:
            # The client left, which says nothing about the upstream.
            if not told:
                breaker.forgotten()

    def _succeeded(self, route: Route, turn: Turn) -> None:
        before = route.breaker.state
        route.breaker.succeeded()
        if before is not BreakerState.CLOSED and route.breaker.state is BreakerState.CLOSED:
            _log.info("%s answers again", route.name, extra=log_fields(turn.request_id))

    def _failed(self, route: Route, failure: GatewayError, turn: Turn) -> None:
        judgement = judge(failure)
        if not judgement.counts:
            route.breaker.forgotten()
            return
        if route.breaker.failed(asked=failure.retry_after, at_once=judgement.lasting):
            route.reason = failure.message[:_LONGEST_REASON]
            route.unreached = failure.unreached
            _log.warning(
                "%s rests for %.1f s: %s",
                route.name,
                route.breaker.remaining,
                route.reason,
                extra=log_fields(turn.request_id),
            )

    def _in_order(self, turn: Turn) -> Iterator[Route]:
        """The routes from the best to the last for the turn's conversation."""
        if len(self._routes) == 1:
            return iter(self._routes)
        key = conversation_key(turn)

        def place(route: Route) -> tuple[float, int, float]:
            return self._rank(route.name, turn.model), route.order, -_share(route, key)

        return iter(sorted(self._routes, key=place))

    def _all_rest(self) -> UpstreamUnavailable:
        soonest = min(route.breaker.remaining for route in self._routes)
        told = "; ".join(f"{route.name} ({route.reason})" for route in self._routes if route.reason)
        wait = max(math.ceil(soonest), 1)
        return UpstreamUnavailable(
            f"Every upstream rests after failures: {told}. Try again in {wait} s.", retry_after=float(wait)
        )


class _Attempt:
    """The way of one upstream's answer; ``begun``: something went it, which ends its ``patience``."""

    __slots__ = ("_sink", "begun", "broken_off", "flow", "patience")

    def __init__(self, sink: Sink) -> None:
        self._sink = sink
        self.flow = sink.flow
        self.begun = False
        self.broken_off = False
        self.patience: Limit | None = None

    def feed(self, events: Events) -> bool:
        if not self.begun:
            self.begun = True
            if self.patience is not None:
                self.patience.lift()
        self.broken_off = not self._sink.feed(events)
        return not self.broken_off


def conversation_key(turn: Turn) -> bytes:
    """What stays the same in all turns of a conversation: who speaks, and how it began."""
    state = hashlib.blake2b(turn.caller.encode(), digest_size=16)
    # Clients that name their conversations name them here (docs/design/clients.md, "Codex").
    named = turn.conversation or turn.options.get("prompt_cache_key")
    if isinstance(named, str) and named:
        state.update(b"\0named\0" + named.encode("utf-8", "surrogatepass"))
        return state.digest()
    for message in turn.messages[:_OPENING]:
        state.update(b"\0" + message.text[:_BEGINNING].encode("utf-8", "surrogatepass"))
        if isinstance(message, UserMessage):
            break
    return state.digest()


def _share(route: Route, key: bytes) -> float:
    """Weighted rendezvous hashing: the highest of these numbers wins with a chance of the weight's share."""
    digest = hashlib.blake2b(key + route.name.encode(), digest_size=8).digest()
    fraction = (int.from_bytes(digest) + 1) / (2**64 + 2)
    return route.weight / -math.log(fraction)
