"""OpenAI's Chat Completions as a dialect of the gateway."""

from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from ...core.catalog import NO_ALIASES, ModelAliases
from ...core.errors import GatewayError
from ...core.result import Collector
from ...core.turn import Turn
from ..base import Answer, DialectSettings, Endpoint, ErrorResponse, Headers, ReasoningFields
from ..fields import Fields
from ..json_body import decode_object
from ..openai_errors import error_response
from .chunks import ChunkRenderer
from .completion import AnswerShape, render_completion
from .from_responses import looks_like_responses, read_responses_body
from .parse import read_request

_FIELDS: Final[dict[str, tuple[str, ...]]] = {
    "both": ("reasoning", "reasoning_content"),
    "reasoning": ("reasoning",),
    "reasoning_content": ("reasoning_content",),
    "none": (),
}


class ChatRequest(Struct):
    """A parsed chat completion request; see :class:`gptoss_api.dialects.base.DialectRequest`."""

    turns: tuple[Turn, ...]
    stream: bool
    shape: AnswerShape

    @property
    def turn(self) -> Turn:
        """The only one."""
        return self.turns[0]

    def renderer(self) -> ChunkRenderer:
        return ChunkRenderer(self.shape)

    def render(self, result: Collector) -> bytes:
        return render_completion(result, self.shape)


class ChatDialect:
    """``POST /v1/chat/completions``; a body of the Responses API is understood too.

    ``reasoning_fields`` names the fields that carry the chain of thought; ``auto`` sends both common
    names, as clients read one or the other, but only ``reasoning`` to OpenAI's Agents SDK, which
    records the thought twice otherwise (docs/design/clients.md, "Chain of thought"). ``max_n`` is
    the largest ``n`` that is accepted.
    """

    name: Final = "chat"
    package: Final = __package__

    def __init__(
        self,
        *,
        reasoning_fields: ReasoningFields = "auto",
        max_n: int = 4,
        aliases: ModelAliases = NO_ALIASES,
    ) -> None:
        self._reasoning_fields = reasoning_fields
        self._max_n = max_n
        self._aliases = aliases
        self.endpoints: Final = (Endpoint("POST", "/v1/chat/completions", Answer(self.parse)),)

    @classmethod
    def configured(cls, settings: DialectSettings) -> "ChatDialect":
        return cls(reasoning_fields=settings.reasoning_fields, max_n=settings.max_n, aliases=settings.aliases)

    def parse(self, body: bytes, headers: Headers) -> ChatRequest:
        """See :class:`gptoss_api.dialects.base.Answer`."""
        fields = Fields(decode_object(body))
        foreign = looks_like_responses(fields)
        parsed = (
            read_responses_body(fields, self._aliases)
            if foreign
            else read_request(fields, max_n=self._max_n, aliases=self._aliases)
        )
        turn = parsed.turn
        reasoning = self._fields_for(headers.get("user-agent", "")) if turn.show_reasoning else ()
        if turn.show_reasoning and not reasoning:
            turn = replace(turn, show_reasoning=False)
        shape = AnswerShape(
            model=turn.model,
            reasoning_fields=reasoning,
            include_usage=parsed.include_usage,
            legacy_functions=parsed.legacy_functions,
        )
        return ChatRequest((turn,), parsed.stream, shape)

    def error(self, error: GatewayError, request_id: str, headers: Headers) -> ErrorResponse:
        return error_response(error, request_id)

    def _fields_for(self, user_agent: str) -> tuple[str, ...]:
        if self._reasoning_fields != "auto":
            return _FIELDS[self._reasoning_fields]
        return _FIELDS["reasoning" if user_agent.startswith("Agents/") else "both"]
