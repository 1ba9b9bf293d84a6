"""A request that is repeated joins the turn that is there already, instead of starting another.

Clients repeat a turn by themselves after a failure, and after waiting too long for an answer; several layers
of one client do so independently. Two things are remembered of every caller, for a short time:

- that a turn failed which was not the client's fault: of the requests for it that follow, all but the first
  get what that one gets;
- a whole answer that a client repeated its request for, and left again: the turn goes on until it is back, or
  is given up.

The answer to a first request is not touched: it is handed on as it comes, and ends with its client.
"""

import asyncio
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from functools import cached_property
from typing import Final

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from ..core.errors import (
    GatewayError,
    InternalError,
    Overloaded,
    StateUnavailable,
    UpstreamFailure,
    UpstreamRateLimited,
    UpstreamTimeout,
    UpstreamUnavailable,
)
from ..core.events import Events, ReasoningDelta, Repeat, Started, TextDelta, ToolCallDelta
from ..core.turn import Turn
from ..loop import Flow, beside
from ..text.digest import digest
from ..upstreams.base import Sink
from .drain import Drain, shutting_down
from .series import AnswerTurn

# Seconds for which a failure, and an answer that nobody got, is remembered.
MEMORY: Final = 60.0
# Seconds that a turn goes on without its client: official clients are back after eight at most.
PATIENCE: Final = 10.0
# Turns that are remembered of a caller, and of all; characters of an answer that can still be given out.
MOST_OF_CALLER: Final = 8
MOST: Final = 128
LARGEST: Final = 512 * 1024

# What may pass, and was not the client's fault.
_NOT_THEIRS: Final = (
    InternalError,
    Overloaded,
    StateUnavailable,
    UpstreamFailure,
    UpstreamRateLimited,
    UpstreamTimeout,
    UpstreamUnavailable,
)


class Place(Struct, frozen=True):
    """Whose turn, and which: two requests with the same place ask the same."""

    caller: str
    digest: bytes

    @classmethod
    def of(cls, turn: Turn) -> "Place":
        asked = replace(turn, request_id="", streamed=True, followed=False, weight=0, comes_back=False)
        try:
            body = msgspec.json.encode(asked)
        except (ValueError, OverflowError, RecursionError):
            # Lone surrogates, huge integers and deep nesting: not what msgspec writes.
            body = repr(asked).encode("utf-8", "surrogatepass")
        return cls(turn.caller, digest((body,)))


class SharedTurn:
    """A turn under way whose answer any number of requests follow from its beginning.

    ``done`` says that it has ended, ``spent`` that nobody else will want it: somebody got all of it, or it
    failed. ``awaited`` says that a client of it may come back. ``size`` is how many characters it has.
    ``task`` works on it, ``patience`` ends it where nobody follows.
    """

    def __init__(self, turn: Turn) -> None:
        self.done = False
        self.spent = False
        self.followers = 0
        self.awaited = turn.comes_back
        self.size = 0
        self.task: asyncio.Task[None] | None = None
        self.patience: asyncio.TimerHandle | None = None
        self.flow = Flow()
        self._turn = turn
        self._batches: list[Events] = []
        self._failure: Exception | None = None
        self._news = asyncio.Event()

    @cached_property
    def place(self) -> Place:
        return Place.of(self._turn)

    def feed(self, events: Events) -> bool:
        """See :class:`gptoss_api.upstreams.base.Sink`; followers take it in their own time."""
        self._batches.append(events)
        for event in events:
            if type(event) is TextDelta or type(event) is ReasoningDelta:
                self.size += len(event.text)
            elif type(event) is ToolCallDelta:
                self.size += len(event.arguments)
        self._wake()
        return True

    def end(self, failure: Exception | None = None) -> None:
        self.done = True
        self.spent |= failure is not None
        self._failure = failure
        self._wake()

    async def follow(self, repeat: Repeat | None) -> AsyncGenerator[Events, None]:
        """Everything from the beginning on; ``repeat`` is what its first event says of it."""
        at = 0
        while True:
            news = self._news
            if at < len(self._batches):
                batch = self._batches[at]
                at += 1
                yield _marked(batch, repeat) if repeat else batch
            elif not self.done:
                await news.wait()
            elif self._failure is not None:
                raise self._failure
            else:
                self.spent = True
                return

    def _wake(self) -> None:
        self._news.set()
        self._news = asyncio.Event()


def _marked(batch: Events, repeat: Repeat) -> Events:
    return [replace(event, repeat=repeat) if type(event) is Started else event for event in batch]


