"""What the server asks for answers: the chosen upstreams, put together."""

import asyncio
import contextlib
import logging
import os
from collections.abc import Coroutine, Mapping
from functools import cache
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from ..config import ConfigError, Settings, UpstreamSettings
from ..core.catalog import Model
from ..core.errors import GatewayError
from ..core.histogram import Histogram
from ..core.servers import AUTO, DEMO, SITE
from ..core.turn import Turn
from ..emulation import EmulatedUpstream, EmulationSettings
from ..routing import BreakerState, Route, Router
from ..state import cache_folder, map_cached
from ..telemetry.logs import hide_from_logs
from ..text.ranks import TABLE_SHA256, Ranks, build_table
from ..text.tokens import Tokens
from ..threads import Notes
from ..upstreams.base import Backend, Health, Sink, Upstream
from ..upstreams.demo import DemoUpstream
from ..upstreams.http import HttpClient
from ..verification.card import Subject
from ..verification.history import History
from .building import UpstreamBuilder
from .models import LIST_TIME, list_models
from .preference import Preference, subject_of
from .selection import Selection, choose_upstreams, read_credentials, select_login
from .state import GatewayState

_log = logging.getLogger(__name__)

# As long as a balancer waits for the state, in seconds.
_STATE_TIME = 0.8
# Seconds between looks for a login where the demo answers.
_LOGIN_PAUSE = 1.0


class UpstreamState(Struct, frozen=True):
    """One upstream as ``GET /`` shows it."""

    name: str
    kind: str
    health: Health


class UpstreamDetails(Struct, frozen=True):
    """One upstream as whoever runs the gateway wants to see it, without any secret.

    ``address`` has no user and no query. ``models`` are its own names, as far as it tells. ``login`` is where
    a website needs one: ``kept``, ``missing``, or why it cannot be read. The demo has no slots.
    """

    name: str
    kind: str
    address: str
    health: Health
    breaker: BreakerState
    models: tuple[str, ...]
    login: str = ""
    slots: int = 0
    most_waiting: int = 0


