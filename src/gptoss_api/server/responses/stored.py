"""Responses that outlive their request, in the state store.

Whoever asks must be the caller who made the response: the key of a record holds both, so that another
caller's id is as unknown as one that never was.
"""

import time
from collections.abc import Sequence
from hashlib import blake2b
from typing import Any, Final, Literal

import msgspec
from msgspec import Raw, Struct

from ...core.errors import NotFound, StateUnavailable
from ...loop import beside
from ...state import Entry, GuardedStore, Space, StoreUnavailable

RUNNING: Final = frozenset({"queued", "in_progress"})

NotStored = Literal["too-large", "unavailable"]

# Bytes. As much as a conversation of the longest context comes to, and the events of a long answer.
_RECORD_SIZE: Final = 4 * 1024**2
_EVENTS_SIZE: Final = 16 * 1024**2
# Seconds after which it makes sense to ask again for what a store that is down may have.
_RETRY_AFTER: Final = 5.0
# How long a request to cancel waits for the process that works on the response.
_CANCEL_SECONDS: Final = 300.0

_encode: Final = msgspec.json.Encoder().encode


class StoredResponse(Struct, frozen=True):
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

    @property
    def size(self) -> int:
        """How much was said in this response's turn, in bytes of JSON."""
        return len(self.items) + len(self.response)

    def input_items(self) -> list[dict[str, Any]]:
        items: list[dict[str, Any]] = msgspec.json.decode(self.items)
        return items

    def output_items(self) -> list[dict[str, Any]]:
        output: list[dict[str, Any]] = msgspec.json.decode(self.response)["output"]
        return output

    def conversation(self) -> list[dict[str, Any]]:
        """Everything that was said in this response's turn."""
        return self.input_items() + self.output_items()


_decode: Final = msgspec.json.Decoder(StoredResponse).decode


class StoredResponses:
    """Responses by caller and id.

    ``ttl`` is how long one is kept in seconds, ``most`` how many and ``size`` how many bytes each caller may
    have, ``total`` how many bytes all together.
    """

    def __init__(self, store: GuardedStore, *, ttl: float, most: int, size: int, total: int) -> None:
        self._store = store
        self._space = Space("responses", ttl, most, _EVENTS_SIZE, size, total)
        self._cancels = Space("response-cancels", _CANCEL_SECONDS, 10_000, 8)

    async def get(self, caller: str, response_id: str) -> StoredResponse:
        """
        Raises:
            NotFound: for an id that is unknown, expired or another caller's.
            StateUnavailable: where that cannot be known now.
        """
        (stored,) = await self.get_all(caller, [response_id])
        return stored

    async def get_all(self, caller: str, ids: Sequence[str]) -> list[StoredResponse]:
        """Several at once; see :meth:`get`."""
        try:
            values = await self._store.fetch(self._space, *[_key(caller, each) for each in ids])
        except StoreUnavailable:
            raise no_store() from None
        for value, response_id in zip(values, ids, strict=True):
            if value is not None:
                continue
            raise NotFound(
                f"Response with id '{response_id[:100]}' not found. It may have expired or made room for "
                "newer ones, or it was made with store set to false or with another API key.",
                param="response_id",
            )
        found = [value for value in values if value is not None]
        return await beside(sum(map(len, found)), lambda: list(map(_decode, found)))

    async def put(self, caller: str, response_id: str, response: StoredResponse) -> NotStored | None:
        """Keeps a response, or says why not."""
        value = _encode(response)
        if len(value) > min(_RECORD_SIZE, self._space.largest):
            return "too-large"
        try:
            (stored,) = await self._store.keep(
                self._space, Entry(_key(caller, response_id), value, owner=caller.encode())
            )
        except StoreUnavailable:
            return "unavailable"
        return None if stored else "too-large"

    async def delete(self, caller: str, response_id: str) -> None:
        """Removes a response for good.

        Raises:
            StateUnavailable: where that cannot be done now.
        """
        keys = (_key(caller, response_id), _key(caller, response_id, b"events"))
        if not await self._store.delete(self._space, *keys, erase=True):
            raise no_store()

    async def put_events(self, caller: str, response_id: str, events: bytes) -> None:
        """Keeps the whole stream of a response, for clients that come back for the rest of it."""
        await self._put(self._space, caller, _key(caller, response_id, b"events"), events)

    async def events(self, caller: str, response_id: str) -> bytes | None:
        (value,) = await self._store.get(self._space, _key(caller, response_id, b"events"))
        return value

    async def request_cancel(self, caller: str, response_id: str) -> None:
        """Asks the process that works on the response to stop."""
        await self._put(self._cancels, caller, _key(caller, response_id), b"1")

    async def cancel_requested(self, caller: str, response_id: str) -> bool:
        return await self._store.take(self._cancels, _key(caller, response_id)) is not None

    async def _put(self, space: Space, caller: str, key: bytes, value: bytes) -> bool:
        (stored,) = await self._store.put(space, Entry(key, value, owner=caller.encode()))
        return stored


def no_store() -> StateUnavailable:
    """What is said of a response that may exist."""
    return StateUnavailable(
        "Stored responses cannot be reached now: the gateway's state store does not answer, and its log says "
        "why. Retry in a few seconds, or send the whole conversation with store set to false.",
        retry_after=_RETRY_AFTER,
    )


def status_of(response: bytes) -> str:
    status: str = msgspec.json.decode(response, type=_Status).status
    return status


def not_stored_object(response: bytes) -> bytes:
    """A response as JSON, which says that it is not stored."""
    members = msgspec.json.decode(response, type=dict[str, Raw])
    return _encode(members | {"store": Raw(b"false")})


class _Status(Struct):
    status: str


def now() -> float:
    return time.time()


def _key(caller: str, response_id: str, part: bytes = b"") -> bytes:
    text = f"{caller}\0{response_id}".encode("utf-8", "surrogatepass")
    return blake2b(text, digest_size=24, person=part).digest()
