"""The conversation of a request: OpenAI's chat messages in neutral form."""

import json
from collections.abc import Callable
from typing import Any, Final

from msgspec.structs import replace

from ...core.errors import UnsupportedValue
from ...core.turn import (
    AssistantMessage,
    InstructionMessage,
    Message,
    ToolCall,
    ToolResultMessage,
    UserMessage,
)
from ..beginnings import ConversationItems
from ..fields import Fields, as_object, made_with, unknown_value, wrong_type
from ..json_body import KnownItem
from ..parameters import MEDIA_PARTS, media_note, refused_media

ROLES: Final = ("developer", "system", "user", "assistant", "tool", "function")

# What Responses clients call text when they post to the chat endpoint (docs/design/clients.md, "Cursor").
_TEXT_PARTS: Final = frozenset({"text", "input_text", "output_text"})
_PLAIN: Final[dict[str, Callable[[str], Message]]] = {
    "user": UserMessage,
    "assistant": AssistantMessage,
    "system": InstructionMessage,
}
_NOTHING: Final[dict[Callable[..., Any], Any]] = {}


def read_messages(body: Fields) -> tuple[tuple[Message, ...], tuple[str, ...]]:
    """The body's ``messages``, in order, and the kinds of parts in them that a note stands for.

    Tool results are given the name of the tool they answer. The legacy ``function_call`` has no id;
    calls and results get one from the position of the call, the same in every request that repeats
    the conversation.
    """
    values = body.required_array("messages", least=1)
    if type(values) is not ConversationItems:
        reader = _Reader()
        reader.read(values)
    else:
        begun: _Reader | None = values.made.get(_Reader)
        reader = _Reader() if begun is None else begun.copy()
        reader.read(values)
        values.made[_Reader] = reader
    return tuple(reader.messages), tuple(reader.left_out)


def _newest(values: list[Any]) -> int:
    """The place of the user's last message, -1 without one."""
    for index in range(len(values) - 1, -1, -1):
        value = values[index]
        if isinstance(value, dict) and value.get("role") == "user":
            return index
    return -1


def _media(message: Fields) -> tuple[tuple[int, str], ...]:
    """The places and kinds of parts of the message that the model cannot read."""
    content = message.get("content")
    if not isinstance(content, list):
        return ()
    kinds = ((place, part.get("type")) for place, part in enumerate(content) if isinstance(part, dict))
    return tuple([(place, kind) for place, kind in kinds if isinstance(kind, str) and kind in MEDIA_PARTS])


class _Reader:
    """Reads messages one after the other; remembers the calls that later results answer."""

    def __init__(self) -> None:
        self.messages: list[Message] = []
        self.left_out: dict[str, None] = {}
        self._tool_names: dict[str, str] = {}
        self._legacy_ids: dict[str, str] = {}

    def copy(self) -> "_Reader":
        copied = _Reader()
        copied.messages = self.messages.copy()
        copied.left_out = self.left_out.copy()
        copied._tool_names = self._tool_names.copy()
        copied._legacy_ids = self._legacy_ids.copy()
        return copied

    def read(self, values: list[Any]) -> None:
        """Reads those of ``values`` that it has not read yet."""
        newest: int | None = None
        messages = self.messages
        for index in range(len(messages), len(values)):
            value = values[index]
            # A role and a text, as most are.
            if type(value) is dict and len(value) == 2:
                role, text = value.get("role"), value.get("content")
                if type(role) is str and type(text) is str and (plain := _PLAIN.get(role)) is not None:
                    messages.append(plain(text))
                    continue
            # Read before, and with no part that the model cannot read.
            known = value.made if type(value) is KnownItem else _NOTHING
            if known.get(_media) == () and (message := known.get(_message)) is not None:
                messages.append(self.placed(message, value, index))
                continue
            item = as_object(value, f"messages[{index}]")
            if media := item.made(_media):
                newest = _newest(values) if newest is None else newest
                if index == newest:
                    place, kind = media[0]
                    raise refused_media(Fields({}, f"{item.at('content')}[{place}]"), kind, "text")
                self.left_out |= dict.fromkeys(kind for _, kind in media)
            messages.append(self.placed(item.made(_message), item.members, index))

    def placed(self, read: Message, members: dict[str, Any], index: int) -> Message:
        """``read``, which ``members`` say by themselves, with what the messages before it add."""
        if type(read) is AssistantMessage:
            if members.get("function_call") is not None:
                legacy = as_object(members["function_call"], f"messages[{index}].function_call")
                read = self._with_legacy_call(read, legacy, index)
            for call in read.tool_calls:
                self._tool_names[call.id] = call.name
        elif type(read) is ToolResultMessage:
            if read.call_id is None:
                return replace(read, call_id=self._legacy_ids.get(read.name or ""))
            if read.name is None:
                return made_with(members, _named, read, self._tool_names.get(read.call_id))
        return read

    def _with_legacy_call(self, read: AssistantMessage, legacy: Fields, index: int) -> AssistantMessage:
        name = legacy.required_string("name")
        call_id = self._legacy_ids[name] = f"call_{index}"
        call = ToolCall(call_id, name, _arguments(legacy))
        return replace(read, tool_calls=(*read.tool_calls, call))


