"""What is known of an upstream: what its turns told, and whether it is there when it is looked for."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Final

from ..core.errors import (
    ClientTooSlow,
    GatewayError,
    UpstreamLoginRequired,
    UpstreamTimeout,
    UpstreamUnavailable,
)
from .base import Health

# Seconds. For how long a failed turn counts as the state of the upstream; for how long a good sign does, and
# from when on it is renewed while it still counts; for how long it counts that nothing was there.
TROUBLE_TIME: Final = 60.0
GOOD_TIME: Final = 60.0
FRESH_TIME: Final = 30.0
ABSENCE_TIME: Final = 2.0
# How long a look for an upstream takes at most.
LOOK_TIME: Final = 5.0

_ANSWERED: Final = Health(True, "The last turn was answered.")
_UNUSABLE: Final = UpstreamLoginRequired | UpstreamUnavailable | UpstreamTimeout


class UpstreamHealth:
    """The state of one upstream, in words: an exception would keep the memory of its turn.

    ``find`` looks for the upstream without costing a turn, and raises what stands in the way: a failure that
    is ``unreached`` where nothing was there, another one of which the upstream itself told. ``reached`` says
    whether it was ever there.
    """

    def __init__(self, find: Callable[[], Awaitable[None]]) -> None:
        self.reached = False
        self._find = find
        self._state = Health(False, "It was not reached yet.")
        self._since = 0.0
        self._until = 0.0
        # One look at a time, for whoever asks meanwhile.
        self._looking: asyncio.Task[None] | None = None

    @property
    def state(self) -> Health:
        """What is known now; what is too old says nothing good any more."""
        if self._state.ready and time.monotonic() >= self._until:
            return Health(False, "There was no sign of it lately.")
        return self._state

    async def look(self, patience: float) -> None:
        """Looks for the upstream if what is known is too old, for at most ``patience`` seconds.

        A look that takes longer goes on, and so does one for the renewal of a good sign that still counts.
        """
        now = time.monotonic()
        expired = now >= self._until
        if not expired and not (self._state.ready and now - self._since >= FRESH_TIME):
            return
        if self._looking is None or self._looking.done():
            self._looking = asyncio.create_task(self._look())
        if expired:
            await asyncio.wait([self._looking], timeout=patience)

    def note(self, failure: GatewayError | None) -> None:
        """One more turn was answered, or failed."""
        if isinstance(failure, ClientTooSlow):
            return
        if failure is None:
            self.reached = True
            self._know(_ANSWERED, GOOD_TIME)
            return
        health = Health(not isinstance(failure, _UNUSABLE), f"The last turn failed: {failure.message}")
        self._know(health, ABSENCE_TIME if failure.unreached else TROUBLE_TIME)

    def forget(self) -> None:
        """What was known is of no meaning any more."""
        self._know(Health(False, "It was not asked since that changed."), 0.0)

    async def close(self) -> None:
        if self._looking is not None:
            self._looking.cancel()
            await asyncio.wait([self._looking])

    async def _look(self) -> None:
        began = time.monotonic()
        failure: GatewayError | None = None
        try:
            await self._find()
        except GatewayError as error:
            failure = error
        self.reached |= failure is None or not failure.unreached
        if self._since > began:
            # Meanwhile a turn told more.
            return
        if failure is None:
            self._know(Health(True, "It is there; no turn told more lately."), GOOD_TIME)
        elif isinstance(failure, _UNUSABLE):
            self._know(Health(False, failure.message), ABSENCE_TIME)
        else:
            self._know(Health(True, f"It is there, but: {failure.message}"), GOOD_TIME)

    def _know(self, health: Health, seconds: float) -> None:
        self._state = health
        self._since = time.monotonic()
        self._until = self._since + seconds
