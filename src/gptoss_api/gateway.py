"""The composition root: settings become an upstream that can answer every turn."""

import secrets
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from typing import Final, Literal

from .config import ConfigError, Settings
from .core.events import Events
from .core.turn import Turn
from .emulation import EmulatedUpstream, EmulationSettings
from .state import (
    GuardedStore,
    Store,
    default_url,
    load_secret,
    open_store,
    passwords,
    secret_file,
    without_password,
)
from .text.tokens import Tokens
from .threads import Conversations, Thoughts
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
        self._state_url = state_url(settings)
        self.store = GuardedStore(open_state(settings))
        several = settings.workers > 1 or self.store.name == "redis"
        self._conversations = Conversations(self.store, shared=several)
        self._thoughts = Thoughts(self.store)
        self.secret = _secret(settings, self._state_url)
        self._emulated = EmulatedUpstream(
            self.upstream,
            self.tokens,
            EmulationSettings(
                style=settings.tool_style,
                secret=self.secret,
                repair=settings.repair,
            ),
            conversations=self._conversations if settings.threads else None,
            thoughts=self._thoughts,
        )

    @property
    def secrets(self) -> tuple[str, ...]:
        """What must never be shown, beside the secrets among the settings."""
        return (*self._credentials.secrets, *passwords(self._state_url))

    @property
    def state(self) -> str:
        """The store as it can be shown."""
        return without_password(self._state_url)

    def open(self, turn: Turn) -> AbstractAsyncContextManager[AsyncIterator[Events]]:
        """Answers ``turn``; see :meth:`gptoss_api.upstreams.base.Upstream.open`."""
        return self._emulated.open(turn)

    async def health(self) -> Health:
        return await self.upstream.health()

    async def close(self) -> None:
        await self.upstream.close()
        await self._http.close()
        await self._conversations.close()
        await self._thoughts.close()
        await self.store.close()

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


def _secret(settings: Settings, state: str) -> bytes:
    """What this gateway recognises its own by; the same for all that share the state."""
    if settings.server_key is not None:
        return settings.server_key.encode()
    kept = secret_file(state)
    return load_secret(kept) if kept is not None else secrets.token_bytes(32)


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


def state_url(settings: Settings) -> str:
    return settings.state or default_url()


def open_state(settings: Settings) -> Store:
    """The configured store, connected when it is first used.

    Raises:
        ConfigError: for a URL of which no store can be made.
    """
    try:
        return open_store(state_url(settings))
    except ValueError as error:
        raise ConfigError(f"GPTOSS_STATE: {error}") from None


def read_credentials(settings: Settings) -> Credentials:
    """The login at gpt-oss.com, from the settings or the file that keeps it.

    Raises:
        ConfigError: for a configured text without cookies.
    """
    try:
        return Credentials.load(settings.cookie, settings.credentials_file)
    except ValueError as error:
        raise ConfigError(f"GPTOSS_COOKIE: {error}") from None
