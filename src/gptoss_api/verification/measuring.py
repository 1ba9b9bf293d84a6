"""Asks an upstream all that is planned, a few turns at a time, and politely."""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from typing import Final

from msgspec import Struct, field

from ..core.errors import (
    GatewayError,
    InsufficientQuota,
    ModelNotFound,
    Overloaded,
    PermissionDenied,
    UpstreamLoginRequired,
    UpstreamRateLimited,
    UpstreamUnavailable,
)
from ..core.events import Events
from ..core.result import Collector
from ..emulation import EmulatedUpstream
from ..loop import Flow
from ..text.tokens import Tokens
from ..upstreams.base import Capabilities
from ..upstreams.http.recording import TAPE
from .card import Sample
from .cases import Probe
from .overhearing import HEARD
from .sampling import Outcome, sample_of

# Seconds. Where a server asks for more patience, it is not measured any further.
LONGEST_WAIT: Final = 120.0
USUAL_WAIT: Final = 5.0
# How often one turn is asked while the server says that it is too much.
MOST_ASKED: Final = 5
# So many turns in a row that nobody was there for.
MOST_UNREACHED: Final = 3

_HOPELESS: Final = (UpstreamLoginRequired, InsufficientQuota, PermissionDenied, ModelNotFound)

Progress = Callable[[Sample], None]


class Measured(Struct):
    """The ``samples`` there are; ``stopped`` says in words why there are no more, "" where all are there."""

    samples: list[Sample] = field(default_factory=list)
    stopped: str = ""


class Measurement:
    """Asks ``upstream``, whose server's own are the ``capabilities``, for every probe.

    ``progress`` is told of each sample, ``waits`` of each pause, in seconds.
    """

    def __init__(
        self,
        upstream: EmulatedUpstream,
        capabilities: Capabilities,
        tokens: Tokens,
        model: str,
        *,
        progress: Progress,
        waits: Callable[[float], None],
    ) -> None:
        self._upstream = upstream
        self._capabilities = capabilities
        self._tokens = tokens
        self._model = model
        self._progress = progress
        self._told_wait = waits
        self._measured = Measured()
        self._queue: deque[Probe] = deque()
        self._unreached = 0
        # When the server may be asked again, by the clock of the loop.
        self._resumes = 0.0

    async def run(self, probes: Sequence[Probe], concurrency: int, stop: asyncio.Event) -> Measured:
        """At most ``concurrency`` turns at a time, until all are over or ``stop`` is set."""
        self._queue.extend(probes)
        await asyncio.to_thread(self._tokens.warm)
        workers = [asyncio.create_task(self._work()) for _ in range(min(concurrency, len(probes)))]
        stopper = asyncio.create_task(stop.wait())
        try:
            everything = asyncio.gather(*workers)
            await asyncio.wait((everything, stopper), return_when=asyncio.FIRST_COMPLETED)
            if stopper.done() and not everything.done():
                self._measured.stopped = "interrupted"
            else:
                everything.result()
        finally:
            for task in (stopper, *workers):
                task.cancel()
            await asyncio.gather(stopper, *workers, return_exceptions=True)
        return self._measured

    async def _work(self) -> None:
        while self._queue and not self._measured.stopped:
            sample = await self._sample(self._queue.popleft())
            self._measured.samples.append(sample)
            self._progress(sample)

    async def _sample(self, probe: Probe) -> Sample:
        for _ in range(MOST_ASKED):
            await self._pause()
            outcome = await self._ask(probe)
            failure = outcome.failure
            if failure is None or not self._is_too_much(failure):
                return self._judged(outcome)
            if not self._wait(failure):
                break
        sample = self._judged(outcome)
        sample.unmeasured = True
        return sample

    async def _ask(self, probe: Probe) -> Outcome:
        asked = probe.asked()
        listener = _Listener()
        outcome = Outcome(probe, asked.expected, [], [], listener.said)
        TAPE.set(outcome.tape)
        HEARD.set(outcome.heard)
        try:
            await self._upstream.answer(probe.turn(self._model), listener)
        except GatewayError as failure:
            outcome.failure = failure
        return outcome

    def _judged(self, outcome: Outcome) -> Sample:
        """The sample, which says nothing about the server where nobody could ask it."""
        sample = sample_of(outcome, self._capabilities, self._tokens)
        failure = outcome.failure
        if failure is None or not failure.unreached:
            self._unreached = 0
        if failure is None:
            return sample
        if isinstance(failure, _HOPELESS):
            sample.unmeasured = True
            self._measured.stopped = failure.message
        elif failure.unreached:
            sample.unmeasured = True
            self._unreached += 1
            if self._unreached >= MOST_UNREACHED:
                self._measured.stopped = failure.message
        return sample

    def _is_too_much(self, failure: GatewayError) -> bool:
        if isinstance(failure, UpstreamRateLimited | Overloaded):
            return True
        return isinstance(failure, UpstreamUnavailable) and failure.retry_after is not None

    def _wait(self, failure: GatewayError) -> bool:
        """Has everybody wait as long as the server asks; false where that is too long."""
        wait = failure.retry_after or USUAL_WAIT
        if wait > LONGEST_WAIT:
            self._measured.stopped = f"{failure.message} It asks to wait for {wait:.0f} s."
            return False
        now = asyncio.get_running_loop().time()
        if now + wait > self._resumes:
            self._resumes = now + wait
            self._told_wait(wait)
        return True

    async def _pause(self) -> None:
        loop = asyncio.get_running_loop()
        while (wait := self._resumes - loop.time()) > 0:  # noqa: ASYNC110  # a moment is waited for
            await asyncio.sleep(wait)


class _Listener:
    """The client of a turn: it takes everything at once."""

    def __init__(self) -> None:
        self.said = Collector()
        self.flow = Flow()

    def feed(self, events: Events) -> bool:
        """See :class:`gptoss_api.upstreams.base.Sink`."""
        self.said.feed(events)
        return True
