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
from ..fields import Fields, as_object, wrong_type

_ROLES: Final = ("system", "developer", "user", "assistant", "tool")
_NOTE: Final = "[image omitted: this model reads text only]"


def read_messages(body: Fields) -> tuple[Message, ...]:
    """The body's ``messages``, in order."""
    items = body.objects("messages")
    newest = max((at for at, item in enumerate(items) if item.get("role") == "user"), default=-1)
    reader = _Reader()
    return tuple([reader.read(item, at, is_newest=at == newest) for at, item in enumerate(items)])


def refuse_images(fields: Fields) -> None:
    """Raises UnsupportedValue where there are ``images``."""
    if fields.array("images", of="strings"):
        raise UnsupportedValue("this model does not support images", param=fields.at("images"))


class _Reader:
    """Reads messages one after the other; remembers the calls that no result has answered yet."""

    def __init__(self) -> None:
        self._open: list[ToolCall] = []

    def read(self, message: Fields, index: int, *, is_newest: bool) -> Message:
        match message.required_choice("role", _ROLES):
            case "user":
                return UserMessage(_user_text(message, is_newest=is_newest))
            case "assistant":
                return self._assistant(message, index)
            case "tool":
                return self._result(message)
            case role:
                text = message.string("content") or ""
                return InstructionMessage(text, "developer" if role == "developer" else "system")

    def _assistant(self, message: Fields, index: int) -> AssistantMessage:
        calls = [_call(item, f"call_{index}_{n}") for n, item in enumerate(message.objects("tool_calls"))]
        self._open = list(calls)
        return AssistantMessage(
            message.string("content") or "", message.string("thinking") or "", tool_calls=tuple(calls)
        )

    def _result(self, message: Fields) -> ToolResultMessage:
        call_id = message.string("tool_call_id") or None
        name = message.string("tool_name") or message.string("name") or None
        answered = next((call for call in self._open if call.id == call_id), None)
        if answered is None:
            named = (call for call in self._open if call.name == name)
            answered = next(named, self._open[0] if self._open else None)
        text = message.string("content") or ""
        if message.array("images", of="strings"):
            text = f"{text}\n{_NOTE}" if text else _NOTE
        if answered is None:
            return ToolResultMessage(text, call_id, name)
        self._open.remove(answered)
        return ToolResultMessage(text, answered.id, answered.name)


def _user_text(message: Fields, *, is_newest: bool) -> str:
    text = message.string("content") or ""
    if is_newest:
        refuse_images(message)
    elif message.array("images", of="strings"):
        text = f"{text}\n{_NOTE}" if text else _NOTE
    return text


def _call(item: Fields, position: str) -> ToolCall:
    """A call; without an id, one that is the same in every request which repeats the conversation."""
    function = item.required_object("function")
    name = function.required_string("name")
    return ToolCall(item.string("id") or position, name, _arguments(function))


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
