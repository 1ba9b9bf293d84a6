"""Input items as messages of a turn (docs/design/conformance.md, "Responses").

A turn's messages are what the model reads; items are what clients keep. Reasoning, an assistant's text
and the calls that follow are separate items but one message of the assistant.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import msgspec
from msgspec import Struct

from ...core.errors import InvalidValue, NotFound, UnsupportedValue
from ...core.events import new_call_id
from ...core.turn import (
    AssistantMessage,
    InstructionMessage,
    Message,
    ToolCall,
    ToolResultMessage,
    UserMessage,
    summary_message,
)
from ..fields import Fields, as_object, unknown_value, wrong_type
from ..parameters import MEDIA_PARTS, media_note, refused_media
from .client_tools import CLIENT_CALLS
from .configuration import Configuration
from .tools import Names

ROLES: Final = ("user", "assistant", "system", "developer")

_TEXT_PARTS: Final = frozenset({"input_text", "output_text", "text", "summary_text", "reasoning_text"})
# Calls of tools that the model's provider ran, under a type of their own; by type, the name
# under which the model is told of them and the members that say what was asked.
_FOREIGN_CALLS: Final[dict[str, tuple[str, tuple[str, ...]]]] = {
    "web_search_call": ("web_search", ("action",)),
    "file_search_call": ("file_search", ("queries",)),
    "code_interpreter_call": ("code_interpreter", ("code",)),
    "tool_search_call": ("tool_search", ("arguments",)),
    "mcp_call": ("mcp", ("server_label", "name", "arguments")),
}
_FOREIGN_OUTPUTS: Final[dict[str, tuple[str, ...]]] = {
    "local_shell_call_output": ("output",),
    "shell_call_output": ("output",),
    "apply_patch_call_output": ("status", "output"),
    "tool_search_output": ("tools",),
}
# The results that stand in the call's own item.
_RESULTS: Final[dict[str, tuple[str, ...]]] = {
    "web_search_call": (),
    "file_search_call": ("results",),
    "code_interpreter_call": ("outputs",),
    "mcp_call": ("output", "error"),
}
# What says nothing to the model.
_SILENT: Final = frozenset({"additional_tools", "mcp_list_tools"})

TYPES: Final = (
    "message",
    "reasoning",
    "function_call",
    "function_call_output",
    "custom_tool_call",
    "custom_tool_call_output",
    "item_reference",
    "configuration_update",
    "compaction",
    *CLIENT_CALLS,
    *_FOREIGN_CALLS,
    *_FOREIGN_OUTPUTS,
    *sorted(_SILENT),
)
_REFUSED: Final = frozenset(
    {
        "computer_call",
        "computer_call_output",
        "image_generation_call",
        "mcp_approval_request",
        "mcp_approval_response",
        "compaction_trigger",
        "program",
        "program_output",
    }
)


def item_type(item: Fields) -> str:
    """The type of an item; messages and references may leave it away."""
    kind = item.string("type")
    if kind is None:
        kind = "message" if "role" in item.members or "content" in item.members else "item_reference"
    if kind in _REFUSED:
        raise UnsupportedValue(
            f"Unsupported value: '{item.at('type')}' is '{kind}', which means nothing to gpt-oss models. "
            "Leave the item away.",
            param=item.at("type"),
        )
    if kind not in TYPES:
        raise unknown_value(item.at("type"), kind, TYPES)
    return kind


class _Said(Struct, frozen=True):
    """What a message says. ``left_out`` are the kinds of parts that a note stands for."""

    role: str
    text: str
    refusals: tuple[str, ...]
    left_out: tuple[str, ...]


class _Call(Struct, frozen=True):
    """A call, by its own name in its namespace."""

    namespace: str | None
    call: ToolCall


class _Result(Struct, frozen=True):
    """What a tool gave back, under the id and the name that the item itself tells."""

    namespace: str | None
    result: ToolResultMessage
    left_out: tuple[str, ...]


class ItemReader:
    """Reads items one after the other: feed them all, then take ``messages``.

    ``unseal`` opens the ``encrypted_content`` of thoughts, ``unseal_summary`` that of compacted histories.
    ``known`` are the stored items that references may name.
    ``ignored`` names what could not be used, ``configuration`` is what the items change of the request's own.
    """

    def __init__(
        self,
        names: Names,
        unseal: Callable[[str], str | None],
        known: Mapping[str, dict[str, Any]] | None = None,
        *,
        unseal_summary: Callable[[str], str | None] = lambda _: None,
    ) -> None:
        self._names = names
        self._unseal = unseal
        self._unseal_summary = unseal_summary
        self._known = known or {}
        self._tool_names: dict[str, str] = {}
        # Calls of a local shell may be answered by the id of their item.
        self._call_ids: dict[str, str] = {}
        self._messages: list[Message] = []
        # The assistant's message that is still growing.
        self._reasoning: list[str] = []
        self._text: list[str] = []
        self._refusal: list[str] = []
        self._calls: list[ToolCall] = []
        self._open = False
        self.ignored: dict[str, None] = {}
        self.configuration = Configuration()

    def feed(self, items: Sequence[Fields], *, earlier: bool = False) -> None:
        """Reads ``items``. What the model cannot read becomes a note, in the newest user message a refusal.

        Of ``earlier`` items none is refused: they were answered already.
        """
        newest = -1
        if not earlier:
            for index in range(len(items) - 1, -1, -1):
                if items[index].members.get("role") == "user":
                    newest = index
                    break
        for index, item in enumerate(items):
            self._read(item, refusing=index == newest)

    def messages(self) -> tuple[Message, ...]:
        self._close()
        return tuple(self._messages)

    def _read(self, item: Fields, *, refusing: bool = False) -> None:
        part = _part(item, refusing=True) if refusing else item.made(_part)
        if type(part) is _Call:
            self._call(part)
        elif type(part) is _Result:
            self._result(part)
        elif type(part) is _Said:
            self._message(part)
        elif isinstance(part, str):
            self._seldom(item, part)

    def _seldom(self, item: Fields, kind: str) -> None:
        """Takes an item whose meaning depends on who asks, or on other items."""
        match kind:
            case "reasoning":
                self._thought(item)
            case "item_reference":
                self._refer(item)
            case "compaction":
                self._summary(item)
            case "configuration_update":
                for name in self.configuration.update(item):
                    self.ignored[f"input.configuration_update.{name}"] = None
            case kind if kind in CLIENT_CALLS:
                self._typed_call(item, kind)
            case kind if kind in _FOREIGN_CALLS:
                self._foreign_call(item, kind)
            case kind if kind in _FOREIGN_OUTPUTS:
                self._result(_result(item, _joined_members(item, _FOREIGN_OUTPUTS[kind])))
            case _:
                pass

    def _message(self, said: _Said) -> None:
        if said.left_out:
            self._leave_out(said.left_out)
        role, text = said.role, said.text
        if role == "assistant":
            if self._text or self._refusal or self._calls:
                self._close()
            self._refusal += said.refusals
            if text:
                self._text.append(text)
            self._open = True
            return
        self._close()
        if role == "user":
            self._messages.append(UserMessage(text))
        else:
            self._messages.append(InstructionMessage(text, "developer" if role == "developer" else "system"))

    def _thought(self, item: Fields) -> None:
        if self._text or self._refusal or self._calls:
            self._close()
        texts = [part.required_string("text") for part in item.objects("content")]
        sealed = item.string("encrypted_content")
        if not texts and sealed is not None:
            opened = self._unseal(sealed)
            if opened is None:
                # Another provider's, another key's or another caller's: a lost thought is no lost answer.
                self.ignored["input.encrypted_content"] = None
            else:
                texts = [opened]
        if not texts:
            texts = [part.required_string("text") for part in item.objects("summary")]
        self._reasoning += texts
        self._open = self._open or bool(texts)

    def _summary(self, item: Fields) -> None:
        summary = self._unseal_summary(item.required_string("encrypted_content"))
        if summary is None:
            # Unlike a thought, it is all that is left of what was said.
            path = item.at("encrypted_content")
            raise InvalidValue(
                f"Invalid '{path}': this compacted conversation cannot be opened: it was made by another "
                "server or for another API key. Send the items that it stands for.",
                param=path,
            )
        self._close()
        self._messages.append(summary_message(summary))

    def _call(self, asked: _Call) -> None:
        call = asked.call
        if asked.namespace:
            name = self._names.flatten(asked.namespace, call.name)
            call = ToolCall(call.id, name, call.arguments, call.kind)
        self._add_call(call)

    def _add_call(self, call: ToolCall) -> None:
        self._tool_names[call.id] = call.name
        self._calls.append(call)
        self._open = True

    def _typed_call(self, item: Fields, kind: str) -> None:
        tool = CLIENT_CALLS[kind]
        call_id = item.string("call_id") or item.string("id") or new_call_id()
        self._call_ids[item.string("id") or call_id] = call_id
        asked = item.required_object(tool.member)
        self._add_call(ToolCall(call_id, tool.tool.name, tool.arguments(asked.members)))

    def _foreign_call(self, item: Fields, kind: str) -> None:
        name, members = _FOREIGN_CALLS[kind]
        asked = {member: item.get(member) for member in members if item.get(member) is not None}
        call_id = item.string("call_id") or item.string("id") or new_call_id()
        self._add_call(ToolCall(call_id, name, msgspec.json.encode(asked).decode()))
        if results := _joined_members(item, _RESULTS.get(kind, ())):
            self._close()
            self._messages.append(ToolResultMessage(results, call_id, name))

    def _result(self, told: _Result) -> None:
        if told.left_out:
            self._leave_out(told.left_out)
        self._close()
        call_id, name = told.result.call_id, told.result.name
        if name is not None:
            name = self._names.flatten(told.namespace, name)
        if call_id is not None:
            call_id = self._call_ids.get(call_id, call_id)
            name = self._tool_names.get(call_id, name)
        self._messages.append(ToolResultMessage(told.result.text, call_id, name))

    def _leave_out(self, kinds: tuple[str, ...]) -> None:
        for kind in kinds:
            self.ignored[f"input.{kind}"] = None

    def _refer(self, item: Fields) -> None:
        reference = item.required_string("id")
        stored = self._known.get(reference)
        if stored is None:
            raise NotFound(
                f"Item with id '{reference[:100]}' not found. Items are kept only by responses that are "
                "stored; send the item itself.",
                param=item.at("id"),
            )
        self._read(Fields(stored, item.path))

    def _close(self) -> None:
        if not self._open:
            return
        self._messages.append(
            AssistantMessage(
                text="\n".join(self._text),
                reasoning="\n".join(self._reasoning),
                refusal="\n".join(self._refusal),
                tool_calls=tuple(self._calls),
            )
        )
        self._reasoning, self._text, self._refusal, self._calls = [], [], [], []
        self._open = False


def _part(item: Fields, *, refusing: bool = False) -> _Said | _Call | _Result | str:
    """What an item says by itself, or its type where that depends on more."""
    match item_type(item):
        case "message":
            return _said(item, refusing=refusing)
        case "function_call" | "custom_tool_call":
            return _asked(item)
        case "function_call_output" | "custom_tool_call_output":
            return _output(item)
        case kind:
            return kind


def _said(item: Fields, *, refusing: bool) -> _Said:
    """``refusing``: what the model cannot read."""
    role = item.required_choice("role", ROLES)
    refusals: list[str] = []
    left_out: list[str] = []
    text = item.required("content")
    if isinstance(text, list):
        texts = []
        for index, value in enumerate(text):
            part = as_object(value, f"{item.at('content')}[{index}]")
            kind = part.required_string("type")
            if kind == "refusal" and role == "assistant":
                refusals.append(part.required_string("refusal"))
            elif kind in MEDIA_PARTS and refusing and role != "assistant":
                raise refused_media(part, kind, "input_text")
            else:
                texts.append(_part_text(part, kind, left_out))
        text = "\n".join(texts)
    elif not isinstance(text, str):
        raise wrong_type(item.at("content"), "a string or an array of content parts", text)
    return _Said(role, text, tuple(refusals), tuple(left_out))


def _asked(item: Fields) -> _Call:
    custom = item.members.get("type") == "custom_tool_call"
    call_id = item.required_string("call_id")
    namespace, name = item.string("namespace"), item.required_string("name")
    member = "input" if custom else "arguments"
    arguments = item.required(member)
    if isinstance(arguments, dict):
        arguments = msgspec.json.encode(arguments).decode()
    if not isinstance(arguments, str):
        raise wrong_type(item.at(member), "a string", arguments)
    return _Call(namespace, ToolCall(call_id, name, arguments, "custom" if custom else "function"))


def _output(item: Fields) -> _Result:
    item.required_string("call_id")
    text = item.required("output")
    left_out: list[str] = []
    if isinstance(text, list):
        parts = [as_object(value, f"{item.at('output')}[{index}]") for index, value in enumerate(text)]
        text = "\n".join([_part_text(part, part.required_string("type"), left_out) for part in parts])
    elif text is not None and not isinstance(text, str):
        text = msgspec.json.encode(text).decode()
    return _result(item, text or "", tuple(left_out))


def _result(item: Fields, text: str, left_out: tuple[str, ...] = ()) -> _Result:
    name = item.string("name")
    namespace = None if name is None else item.string("namespace")
    result = ToolResultMessage(text, item.string("call_id") or item.string("id"), name)
    return _Result(namespace, result, left_out)


def _part_text(part: Fields, kind: str, left_out: list[str]) -> str:
    """The text of a part, or what stands for one that the model cannot read."""
    if kind in MEDIA_PARTS:
        left_out.append(kind)
        return media_note(kind)
    if kind not in _TEXT_PARTS:
        raise unknown_value(part.at("type"), kind, ("input_text", "output_text"))
    return part.required_string("text")


def _joined_members(item: Fields, members: Sequence[str]) -> str:
    """What the members say, as text: strings as they are, everything else as JSON."""
    values = [item.get(member) for member in members]
    return "\n".join(
        value if isinstance(value, str) else msgspec.json.encode(value).decode()
        for value in values
        if value is not None
    )
