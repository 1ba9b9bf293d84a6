"""The requests of Chat Completions, in the form that one server takes."""

import json
import logging
import re
from collections.abc import Coroutine, Mapping
from typing import Any, Final

import msgspec
from msgspec.structs import replace

from ...core.errors import GatewayError, InvalidRequest
from ...core.turn import (
    AssistantMessage,
    Effort,
    InstructionMessage,
    Message,
    OutputFormat,
    Tool,
    ToolChoice,
    ToolResultMessage,
    Turn,
    UserMessage,
    last_answer,
)
from ...loop import LIGHT, in_thread
from ..base import log_fields
from ..clock import TurnClock
from ..http import HttpResponse
from ..openai.server import ServerAccess
from .profiles import PROFILES, Profile

# Options that the gateway sets itself, whatever a client sent under their names.
_OURS: Final = frozenset({"model", "messages", "stream", "stream_options", "tools", "tool_choice", "n"})

_REFUSES_FIELD: Final = re.compile(
    r"unsupported|not supported|unknown|unrecogni[sz]ed|unexpected|not permitted|not allowed|extra inputs"
    r"|additional propert|invalid (?:field|property|key|argument|parameter)"
    r"|does not support|no longer supported",
    re.I,
)
_REFUSES_FORM: Final = re.compile(
    r"response_format|json[_ -]?(?:schema|mode|object)|structured[_ -]output|guided|grammar", re.I
)

_log = logging.getLogger(__name__)

_encode: Final = msgspec.json.Encoder().encode


class ChatRequests:
    """Sends turns to a server as completions; what it has once refused of them is left out from then on."""

    def __init__(self, access: ServerAccess) -> None:
        self._access = access
        self._profile = PROFILES[access.server.kind.name]
        self._rejected: frozenset[str] = frozenset()

    def send(
        self, turn: Turn, model: str, clock: TurnClock, *, whole: bool
    ) -> Coroutine[Any, Any, HttpResponse]:
        """The answer to the turn, ``whole`` or streamed; ``model`` is what the server calls the turn's."""
        if turn.weight > LIGHT:
            return self._send_heavy(turn, model, clock, whole=whole)
        body = encode_request(turn, model, self._profile, self._rejected, whole=whole)
        return self._access.post("/chat/completions", body, turn, clock, whole=whole)

    async def _send_heavy(self, turn: Turn, model: str, clock: TurnClock, *, whole: bool) -> HttpResponse:
        body = await in_thread(
            turn.weight, encode_request, turn, model, self._profile, self._rejected, whole=whole
        )
        return await self._access.post("/chat/completions", body, turn, clock, whole=whole)

    def leaves_out(self, turn: Turn, failure: GatewayError) -> bool:
        """Whether the server refused a field of the turn that can be left out; it is remembered."""
        if not isinstance(failure, InvalidRequest) or not _REFUSES_FIELD.search(failure.message):
            return False
        words = f"{failure.message} {failure.param or ''}"
        if (
            "reasoning" not in self._rejected
            and sends_reasoning(turn, self._profile)
            and re.search(r"\breasoning(?:_content)?\b", words)
        ):
            self._rejected |= {"reasoning"}
        else:
            refused = {
                name
                for name in optional_fields(turn, self._profile) - self._rejected
                if re.search(rf"\b{re.escape(name)}\b", words)
            }
            if not refused:
                return False
            self._rejected |= refused
        left_out = ", ".join(sorted(self._rejected))
        _log.info(
            "%s refuses %s: left out from now on",
            self._access.server.title,
            left_out,
            extra=log_fields(turn.request_id),
        )
        return True


def refused_demands(turn: Turn, failure: GatewayError) -> frozenset[str]:
    """What of this turn the server refuses to be held to by a field: ``tool_choice``, the kind of a form."""
    if not isinstance(failure, InvalidRequest):
        return frozenset()
    words = f"{failure.message} {failure.param or ''}"
    refused = {
        "tool_choice": turn.tool_choice.mode in ("required", "named") and "tool_choice" in words,
        turn.output_format.kind: turn.output_format.kind != "text"
        and _REFUSES_FORM.search(words) is not None,
    }
    return frozenset(name for name, is_refused in refused.items() if is_refused)


