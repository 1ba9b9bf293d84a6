"""``POST /toy/say``: one text in, one out; a stream is lines of JSON."""

from typing import Final

import msgspec
from msgspec import Struct

from gptoss_api.core.errors import GatewayError, UpstreamIncomplete
from gptoss_api.core.events import Events, TextDelta, UsageReported
from gptoss_api.core.result import Collector
from gptoss_api.core.turn import Turn, UserMessage
from gptoss_api.dialects.base import (
    Answer,
    DialectSettings,
    Endpoint,
    ErrorResponse,
    Headers,
    StreamFormat,
    error_headers,
)
from gptoss_api.dialects.fields import Fields
from gptoss_api.dialects.json_body import decode_object
from gptoss_api.dialects.openai_errors import openai_error
from gptoss_api.dialects.parameters import read_model

LINES: Final = StreamFormat(b"application/x-ndjson", b"\n")


class ToyStream:
    """Renders one answer; see :class:`gptoss_api.dialects.base.StreamRenderer`."""

    def __init__(self) -> None:
        self._tokens = 0

    def feed(self, events: Events) -> bytes:
        out = []
        for event in events:
            if type(event) is TextDelta:
                out.append(_line({"piece": event.text}))
            elif type(event) is UsageReported:
                self._tokens = event.usage.prompt_tokens
        return b"".join(out)

    def end(self) -> bytes:
        return _line({"said": True, "tokens": self._tokens})

    def fail(self, error: GatewayError) -> bytes:
        return _line(_oops(error))


class ToyRequest(Struct):
    """A parsed request; see :class:`gptoss_api.dialects.base.DialectRequest`."""

    turns: tuple[Turn, ...]
    stream: bool

    def renderer(self) -> ToyStream:
        return ToyStream()

    def render(self, result: Collector) -> bytes:
        (choice,) = result.choices
        if choice.finish_reason is None:
            raise UpstreamIncomplete("The answer ended before it was complete.")
        return _line({"whole": choice.text, "tokens": result.usage and result.usage.prompt_tokens})


class ToyDialect:
    """See :class:`gptoss_api.dialects.base.Dialect`."""

    name: Final = "toy"
    package: Final = __package__

    def __init__(self) -> None:
        self.endpoints: Final = (Endpoint("POST", "/toy/say", Answer(self.parse, LINES)),)

    @classmethod
    def configured(cls, settings: DialectSettings) -> "ToyDialect":
        return cls()

    def parse(self, body: bytes, headers: Headers) -> ToyRequest:
        """See :class:`gptoss_api.dialects.base.Answer`."""
        fields = Fields(decode_object(body))
        model, provider = read_model(fields)
        said = UserMessage(fields.required_string("say"))
        stream = fields.boolean("stream") or False
        return ToyRequest((Turn(model.id, (said,), provider=provider, streamed=stream),), stream)

    def error(self, error: GatewayError, request_id: str, headers: Headers) -> ErrorResponse:
        return ErrorResponse(openai_error(error).status, error_headers(error), _line(_oops(error)))


def _oops(error: GatewayError) -> dict[str, str | None]:
    return {"oops": error.message, "where": error.param}


def _line(value: object) -> bytes:
    return msgspec.json.encode(value) + b"\n"
