"""What an upstream is: something that answers a turn with a stream of events."""

from collections.abc import AsyncIterator, Container
from contextlib import AbstractAsyncContextManager
from typing import Protocol

from msgspec import Struct

from ..core.events import Events
from ..core.turn import Turn


class Capabilities(Struct, frozen=True):
    """What an upstream does itself; the gateway emulates or reports the rest.

    ``history``: takes whole conversations; without it, one user text per turn.
    ``tool_choice``: the modes of a tool choice that it honours, where it has tools.
    ``options``: names of the client options (``Turn.options``) that reach the model.
    ``threads``: keeps conversations that a later turn can continue (``Turn.thread``).
    ``verbatim``: knows tools by whatever names and kinds clients give them, and has no model whose format
    could leak, so that nothing is renamed for it and nothing it says is read again.
    """

    history: bool = False
    tools: bool = False
    tool_choice: frozenset[str] = frozenset({"auto", "required", "named"})
    json_object: bool = False
    json_schema: bool = False
    stop: bool = False
    max_tokens: bool = False
    usage: bool = False
    effort: bool = True
    threads: bool = False
    verbatim: bool = False
    options: Container[str] = frozenset()


class Health(Struct, frozen=True):
    """Whether an upstream can serve now and, if not, why and what mends it."""

    ready: bool
    detail: str = ""


class Upstream(Protocol):
    """A place that serves gpt-oss.

    ``open(turn)`` is entered for one turn. Entering waits for the upstream's slot and connection;
    the value is an iterator of event batches, one for each network read. Leaving the block at any
    moment, also by cancellation, aborts the upstream request at once. Every failure is a
    :class:`~gptoss_api.core.errors.GatewayError`.
    """

    @property
    def name(self) -> str: ...

    @property
    def capabilities(self) -> Capabilities: ...

    def open(self, turn: Turn) -> AbstractAsyncContextManager[AsyncIterator[Events]]: ...

    async def health(self) -> Health:
        """What is known; nothing is sent to find out."""
        ...

    async def close(self) -> None: ...


class Place(Upstream, Protocol):
    """An upstream that is a place of its own, not made of others.

    ``look`` finds out whether it is there where that is not known well enough, without costing a turn, for
    at most ``patience`` seconds. ``reached`` says whether it ever was.
    """

    @property
    def reached(self) -> bool: ...

    async def look(self, patience: float) -> None: ...
