"""The attempts at a turn, as every upstream over HTTP makes them, whatever its protocol.

A turn waits for its slot, is asked, and its answer is fed on read by read. A failure before the first batch
may be worth another attempt, one after it never is. The slot is free as soon as the upstream has said all.
"""

import asyncio
import logging
import random
from collections.abc import Callable, Coroutine, Mapping
from typing import Any, Final, Protocol

from ..core.errors import GatewayError, ThreadLost, UpstreamRateLimited
from ..core.events import Events, Started
from ..core.redaction import Redactor
from ..core.tracing import ATTEMPTED, TRACED, AttemptTrace
from ..core.turn import Turn
from .admission import Admission, Slot
from .base import Brake, Sink, log_fields
from .clock import TurnClock
from .health import UpstreamHealth
from .http import HttpClient, HttpResponse, parse_address
from .reading import AnswerReader
from .refusals import without_secrets

# Seconds. Another attempt is worth a short wait only; a longer one is the client's to decide.
RETRY_PAUSE: Final = 0.25
LONGEST_RETRY_PAUSE: Final = 2.0
# How long the body of a refusal is waited for, in seconds, how much of it is read, in bytes, and how many
# characters of that the log shows.
REFUSAL_TIME: Final = 5.0
REFUSAL_SIZE: Final = 64 * 1024
LOGGED_LENGTH: Final = 500

_log = logging.getLogger(__name__)


class UpstreamTurn(Protocol):
    """One turn in the protocol of its upstream: how it is asked, read and understood when it fails."""

    @property
    def turn(self) -> Turn: ...

    @property
    def redact(self) -> Redactor:
        """What knows the secrets that were sent, which the upstream may repeat."""
        ...

    def ask(self, clock: TurnClock) -> Coroutine[Any, Any, HttpResponse]:
        """The response that holds the answer, which is to be left; raises a failure for a refusal."""
        ...

    def reader(self, response: HttpResponse, clock: TurnClock) -> AnswerReader: ...

    def started(self) -> Started:
        """What is known of the answer when its first batch is there; raises what only shows then."""
        ...

    def judge(self, failure: GatewayError, *, answering: bool) -> tuple[GatewayError, float | None]:
        """What a failure before the first batch means, and in how many seconds to ask again, if at all.

        ``answering`` says that the upstream had begun a response. It is for this to bound the attempts.
        """
        ...


class Attempts:
    """Answers turns at one upstream, which messages call ``title``, the log ``name`` and traces ``provider``.

    ``total_timeout`` bounds the whole turn, in seconds (``None``: no bound). For ``drain_time`` seconds the
    rest of a stream that was cut short is read beside, so that its connection can be used again; the turn
    keeps its slot meanwhile, because the upstream is still at work on it. 0 gives the connection up.
    """

    def __init__(
        self,
        name: str,
        admission: Admission,
        health: UpstreamHealth,
        *,
        title: str,
        provider: str,
        total_timeout: float | None,
        drain_time: float = 0.0,
    ) -> None:
        self._name = name
        self._provider = provider
        self._title = title
        self._admission = admission
        self._health = health
        self._total_timeout = total_timeout
        self._drain_time = drain_time
        self._draining: set[asyncio.Task[None]] = set()

    async def answer(self, asked: UpstreamTurn, sink: Sink) -> None:
        """See :class:`gptoss_api.upstreams.base.Upstream`."""
        with Slot(self._admission, asked.turn.queue) as slot:
            if not slot.held:
                await slot.wait()
            clock = TurnClock(self._title, self._total_timeout)
            repeated = False
            while True:
                request = TRACED.get()
                trace = None if request is None else request.attempt(self._provider, asked.turn)
                delivery = _Delivery(self, asked, slot, sink if trace is None else _Observed(sink, trace))
                try:
                    if trace is None:
                        await self._attempt(delivery, clock)
                    else:
                        with trace:
                            await self._attempt(delivery, clock)
                    return
                except GatewayError as error:
                    failure = without_secrets(error, asked.redact)
                pause: float | None = None
                if not delivery.begun:
                    failure, pause = asked.judge(failure, answering=delivery.answering)
                if pause is None or not clock.allows(pause):
                    self._health.note(failure)
                    failure.repeated = repeated
                    raise failure
                repeated = True
                _log.info(
                    "asking %s once more in %.2f s: %s",
                    self._name,
                    pause,
                    failure.message,
                    extra=log_fields(asked.turn.request_id),
                )
                await asyncio.sleep(pause)

    async def _attempt(self, delivery: "_Delivery", clock: TurnClock) -> None:
        delivery.response = response = await delivery.asked.ask(clock)
        delivery.answering = True
        try:
            delivery.reader = reader = delivery.asked.reader(response, clock)
            clock.at_end = delivery.out_of_time
            if clock.over:
                # It ended in the moment in which the response began.
                asyncio.get_running_loop().call_soon(delivery.out_of_time)
            await reader.read(delivery)
            if reader.over and not delivery.drained:
                await reader.settle()
        finally:
            clock.at_end = None
            if not delivery.drained:
                response.leave()

    async def close(self) -> None:
        """Lets go of connections that are still being drained."""
        for task in self._draining:
            task.cancel()
        await asyncio.gather(*self._draining, return_exceptions=True)

    def ended_well(self, delivery: "_Delivery", *, cut_short: bool) -> None:
        """Notes that an answer is complete; what is left of one that was ``cut_short`` is read beside."""
        self._health.note(None)
        if cut_short and self._drain_time:
            delivery.drained = True
            self._drain(delivery.response, delivery.slot.handed_over())

    def _drain(self, response: HttpResponse, slot: Slot) -> None:
        async def drain() -> None:
            try:
                await response.finish(self._drain_time)
            finally:
                response.leave()
                slot.release()

        task = asyncio.create_task(drain())
        self._draining.add(task)
        task.add_done_callback(self._draining.discard)


