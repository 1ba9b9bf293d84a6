"""What ``gptoss-api verify`` found out about the upstreams, for who administers the gateway."""

import time
from collections.abc import Sequence

import msgspec

from ..core.errors import StateUnavailable
from ..gateway import Gateway
from ..state import StoreUnavailable
from ..verification.card import Card, Subject, summary
from ..verification.cases import CASE_SET
from ..verification.history import History, counts
from .exchange import Exchange
from .usage_query import query_of


class Verified:
    """The results that are kept, by upstream and model."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway

    async def verify(self, exchange: Exchange) -> None:
        """The latest score card of each, what came before, and whether routing may go by it.

        Raises:
            StateUnavailable: where the store does not answer.
        """
        query_of(exchange)
        try:
            cards = await History(self._gateway.state.store).cards()
        except StoreUnavailable:
            raise StateUnavailable(
                "Results cannot be read now: the store does not answer. Try again in a moment."
            ) from None
        told = {
            "object": "list",
            "case_set": CASE_SET,
            "prefer": "verified" if self._gateway.prefers_verified else "order",
            "data": listed(cards, self._gateway.subjects, time.time()),
        }
        exchange.respond_json(200, msgspec.json.encode(told))


def listed(cards: Sequence[Card], subjects: Sequence[Subject], now: float) -> list[dict[str, object]]:
    """One entry for each upstream and model, in the order of their latest results, the newest first."""
    by_place: dict[tuple[str, str], list[Card]] = {}
    for card in reversed(cards):
        by_place.setdefault((card.upstream, card.model), []).append(card)
    return [
        {
            "upstream": latest.upstream,
            "model": latest.model,
            # Routing goes by the latest that counts, which need not be the latest.
            "counts": any(counts(card, subjects, now) for card in (latest, *earlier)),
            "latest": latest,
            "history": [summary(card) for card in (latest, *earlier)],
        }
        for latest, *earlier in by_place.values()
    ]
