"""Input items as messages of a turn (docs/design/conformance.md, "Responses").

A turn's messages are what the model reads; items are what clients keep. Reasoning, an assistant's text
and the calls that follow are separate items but one message of the assistant.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import msgspec

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
        users = (at for at, item in enumerate(items) if item.get("role") == "user")
        newest = -1 if earlier else max(users, default=-1)
        for index, item in enumerate(items):
            self._read(item, refusing=index == newest)

    def messages(self) -> tuple[Message, ...]:
        self._close()
        return tuple(self._messages)

    def _read(self, item: Fields, *, refusing: bool = False) -> None:
        match item_type(item):
            case "message":
                self._message(item, refusing=refusing)
            case "reasoning":
                self._thought(item)
            case "function_call":
                self._call(item, "arguments", "function")
            case "custom_tool_call":
                self._call(item, "input", "custom")
            case "function_call_output" | "custom_tool_call_output":
                item.required_string("call_id")
                self._result(item, self._output(item))
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
                self._result(item, _joined_members(item, _FOREIGN_OUTPUTS[kind]))
            case _:
                pass

    def _message(self, item: Fields, *, refusing: bool) -> None:
        role = item.required_choice("role", ROLES)
        if role == "assistant":
            if self._text or self._refusal or self._calls:
                self._close()
            text = self._content(item, self._refusal)
            if text:
                self._text.append(text)
            self._open = True
            return
        text = self._content(item, refusing=refusing)
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

    def _call(self, item: Fields, member: str, kind: Any) -> None:
        call_id = item.required_string("call_id")
        name = self._names.flatten(item.string("namespace"), item.required_string("name"))
        arguments = item.required(member)
        if isinstance(arguments, dict):
            arguments = msgspec.json.encode(arguments).decode()
        if not isinstance(arguments, str):
            raise wrong_type(item.at(member), "a string", arguments)
        self._add_call(ToolCall(call_id, name, arguments, kind))

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

    def _result(self, item: Fields, text: str) -> None:
        self._close()
        call_id = item.string("call_id") or item.string("id")
        if call_id is not None:
            call_id = self._call_ids.get(call_id, call_id)
        name = item.string("name")
        if name is not None:
            name = self._names.flatten(item.string("namespace"), name)
        if call_id is not None:
            name = self._tool_names.get(call_id, name)
        self._messages.append(ToolResultMessage(text, call_id, name))

    def _output(self, item: Fields) -> str:
        """What a tool gave back."""
        output = item.required("output")
        if isinstance(output, str) or output is None:
            return output or ""
        if not isinstance(output, list):
            return msgspec.json.encode(output).decode()
        path = item.at("output")
        texts = []
        for index, value in enumerate(output):
            part = as_object(value, f"{path}[{index}]")
            kind = part.required_string("type")
            if kind in MEDIA_PARTS:
                texts.append(self._leave_out(kind))
            else:
                texts.append(_part_text(part, kind))
        return "\n".join(texts)

    def _leave_out(self, kind: str) -> str:
        """What stands for a part that the model cannot read."""
        self.ignored[f"input.{kind}"] = None
        return media_note(kind)

    def _content(self, item: Fields, refusals: list[str] | None = None, *, refusing: bool = False) -> str:
        content = item.required("content")
        if isinstance(content, str):
            return content
        if not isinstance(content, list):
            raise wrong_type(item.at("content"), "a string or an array of content parts", content)
        texts = []
        for index, value in enumerate(content):
            part = as_object(value, f"{item.at('content')}[{index}]")
            kind = part.required_string("type")
            if kind == "refusal" and refusals is not None:
                refusals.append(part.required_string("refusal"))
            elif kind in MEDIA_PARTS and refusing:
                raise refused_media(part, kind, "input_text")
            elif kind in MEDIA_PARTS:
                texts.append(self._leave_out(kind))
            else:
                texts.append(_part_text(part, kind))
        return "\n".join(texts)

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


def _part_text(part: Fields, kind: str) -> str:
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