class _Delivery:
    """The way of one attempt's answer to whom it is for.

    ``answering`` says that the upstream has begun a response, ``begun`` that something of it was fed,
    ``drained`` that its rest is read beside.
    """

    __slots__ = (
        "_attempts",
        "_sink",
        "answering",
        "asked",
        "begun",
        "drained",
        "feed",
        "flow",
        "reader",
        "response",
        "slot",
    )

    def __init__(self, attempts: Attempts, asked: UpstreamTurn, slot: Slot, sink: Sink) -> None:
        self._attempts = attempts
        self._sink = sink
        self.flow = sink.flow
        self.asked = asked
        self.slot = slot
        self.response: HttpResponse
        self.reader: AnswerReader
        self.drained = False
        self.answering = False
        self.begun = False
        self.feed: Callable[[Events], bool] = self._begin

    def _begin(self, events: Events) -> bool:
        events = [self.asked.started(), *events]
        self.begun = True
        # There is nothing else to do here for what follows.
        self.feed = self._sink.feed
        return self.feed(events)

    def ended(self, reader: AnswerReader) -> None:
        if reader.over:
            self._attempts.ended_well(self, cut_short=reader.cut_short)
        self.slot.release()

    def out_of_time(self) -> None:
        self.reader.out_of_time()
        self.response.abandon()
        self.slot.release()


class _Observed:
    """Shows a trace what a sink takes."""

    def __init__(self, sink: Sink, trace: AttemptTrace) -> None:
        self._sink = sink
        self._trace = trace

    @property
    def flow(self) -> Brake:
        return self._sink.flow

    def feed(self, events: Events) -> bool:
        self._trace.observe(events)
        return self._sink.feed(events)


def post(
    http: HttpClient,
    url: str,
    *,
    headers: Mapping[str, str],
    body: bytes,
    clock: TurnClock,
    idle_timeout: float | None,
    streamed: bool = True,
) -> Coroutine[Any, Any, HttpResponse]:
    """The response to a request, which is to be left, if its head comes within the turn's time.

    ``streamed`` says in traces whether it asks for a stream.
    """
    if (trace := ATTEMPTED.get()) is not None:
        origin = parse_address(url).origin
        headers = {**headers, **trace.addressed(origin.host, origin.port, streamed=streamed)}
    return http.open("POST", url, headers=headers, body=body, idle_timeout=idle_timeout, clock=clock)


async def read_refusal(response: HttpResponse, upstream: str, redact: Redactor, turn: Turn) -> bytes:
    """What arrives of the body in a short time, after which ``response`` is left.

    ``upstream`` is the name for the log.
    """
    body = b""
    try:
        async with asyncio.timeout(REFUSAL_TIME):
            body = await response.read_all(REFUSAL_SIZE)
    except (TimeoutError, GatewayError):
        _log.debug("the refusal's body did not arrive", extra=log_fields(turn.request_id))
    finally:
        response.leave()
    _log.warning(
        "%s answered HTTP %d (%s): %s",
        upstream,
        response.status,
        (response.headers.get("content-type") or "no content type")[:100],
        redact(body.decode("utf-8", "replace"))[:LOGGED_LENGTH],
        extra=log_fields(turn.request_id),
    )
    return body


def retry_pause(failure: GatewayError) -> float | None:
    """How many seconds to wait before asking again, or ``None`` if that makes no sense here."""
    if not failure.retryable or isinstance(failure, ThreadLost):
        return None
    if failure.retry_after is not None:
        return failure.retry_after if failure.retry_after <= LONGEST_RETRY_PAUSE else None
    if isinstance(failure, UpstreamRateLimited):
        return None
    return RETRY_PAUSE * random.uniform(1.0, 2.0)  # noqa: S311  # spreads retries, guards nothing
