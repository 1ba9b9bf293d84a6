"""The last results of every upstream, kept in the store of shared state, and what routing makes of them."""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

import msgspec
from msgspec import Struct

from ..state import Entry, GuardedStore, Lease, Space, StoreUnavailable
from .card import Card, Subject
from .cases import CASE_SET

# Results that are kept of an upstream and a model.
KEPT: Final = 10
# For so many seconds a result counts where upstreams are preferred by it: servers change.
RECENT: Final = 30 * 86_400.0

_SIZE: Final = 512 * 1024
_SPACE: Final = Space("verification", ttl=400 * 86_400.0, entries=1, value_size=_SIZE)
_KEY: Final = b"cards"
_LEASE: Final = b"verification"
_LEASE_TIME: Final = 20.0
_PATIENCE: Final = 25.0

_decode: Final = msgspec.json.Decoder(tuple[Card, ...]).decode
_encode: Final = msgspec.json.Encoder().encode


class History:
    """The cards in ``store``, the oldest first.

    Raises :class:`~gptoss_api.state.StoreUnavailable` where the store does not answer.
    """

    def __init__(self, store: GuardedStore) -> None:
        self._store = store

    async def cards(self) -> Sequence[Card]:
        """All that are kept; of another version's none."""
        (kept,) = await self._store.fetch(_SPACE, _KEY)
        if kept is None:
            return ()
        try:
            return _decode(kept)
        except msgspec.MsgspecError:
            return ()

    async def keep(self, card: Card) -> None:
        """Adds ``card``; what others add at the same time stays, too."""
        try:
            async with asyncio.timeout(_PATIENCE):
                lease = await self._lease()
        except TimeoutError:
            raise StoreUnavailable("others keep writing results") from None
        value = packed([*await self.cards(), card])
        (stored,) = await self._store.keep(_SPACE, Entry(_KEY, value, lease))
        if not stored:
            raise StoreUnavailable("it took too long, or the result is too large")

    async def _lease(self) -> Lease:
        # Another process may hold it: nothing here tells when it is free.
        while (lease := await self._store.lease(_LEASE, _LEASE_TIME)) is None:
            if not self._store.available:
                raise StoreUnavailable("it is down")
            await asyncio.sleep(0.1)
        return lease


def packed(cards: Sequence[Card], size: int = _SIZE) -> bytes:
    """The newest :data:`KEPT` of each upstream and model, as many as fit ``size`` bytes."""
    found: dict[tuple[str, str], int] = {}
    kept: list[bytes] = []
    room = size - 2
    for card in reversed(cards):
        place = (card.upstream, card.model)
        found[place] = found.get(place, 0) + 1
        text = _encode(card)
        if found[place] > KEPT or len(text) + 1 > room:
            continue
        room -= len(text) + 1
        kept.append(text)
    return b"[" + b",".join(reversed(kept)) + b"]"


class Scores(Struct, frozen=True):
    """The latest score of each upstream and model that counts."""

    by_place: Mapping[tuple[str, str], float]

    def rank(self, upstream: str, model: str) -> int:
        """What upstreams are put in order by: lower is better, equal within a percent, last if unknown.

        To tell less than a percent apart would take far more turns than anybody measures by.
        """
        score = self.by_place.get((upstream, model))
        return 1 if score is None else -round(score * 100)


NO_SCORES: Final = Scores({})


def counts(card: Card, subjects: Sequence[Subject], now: float) -> bool:
    """Whether ``card`` says something about one of ``subjects``, whatever the model, as it is now.

    That is a recent whole run with the present cases.
    """
    places = {(subject.upstream, subject.kind, subject.url) for subject in subjects}
    is_whole = card.complete and card.score is not None and card.case_set == CASE_SET
    return is_whole and card.started > now - RECENT and (card.upstream, card.kind, card.url) in places


def scores_of(cards: Iterable[Card], subjects: Sequence[Subject], now: float) -> Scores:
    """The latest score of each upstream and model among ``subjects`` that :func:`counts`."""
    return Scores(
        {
            (card.upstream, card.model): card.score
            for card in cards
            if card.score is not None and counts(card, subjects, now)
        }
    )
