"""What a client API is: it parses a request into a Turn and renders events into its own bytes."""

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple, Protocol

from ..core.errors import GatewayError, InvalidApiKey, MethodNotAllowed
from ..core.events import Events
from ..core.result import Collector
from ..core.turn import Turn


class ErrorResponse(NamedTuple):
    """The response to a request that failed. ``headers`` have lower-case names."""

    status: int
    headers: Sequence[tuple[bytes, bytes]]
    body: bytes


def error_headers(error: GatewayError) -> list[tuple[bytes, bytes]]:
    """What HTTP says of a failure, and ``x-should-retry``, which OpenAI's and Anthropic's SDKs obey."""
    headers: list[tuple[bytes, bytes]] = []
    if error.retry_after is not None:
        headers.append((b"retry-after", b"%d" % max(1, math.ceil(error.retry_after))))
    if error.should_retry is not None:
        headers.append((b"x-should-retry", b"true" if error.should_retry else b"false"))
    if isinstance(error, InvalidApiKey):
        headers.append((b"www-authenticate", b"Bearer"))
    if isinstance(error, MethodNotAllowed):
        headers.append((b"allow", ", ".join(error.allow).encode()))
    return headers


class StreamRenderer(Protocol):
    """Turns batches of events into the bytes of a server-sent event stream."""

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
    """A parsed request: the turn it asks for and how its answer is to be rendered."""

    @property
    def turn(self) -> Turn: ...

    @property
    def stream(self) -> bool: ...

    def renderer(self) -> StreamRenderer: ...

    def render(self, result: Collector) -> bytes:
        """The whole body of a non-streaming answer."""
        ...


class Dialect(Protocol):
    """One client API."""

    @property
    def name(self) -> str: ...

    def parse(self, body: bytes, headers: Mapping[str, str]) -> DialectRequest:
        """Decode a request body. ``headers`` have lower-case names.

        Raises:
            InvalidRequest: naming the parameter that is wrong.
        """
        ...

    def error(self, error: GatewayError, request_id: str) -> ErrorResponse:
        """What is answered in this API's own shape to a request that failed before its first byte."""
        ...
