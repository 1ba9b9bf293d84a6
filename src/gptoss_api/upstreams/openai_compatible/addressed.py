"""A server of which only the address is known, as an upstream."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from typing import Any, Final

from ...core.turn import Turn
from ..base import Backend, Capabilities, Health, ServedModel, Sink

# Seconds until a server that could not be asked what it is will be asked again.
PAUSE: Final = 10.0

_log = logging.getLogger(__name__)


class AddressedUpstream:
    """An upstream that becomes one of a kind once the server has said of which it is.

    ``make`` gives the upstream for the name of a kind, "" for one of no kind that is known, and ``ask`` what
    :func:`.recognition.ask_kind` does. The server is asked with the first look, or before the first turn:
    what a turn was planned with before that suits every server.
    """

    def __init__(self, make: Callable[[str], Backend], ask: Callable[[], Awaitable[str | None]]) -> None:
        self._make = make
        self._ask = ask
        self._backend = make("")
        self._former: list[Backend] = []
        self._known = False
        self._expires = 0.0
        # One question at a time, for whoever waits for it meanwhile.
        self._asking: asyncio.Task[None] | None = None

    @property
    def name(self) -> str:
        return self._backend.name

    @property
    def capabilities(self) -> Capabilities:
        return self._backend.capabilities

    @property
    def reached(self) -> bool:
        return self._backend.reached

    def answer(self, turn: Turn, sink: Sink) -> Coroutine[Any, Any, None]:
        """See :class:`gptoss_api.upstreams.base.Upstream`."""
        return self._backend.answer(turn, sink) if self._known else self._answer_first(turn, sink)

    async def _answer_first(self, turn: Turn, sink: Sink) -> None:
        await self._recognise()
        await self._backend.answer(turn, sink)

    async def health(self) -> Health:
        return await self._backend.health()

    async def look(self, patience: float) -> None:
        """See :class:`gptoss_api.upstreams.base.Backend`."""
        began = time.monotonic()
        await self._recognise(patience)
        await self._backend.look(max(patience - (time.monotonic() - began), 0.0))

    async def models(self) -> Sequence[ServedModel]:
        """See :class:`gptoss_api.upstreams.base.Backend`."""
        return await self._backend.models()

    async def close(self) -> None:
        if self._asking is not None:
            self._asking.cancel()
            await asyncio.wait([self._asking])
        for backend in (self._backend, *self._former):
            await backend.close()

    async def _recognise(self, patience: float | None = None) -> None:
        """Asks the server what it is, unless that is known or was just asked; waits ``patience`` seconds."""
        asking = self._asking
        if asking is None or asking.done():
            if self._known or time.monotonic() < self._expires:
                return
            asking = self._asking = asyncio.create_task(self._become())
        await asyncio.wait([asking], timeout=patience)

    async def _become(self) -> None:
        kind = await self._ask()
        self._known = kind is not None
        self._expires = time.monotonic() + PAUSE
        if kind:
            self._former.append(self._backend)
            self._backend = self._make(kind)
            _log.info("%s says that it is of the kind %s", self.name, kind)
