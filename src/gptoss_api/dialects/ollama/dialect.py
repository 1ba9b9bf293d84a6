"""Ollama's API as a dialect of the gateway."""

import time
from typing import Final

import msgspec
from msgspec import Struct

from ...core.catalog import NO_ALIASES, ModelAliases
from ...core.errors import GatewayError, InvalidRequest
from ...core.result import Collector
from ...core.turn import Turn
from ..base import (
    Answer,
    DialectSettings,
    Endpoint,
    ErrorResponse,
    Headers,
    ModelProbe,
    StreamFormat,
    Tell,
    Told,
)
from ..fields import Fields
from ..json_body import decode_object
from .answers import Form, LineStream, Shape, render_nothing, render_whole, signs_of_life
from .errors import error_response
from .models import LINES, ModelFacts, refuse_management, render_running, render_tags
from .parse import Parsed, read_chat, read_text


class OllamaRequest(Struct):
    """A parsed request; see :class:`gptoss_api.dialects.base.DialectRequest`."""

    turns: tuple[Turn, ...]
    stream: bool
    shape: Shape

    def renderer(self) -> LineStream:
        return LineStream(self.shape)

    def render(self, result: Collector) -> bytes:
        return render_whole(result, self.shape)


class LoadProbe(ModelProbe):
    """A request without a prompt, which is answered without a turn: always as one object."""

    shape: Shape
    unload: bool

    def renderer(self) -> LineStream:
        return LineStream(self.shape)

    def render(self, result: Collector) -> bytes:
        return render_nothing(self.shape, unload=self.unload)


class OllamaDialect:
    """``/api/chat``, ``/api/generate`` and what clients ask before them.

    ``version`` is the release of Ollama that they are told.
    """

    name: Final = "ollama"
    package: Final = __package__

    def __init__(
        self, version: str = DialectSettings().ollama_version, aliases: ModelAliases = NO_ALIASES
    ) -> None:
        self._aliases = aliases
        facts = ModelFacts(aliases)
        said = Told(msgspec.json.encode({"version": version}))
        refused = Tell(refuse_management, reads=False)
        self.endpoints: Final = (
            Endpoint("POST", "/api/chat", Answer(self.chat, _lines("chat"))),
            Endpoint("POST", "/api/generate", Answer(self.generate, _lines("text"))),
            Endpoint("GET", "/api/tags", Tell(render_tags, reads=False)),
            Endpoint("POST", "/api/show", Tell(facts.show)),
            Endpoint("GET", "/api/ps", Tell(render_running, reads=False)),
            Endpoint("GET", "/api/version", Tell(lambda body, headers, models: said, reads=False)),
            Endpoint("POST", "/api/pull", Tell(facts.pull)),
            Endpoint("POST", "/api/embed", Tell(facts.refuse_embedding)),
            Endpoint("POST", "/api/embeddings", Tell(facts.refuse_embedding)),
            Endpoint("POST", "/api/create", refused),
            Endpoint("POST", "/api/copy", refused),
            Endpoint("POST", "/api/push", refused),
            Endpoint("DELETE", "/api/delete", refused),
            Endpoint("GET", "/api/blobs/{id}", refused),
            Endpoint("POST", "/api/blobs/{id}", refused),
        )

    @classmethod
    def configured(cls, settings: DialectSettings) -> "OllamaDialect":
        return cls(settings.ollama_version, settings.aliases)

    def chat(self, body: bytes, headers: Headers) -> OllamaRequest | LoadProbe:
        """See :class:`gptoss_api.dialects.base.Answer`."""
        return _request(read_chat(_fields(body), self._aliases), "chat")

    def generate(self, body: bytes, headers: Headers) -> OllamaRequest | LoadProbe:
        """See :class:`gptoss_api.dialects.base.Answer`."""
        return _request(read_text(_fields(body), self._aliases), "text")

    def error(self, error: GatewayError, request_id: str, headers: Headers) -> ErrorResponse:
        return error_response(error, request_id)


def _lines(form: Form) -> StreamFormat:
    return StreamFormat(LINES, signs_of_life(form))


def _fields(body: bytes) -> Fields:
    if not body.strip():
        raise InvalidRequest("missing request body")
    return Fields(decode_object(body))


def _request(parsed: Parsed, form: Form) -> OllamaRequest | LoadProbe:
    shape = Shape(form, parsed.name, time.monotonic_ns())
    if parsed.turn is None:
        return LoadProbe(shape, parsed.unload, model=parsed.model)
    return OllamaRequest((parsed.turn,), parsed.stream, shape)
