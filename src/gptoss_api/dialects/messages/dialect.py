"""Anthropic's Messages as a dialect of the gateway."""

from functools import lru_cache
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from ...core.catalog import NO_ALIASES, ModelAliases
from ...core.errors import GatewayError
from ...core.result import Collector
from ...core.turn import Turn
from ..base import Answer, CountTokens, DialectSettings, Endpoint, ErrorResponse, Headers, StreamFormat
from ..fields import Fields
from ..json_body import decode_object
from .conversation import HistoryReader
from .errors import error_response
from .limit_headers import limit_headers
from .message import render_message
from .models import CLAUDE_ALIASES
from .parse import read_request
from .signatures import Signer
from .stream import PING, MessageStream
from .unavailable import NoWebSearch, no_web_search

_EVENTS: Final = StreamFormat(b"text/event-stream; charset=utf-8", PING)


class MessagesRequest(Struct):
    """A parsed request; see :class:`gptoss_api.dialects.base.DialectRequest`.

    ``model`` is the id that was asked for.
    """

    turns: tuple[Turn, ...]
    stream: bool
    model: str
    signer: Signer

    @property
    def turn(self) -> Turn:
        """The only one."""
        return self.turns[0]

    def renderer(self) -> MessageStream:
        return MessageStream(self.model, self.signer)

    def render(self, result: Collector) -> bytes:
        return render_message(result, self.model, self.signer)


@lru_cache(4)
def _reader(secret: bytes) -> HistoryReader:
    """One for each secret: what is known of messages is known, and kept once, also after other settings."""
    return HistoryReader(Signer(secret))


class MessagesDialect:
    """``POST /v1/messages``, and how many tokens a request would have.

    ``secret`` signs thoughts, so that they are known again.
    """

    name: Final = "messages"
    package: Final = __package__

    def __init__(self, secret: bytes = b"", aliases: ModelAliases = NO_ALIASES) -> None:
        self._reader = _reader(secret)
        self._signer = self._reader.signer
        self._aliases = aliases.with_usual(CLAUDE_ALIASES)
        self.endpoints: Final = (
            Endpoint("POST", "/v1/messages", Answer(self.parse, _EVENTS, limit_headers)),
            Endpoint("POST", "/v1/messages/count_tokens", CountTokens(self._to_count, _count_object)),
        )

    @classmethod
    def configured(cls, settings: DialectSettings) -> "MessagesDialect":
        return cls(settings.secret, settings.aliases)

    def parse(self, body: bytes, headers: Headers) -> MessagesRequest | NoWebSearch:
        """See :class:`gptoss_api.dialects.base.Answer`."""
        parsed = read_request(Fields(decode_object(body)), self._aliases, self._reader)
        turn = replace(parsed.turn, conversation=headers.get("x-claude-code-session-id", ""))
        if parsed.only_web_search:
            return no_web_search(turn, parsed.stream, parsed.model, self._signer)
        return MessagesRequest((turn,), parsed.stream, parsed.model, self._signer)

    def _to_count(self, body: bytes, headers: Headers) -> Turn:
        return read_request(Fields(decode_object(body)), self._aliases, self._reader, counted=True).turn

    def error(self, error: GatewayError, request_id: str, headers: Headers) -> ErrorResponse:
        return error_response(error, request_id)


def _count_object(tokens: int) -> bytes:
    return b'{"input_tokens":%d}' % tokens
