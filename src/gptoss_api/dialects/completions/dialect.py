"""OpenAI's legacy text completions as a dialect of the gateway."""

from typing import Final

from msgspec import Struct

from ...core.catalog import NO_ALIASES, ModelAliases
from ...core.errors import GatewayError
from ...core.result import Collector
from ...core.turn import Turn
from ..base import Answer, DialectSettings, Endpoint, ErrorResponse, Headers
from ..fields import Fields
from ..json_body import decode_object
from ..openai_errors import error_response
from .parse import read_request
from .texts import TextRenderer, TextShape, render_texts


class CompletionRequest(Struct):
    """A parsed completion request; see :class:`gptoss_api.dialects.base.DialectRequest`.

    It asks for one turn for each prompt.
    """

    turns: tuple[Turn, ...]
    stream: bool
    shape: TextShape

    def renderer(self) -> TextRenderer:
        return TextRenderer(self.shape)

    def render(self, result: Collector) -> bytes:
        return render_texts(result, self.shape)


class CompletionsDialect:
    """``POST /v1/completions``. ``max_n`` is the largest ``n`` that is accepted."""

    name: Final = "completions"
    package: Final = __package__

    def __init__(self, *, max_n: int = 4, aliases: ModelAliases = NO_ALIASES) -> None:
        self._max_n = max_n
        self._aliases = aliases
        self.endpoints: Final = (Endpoint("POST", "/v1/completions", Answer(self.parse)),)

    @classmethod
    def configured(cls, settings: DialectSettings) -> "CompletionsDialect":
        return cls(max_n=settings.max_n, aliases=settings.aliases)

    def parse(self, body: bytes, headers: Headers) -> CompletionRequest:
        """See :class:`gptoss_api.dialects.base.Answer`."""
        parsed = read_request(Fields(decode_object(body)), max_n=self._max_n, aliases=self._aliases)
        shape = TextShape(echoed=parsed.echoed, n=parsed.turns[0].n, include_usage=parsed.include_usage)
        return CompletionRequest(parsed.turns, parsed.stream, shape)

    def error(self, error: GatewayError, request_id: str, headers: Headers) -> ErrorResponse:
        return error_response(error, request_id)