class Memory:
    """What is remembered, and for how long; ``now`` is in seconds. Of a caller the oldest is forgotten first.

    ``known`` are places by caller, each with a turn that is under way or ended unheard, or with ``None``
    where the last one failed.
    """

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self.known: dict[str, dict[Place, tuple[float, SharedTurn | None]]] = {}
        self._count = 0

    def knows(self, caller: str) -> bool:
        mine = self.known.get(caller)
        while mine and (place := next(iter(mine))) and mine[place][0] <= self._now():
            self.forget(place)
        return bool(mine)

    def get(self, place: Place) -> tuple[bool, SharedTurn | None]:
        """Whether anything is known of ``place``, and the turn that is there."""
        until, shared = self.known.get(place.caller, {}).get(place, (0.0, None))
        if until > self._now():
            return True, shared
        self.forget(place)
        return False, None

    def put(self, place: Place, shared: SharedTurn | None) -> None:
        self.forget(place)
        while self._count >= MOST:
            self._forget_oldest(next(iter(self.known)))
        mine = self.known.get(place.caller, {})
        if len(mine) >= MOST_OF_CALLER:
            self._forget_oldest(place.caller)
        self.known.setdefault(place.caller, {})[place] = (self._now() + MEMORY, shared)
        self._count += 1

    def forget(self, place: Place) -> None:
        mine = self.known.get(place.caller)
        if mine is None or mine.pop(place, None) is None:
            return
        self._count -= 1
        if not mine:
            del self.known[place.caller]

    def _forget_oldest(self, caller: str) -> None:
        self.forget(next(iter(self.known[caller])))


class Repeats:
    """Has ``answer_turn`` answer turns, as far as none is there to join. ``now`` is in seconds."""

    def __init__(
        self, answer_turn: AnswerTurn, drain: Drain, now: Callable[[], float] = time.monotonic
    ) -> None:
        self._answer_turn = answer_turn
        self._drain = drain
        self._memory = Memory(now)

    async def answer(self, turn: Turn, sink: Sink) -> None:
        """See :class:`gptoss_api.upstreams.base.Upstream`."""
        failed, shared = False, None
        if turn.caller in self._memory.known and self._memory.knows(turn.caller):
            failed, shared = self._memory.get(await beside(turn.weight, Place.of, turn))
        try:
            if shared is not None:
                shared.awaited |= turn.comes_back
                await self._follow(shared, sink, "replayed" if shared.done else "joined")
            elif failed or (turn.comes_back and not turn.streamed):
                await self._follow(self._begin(turn, joinable=failed), sink)
            else:
                await self._answer_turn(turn, sink)
        except Exception as error:
            if _is_not_theirs(error):
                self._memory.put(await beside(turn.weight, Place.of, turn), None)
            raise

    def _begin(self, turn: Turn, *, joinable: bool) -> SharedTurn:
        """Starts a turn that can outlive its request; ``joinable`` at once, else when its client has left."""
        shared = SharedTurn(turn)
        if joinable:
            self._memory.put(shared.place, shared)
        shared.task = asyncio.create_task(self._work(turn, shared))
        return shared

    async def _work(self, turn: Turn, shared: SharedTurn) -> None:
        failure: Exception | None = shutting_down()
        try:
            with self._drain:
                await self._answer_turn(turn, shared)
            failure = None
        except Exception as error:
            failure = error
        finally:
            shared.end(failure)
            if shared.spent or shared.size > LARGEST:
                self._forget(shared)

    async def _follow(self, shared: SharedTurn, sink: Sink, repeat: Repeat | None = None) -> None:
        shared.followers += 1
        if shared.patience is not None:
            shared.patience.cancel()
        try:
            async with aclosing(shared.follow(repeat)) as batches:
                async for batch in batches:
                    await sink.flow.free()
                    if not sink.feed(batch):
                        return
        finally:
            shared.followers -= 1
            self._left(shared)

    def _left(self, shared: SharedTurn) -> None:
        """A request has what it wanted, or its client left."""
        if shared.spent or (shared.done and shared.size > LARGEST):
            self._forget(shared)
        elif shared.followers:
            return
        elif shared.done:
            self._memory.put(shared.place, shared)
        elif shared.awaited and not self._drain.draining:
            self._memory.put(shared.place, shared)
            shared.patience = asyncio.get_running_loop().call_later(PATIENCE, self._give_up, shared)
        else:
            self._give_up(shared)

    def _give_up(self, shared: SharedTurn) -> None:
        """Ends a turn that nobody came back for."""
        self._forget(shared)
        if shared.task is not None:
            shared.task.cancel()

    def _forget(self, shared: SharedTurn) -> None:
        if self._memory.get(shared.place)[1] is shared:
            self._memory.forget(shared.place)


def _is_not_theirs(error: Exception) -> bool:
    """Whether a failure may pass and was not the client's; what is no failure of ours by name is a bug."""
    return isinstance(error, _NOT_THEIRS) or not isinstance(error, GatewayError)
