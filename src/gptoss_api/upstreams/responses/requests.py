"""The requests of the Responses API: the whole conversation as items, nothing kept by the server."""

import json
from types import MappingProxyType
from typing import Any, Final

import msgspec

from ...core.errors import EndpointMissing, GatewayError, UnparsedByUpstream, UpstreamLoginRequired
from ...core.events import Started
from ...core.redaction import Redactor
from ...core.turn import (
    AssistantMessage,
    InstructionMessage,
    Message,
    Tool,
    ToolChoice,
    ToolResultMessage,
    Turn,
    UserMessage,
    last_answer,
    leading_instructions,
)
from ...loop import beside
from ..admission import Admission
from ..attempts import retry_pause
from ..base import Capabilities, ServedModel
from ..clock import TurnClock
from ..http import HttpClient, HttpResponse
from ..openai.form import AnswerForm
from ..openai.server import Server, ServerAccess, ServerModels
from ..reading import AnswerReader
from .wire import ResponsesWire

# As OpenAI's reference server calls them.
_NAMES: Final = MappingProxyType({"gpt-oss-120b": "gpt-oss-120b", "gpt-oss-20b": "gpt-oss-20b"})
_OPTIONS: Final = frozenset({"temperature", "top_p"})

_encode: Final = msgspec.json.Encoder().encode


class ResponsesServer:
    """What ``server`` is asked for; see :class:`gptoss_api.upstreams.client.ServerRequests`.

    With ``asks_again`` a turn whose failure may pass is asked for once more.
    """

    # What OpenAI's reference server takes; its ``tool_choice`` knows no demand, and it has no formats.
    capabilities = Capabilities(
        history=True,
        tools=True,
        tool_choice=frozenset({"auto"}),
        stop=True,
        max_tokens=True,
        options=_OPTIONS,
    )

    def __init__(
        self,
        http: HttpClient,
        admission: Admission,
        server: Server,
        *,
        idle_timeout: float | None,
        asks_again: bool,
    ) -> None:
        self.name = server.title
        self.title = server.kind.title
        self.provider = server.kind.name
        self.access = ServerAccess(http, server, idle_timeout=idle_timeout)
        self.asks_again = asks_again
        self._models = ServerModels(self.access, admission, _NAMES)

    def turn(self, turn: Turn) -> "ResponsesTurn":
        return ResponsesTurn(turn, self)

    def missing(self) -> str:
        """That a key is missing which the server needs."""
        return self.access.lacks_key

    def renewed(self) -> bool:
        """Never: keys are read once."""
        return False

    async def find(self) -> None:
        try:
            await self._models.find()
        except EndpointMissing:
            # It is there, and has no list.
            return

    async def models(self) -> tuple[ServedModel, ...]:
        """See :class:`gptoss_api.upstreams.base.Backend`; a server without a list may have both."""
        try:
            return await self._models.all()
        except EndpointMissing:
            return tuple(ServedModel(name, model) for model, name in _NAMES.items())

    async def send(self, turn: Turn, clock: TurnClock, *, whole: bool) -> HttpResponse:
        """The response that answers the turn, ``whole`` or streamed."""
        name = await self._models.name_of(turn.model)
        body = await beside(turn.weight, encode_request, turn, name, whole=whole)
        return await self.access.post("/responses", body, turn, clock, whole=whole)


