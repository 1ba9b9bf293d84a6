"""What an upstream is: something that answers a turn with a stream of events."""

from collections.abc import Callable, Container, Mapping, Sequence
from types import MappingProxyType
from typing import Any, Final, Protocol

from msgspec import Struct

from ..core.catalog import MODELS
from ..core.errors import ModelNotFound
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
    ``logprobs``: tells the log probabilities of what its model writes.
    ``thoughts``: gets those of earlier answers, where it takes conversations.
    """

    history: bool = False
    tools: bool = False
    tool_choice: frozenset[str] = frozenset({"auto", "required", "named"})
    json_object: bool = False
    json_schema: bool = False
    stop: bool = False
    max_tokens: bool = False
    threads: bool = False
    verbatim: bool = False
    thoughts: bool = True
    logprobs: bool = False
    options: Container[str] = frozenset()


class ServedModel(Struct, frozen=True):
    """A model under an upstream's own ``name``; ``id`` is the canonical one."""

    name: str
    id: str


# What an upstream serves that calls the models as everybody does.
BOTH_MODELS: Final = tuple(ServedModel(model.id, model.id) for model in MODELS)
_USUAL: Final = frozenset(served.id for served in BOTH_MODELS)


def check_usual(model: str, upstream: str) -> None:
    """Raises: ModelNotFound, where ``model`` is none of :data:`BOTH_MODELS`, all that ``upstream`` has."""
    if model not in _USUAL:
        there = " and ".join(served.id for served in BOTH_MODELS)
        raise ModelNotFound(f"{upstream} does not serve {model}; it serves {there}.", param="model")


_NO_FIELDS: Final[Mapping[str, Any]] = MappingProxyType({})


def log_fields(request_id: str) -> Mapping[str, Any]:
    """What marks a line of the log as one of a request (``Turn.request_id``), for ``extra``."""
    return {"fields": {"id": request_id}} if request_id else _NO_FIELDS


class Health(Struct, frozen=True):
    """Whether an upstream can serve now and, if not, why and what mends it."""

    ready: bool
    detail: str = ""


class Brake(Protocol):
    """What a source sees of the :class:`~gptoss_api.loop.Flow` of the answer that it feeds.

    While it is ``held`` the source waits. ``go_on`` is the source's own: it is called when that is over.
    """

    go_on: Callable[[], None] | None
    held: bool

    def hold(self) -> None: ...

    def release(self) -> None: ...

    async def free(self) -> None:
        """Waits while it is held."""
        ...


class Sink(Protocol):
    """Takes the events of an answer as they come.

    Nothing in it waits: what cannot take more holds the ``flow`` meanwhile.
    """

    @property
    def flow(self) -> Brake: ...

    def feed(self, events: Events) -> bool:
        """Takes one batch, never an empty one nor while the flow is held; says whether more is wanted."""
        ...


class Upstream(Protocol):
    """A place that serves gpt-oss.

    ``answer(turn, sink)`` waits for the upstream's slot and connection, then feeds the events of the answer,
    one batch for each network read, at the moment of the read. It returns when the answer is complete or the
    sink wants no more of it. Cancelling it at any moment aborts the upstream request at once. Every failure
    is a :class:`~gptoss_api.core.errors.GatewayError`.
    """

    @property
    def name(self) -> str: ...

    @property
    def capabilities(self) -> Capabilities: ...

    async def answer(self, turn: Turn, sink: Sink) -> None: ...

    async def health(self) -> Health:
        """What is known; nothing is sent to find out."""
        ...

    async def close(self) -> None: ...


class Backend(Upstream, Protocol):
    """An upstream that is one server, not made of others.

    ``look`` finds out whether it is there where that is not known well enough, without costing a turn, for
    at most ``patience`` seconds. ``reached`` says whether it ever was.
    """

    @property
    def reached(self) -> bool: ...

    async def look(self, patience: float) -> None: ...

    async def models(self) -> Sequence[ServedModel]:
        """The gpt-oss models that it serves, as far as it tells.

        Raises:
            GatewayError: if it had to be asked and could not be.
        """
        ...
