"""What the gateway remembers between requests, made of its settings."""

import asyncio
from typing import Final

from ..access import Accounts, ApiKeys
from ..access.origins import is_loopback
from ..config import ConfigError, Settings
from ..core.sealing import load_cipher
from ..state import (
    OPERATION_TIME,
    GuardedStore,
    KeyStore,
    SealedStore,
    Store,
    StoreUnavailable,
    UsageBehind,
    default_url,
    is_shared,
    keys_of,
    load_secret,
    open_store,
    open_usage,
    passwords,
    secret_file,
    without_password,
)
from ..threads import REASONING_TTL, Conversations, Notes, ReasoningCache, ThreadLimits

# Seconds within which the end of a conversation is stored: what a process that is killed may take with it,
# and what another worker may wait for it. Where nobody would know to wait, it is stored at once.
_PAUSE_ALONE: Final = 0.5
_PAUSE_NOTED: Final = 0.05

_UNITS: Final = (("days", 86_400), ("hours", 3_600), ("minutes", 60))


class GatewayState:
    """The store and what is kept in it: one for all upstreams.

    ``conversations`` is ``None`` where none is to be continued. ``secret`` is empty where it need not outlive
    the process. What outlives it is sealed, but for the ``keys``, of which there are only digests, and for
    what the ``accounts`` of keys with limits hold. ``notes`` are those of a worker whose fellows are all that
    share the store with it. The store may take ``operation_time`` seconds for each operation.
    """

    def __init__(
        self, settings: Settings, notes: Notes | None = None, *, operation_time: float = OPERATION_TIME
    ) -> None:
        self._settings = settings
        self._url = state_url(settings)
        store = open_state(settings)
        self.secret = _secret(settings.server_key, self._url)
        self.store = GuardedStore(
            SealedStore(store, self.secret) if is_shared(self._url) else store, operation_time=operation_time
        )
        created = keys_of(store)
        self.keys = self._api_keys(created)
        self.accounts = Accounts(
            None
            if created is None
            else lambda account, change: self.store.attempted(created.change(account, change))
        )
        alone = settings.workers == 1 and self.store.name != "redis"
        pause = _PAUSE_ALONE if alone else _PAUSE_NOTED if notes is not None else 0.0
        self._conversations = Conversations(self.store, pause=pause, notes=notes)
        self.conversations = self._conversations if settings.threads else None
        self.reasoning = ReasoningCache(self.store)
        self.usage = UsageBehind(open_usage(self._url, settings.usage_days))

    def _api_keys(self, created: KeyStore | None) -> ApiKeys:
        settings = self._settings
        return ApiKeys(
            settings.api_keys,
            admin_key=settings.admin_key,
            always=_wants_keys(settings),
            read=None if created is None else lambda seen: self.store.attempted(created.read_keys(seen)),
        )

    def use_keys(self, settings: Settings) -> None:
        """Takes the keys of ``settings`` in the place of those that were there before."""
        self.keys.use_settings(settings.api_keys, admin_key=settings.admin_key, always=_wants_keys(settings))

    @property
    def secrets(self) -> tuple[str, ...]:
        """What must never be shown."""
        return passwords(self._url)

    @property
    def where(self) -> str:
        """Where the store is, without a password, and who can read it."""
        shown = without_password(self._url)
        if not is_shared(self._url):
            return f"{shown}, in this process alone"
        key = "GPTOSS_SERVER_KEY" if self._settings.server_key is not None else secret_file(self._url)
        return f"{shown}, sealed with {key}"

    @property
    def what(self) -> str:
        """What is kept, and for how long."""
        settings = self._settings
        which = "unless a request says store=false" if settings.store else "where a request says store=true"
        kept = [
            f"responses with what was asked for {_duration(settings.responses_days * 86_400)} {which}",
            f"reasoning between tool calls for {_duration(REASONING_TTL)}",
        ]
        kept.append(f"how many tokens each key used for {_duration(settings.usage_days * 86_400)}")
        if settings.threads:
            kept.append(f"which thread continues a conversation for {_duration(ThreadLimits().idle)}")
        return "; ".join(kept)

    async def warm(self) -> None:
        """Does while nobody waits what the first use would have to."""
        if is_shared(self._url):
            await asyncio.to_thread(load_cipher)
        await self.store.check()

    async def close(self) -> None:
        await self.accounts.close()
        await self._conversations.close()
        await self.reasoning.close()
        await self.usage.close()
        await self.store.close()


def _wants_keys(settings: Settings) -> bool:
    """Whether nobody gets in without one, also while there is none."""
    return settings.require_keys or (not settings.insecure and not is_loopback(settings.host))


def _secret(given: str | None, state: str) -> bytes:
    if given is not None:
        return given.encode()
    kept = secret_file(state)
    return load_secret(kept) if kept is not None else b""


def _duration(seconds: float) -> str:
    unit, length = next((unit, length) for unit, length in _UNITS if seconds >= length)
    count = round(seconds / length)
    return f"{count} {unit if count != 1 else unit[:-1]}"


def state_url(settings: Settings) -> str:
    return settings.state or default_url()


def created_keys_exist(settings: Settings) -> bool:
    """Whether keys were created in the configured store, as far as it can be read now."""

    async def read() -> bool:
        store = open_state(settings)
        try:
            keys = keys_of(store)
            found = None if keys is None else await keys.read_keys(None)
            return found is not None and bool(found[1])
        except StoreUnavailable:
            return False
        finally:
            await store.close()

    return asyncio.run(read())


def open_state(settings: Settings) -> Store:
    """The configured store, connected when it is first used.

    Raises:
        ConfigError: for a URL of which no store can be made.
    """
    try:
        return open_store(state_url(settings))
    except ValueError as error:
        raise ConfigError(f"GPTOSS_STATE: {error}") from None
