"""Takes over settings that were changed while the gateway runs, all of them or none."""

import asyncio
import contextlib
import logging
from collections.abc import Callable, Mapping
from typing import Final

from msgspec import Struct

from ..config import UPSTREAMS, Change, ConfigError, Settings, fingerprint, reread, shown_names, watched
from ..gateway import Gateway
from ..telemetry.logs import hide_from_logs, set_log_level

# Seconds between two looks at the files.
LOOK_EVERY: Final = 2.0
# A file that is being written changes again within so many seconds.
_SETTLES: Final = 0.15

_log = logging.getLogger(__name__)


class Outcome(Struct, frozen=True):
    """What a look at the settings brought, by the names that users know."""

    changed: tuple[str, ...] = ()
    needs_restart: tuple[str, ...] = ()


class Reloader:
    """Follows the settings' files. ``given`` is what the command line said; it holds for ever.

    ``use`` has the HTTP side go by other settings. ``share`` makes a worker's part of settings. ``problem``
    says why the settings as they are written down now are not in force, "" where they are. Of several
    processes, all of which follow, one ``tells`` the log; one that ``joins`` others looks at once what has
    changed since they began.
    """

    def __init__(
        self,
        settings: Settings,
        given: Mapping[str, object],
        gateway: Gateway,
        use: Callable[[Settings], None],
        *,
        share: Callable[[Settings], Settings] = lambda settings: settings,
        tells: bool = True,
        joins: bool = False,
    ) -> None:
        self._settings = settings
        self._given = given
        self._gateway = gateway
        self._use = use
        self._share = share
        self._tells = tells
        self._seen: tuple[object, ...] = () if joins else fingerprint(*watched(settings))
        self._lock = asyncio.Lock()
        self.problem = ""
        self.needs_restart: tuple[str, ...] = ()

    async def follow(self) -> None:
        """Looks again and again, until it is cancelled."""
        while True:
            if await self._fingerprint() != self._seen:
                await asyncio.sleep(_SETTLES)
                # What is wrong was logged, and GET / tells it.
                with contextlib.suppress(ConfigError):
                    await self.reload(asked=False)
            await asyncio.sleep(LOOK_EVERY)

    async def reload(self, *, asked: bool = True) -> Outcome:
        """Takes over what is written down now; who ``asked`` for it is told also that nothing changed.

        Raises:
            ConfigError: where that cannot be used; everything stays as it was.
        """
        async with self._lock:
            self._seen = await self._fingerprint()
            try:
                change = await asyncio.to_thread(reread, self._settings, self._given)
                await self._apply(change)
            except ConfigError as error:
                self.problem = str(error)
                self._tell(logging.WARNING, "the settings stay as they were: %s", error)
                raise
            outcome = Outcome(tuple(shown_names(change.changed)), change.needs_restart)
            self.problem, self.needs_restart = "", change.needs_restart
            if outcome.changed:
                self._tell(logging.INFO, "settings changed: %s", ", ".join(outcome.changed))
            if outcome.needs_restart:
                names = ", ".join(outcome.needs_restart)
                self._tell(logging.WARNING, "settings that need a restart: %s", names)
            if asked and outcome == Outcome():
                self._tell(logging.INFO, "settings were read again: nothing changed")
            return outcome

    async def _apply(self, change: Change) -> None:
        settings = change.settings
        hide_from_logs(settings.secrets)
        if change.changed & UPSTREAMS:
            # The only step that can fail comes first.
            await self._gateway.reload(self._share(settings))
            hide_from_logs(self._gateway.secrets)
        self._gateway.state.use_keys(settings)
        set_log_level(settings.log_level)
        self._settings = settings
        self._use(settings)

    def _tell(self, level: int, message: str, *words: object) -> None:
        _log.log(level if self._tells else logging.DEBUG, message, *words)

    async def _fingerprint(self) -> tuple[object, ...]:
        return await asyncio.to_thread(fingerprint, *watched(self._settings))
