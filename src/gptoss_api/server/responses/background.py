"""Responses that are worked on after their request has ended.

A run belongs to one process. What others see of it is its record in the store, renewed every few seconds:
a record that nobody renews any more belongs to a process that died.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from typing import Final

from msgspec import Raw, json

from ...access import Reservation
from ...core.errors import GatewayError, InternalError, InvalidRequest
from ...core.events import Events
from ...dialects.openai_errors import openai_error
from ...dialects.responses import ResponseRequest, ResponseStream
from ...loop import Flow
from ...upstreams.base import Sink
from ..drain import Drain, shutting_down
from ..request import RequestRecord
from .stored import NotStored, StoredResponse, StoredResponses, no_store, not_stored_object, now, status_of

BEAT_SECONDS: Final = 5.0
# How often it is looked whether another process wants a response cancelled; its client waits for that.
LOOK_SECONDS: Final = 0.5
# A process may be slow to renew its records; six beats are more than a pause.
DEAD_AFTER: Final = 6 * BEAT_SECONDS
# How long a response that could not be stored at its end is offered by this process alone, and stored if that
# is possible after all.
UNSTORED_SECONDS: Final = 600.0

_END: Final = b"\n\n"

_log = logging.getLogger(__name__)

AnswerRequest = Callable[[ResponseRequest, Sink], Awaitable[None]]


# A request whose answer ended later than itself, with the status and the outcome that it then had.
Ended = Callable[[RequestRecord, int, str], None]


def _unnoticed(asked: RequestRecord, status: int, outcome: str) -> None:
    pass


class Run:
    """One response in the making. ``events`` are the events of its stream so far; the first is number 0.

    ``stored`` is false where it has ended and only this process has it.
    """

    def __init__(self, caller: str, request: ResponseRequest, asked: RequestRecord) -> None:
        self.caller = caller
        self.request = request
        # The request that wanted it, whose accounts it goes on with.
        self.asked = asked
        self.failure: GatewayError | None = None
        self.stream: ResponseStream = request.renderer()
        self.events: list[bytes] = []
        self.ended = False
        self.stored = True
        self.unwanted = False
        # Set while the model is at work: only then may the task be cancelled, before it would never
        # begin and afterwards never be stored.
        self.working: asyncio.Task[None] | None = None
        # Nobody is waited for: whoever follows reads what is kept.
        self.flow = Flow()
        self._news = asyncio.Event()
        # What is set aside for it where its key has limits.
        self.reservation: Reservation | None = None

    def feed(self, events: Events) -> bool:
        """See :class:`gptoss_api.upstreams.base.Sink`."""
        self.asked.meter.observe(events)
        self.add(self.stream.feed(events))
        return True

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

    def snapshot(self) -> bytes:
        """The response object as far as it has come, as JSON."""
        response = self.stream.snapshot()
        return response if self.stored else not_stored_object(response)

    def record(self) -> StoredResponse:
        """The run as the store and other processes know it."""
        response = self.stream.snapshot()
        return StoredResponse(
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
    """The runs of this process. ``answer_request`` answers a request; ``ended`` is told of those that end."""

    def __init__(
        self, stored: StoredResponses, answer_request: AnswerRequest, drain: Drain, ended: Ended = _unnoticed
    ) -> None:
        self._ended = ended
        self._stored = stored
        self._answer_request = answer_request
        self._drain = drain
        self._runs: dict[tuple[str, str], Run] = {}
        # The event loop itself keeps no strong reference to a task.
        self._tasks: set[asyncio.Task[None]] = set()

    def get(self, caller: str, response_id: str) -> Run | None:
        return self._runs.get((caller, response_id))

    async def start(self, caller: str, request: ResponseRequest, asked: RequestRecord | None = None) -> Run:
        """Begins to work on ``request``, which ``asked`` brought; it can be read before this returns.

        Raises:
            StateUnavailable, InvalidRequest: where it cannot be stored, and so could not be fetched.
        """
        run = Run(caller, request, asked or RequestRecord(()))
        run.add(run.stream.queued())
        not_stored = await self._stored.put(caller, request.id, run.record())
        if not_stored == "unavailable":
            raise no_store()
        if not_stored is not None:
            raise InvalidRequest(
                "The request is too large to be stored, which one in the background has to be. Send it with "
                "'background' set to false.",
                param="background",
            )
        self._runs[caller, request.id] = run
        run.asked.goes_on = True
        self._begin(self._work(run))
        return run

    def _begin(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def forget(self, caller: str, response_id: str) -> None:
        """Offers a run that has ended no longer."""
        self._runs.pop((caller, response_id), None)

    async def _work(self, run: Run) -> None:
        beat = asyncio.create_task(self._beat(run))
        with self._drain:
            run.working = asyncio.current_task()
            last = await self._answer(run)
            run.working = None
            self._account(run)
            if run.reservation is not None:
                await run.reservation.settle()
            beat.cancel()
            # A renewal that is under way must not overwrite the end.
            await asyncio.wait([beat])
            final, events = run.stream.final, b"".join([*run.events, last])
            not_stored = await self._store(run, events)
            if not_stored is None:
                self.forget(run.caller, run.request.id)
            else:
                run.stored = False
                last = last.replace(final, not_stored_object(final))
                self._begin(self._offer(run, events, not_stored))
            run.add(last)
            run.end()
            _log.info("response %s in the background ended: %s", run.request.id, status_of(final))

    def _account(self, run: Run) -> None:
        error = run.failure
        if error is None:
            self._ended(run.asked, 200, "cancelled" if run.unwanted else "ok")
        else:
            status, kind, code = openai_error(error)
            self._ended(run.asked, status, code or kind)

    async def _store(self, run: Run, events: bytes) -> NotStored | None:
        # The events first: whoever sees that it has ended finds them.
        await self._stored.put_events(run.caller, run.request.id, events)
        return await self._stored.put(run.caller, run.request.id, run.record())

    async def _offer(self, run: Run, events: bytes, not_stored: NotStored) -> None:
        """Keeps a run that has ended in this process for a while, as the store does not."""
        caller, response_id = run.caller, run.request.id
        _log.warning("response %s in the background could not be stored: %s", response_id, not_stored)
        deadline = now() + UNSTORED_SECONDS
        while now() < deadline:
            await asyncio.sleep(BEAT_SECONDS)
            if self.get(caller, response_id) is not run:
                return
            if not_stored == "unavailable" and await self._store(run, events) is None:
                _log.info("response %s in the background is stored after all", response_id)
                break
        self.forget(caller, response_id)

    async def _answer(self, run: Run) -> bytes:
        """Works to the end; the value are the last events."""
        if run.unwanted:
            return run.stream.cancel()
        try:
            await self._answer_request(run.request, run)
        except GatewayError as error:
            run.failure = error
        except asyncio.CancelledError:
            # Either the client wants no answer any more or the process ends.
            if not self._drain.expired:
                return run.stream.cancel()
            run.failure = shutting_down()
        except Exception:
            _log.exception("response %s failed in the background", run.request.id)
            run.failure = InternalError(f"The gateway failed; its log has the cause under {run.request.id}.")
        return run.stream.end() if run.failure is None else run.stream.fail(run.failure)

    async def _beat(self, run: Run) -> None:
        renewed = now()
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            if await self._stored.cancel_requested(run.caller, run.request.id):
                run.cancel()
            if now() - renewed >= BEAT_SECONDS:
                renewed = now()
                await self._stored.put(run.caller, run.request.id, run.record())
