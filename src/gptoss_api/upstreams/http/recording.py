"""A client that keeps a copy of what goes over its connections, for a bug report."""

import asyncio
import contextlib
import time
from collections.abc import Mapping
from contextvars import ContextVar
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final

from ...core.errors import GatewayError
from .client import HttpClient
from .connection import Clock
from .response import HttpResponse, Source

_NO_HEADERS: Final[Mapping[str, str]] = MappingProxyType({})


@dataclass
class RecordedExchange:
    """One request and its answer as they were, secrets and all; ``status`` is 0 where there was no answer.

    ``reads`` are the pieces of the body as they were read, each with the seconds since the request began.
    ``whole`` says that its end was read, which is not so where the reader wanted no more.
    """

    method: str
    url: str
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)
    began: float
    status: int = 0
    response_headers: list[tuple[str, str]] = field(default_factory=list, repr=False)
    reads: list[tuple[float, bytes]] = field(default_factory=list, repr=False)
    whole: bool = False
    ended: asyncio.Event = field(default_factory=asyncio.Event, repr=False)

    @property
    def response_body(self) -> bytes:
        return b"".join(piece for _, piece in self.reads)


class RecordingClient(HttpClient):
    """An :class:`HttpClient` whose ``exchanges`` hold what was sent and read, the newest last."""

    def __init__(self, *, connect_timeout: float | None) -> None:
        super().__init__(connect_timeout=connect_timeout)
        self.exchanges: list[RecordedExchange] = []

    async def open(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] = _NO_HEADERS,
        body: bytes = b"",
        idle_timeout: float | None = None,
        clock: Clock | None = None,
    ) -> HttpResponse:
        """See :meth:`HttpClient.open`."""
        recorded = RecordedExchange(method, url, dict(headers), body, time.monotonic())
        self.keep(recorded)
        response = await super().open(
            method, url, headers=headers, body=body, idle_timeout=idle_timeout, clock=clock
        )
        return _RecordedResponse(response, recorded)

    def keep(self, recorded: RecordedExchange) -> None:
        """Adds what has just begun to where it is looked for."""
        self.exchanges.append(recorded)

    async def settle(self, timeout: float) -> None:
        """Waits for the ends of answers that are still being read, for at most ``timeout`` seconds."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout):
                for exchange in self.exchanges:
                    if exchange.status:
                        await exchange.ended.wait()


# Where the exchanges of the present task are kept by a :class:`TapingClient`, if anywhere.
TAPE: Final[ContextVar[list[RecordedExchange] | None]] = ContextVar("TAPE", default=None)


class TapingClient(RecordingClient):
    """A client that keeps what each task posts on the :data:`TAPE` of that task's context."""

    def keep(self, recorded: RecordedExchange) -> None:
        """See :meth:`RecordingClient.keep`; what is not taped is soon forgotten."""
        tape = TAPE.get()
        if tape is not None and recorded.method == "POST":
            tape.append(recorded)


class _RecordedResponse(HttpResponse):
    __slots__ = ("_recorded",)

    def __init__(self, response: HttpResponse, recorded: RecordedExchange) -> None:
        super().__init__(response._open, response._route, response._release)
        self._recorded = recorded
        recorded.status = self.status
        recorded.response_headers = [
            (name, value) for name in self.headers for value in self.headers.get_all(name)
        ]

    @property
    def source(self) -> Source:
        """See :meth:`HttpResponse.source`: what is taken has to pass here."""
        return self

    def take(self) -> bytes | None:
        """See :meth:`HttpResponse.take`."""
        if data := super().take():
            self._recorded.reads.append((time.monotonic() - self._recorded.began, data))
        elif data is not None:
            self._recorded.whole = True
        return data

    async def finish(self, timeout: float) -> bool:
        """See :meth:`HttpResponse.finish`; the rest is recorded, too."""
        try:
            async with asyncio.timeout(timeout):
                while await self.read_chunk():
                    pass
        except (TimeoutError, GatewayError):
            return False
        return True

    def leave(self) -> None:
        """See :meth:`HttpResponse.leave`."""
        self._recorded.whole |= self.ended
        self._recorded.ended.set()
        super().leave()
