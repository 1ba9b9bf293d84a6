"""What the turns of an upstream tell about its health, without asking it anything."""

import time
from typing import Final

from ..core.errors import (
    ClientTooSlow,
    GatewayError,
    UpstreamLoginRequired,
    UpstreamTimeout,
    UpstreamUnavailable,
)
from .base import Health

# For how long a failed turn counts as the state of the upstream, in seconds.
TROUBLE_TIME: Final = 60.0


class TurnHealth:
    """Remembers how the last turn went, in words: the exception itself would keep the turn's memory."""

    def __init__(self) -> None:
        self._state: Health | None = None
        self._since = 0.0

    @property
    def state(self) -> Health | None:
        """``None`` as long as there was no turn; trouble that is over counts as ready."""
        state = self._state
        if state is not None and not state.ready and time.monotonic() - self._since >= TROUBLE_TIME:
            return Health(True, state.detail)
        return state

    def note(self, failure: GatewayError | None) -> None:
        """One more turn was answered, or failed."""
        if isinstance(failure, ClientTooSlow):
            return
        self._since = time.monotonic()
        if failure is None:
            self._state = Health(True, "The last turn was answered.")
        else:
            unusable = isinstance(failure, UpstreamLoginRequired | UpstreamUnavailable | UpstreamTimeout)
            self._state = Health(not unusable, f"The last turn failed: {failure.message}")

    def forget(self) -> None:
        """What was known is of no meaning any more."""
        self._state = None
