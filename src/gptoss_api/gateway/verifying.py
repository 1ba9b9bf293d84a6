"""The configured upstreams, each by itself and with everything heard that it says, to be measured."""

import asyncio
import os
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Final, Protocol

from msgspec import Struct
from msgspec.structs import replace

from ..config import Settings
from ..core.catalog import DEFAULT_MODEL, MODELS
from ..core.errors import GatewayError
from ..emulation import EmulatedUpstream, EmulationSettings
from ..telemetry.logs import hide_from_logs
from ..text.tokens import Tokens
from ..upstreams.base import Backend
from ..upstreams.http.recording import TapingClient
from ..verification.card import Card, Run, Sample, Subject, make_card
from ..verification.cases import plan
from ..verification.history import History
from ..verification.measuring import Measurement
from ..verification.overhearing import Overheard
from ..verification.sampling import forms_of
from .building import UpstreamBuilder
from .gateway import load_ranks
from .preference import subject_of
from .selection import Selection, choose_upstreams, read_credentials
from .state import GatewayState

# Seconds within which a server has to show that it is there.
LOOK_TIME: Final = 10.0
# Seconds that the store may take to keep a result: minutes were spent on it, and nobody else waits.
KEEP_TIME: Final = 15.0


class Order(Struct, frozen=True):
    """What is to be measured: ``n`` turns for each area, ``concurrency`` at a time.

    ``model`` is a canonical id, "" for the first that an upstream serves.
    """

    n: int
    quick: bool = False
    concurrency: int = 2
    model: str = ""


class Watcher(Protocol):
    """Who is told while an upstream is measured."""

    def measured(self, sample: Sample) -> None: ...

    def waits(self, seconds: float) -> None:
        """The server asked for a pause."""
        ...


class Unmeasurable(Exception):
    """An upstream that cannot be asked now; the message says why, and what mends it."""


class Candidate(Struct, frozen=True):
    """One upstream: ``upstream`` as it is, ``emulated`` as clients of the gateway have it."""

    subject: Subject
    upstream: Backend
    emulated: EmulatedUpstream
    tokens: Tokens

    async def measure(self, order: Order, watcher: Watcher, stop: asyncio.Event) -> Card:
        """The score card, of what there is by the time that ``stop`` is set.

        Raises:
            Unmeasurable: before anything was asked.
        """
        # What kind of server is at an address shows now.
        await self.upstream.look(LOOK_TIME)
        health = await self.upstream.health()
        if not health.ready:
            raise Unmeasurable(health.detail)
        subject = replace(self.subject, model=order.model or await self._usual_model())
        capabilities = self.upstream.capabilities
        probes = plan(order.n, quick=order.quick)
        started, began = time.time(), time.monotonic()
        measurement = Measurement(
            self.emulated,
            capabilities,
            self.tokens,
            subject.model,
            progress=watcher.measured,
            waits=watcher.waits,
        )
        measured = await measurement.run(probes, order.concurrency, stop)
        seconds = time.monotonic() - began
        run = Run(order.n, order.quick, len(probes), started, seconds, bool(measured.stopped))
        notes = list(filter(None, [measured.stopped]))
        if capabilities.history and not capabilities.thoughts:
            notes.append("servers of this kind are sent no earlier thoughts")
        return make_card(subject, run, measured.samples, forms_of(capabilities), notes)

    async def _usual_model(self) -> str:
        try:
            served = {model.id for model in await self.upstream.models()}
        except GatewayError:
            served = set()
        return next((model.id for model in MODELS if model.id in served), DEFAULT_MODEL)


class Bench(Struct, frozen=True):
    """The ``candidates`` of a ``selection``, in its order; none for the demo."""

    selection: Selection
    candidates: tuple[Candidate, ...]


@asynccontextmanager
async def open_bench(settings: Settings, environ: Mapping[str, str] | None = None) -> AsyncIterator[Bench]:
    """The upstreams of ``settings``. None asks again by itself, and none remembers conversations.

    Raises:
        ConfigError: for settings that only show to be wrong when they are used.
    """
    environ = os.environ if environ is None else environ
    credentials = read_credentials(settings)
    selection = choose_upstreams(settings, credentials, environ)
    selection.refuse_unreadable_login()
    credentials.hide_with(hide_from_logs)
    http = TapingClient(connect_timeout=settings.connect_timeout)
    builder = UpstreamBuilder(settings, credentials, http, environ)
    tokens = Tokens(load_ranks)
    emulation = EmulationSettings(style=settings.tool_style, repair=settings.repair)
    upstreams = [builder.build(entry, alone=False) for entry in selection.upstreams]
    hide_from_logs(builder.keys)
    candidates = tuple(
        Candidate(
            subject_of(entry, settings),
            upstream,
            EmulatedUpstream(Overheard(upstream), tokens, emulation),
            tokens,
        )
        for entry, upstream in zip(selection.upstreams, upstreams, strict=True)
    )
    try:
        yield Bench(selection, candidates)
    finally:
        for upstream in upstreams:
            await upstream.close()
        await http.close()


async def keep(card: Card, settings: Settings) -> None:
    """Adds ``card`` to the results in the configured store.

    Raises:
        StoreUnavailable: where it could not.
    """
    state = GatewayState(settings, operation_time=KEEP_TIME)
    try:
        await History(state.store).keep(card)
    finally:
        await state.close()