class PassedOptions:
    """The client options that reach a server: all but ``unsupported`` ones.

    A path such as ``reasoning.max_tokens`` counts as its first part.
    """

    def __init__(self, unsupported: frozenset[str]) -> None:
        self._unsupported = unsupported | _OURS

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and name.partition(".")[0] not in self._unsupported


def encode_request(
    turn: Turn,
    model: str,
    profile: Profile,
    rejected: frozenset[str] = frozenset(),
    *,
    whole: bool = False,
) -> bytes:
    """The body that asks ``model`` for the turn's answer, ``whole`` or streamed.

    ``rejected`` names fields that this server has refused before: they are left out.
    """
    body: dict[str, Any] = {
        "model": model,
        "messages": _messages(turn.messages, profile, with_reasoning="reasoning" not in rejected),
        "stream": not whole,
    }
    if profile.stream_usage and not whole:
        body["stream_options"] = {"include_usage": True}
    if turn.tools:
        _add_tools(body, turn.tools, turn.tool_choice, described=profile.by_template)
        if not turn.parallel_tool_calls and "parallel_tool_calls" not in profile.unsupported:
            body["parallel_tool_calls"] = False
    if turn.output_format.kind != "text":
        body["response_format"] = _response_format(turn.output_format)
    if turn.max_tokens is not None:
        body[profile.length] = turn.max_tokens
    if turn.stop:
        body["stop"] = list(turn.stop)
    if turn.top_logprobs is not None:
        body["logprobs"] = True
        if turn.top_logprobs:
            body["top_logprobs"] = turn.top_logprobs
    _add_options(body, turn.options)
    _add_effort(body, turn.effort or profile.default_effort, profile)
    for name in rejected:
        if name not in ("model", "messages", "stream"):
            body.pop(name, None)
    try:
        return _encode(body)
    except (ValueError, OverflowError):
        # Lone surrogates and integers beyond 64 bits, which JSON text from clients may hold.
        return json.dumps(body, ensure_ascii=False).encode("utf-8", "replace")


def optional_fields(turn: Turn, profile: Profile) -> frozenset[str]:
    """The fields of the turn's request that it would also be answered without."""
    fields = {name.partition(".")[0] for name in turn.options if name not in _OURS}
    if not turn.parallel_tool_calls:
        fields.add("parallel_tool_calls")
    if profile.stream_usage:
        fields.add("stream_options")
    return frozenset(fields)


def sends_reasoning(turn: Turn, profile: Profile) -> bool:
    """Whether the turn's request carries an earlier chain of thought."""
    return profile.reasoning_in != "none" and any(
        isinstance(message, AssistantMessage) and message.reasoning
        for message in turn.messages[last_answer(turn.messages) + 1 :]
    )


def _messages(
    messages: tuple[Message, ...], profile: Profile, *, with_reasoning: bool
) -> list[dict[str, Any]]:
    if profile.by_template:
        messages = _one_call_each(messages)
    over = last_answer(messages)
    begun = False
    out: list[dict[str, Any]] = []
    leading: list[str] = []
    for index, message in enumerate(messages):
        match message:
            case InstructionMessage(text) if not begun and not profile.late_instructions:
                leading.append(text)
                continue
            case InstructionMessage(text, name=name):
                # A template that reads instructions only at the beginning would drop these silently.
                role = "system" if profile.late_instructions else "user"
                out.append(_named({"role": role, "content": text}, name))
            case UserMessage(text, name):
                out.append(_named({"role": "user", "content": text}, name))
            case AssistantMessage():
                out.append(_assistant(message, profile, with_reasoning=with_reasoning and index > over))
            case ToolResultMessage(text, call_id):
                out.append({"role": "tool", "tool_call_id": call_id or "", "content": text})
        begun = True
    if leading:
        out.insert(0, {"role": "system", "content": "\n\n".join(leading)})
    return out


