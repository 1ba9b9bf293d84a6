"""What a client API is: it parses a request into a Turn and renders events into its own bytes."""

from collections.abc import Mapping
from typing import Protocol

from ..core.errors import GatewayError
from ..core.events import Events
from ..core.result import Collector
from ..core.turn import Turn


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

    def error_body(self, error: GatewayError, request_id: str) -> bytes:
        """The JSON body of a failed request in this API's own shape."""
        ...