class ResponsesTurn:
    """One turn at a server; see :class:`gptoss_api.upstreams.attempts.UpstreamTurn`."""

    def __init__(self, turn: Turn, server: ResponsesServer) -> None:
        self.turn = turn
        self._server = server
        self._form = AnswerForm(server.access, turn)
        self._asked_again = False

    @property
    def redact(self) -> Redactor:
        return self._server.access.redact

    async def ask(self, clock: TurnClock) -> HttpResponse:
        if lacking := self._server.missing():
            raise UpstreamLoginRequired(lacking)
        return await self._server.send(self.turn, clock, whole=self._form.whole)

    def reader(self, response: HttpResponse, clock: TurnClock) -> AnswerReader:
        access, turn = self._server.access, self.turn
        wire = ResponsesWire(
            access.server.kind,
            show_reasoning=turn.show_reasoning,
            redact=self.redact,
            stop=turn.stop,
            max_tokens=turn.max_tokens,
        )
        return self._form.reader(response, wire, clock)

    def started(self) -> Started:
        if self._form.refused:
            self._form.keep()
        return Started(upstream=self._server.name, model=self.turn.model)

    def judge(self, failure: GatewayError, *, answering: bool) -> tuple[GatewayError, float | None]:
        if self._form.is_refused(failure):
            return failure, 0.0
        if self._asked_again:
            return failure, None
        self._asked_again = True
        if isinstance(failure, UnparsedByUpstream):
            # The model wrote it, not the server: it may write something better at once.
            return failure, 0.0
        return failure, retry_pause(failure) if self._server.asks_again else None


def encode_request(turn: Turn, model: str, *, whole: bool = False) -> bytes:
    """The body that asks ``model`` for the turn's answer, ``whole`` or streamed."""
    first = leading_instructions(turn.messages) % len(turn.messages)
    instructions = "\n\n".join(message.text for message in turn.messages[:first])
    body: dict[str, Any] = {
        "model": model,
        "input": _items(turn.messages[first:]),
        "stream": not whole,
        "store": False,
    }
    if instructions:
        body["instructions"] = instructions
    if turn.tools and turn.tool_choice.mode != "none":
        body["tools"] = [_tool(tool) for tool in _offered(turn.tools, turn.tool_choice)]
        if not turn.parallel_tool_calls:
            body["parallel_tool_calls"] = False
    if turn.effort is not None:
        body["reasoning"] = {"effort": turn.effort}
    if turn.max_tokens is not None:
        body["max_output_tokens"] = turn.max_tokens
    body |= {name: value for name, value in turn.options.items() if name in _OPTIONS}
    try:
        return _encode(body)
    except (ValueError, OverflowError):
        # Lone surrogates and integers beyond 64 bits, which JSON text from clients may hold.
        return json.dumps(body, ensure_ascii=False).encode("utf-8", "replace")


def _items(messages: tuple[Message, ...]) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = []
    over = last_answer(messages)
    for index, message in enumerate(messages):
        match message:
            case InstructionMessage(text):
                items.append(_message("system", text))
            case UserMessage(text):
                items.append(_message("user", text))
            case AssistantMessage():
                items += _assistant(message, index, with_reasoning=index > over)
            case ToolResultMessage(text, call_id):
                items.append({"type": "function_call_output", "call_id": call_id or "", "output": text})
    return items


def _message(role: str, text: str) -> dict[str, Any]:
    return {"type": "message", "role": role, "content": text}


def _assistant(message: AssistantMessage, index: int, *, with_reasoning: bool) -> list[dict[str, Any]]:
    """A thought, a text and calls, as items in that order."""
    items: list[dict[str, Any]] = []
    if message.reasoning and with_reasoning:
        thought = {"type": "reasoning_text", "text": message.reasoning}
        items.append({"type": "reasoning", "id": f"rs_{index}", "summary": [], "content": [thought]})
    if text := message.text or message.refusal:
        items.append(_message("assistant", text))
    items += (
        {
            "type": "function_call",
            "call_id": call.id,
            "name": call.name,
            "arguments": call.arguments or "{}",
        }
        for call in message.tool_calls
    )
    return items


def _offered(tools: tuple[Tool, ...], choice: ToolChoice) -> list[Tool]:
    return [tool for tool in tools if not choice.names or tool.name in choice.names]


def _tool(tool: Tool) -> dict[str, Any]:
    return {
        "type": "function",
        "name": tool.name,
        "description": tool.description,
        "parameters": tool.parameters or {"type": "object", "properties": {}},
        "strict": tool.strict,
    }
