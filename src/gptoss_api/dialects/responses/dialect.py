"""OpenAI's Responses as a dialect of the gateway."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, Final, Literal

from msgspec import Struct
from msgspec.structs import replace

from ...core.catalog import NO_ALIASES, ModelAliases
from ...core.errors import GatewayError, MissingParameter
from ...core.result import Collector
from ...core.turn import InstructionMessage, Message, Turn, UserMessage
from ..base import Answer, Connect, DialectSettings, Endpoint, ErrorResponse, Headers, Operation
from ..fields import Fields
from ..json_body import decode_object
from ..openai_errors import error_response
from ..sealing import Sealer
from .compaction import CompactionRequest, summary_owner
from .items import ItemReader
from .objects import Frame, encode, new_response_id
from .parse import Parsed, read_request
from .repeated import without_known
from .response import render_response
from .stored import input_items
from .stream import ResponseStream
from .tools import Names

# The least that OpenAI lets a response have: a client that asks for less wants no answer.
_LEAST_TOKENS: Final = 16


class ResponseRequest(Struct):
    """A parsed request; see :class:`gptoss_api.dialects.base.DialectRequest`.

    ``new_items`` are the input items and ``known`` those that they refer to; ``chain`` are the ids of the
    responses before, ``history`` their items. ``answer`` renders the answer, once there is one.
    """

    turns: tuple[Turn, ...]
    asked: Parsed
    new_items: Sequence[Fields]
    known: Mapping[str, dict[str, Any]]
    frame: Frame
    names: Names
    seal: Callable[[str], str] | None
    chain: tuple[str, ...] = ()
    history: Sequence[dict[str, Any]] = ()
    answer: ResponseStream | bytes = b""

    @property
    def turn(self) -> Turn:
        """The only one."""
        return self.turns[0]

    @property
    def id(self) -> str:
        return self.frame.id

    @property
    def items(self) -> tuple[dict[str, Any], ...]:
        """The input items in the form in which they are stored, each with its id."""
        return input_items(self.new_items, self.id, self.known)

    @property
    def final(self) -> bytes:
        """The response object as JSON, as it is when the answer is over; empty before."""
        return self.answer.final if isinstance(self.answer, ResponseStream) else self.answer

    @property
    def stream(self) -> bool:
        return self.asked.stream

    @property
    def is_probe(self) -> bool:
        """Whether nothing was said and no answer is wanted: Codex' way to load a model beforehand."""
        limit = self.turn.max_tokens
        return not self.turn.messages and limit is not None and limit < _LEAST_TOKENS

    def renderer(self) -> ResponseStream:
        stream = self.answer = ResponseStream(self.frame, self.names, self.seal)
        return stream

    def render(self, result: Collector) -> bytes:
        body = self.answer = render_response(result, self.frame, self.names, self.seal)
        return body


class CreateResponse(Answer, frozen=True, kw_only=True):
    """Answers a request, whose conversation may be stored, and stores the answer."""

    dialect: "ResponsesDialect"


class CompactConversation(Operation, frozen=True):
    """Makes the conversation of a request, which may be stored, shorter."""

    dialect: "ResponsesDialect"


class CountInput(Operation, frozen=True):
    """Counts the prompt of a request, whose conversation may be stored; ``render`` gives the bytes."""

    dialect: "ResponsesDialect"
    render: Callable[[int], bytes]


class ResponseAction(Operation, frozen=True):
    """Does something with the stored response whose id is the path's ``{id}``."""

    action: Literal["retrieve", "delete", "cancel", "list_input_items"]