def _one_call_each(messages: tuple[Message, ...]) -> tuple[Message, ...]:
    """The same conversation with one call in a message, each followed by its own result.

    Text and thought stay before the first call. A result whose call is not just before it stays in its place.
    """
    out: list[Message] = []
    index = 0
    while index < len(messages):
        message = messages[index]
        index += 1
        if not isinstance(message, AssistantMessage) or len(message.tool_calls) < 2:
            out.append(message)
            continue
        results: list[ToolResultMessage] = []
        while index < len(messages) and isinstance(result := messages[index], ToolResultMessage):
            results.append(result)
            index += 1
        for number, call in enumerate(message.tool_calls):
            out.append(
                replace(message, tool_calls=(call,))
                if number == 0
                else AssistantMessage(tool_calls=(call,), name=message.name)
            )
            own = [result for result in results if result.call_id == call.id]
            out += own
            results = [result for result in results if result.call_id != call.id]
        out += results
    return tuple(out)


def _named(message: dict[str, Any], name: str | None) -> dict[str, Any]:
    if name:
        message["name"] = name
    return message


def _assistant(message: AssistantMessage, profile: Profile, *, with_reasoning: bool) -> dict[str, Any]:
    text = message.text or message.refusal
    thought = message.reasoning if with_reasoning else ""
    if profile.reasoning_in == "none":
        thought = ""
    if thought and text and message.tool_calls and profile.thought_or_text:
        # The template has room for one of them before a call, and refuses both (llama.cpp#17040).
        thought, text = f"{thought}\n\n{text}", ""
    # A template searches whatever stands there for words.
    nothing = None if message.tool_calls and not profile.by_template else ""
    written: dict[str, Any] = {"role": "assistant", "content": text or nothing}
    if thought:
        written[profile.reasoning_in] = thought
    if message.tool_calls:
        written["tool_calls"] = [
            {
                "id": call.id,
                "type": "function",
                "function": {"name": call.name, "arguments": call.arguments or "{}"},
            }
            for call in message.tool_calls
        ]
    return written


def _add_tools(body: dict[str, Any], tools: tuple[Tool, ...], choice: ToolChoice, *, described: bool) -> None:
    """The tools on offer. A choice of none offers none: told to call nothing, models still do.

    ``described`` ones have a description, if only an empty one.
    """
    if choice.mode == "none":
        return
    offered = [tool for tool in tools if not choice.names or tool.name in choice.names]
    body["tools"] = [_tool(tool, described=described) for tool in offered]
    match choice.mode:
        case "named":
            body["tool_choice"] = {"type": "function", "function": {"name": choice.names[0]}}
        case "required":
            body["tool_choice"] = "required"
        case _:
            body["tool_choice"] = "auto"


def _tool(tool: Tool, *, described: bool) -> dict[str, Any]:
    function: dict[str, Any] = {"name": tool.name}
    if tool.description or described:
        function["description"] = tool.description
    function["parameters"] = tool.parameters or {"type": "object", "properties": {}}
    if tool.strict:
        function["strict"] = True
    return {"type": "function", "function": function}


def _response_format(wanted: OutputFormat) -> dict[str, Any]:
    if wanted.kind == "json_object":
        return {"type": "json_object"}
    schema: dict[str, Any] = {"name": wanted.name or "answer", "schema": wanted.schema or {}}
    if wanted.description:
        schema["description"] = wanted.description
    if wanted.strict:
        schema["strict"] = True
    return {"type": "json_schema", "json_schema": schema}


def _add_options(body: dict[str, Any], options: Mapping[str, Any]) -> None:
    """What else the client set; ``reasoning.max_tokens`` becomes a member of ``reasoning``."""
    for name, value in options.items():
        field, dot, member = name.partition(".")
        if field in _OURS:
            continue
        if not dot:
            body[name] = value
        elif isinstance(inner := body.setdefault(field, {}), dict):
            inner[member] = value


def _add_effort(body: dict[str, Any], effort: Effort | None, profile: Profile) -> None:
    if effort is None:
        return
    for form in profile.effort:
        match form:
            case "reasoning_effort":
                body["reasoning_effort"] = effort
            case "reasoning.effort":
                _set_member(body, "reasoning", "effort", effort)
            case "chat_template_kwargs":
                _set_member(body, "chat_template_kwargs", "reasoning_effort", effort)


def _set_member(body: dict[str, Any], field: str, member: str, value: str) -> None:
    """Also where a client gave the field a value that has no members."""
    inner = body.get(field)
    body[field] = {**inner, member: value} if isinstance(inner, dict) else {member: value}