def _named(result: ToolResultMessage, name: str | None) -> ToolResultMessage:
    return replace(result, name=name)


def _message(message: Fields) -> Message:
    """What the message says by itself: a result of a ``function`` has no id yet, one of a tool no name."""
    match message.required_choice("role", ROLES):
        case "user":
            return UserMessage(_text(message), message.string("name"))
        case "assistant":
            return _assistant(message)
        case "tool":
            call_id = message.required_string("tool_call_id")
            return ToolResultMessage(_text(message, least=0), call_id, message.string("name") or None)
        case "function":
            name = message.required_string("name")
            content = message.required("content")
            text = "" if content is None else _joined(content, message.at("content"))
            return ToolResultMessage(text, None, name)
        case role:
            return InstructionMessage(
                _text(message), "developer" if role == "developer" else "system", message.string("name")
            )


def _assistant(message: Fields) -> AssistantMessage:
    if message.get("audio") is not None:
        raise UnsupportedValue(
            f"Unsupported value: '{message.at('audio')}'. Audio of earlier answers cannot be used; "
            "send its text as 'content'.",
            param=message.at("audio"),
        )
    refusals: list[str] = []
    content = message.get("content")
    text = "" if content is None else _joined(content, message.at("content"), refusals)
    if (refusal := message.string("refusal")) is not None:
        refusals.append(refusal)
    # Both fields are the same thought: answers carry it twice for clients that read only one.
    reasoning = message.string("reasoning") or message.string("reasoning_content") or ""
    return AssistantMessage(
        text=text,
        reasoning=reasoning,
        refusal="\n".join(refusals),
        tool_calls=tuple([_tool_call(item) for item in message.objects("tool_calls")]),
        name=message.string("name"),
    )


def _text(message: Fields, *, least: int = 1) -> str:
    content = message.required("content")
    if isinstance(content, list):
        message.required_array("content", of="content parts", least=least)
    return _joined(content, message.at("content"))


def _joined(content: Any, path: str, refusals: list[str] | None = None) -> str:
    """The text of a message's content; ``refusals`` takes the parts of that type where they are allowed."""
    if isinstance(content, str):
        return content
    if not isinstance(content, list):
        raise wrong_type(path, "a string or an array of content parts", content)
    texts = []
    for index, value in enumerate(content):
        part = as_object(value, f"{path}[{index}]")
        kind = part.required("type")
        if not isinstance(kind, str):
            raise wrong_type(part.at("type"), "a string", kind)
        if kind in _TEXT_PARTS:
            texts.append(part.required_string("text"))
        elif kind == "refusal" and refusals is not None:
            refusals.append(part.required_string("refusal"))
        elif kind in MEDIA_PARTS:
            texts.append(media_note(kind))
        else:
            raise unknown_value(part.at("type"), kind, ("text",) if refusals is None else ("text", "refusal"))
    return "\n".join(texts)


def _tool_call(item: Fields) -> ToolCall:
    call_id = item.required_string("id")
    # Some clients leave the type away when they repeat a call.
    kind = item.choice("type", ("function", "custom")) or (
        "custom" if "custom" in item.members else "function"
    )
    if kind == "custom":
        custom = item.required_object("custom")
        return ToolCall(call_id, custom.required_string("name"), custom.required_string("input"), "custom")
    function = item.required_object("function")
    return ToolCall(call_id, function.required_string("name"), _arguments(function))


def _arguments(function: Fields) -> str:
    """The arguments' JSON text; clients that decoded them send the object itself."""
    arguments = function.required("arguments")
    if isinstance(arguments, dict):
        return json.dumps(arguments, ensure_ascii=False, separators=(",", ":"))
    if not isinstance(arguments, str):
        raise wrong_type(function.at("arguments"), "a string", arguments)
    return arguments