class ResponsesDialect:
    """``POST /v1/responses``.

    ``sealer`` keeps the chain of thought for clients that store it themselves. ``show_reasoning`` set to
    ``False`` keeps it from clients altogether. ``store`` is whether a response is stored whose request does
    not say.
    """

    name: Final = "responses"
    package: Final = __package__

    def __init__(
        self,
        sealer: Sealer | None = None,
        *,
        show_reasoning: bool = True,
        store: bool = True,
        aliases: ModelAliases = NO_ALIASES,
    ) -> None:
        self._sealer = sealer or Sealer.ephemeral()
        self._show_reasoning = show_reasoning
        self._store = store
        self._aliases = aliases
        self.endpoints: Final = (
            Endpoint("POST", "/v1/responses", CreateResponse(self.parse, dialect=self)),
            Endpoint("GET", "/v1/responses", Connect()),
            Endpoint("POST", "/v1/responses/input_tokens", CountInput(self, _input_tokens)),
            Endpoint("POST", "/v1/responses/compact", CompactConversation(self)),
            Endpoint("GET", "/v1/responses/{id}", ResponseAction("retrieve")),
            Endpoint("DELETE", "/v1/responses/{id}", ResponseAction("delete")),
            Endpoint("POST", "/v1/responses/{id}/cancel", ResponseAction("cancel")),
            Endpoint("GET", "/v1/responses/{id}/input_items", ResponseAction("list_input_items")),
        )

    @classmethod
    def configured(cls, settings: DialectSettings) -> "ResponsesDialect":
        return cls(
            Sealer.from_secret(settings.secret) if settings.secret else Sealer.ephemeral(),
            show_reasoning=settings.reasoning_fields != "none",
            store=settings.store,
            aliases=settings.aliases,
        )

    def parse(self, body: bytes, headers: Headers) -> ResponseRequest:
        """See :class:`gptoss_api.dialects.base.Answer`. Earlier responses are not looked up."""
        return self.complete(self.read(body))

    def read(self, body: bytes) -> Parsed:
        """The request without its conversation; :meth:`complete` it with what is stored."""
        fields = Fields(decode_object(body))
        return read_request(fields, store_by_default=self._store, aliases=self._aliases)

    def complete(
        self,
        asked: Parsed,
        *,
        history: Sequence[dict[str, Any]] = (),
        chain: tuple[str, ...] = (),
        known: Mapping[str, dict[str, Any]] | None = None,
        caller: str = "",
    ) -> ResponseRequest:
        """The request with its conversation.

        ``history`` are the items of the responses in ``chain``, oldest first, ``known`` those that the
        input refers to by their ids. ``caller`` is whose sealed reasoning may be opened.

        Raises:
            InvalidRequest: for items that cannot be read.
            NotFound: for a reference to an item that is not known.
        """
        new_items = without_known(asked.items, history)
        reader = ItemReader(
            asked.toolbox.names,
            partial(self._sealer.open, owner=caller),
            known,
            unseal_summary=partial(self._sealer.open, owner=summary_owner(caller)),
        )
        reader.feed([Fields(item, f"previous[{index}]") for index, item in enumerate(history)], earlier=True)
        reader.feed(new_items)
        messages: tuple[Message, ...] = reader.messages()
        if all(isinstance(message, UserMessage) and not message.text.strip() for message in messages):
            messages = ()
        if asked.instructions:
            messages = (InstructionMessage(asked.instructions), *messages)
        response_id = new_response_id()
        turn = replace(
            asked.turn,
            messages=messages,
            show_reasoning=self._show_reasoning,
            effort=reader.configuration.effort or asked.turn.effort,
            output_format=reader.configuration.output_format or asked.turn.output_format,
            ignored=(*asked.turn.ignored, *reader.ignored),
        )
        request = ResponseRequest(
            turns=(turn,),
            asked=asked,
            new_items=new_items,
            known=known or {},
            frame=Frame.of(response_id, turn.model, len(new_items), asked.echo),
            names=asked.toolbox.names,
            seal=partial(self._sealer.seal, owner=caller) if asked.include_encrypted else None,
            chain=chain,
            history=history,
        )
        if not messages and not request.is_probe:
            raise MissingParameter(
                "Invalid 'input': there is nothing to answer. Send a text or at least one item.",
                param="input",
            )
        return request

    def compaction(self, request: ResponseRequest, caller: str) -> CompactionRequest:
        """What asks for a shorter form of a conversation, which only ``caller`` can send back."""
        seal = partial(self._sealer.seal, owner=summary_owner(caller))
        return CompactionRequest.of(request.turn, (*request.history, *request.items), seal)

    def error(self, error: GatewayError, request_id: str, headers: Headers) -> ErrorResponse:
        return error_response(error, request_id)


def _input_tokens(tokens: int) -> bytes:
    return encode({"object": "response.input_tokens", "input_tokens": tokens})
