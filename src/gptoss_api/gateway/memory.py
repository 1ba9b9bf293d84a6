"""What the gateway remembers between requests, made of its settings."""

from ..config import ConfigError, Settings
from ..state import (
    GuardedStore,
    Store,
    default_url,
    load_secret,
    open_store,
    passwords,
    secret_file,
    without_password,
)
from ..threads import Conversations, Thoughts


class Memory:
    """The store and what is kept in it: one for all upstreams.

    ``conversations`` is ``None`` where none is to be continued. ``secret`` is empty where it need not outlive
    the process.
    """

    def __init__(self, settings: Settings) -> None:
        self._url = state_url(settings)
        self.store = GuardedStore(open_state(settings))
        several = settings.workers > 1 or self.store.name == "redis"
        self._conversations = Conversations(self.store, shared=several)
        self.conversations = self._conversations if settings.threads else None
        self.thoughts = Thoughts(self.store)
        kept = secret_file(self._url)
        self.secret = load_secret(kept) if kept is not None else b""

    @property
    def secrets(self) -> tuple[str, ...]:
        """What must never be shown."""
        return passwords(self._url)

    @property
    def shown(self) -> str:
        """Where the store is, without a password."""
        return without_password(self._url)

    async def close(self) -> None:
        await self._conversations.close()
        await self.thoughts.close()
        await self.store.close()


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
