"""The messages of a chat in neutral form.

Old calls come back without ids and results without names: they are matched by order, as the client that
wrote them did.
"""

import json
from typing import Any, Final

from ...core.errors import UnsupportedValue
from ...core.turn import (
    AssistantMessage,
    InstructionMessage,
    Message,
    ToolCall,
    ToolResultMessage,
    UserMessage,
)
from ..fields import Fields, as_object, made_of, made_with, wrong_type

_ROLES: Final = ("system", "developer", "user", "assistant", "tool")
_NOTE: Final = "[image omitted: this model reads text only]"


def read_messages(body: Fields) -> tuple[Message, ...]:
    """The body's ``messages``, in order."""
    items = body.array("messages") or []
    reader = _Reader()
    messages = [
        reader.placed(made_of(item, "messages", at, _message), item, at) for at, item in enumerate(items)
    ]
    for at in range(len(messages) - 1, -1, -1):
        if isinstance(messages[at], UserMessage):
            refuse_images(Fields(items[at], f"messages[{at}]"))
            break
    return tuple(messages)


def refuse_images(fields: Fields) -> None:
    """Raises UnsupportedValue where there are ``images``."""
    if fields.array("images", of="strings"):
        raise UnsupportedValue("this model does not support images", param=fields.at("images"))


class _Reader:
    """Takes messages one after the other; remembers the calls that no result has answered yet."""

    def __init__(self) -> None:
        self._open: list[ToolCall] = []

    def placed(self, read: Message, item: Any, index: int) -> Message:
        """What was ``read`` of ``item`` alone, with what the messages before it add."""
        if type(read) is AssistantMessage:
            if read.tool_calls:
                read = made_with(item, _numbered, read, index)
            self._open = list(read.tool_calls)
        elif type(read) is ToolResultMessage and self._open:
            answered = self._answered(read)
            self._open.remove(answered)
            return made_with(item, _answering, read, (answered.id, answered.name))
        return read

    def _answered(self, result: ToolResultMessage) -> ToolCall:
        """The call with the result's id, else one of its name, else the first."""
        for call in self._open:
            if call.id == result.call_id:
                return call
        for call in self._open:
            if call.name == result.name:
                return call
        return self._open[0]


def _numbered(read: AssistantMessage, index: int) -> AssistantMessage:
    """``read`` with an id for each call, which is the same in every request that repeats the conversation."""
    calls = [
        call if call.id else ToolCall(f"call_{index}_{n}", call.name, call.arguments)
        for n, call in enumerate(read.tool_calls)
    ]
    return AssistantMessage(read.text, read.reasoning, tool_calls=tuple(calls))


def _answering(read: ToolResultMessage, call: tuple[str, str]) -> ToolResultMessage:
    return ToolResultMessage(read.text, *call)


def _message(message: Fields) -> Message:
    """What the message says by itself: a call may have no id yet, a result neither id nor name."""
    match message.required_choice("role", _ROLES):
        case "user":
            return UserMessage(_text(message))
        case "assistant":
            calls = [_call(item) for item in message.objects("tool_calls")]
            return AssistantMessage(
                message.string("content") or "", message.string("thinking") or "", tool_calls=tuple(calls)
            )
        case "tool":
            call_id = message.string("tool_call_id") or None
            name = message.string("tool_name") or message.string("name") or None
            return ToolResultMessage(_text(message), call_id, name)
        case role:
            text = message.string("content") or ""
            return InstructionMessage(text, "developer" if role == "developer" else "system")


def _text(message: Fields) -> str:
    text = message.string("content") or ""
    if message.array("images", of="strings"):
        return f"{text}\n{_NOTE}" if text else _NOTE
    return text


def _call(item: Fields) -> ToolCall:
    function = item.required_object("function")
    name = function.required_string("name")
    return ToolCall(item.string("id") or "", name, _arguments(function))


def _arguments(function: Fields) -> str:
    """The arguments as JSON text; careless clients send that text itself."""
    arguments: Any = function.get("arguments")
    if isinstance(arguments, str):
        path = function.at("arguments")
        try:
            arguments = json.loads(arguments) if arguments.strip() else {}
        except (ValueError, RecursionError):
            raise wrong_type(path, "an object", arguments) from None
        as_object(arguments, path)
    elif arguments is None:
        arguments = {}
    elif not isinstance(arguments, dict):
        raise wrong_type(function.at("arguments"), "an object", arguments)
    return json.dumps(arguments, ensure_ascii=False, separators=(",", ":"))
