"""Responses that are worked on after their request has ended.

A run belongs to one process. What others see of it is its record in the store, renewed every few seconds:
a record that nobody renews any more belongs to a process that died.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from typing import Final

from msgspec import Raw, json

from ...core.errors import GatewayError, InternalError
from ...core.events import Events
from ...dialects.responses import ResponseRequest, ResponseStream
from ..drain import Drain, shutting_down
from .kept import Kept, KeptResponses, now, status_of

BEAT_SECONDS: Final = 5.0
# How often it is looked whether another process wants a response cancelled; its client waits for that.
LOOK_SECONDS: Final = 0.5
# A process may be slow to renew its records; six beats are more than a pause.
DEAD_AFTER: Final = 6 * BEAT_SECONDS

_END: Final = b"\n\n"

_log = logging.getLogger(__name__)

Open = Callable[[ResponseRequest], AbstractAsyncContextManager[AsyncIterator[Events]]]


class Run:
    """One response in the making. ``events`` are the events of its stream so far; the first is number 0."""

    def __init__(self, caller: str, request: ResponseRequest) -> None:
        self.caller = caller
        self.request = request
        self.stream: ResponseStream = request.renderer()
        self.events: list[bytes] = []
        self.ended = False
        self.unwanted = False
        # Set while the model is at work: only then may the task be cancelled, before it would never
        # begin and afterwards never be stored.
        self.working: asyncio.Task[None] | None = None
        self._news = asyncio.Event()

    def add(self, data: bytes) -> None:
        """Appends rendered events and wakes those who follow."""
        self.events += [event + _END for event in data.split(_END)[:-1]]
        self._wake()

    def end(self) -> None:
        self.ended = True
        self._wake()

    def cancel(self) -> None:
        """Stops the model. :meth:`wait` until that is stored."""
        self.unwanted = True
        if self.working is not None:
            self.working.cancel()

    async def follow(self, start: int) -> AsyncIterator[bytes]:
        """The stream from event number ``start`` on, as it grows, to its end."""
        at = start
        while True:
            news = self._news
            if at < len(self.events):
                data = b"".join(self.events[at:])
                at = len(self.events)
                yield data
            elif self.ended:
                return
            else:
                await news.wait()

    async def wait(self) -> None:
        """Until it has ended and is stored."""
        while not self.ended:
            await self._news.wait()

    def record(self) -> Kept:
        """The run as the store and other processes know it."""
        response = self.stream.snapshot()
        return Kept(
            Raw(response),
            Raw(json.encode(self.request.items)),
            status_of(response),
            self.request.chain,
            background=True,
            beat=now(),
        )

    def _wake(self) -> None:
        self._news.set()
        self._news = asyncio.Event()


class BackgroundRuns:
    """The runs of this process. ``open_request`` answers a request with events."""

    def __init__(self, kept: KeptResponses, open_request: Open, drain: Drain) -> None:
        self._kept = kept
        self._open = open_request
        self._drain = drain
        self._runs: dict[tuple[str, str], Run] = {}
        # The event loop itself keeps no strong reference to a task.
        self._tasks: set[asyncio.Task[None]] = set()

    def get(self, caller: str, response_id: str) -> Run | None:
        return self._runs.get((caller, response_id))

    async def start(self, caller: str, request: ResponseRequest) -> Run:
        """Begins to work on ``request``; its record can be read before this returns."""
        run = Run(caller, request)
        run.add(run.stream.queued())
        self._runs[caller, request.id] = run
        await self._kept.put(caller, request.id, run.record())
        task = asyncio.create_task(self._work(run))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return run

    async def _work(self, run: Run) -> None:
        beat = asyncio.create_task(self._beat(run))
        with self._drain:
            run.working = asyncio.current_task()
            run.add(await self._answer(run))
            run.working = None
            beat.cancel()
            # A renewal that is under way must not overwrite the end.
            await asyncio.wait([beat])
            response_id = run.request.id
            # The events first: whoever sees that it has ended finds them.
            await self._kept.put_events(run.caller, response_id, b"".join(run.events))
            await self._kept.put(run.caller, response_id, run.record())
            self._runs.pop((run.caller, response_id), None)
            run.end()
            _log.info("response %s in the background ended: %s", response_id, status_of(run.stream.final))

    async def _answer(self, run: Run) -> bytes:
        """Works to the end; the value are the last events."""
        if run.unwanted:
            return run.stream.cancel()
        try:
            async with self._open(run.request) as batches:
                async for batch in batches:
                    run.add(run.stream.feed(batch))
        except GatewayError as error:
            return run.stream.fail(error)
        except asyncio.CancelledError:
            # Either the client wants no answer any more or the process ends.
            return run.stream.fail(shutting_down()) if self._drain.expired else run.stream.cancel()
        except Exception:
            _log.exception("response %s failed in the background", run.request.id)
            return run.stream.fail(
                InternalError(f"The gateway failed; its log has the cause under {run.request.id}.")
            )
        return run.stream.end()

    async def _beat(self, run: Run) -> None:
        renewed = now()
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            if await self._kept.cancel_wished(run.caller, run.request.id):
                run.cancel()
            if now() - renewed >= BEAT_SECONDS:
                renewed = now()
                await self._kept.put(run.caller, run.request.id, run.record())
