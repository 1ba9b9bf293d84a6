"""An upstream over HTTP, made of the requests of its protocol and of what all of them do alike."""

from collections.abc import Coroutine, Sequence
from typing import Any, Protocol

from ..core.turn import Turn
from .admission import Admission
from .attempts import Attempts, UpstreamTurn
from .base import Capabilities, Health, ServedModel, Sink
from .health import UpstreamHealth


class ServerRequests(Protocol):
    """What one server is asked for, in its protocol.

    ``name`` is what the log, clients and users call it, ``title`` what messages do, ``provider`` its kind.
    """

    @property
    def name(self) -> str: ...

    @property
    def title(self) -> str: ...

    @property
    def provider(self) -> str: ...

    @property
    def capabilities(self) -> Capabilities: ...

    def turn(self, turn: Turn) -> UpstreamTurn: ...

    def missing(self) -> str:
        """What it cannot be asked without, in words that say what mends it; "" if there is nothing."""
        ...

    def renewed(self) -> bool:
        """Whether it is asked with another login from now on, so that what was known means nothing."""
        ...

    async def find(self) -> None:
        """Looks for the server without costing a turn; raises what stands in the way."""
        ...

    async def models(self) -> Sequence[ServedModel]:
        """See :class:`gptoss_api.upstreams.base.Backend`."""
        ...


class UpstreamClient:
    """A server that is asked with ``requests``, as an upstream.

    ``total_timeout`` bounds a whole turn, in seconds (``None``: no bound); for ``drain_time`` see
    :class:`gptoss_api.upstreams.attempts.Attempts`.
    """

    def __init__(
        self,
        requests: ServerRequests,
        admission: Admission,
        *,
        total_timeout: float | None,
        drain_time: float = 0.0,
    ) -> None:
        self.name = requests.name
        self._requests = requests
        self._health = UpstreamHealth(requests.find)
        self._attempts = Attempts(
            requests.name,
            admission,
            self._health,
            title=requests.title,
            provider=requests.provider,
            total_timeout=total_timeout,
            drain_time=drain_time,
        )

    @property
    def capabilities(self) -> Capabilities:
        return self._requests.capabilities

    def answer(self, turn: Turn, sink: Sink) -> Coroutine[Any, Any, None]:
        """See :class:`gptoss_api.upstreams.base.Upstream`."""
        return self._attempts.answer(self._requests.turn(turn), sink)

    async def health(self) -> Health:
        """What the last turn or look told, or what is missing that the server needs."""
        self._follow()
        missing = self._requests.missing()
        return Health(False, missing) if missing else self._health.state

    @property
    def reached(self) -> bool:
        return self._health.reached

    async def look(self, patience: float) -> None:
        """See :class:`gptoss_api.upstreams.base.Backend`."""
        self._follow()
        if not self._requests.missing():
            await self._health.look(patience)

    async def models(self) -> Sequence[ServedModel]:
        """See :class:`gptoss_api.upstreams.base.Backend`."""
        return await self._requests.models()

    async def close(self) -> None:
        """Lets go of what still goes on: looks, and connections that are being drained."""
        await self._health.close()
        await self._attempts.close()

    def _follow(self) -> None:
        if self._requests.renewed():
            self._health.forget()
