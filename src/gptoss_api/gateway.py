"""The composition root: settings become an upstream that can answer every turn."""

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from typing import Final, Literal

from .config import ConfigError, Settings
from .core.events import Events
from .core.turn import Turn
from .emulation import EmulatedUpstream, EmulationSettings
from .text.tokens import Tokens
from .upstreams.admission import Admission
from .upstreams.base import Health, Upstream
from .upstreams.chatkit import ChatKitUpstream, Credentials
from .upstreams.chatkit.client import DEFAULT_URL
from .upstreams.demo import DemoUpstream
from .upstreams.http import HttpClient

UpstreamName = Literal["gpt-oss.com", "demo"]

_SITE: Final = "gpt-oss.com"
_DEMO: Final = "demo"


class Gateway:
    """What the server asks for answers.

    ``chosen_because`` says in words how the upstream was selected, for the log and ``GET /``.

    Raises:
        ConfigError: for settings that only show to be wrong when they are used.
    """

    def __init__(self, settings: Settings) -> None:
        self._credentials = read_credentials(settings)
        self._http = HttpClient(
            connect_timeout=settings.connect_timeout, max_idle_per_origin=settings.max_concurrency
        )
        self.tokens = Tokens()
        chosen, self.chosen_because = choose_upstream(settings, self._credentials)
        self.is_demo = chosen == _DEMO
        self.upstream: Upstream = DemoUpstream() if self.is_demo else self._chatkit(settings)
        self._emulated = EmulatedUpstream(
            self.upstream, self.tokens, EmulationSettings(style=settings.tool_style, repair=settings.repair)
        )

    @property
    def secrets(self) -> tuple[str, ...]:
        """What must never be shown, beside the secrets among the settings."""
        return self._credentials.secrets

    def open(self, turn: Turn) -> AbstractAsyncContextManager[AsyncIterator[Events]]:
        """Answers ``turn``; see :meth:`gptoss_api.upstreams.base.Upstream.open`."""
        return self._emulated.open(turn)

    async def health(self) -> Health:
        return await self.upstream.health()

    async def close(self) -> None:
        await self.upstream.close()
        await self._http.close()

    def _chatkit(self, settings: Settings) -> ChatKitUpstream:
        return ChatKitUpstream(
            self._http,
            Admission(settings.max_concurrency, settings.max_queue, settings.queue_timeout),
            self._credentials,
            url=settings.chatkit_url or DEFAULT_URL,
            dialect=settings.chatkit_dialect,
            idle_timeout=settings.idle_timeout,
            total_timeout=settings.total_timeout,
        )


def choose_upstream(settings: Settings, credentials: Credentials) -> tuple[UpstreamName, str]:
    """Which upstream answers, and why in words. The demo stands in only where nothing else is configured."""
    match settings.upstream:
        case "demo":
            return _DEMO, "GPTOSS_UPSTREAM is demo"
        case "gpt-oss.com":
            return _SITE, "GPTOSS_UPSTREAM is gpt-oss.com"
        case _:
            pass
    if credentials.configured:
        return _SITE, "a login at gpt-oss.com is configured"
    if settings.chatkit_url is not None:
        return _SITE, "GPTOSS_CHATKIT_URL is configured"
    return _DEMO, "no credential and no server is configured"


def read_credentials(settings: Settings) -> Credentials:
    """The login at gpt-oss.com, from the settings or the file that keeps it.

    Raises:
        ConfigError: for a configured text without cookies.
    """
    try:
        return Credentials.load(settings.cookie, settings.credentials_file)
    except ValueError as error:
        raise ConfigError(f"GPTOSS_COOKIE: {error}") from None
