"""What a client API is: its endpoints, its requests and answers, its errors and its description.

A dialect is a folder beside this file and a line in ``registry.py`` (docs/extending.md).
"""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Final, Literal, NamedTuple, Protocol

from msgspec import Struct

from ..core.catalog import NO_ALIASES, Model, ModelAliases
from ..core.errors import GatewayError, InvalidApiKey, MethodNotAllowed, RateLimited
from ..core.events import Events
from ..core.limits import Allowances
from ..core.result import Collector
from ..core.turn import Turn
from .limit_headers import RawHeaders, limit_headers

Headers = Mapping[str, str]


class StreamFormat(Struct, frozen=True):
    """How a stream travels. ``keep_alive`` are bytes that mean nothing; empty where there are none."""

    content_type: bytes
    keep_alive: bytes


SERVER_SENT_EVENTS: Final = StreamFormat(b"text/event-stream; charset=utf-8", b": keep-alive\n\n")


class StreamRenderer(Protocol):
    """Turns batches of events into the bytes of a stream."""

    def feed(self, events: Events) -> bytes:
        """The bytes for one batch; may be empty."""
        ...

    def end(self) -> bytes:
        """The bytes that close a complete stream."""
        ...

    def fail(self, error: GatewayError) -> bytes:
        """The bytes that close a stream which broke after its first byte."""
        ...


class DialectRequest(Protocol):
    """A parsed request: the turns it asks for and how their answers are to be rendered.

    The choices of several turns are numbered through. The server writes into the turns whose they are.
    """

    turns: tuple[Turn, ...]

    @property
    def stream(self) -> bool: ...

    def renderer(self) -> StreamRenderer: ...

    def render(self, result: Collector) -> bytes:
        """The whole body of a non-streaming answer.

        Raises:
            UpstreamIncomplete: when the answer was never finished.
        """
        ...


class PreparedAnswer(Struct, kw_only=True):
    """A request without a turn, whose answer is known beforehand: ``events`` stand for a model's."""

    events: Events


class ModelProbe(Struct, kw_only=True):
    """A request without a turn, which only asks whether the ``model`` with this canonical id can be used."""

    model: str
    turns: tuple[Turn, ...] = ()

    @property
    def stream(self) -> bool:
        return False


class Operation(Struct, frozen=True):
    """What an endpoint does; the server has a handler for each kind (``server/operations.py``)."""


class Answer(Operation, frozen=True):
    """Answers a request with the model's words.

    ``parse`` decodes a body. Its second argument are the headers, by lower-case names. It raises
    :class:`~gptoss_api.core.errors.InvalidRequest` naming the parameter that is wrong. ``limit_headers`` tell
    callers with limits how they stand.
    """

    parse: Callable[[bytes, Headers], DialectRequest]
    stream: StreamFormat = SERVER_SENT_EVENTS
    limit_headers: Callable[[Allowances], RawHeaders] = limit_headers


class CountTokens(Operation, frozen=True):
    """Counts the prompt of a request, without asking a model. ``parse`` is like that of an answer."""

    parse: Callable[[bytes, Headers], Turn]
    render: Callable[[int], bytes]


class Connect(Operation, frozen=True):
    """Opens a WebSocket, whose messages are requests of the answer at the same path."""


class ListModels(Operation, frozen=True):
    """Lists what is served; ``render`` gets the request's query string and headers too."""

    render: Callable[[Sequence[Model], bytes, Headers], bytes]


class ShowModel(Operation, frozen=True):
    """Shows the model whose id is the path's ``{id}``, or the one meant by it."""

    render: Callable[[Model, Headers], bytes]
    aliases: ModelAliases = NO_ALIASES


class Told(NamedTuple):
    """A whole response that no model had a part in."""

    body: bytes
    content_type: bytes = b"application/json"


class Tell(Operation, frozen=True):
    """Tells something of the models that are served, or that it cannot be had.

    ``tell`` gets the request's body and headers, and the models. Without ``reads`` the body is not waited
    for, and empty. It raises like the ``parse`` of an answer.
    """

    tell: Callable[[bytes, Headers, Sequence[Model]], Told]
    reads: bool = True


class Endpoint(NamedTuple):
    """One method of one path; ``{id}`` in it is one part of a path, ``{id:path}`` at its end the rest."""

    method: Literal["GET", "POST", "DELETE"]
    path: str
    operation: Operation

    @property
    def shown_path(self) -> str:
        """The path as OpenAPI writes it."""
        return self.path.replace(":path}", "}")


class ErrorResponse(NamedTuple):
    """The response to a request that failed. ``headers`` have lower-case names."""

    status: int
    headers: Sequence[tuple[bytes, bytes]]
    body: bytes


class Dialect(Protocol):
    """One client API, all of it.

    ``package`` is the Python package whose ``openapi.json`` describes the endpoints: ``paths`` and
    ``components``, which may refer to those of ``web/openapi.json``.
    """

    @property
    def name(self) -> str: ...

    @property
    def package(self) -> str: ...

    @property
    def endpoints(self) -> Sequence[Endpoint]: ...

    def error(self, error: GatewayError, request_id: str, headers: Headers) -> ErrorResponse:
        """What a request on one of its paths is answered that failed, wherever, before the first byte.

        ``headers`` are the request's, by lower-case names.
        """
        ...


ReasoningFields = Literal["auto", "both", "reasoning", "reasoning_content", "none"]


class DialectSettings(Struct, frozen=True):
    """What the gateway's settings say to dialects.

    ``reasoning_fields`` names the fields that carry the chain of thought, ``max_n`` is the largest number of
    choices, ``store`` whether a response is kept whose request does not say. ``secret`` is this
    installation's; without one, what is sealed can be opened only as long as the process lives. ``aliases``
    are further names of the models. ``ollama_version`` is the release that Ollama's clients are told.
    """

    reasoning_fields: ReasoningFields = "auto"
    max_n: int = 4
    store: bool = True
    secret: bytes = b""
    aliases: ModelAliases = NO_ALIASES
    ollama_version: str = "0.34.0"


def error_headers(error: GatewayError) -> list[tuple[bytes, bytes]]:
    """What HTTP says of a failure, and ``x-should-retry``, which OpenAI's and Anthropic's SDKs obey."""
    headers: list[tuple[bytes, bytes]] = []
    if error.retry_after is not None:
        headers.append((b"retry-after", b"%d" % max(1, math.ceil(error.retry_after))))
    if error.should_retry is not None:
        headers.append((b"x-should-retry", b"true" if error.should_retry else b"false"))
    if isinstance(error, RateLimited) and error.retry_after is not None:
        headers.append((b"retry-after-ms", b"%d" % max(1, math.ceil(error.retry_after * 1000))))
    if isinstance(error, InvalidApiKey):
        headers.append((b"www-authenticate", b"Bearer"))
    if isinstance(error, MethodNotAllowed):
        headers.append((b"allow", ", ".join(error.allow).encode()))
    return headers
