"""What requests and attempts at upstreams tell whoever traces them, if anybody does.

A request that is traced is :data:`TRACED` in its context, and so in that of every task that works for it;
an attempt at an upstream is :data:`ATTEMPTED` while it lasts. Without a tracer both are ``None``.
"""

from collections.abc import Mapping
from contextvars import ContextVar
from types import TracebackType
from typing import Final, Protocol

from .accounting import TurnAccount
from .events import Events
from .turn import Turn


class AttemptTrace(Protocol):
    """One request to an upstream: entered when it begins, left when it is over, however it ends."""

    def __enter__(self) -> object: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    def addressed(self, host: str, port: int, *, streamed: bool) -> Mapping[str, str]:
        """Notes where it goes, and whether for a stream.

        The value are the headers that tell a server of the user's own of the trace.
        """
        ...

    def observe(self, events: Events) -> None:
        """Notes what a batch of the answer says."""
        ...


class RequestTrace(Protocol):
    """One request of a client."""

    def attempt(self, provider: str, turn: Turn) -> AttemptTrace:
        """A request for ``turn`` to a server of the kind ``provider``, which is part of answering this."""
        ...

    def end(self, account: TurnAccount, route: str) -> None:
        """``route`` is the form of its path, "" for one that is not served."""
        ...


class Tracer(Protocol):
    def request(self, method: str, path: str, headers: Mapping[str, str]) -> RequestTrace:
        """A request that has just begun."""
        ...

    def close(self) -> None:
        """Sends what is left, in bounded time."""
        ...


TRACED: Final[ContextVar[RequestTrace | None]] = ContextVar("TRACED", default=None)
ATTEMPTED: Final[ContextVar[AttemptTrace | None]] = ContextVar("ATTEMPTED", default=None)
