"""Responses that outlive their request, in the state store.

Whoever asks must be the caller who made the response: the key of a record holds both, so that another
caller's id is as unknown as one that never was.
"""

import time
from collections.abc import Sequence
from hashlib import blake2b
from typing import Any, Final

import msgspec
from msgspec import Raw, Struct

from ...core.errors import NotFound
from ...state import Entry, Space, Store

RUNNING: Final = frozenset({"queued", "in_progress"})

# Longer than the longest answer; what is larger is not kept.
_VALUE_SIZE: Final = 16 * 1024**2
# How long a wish to cancel waits for the process that works on the response.
_WISH_SECONDS: Final = 300.0

_encode: Final = msgspec.json.Encoder().encode


class Kept(Struct, frozen=True):
    """A response, and what continues from it.

    ``items`` are its input items; ``chain`` the ids of the responses before it, oldest first. ``beat`` is
    when the process that works on it was last known to live (Unix seconds).
    """

    response: Raw
    items: Raw
    status: str
    chain: tuple[str, ...] = ()
    background: bool = False
    beat: float = 0.0

    def input_items(self) -> list[dict[str, Any]]:
        items: list[dict[str, Any]] = msgspec.json.decode(self.items)
        return items

    def output_items(self) -> list[dict[str, Any]]:
        output: list[dict[str, Any]] = msgspec.json.decode(self.response)["output"]
        return output

    def conversation(self) -> list[dict[str, Any]]:
        """Everything that was said in this response's turn."""
        return self.input_items() + self.output_items()


_decode: Final = msgspec.json.Decoder(Kept).decode


class KeptResponses:
    """Responses by caller and id. ``ttl`` is how long one is kept in seconds, ``most`` how many are."""

    def __init__(self, store: Store, *, ttl: float, most: int) -> None:
        self._store = store
        self._records = Space("responses", ttl, most, _VALUE_SIZE)
        self._events = Space("response-events", ttl, most, _VALUE_SIZE)
        self._wishes = Space("response-cancels", _WISH_SECONDS, 10_000, 8)

    async def get(self, caller: str, response_id: str) -> Kept:
        """
        Raises:
            NotFound: for an id that is unknown, expired or another caller's.
        """
        (kept,) = await self.get_all(caller, [response_id])
        return kept

    async def get_all(self, caller: str, ids: Sequence[str]) -> list[Kept]:
        """Several at once; see :meth:`get`."""
        values = await self._store.get(self._records, *[_key(caller, each) for each in ids])
        for value, response_id in zip(values, ids, strict=True):
            if value is None:
                raise NotFound(
                    f"Response with id '{response_id[:100]}' not found. It may have expired, or it was made "
                    "with store set to false or with another API key.",
                    param="response_id",
                )
        return [_decode(value) for value in values if value is not None]

    async def put(self, caller: str, response_id: str, kept: Kept) -> None:
        await self._store.put(self._records, Entry(_key(caller, response_id), _encode(kept)))

    async def delete(self, caller: str, response_id: str) -> None:
        key = _key(caller, response_id)
        await self._store.delete(self._records, key)
        await self._store.delete(self._events, key)

    async def put_events(self, caller: str, response_id: str, events: bytes) -> None:
        """Keeps the whole stream of a response, for clients that come back for the rest of it."""
        await self._store.put(self._events, Entry(_key(caller, response_id), events))

    async def events(self, caller: str, response_id: str) -> bytes | None:
        (value,) = await self._store.get(self._events, _key(caller, response_id))
        return value

    async def wish_cancelled(self, caller: str, response_id: str) -> None:
        """Asks the process that works on the response to stop."""
        await self._store.put(self._wishes, Entry(_key(caller, response_id), b"1"))

    async def cancel_wished(self, caller: str, response_id: str) -> bool:
        return await self._store.take(self._wishes, _key(caller, response_id)) is not None


def status_of(response: bytes) -> str:
    status: str = msgspec.json.decode(response, type=_Status).status
    return status


class _Status(Struct):
    status: str


def now() -> float:
    return time.time()


def _key(caller: str, response_id: str) -> bytes:
    text = f"{caller}\0{response_id}".encode("utf-8", "surrogatepass")
    return blake2b(text, digest_size=24).digest()