class Gateway:
    """What the server asks for answers.

    ``environ`` is the process environment unless given. A gateway that ``joins`` others that serve already,
    as a worker does, starts with what stops the first one: a login that cannot be read. ``notes`` are those
    that it shares with them.

    Raises:
        ConfigError: for settings that only show to be wrong when they are used.
    """

    def __init__(
        self,
        settings: Settings,
        environ: Mapping[str, str] | None = None,
        *,
        joins: bool = False,
        notes: Notes | None = None,
    ) -> None:
        self._environ = environ = os.environ if environ is None else environ
        self._credentials = read_credentials(settings)
        selection = choose_upstreams(settings, self._credentials, environ)
        if not joins:
            selection.refuse_unreadable_login()
        self._http = HttpClient(
            connect_timeout=settings.connect_timeout, max_idle_per_origin=settings.max_concurrency
        )
        self.tokens = Tokens(load_ranks)
        self.state = GatewayState(settings, notes)
        self._emulation = EmulationSettings(
            style=settings.tool_style, secret=self.state.secret, repair=settings.repair
        )
        # By upstream, since the start: other settings do not take back what was counted.
        self.waits: dict[str, Histogram] = {}
        self._builder = UpstreamBuilder(settings, self._credentials, self._http, environ, self.waits)
        self._credentials.hide_with(hide_from_logs)
        self._settings = settings
        self._choose(selection)

    _preference: Preference | None

    def _choose(self, selection: Selection) -> None:
        """Uses what ``auto`` or somebody chose, and knows which logins that come or go make a difference."""
        finds = self._settings.upstream == AUTO and not self._settings.upstreams
        self._awaits_login = finds and selection.is_demo
        self._needs_login = finds and select_login(self._credentials) is not None
        self._use(selection)

    def _use(self, selection: Selection) -> None:
        """Has every turn from now on answered by ``selection``."""
        self._selection = selection
        entries = selection.upstreams
        self._upstreams: list[Backend] = [
            self._builder.build(entry, alone=len(entries) == 1) for entry in entries
        ] or [DemoUpstream(makes_room=self._awaits_login)]
        self._emulated = [
            EmulatedUpstream(
                upstream,
                self.tokens,
                self._emulation,
                conversations=self.state.conversations,
                reasoning=self.state.reasoning,
            )
            for upstream in self._upstreams
        ]
        # A lone upstream needs no router: there is nobody else to ask while it would rest.
        self._router = None
        self._preference = None
        if len(self._emulated) > 1:
            routes = [
                Route(upstream, entry.order or 0, entry.weight or 1.0, entry.first_byte_timeout)
                for upstream, entry in zip(self._emulated, entries, strict=True)
            ]
            if self._settings.prefer == "verified":
                self._preference = Preference(History(self.state.store), self.subjects)
                self._router = Router(routes, rank=self._preference.rank)
            else:
                self._router = Router(routes)
        self._upstream: Upstream = self._router or self._emulated[0]
        self._only_upstream = "" if self._router else self._upstream.name

    async def reload(self, settings: Settings) -> None:
        """Has every turn from now on answered by the upstreams of ``settings``; running ones end as they are.

        Raises:
            ConfigError: for what cannot be used; then nothing changes.
        """
        environ = self._environ
        selection = await asyncio.to_thread(choose_upstreams, settings, self._credentials, environ)
        selection.refuse_unreadable_login()
        builder = UpstreamBuilder(settings, self._credentials, self._http, environ, self.waits)
        for entry in selection.upstreams:
            # To see that it can be made.
            builder.build(entry, alone=len(selection.upstreams) == 1)
        self._builder = builder
        self._settings = settings
        self._choose(selection)

    def _look_for_login(self) -> None:
        """Lets a demo that ``auto`` fell to make room for a login; a look costs one call of ``stat``."""
        if not self._awaits_login:
            return
        self._credentials.follow()
        if (site := select_login(self._credentials)) is not None:
            self._choose(site)
            log = _log.warning if site.unreadable else _log.info
            log("answers come from %s instead of the demo: %s", site.names, site.because)

    async def _look_whether_login_stays(self) -> None:
        """Has turns answered by what ``auto`` finds without a login, once the one that it found is gone."""
        if not self._needs_login:
            return
        self._credentials.follow()
        if select_login(self._credentials) is not None:
            return
        settings = self._settings
        try:
            selection = await asyncio.to_thread(choose_upstreams, settings, self._credentials, self._environ)
            if settings is not self._settings:
                return
            self._choose(selection)
        except ConfigError as error:
            self._needs_login = False
            _log.warning("the login is gone, and nothing takes its place until a restart: %s", error)
            return
        _log.warning("answers come from %s now: %s", selection.names, selection.because)

    async def watch_login(self) -> None:
        """Follows logins that come and go also while nobody asks for anything; ends when cancelled."""
        while True:
            await asyncio.sleep(_LOGIN_PAUSE)
            self._look_for_login()
            await self._look_whether_login_stays()

    @property
    def selection(self) -> Selection:
        """Which upstreams answer, and why."""
        self._look_for_login()
        return self._selection

    @property
    def subjects(self) -> list[Subject]:
        """What results of the upstreams are kept under."""
        return [subject_of(entry, self._settings) for entry in self._selection.upstreams]

    @property
    def prefers_verified(self) -> bool:
        """Whether the best upstream of a model is the one with the best result."""
        return self._settings.prefer == "verified"

    @property
    def upstream(self) -> Upstream:
        """What answers every turn."""
        self._look_for_login()
        return self._upstream

    @property
    def is_demo(self) -> bool:
        return self.selection.is_demo

    @property
    def secrets(self) -> tuple[str, ...]:
        """What must never be shown, beside the secrets among the settings."""
        return (*self._credentials.secrets, *self._builder.keys, *self.state.secrets)

    def answer(self, turn: Turn, sink: Sink) -> Coroutine[Any, Any, None]:
        """Answers ``turn``; see :class:`gptoss_api.upstreams.base.Upstream`."""
        if self._awaits_login:
            self._look_for_login()
        if self._preference is not None:
            return self._answer_ranked(self._preference, turn, sink)
        # Handed on as it is: what stood between would be woken with every read.
        return self._upstream.answer(turn, sink)

    async def _answer_ranked(self, preference: Preference, turn: Turn, sink: Sink) -> None:
        await preference.known()
        await self.upstream.answer(turn, sink)

    async def count(self, turn: Turn) -> int:
        """The tokens of ``turn``'s prompt, as the upstream that would be asked first is charged for."""
        self._look_for_login()
        first = 0 if self._router is None else self._router.first(turn)
        return await self._emulated[first].count(turn)

    @property
    def only_upstream(self) -> str:
        """The name of the upstream that answers every turn, "" where there are several."""
        if self._awaits_login:
            self._look_for_login()
        return self._only_upstream

    async def look(self, patience: float) -> None:
        """Looks for the upstreams of which too little is known, for at most ``patience`` seconds."""
        self._look_for_login()
        await asyncio.gather(*(upstream.look(patience) for upstream in self._upstreams))

    async def health(self) -> Health:
        """Whether a turn could be answered now; never ready for upstreams that are not known to be there."""
        await self.look(_STATE_TIME)
        return await self.upstream.health()

    async def states(self) -> list[UpstreamState]:
        """Every upstream by itself, where there are several; as :meth:`health` found them."""
        entries = self.selection.upstreams
        if self._router is None:
            return []
        healths = await self._router.healths()
        return [
            UpstreamState(entry.name, entry.kind, health)
            for entry, health in zip(entries, healths, strict=True)
        ]

    async def details(self) -> list[UpstreamDetails]:
        """Every upstream; as :meth:`health` found them."""
        if self._router is None:
            healths = [await self.upstream.health()]
        else:
            healths = await self._router.healths()
        entries = self.selection.upstreams or (UpstreamSettings(DEMO, DEMO),)
        breakers = self.breakers
        return [
            await self._details(upstream, entry, health, breakers[entry.name])
            for upstream, entry, health in zip(self._upstreams, entries, healths, strict=True)
        ]

    async def _details(
        self, upstream: Backend, entry: UpstreamSettings, health: Health, breaker: BreakerState
    ) -> UpstreamDetails:
        models: tuple[str, ...] = ()
        if upstream.reached:
            with contextlib.suppress(GatewayError, TimeoutError):
                async with asyncio.timeout(_STATE_TIME):
                    models = tuple(served.name for served in await upstream.models())
        found = UpstreamDetails(
            entry.name, entry.kind, self._builder.address(entry), health, breaker, models, self._login(entry)
        )
        if (admission := self._builder.admissions.get(entry.name)) is None:
            return found
        return replace(
            found,
            slots=admission.limit,
            most_waiting=admission.max_waiting,
        )

    def _login(self, entry: UpstreamSettings) -> str:
        if entry.kind != SITE:
            return ""
        if self._credentials.configured:
            return "kept"
        return self._credentials.unreadable or "missing"

    @property
    def waiting(self) -> dict[str, int]:
        """How many turns wait for each upstream."""
        return {name: admission.waiting for name, admission in self._builder.admissions.items()}

    @property
    def running(self) -> dict[str, int]:
        """How many turns hold a place at each upstream."""
        return {name: admission.active for name, admission in self._builder.admissions.items()}

    @property
    def breakers(self) -> dict[str, BreakerState]:
        """How each upstream is used; one that is alone is always."""
        if self._router is not None:
            return self._router.breakers
        return {upstream.name: BreakerState.CLOSED for upstream in self._upstreams}

    async def models(self, patience: float = LIST_TIME) -> list[Model]:
        """What the upstreams that were ever reached serve: canonical ids first, then their own names.

        Both canonical ids are there where those upstreams do not tell. A look at the others is waited for,
        ``patience`` seconds at most.
        """
        await self.look(patience)
        return await list_models([upstream for upstream in self._upstreams if upstream.reached])

    async def close(self) -> None:
        if self._preference is not None:
            await self._preference.close()
        for upstream in self._upstreams:
            await upstream.close()
        await self._http.close()
        await self.state.close()


@cache
def load_ranks() -> Ranks:
    """Those of this process and of all that are forked from it."""
    path = cache_folder() / f"o200k_base-{TABLE_SHA256[:12]}.ranks"
    return Ranks(map_cached(path, TABLE_SHA256, build_table))
