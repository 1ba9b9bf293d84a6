"""The conversation of a request in neutral form.

What a client can put right is refused by name. What would come again with every later request, such as a
picture that a tool gave back, becomes a note instead: a refusal would end the conversation for good.
"""

import json
from typing import Any, Final

from msgspec import Struct, field

from ...core.errors import UnsupportedValue
from ...core.turn import (
    AssistantMessage,
    InstructionMessage,
    Message,
    ToolCall,
    ToolResultMessage,
    UserMessage,
    summary_message,
)
from ..fields import Fields, as_object, made_of, made_with, missing, unknown_value, wrong_type
from .call_ids import our_call_id
from .signatures import Signer

_ROLES: Final = ("user", "assistant", "system", "developer")
# Says which version of Claude Code asks, and changes with every prompt: no cache and no thread would last.
_BILLING: Final = "x-anthropic-billing-header:"
_PARAGRAPH: Final = "\n\n"


class MessageHistory(Struct):
    """``messages`` without the system prompt, and the tools that search results in them refer to.

    ``instructions`` are the texts of those that stand in it.
    """

    messages: list[Message] = field(default_factory=list)
    referred_tools: set[str] = field(default_factory=set)
    instructions: list[str] = field(default_factory=list)


def read_system(body: Fields) -> InstructionMessage | None:
    """The body's ``system``: a text, or blocks of text."""
    texts = [text for text in _system_texts(body, "system") if not text.startswith(_BILLING)]
    return InstructionMessage(_PARAGRAPH.join(texts)) if texts else None


def _system_texts(message: Fields, name: str) -> list[str]:
    texts = []
    for block in _blocks(message, name):
        kind = block.required_string("type")
        if kind != "text":
            raise unknown_value(block.at("type"), kind, ("text",))
        texts.append(block.required_string("text"))
    return [text for text in texts if text.strip()]


def _blocks(fields: Fields, name: str) -> list[Fields]:
    """The blocks of a member that may be a text alone, or nothing."""
    value, path = fields.get(name), fields.at(name)
    match value:
        case None:
            return []
        case str():
            return [Fields({"type": "text", "text": value}, path)]
        case list():
            return [as_object(item, f"{path}[{index}]") for index, item in enumerate(value)]
        case _:
            raise wrong_type(path, "a string or an array of content blocks", value)


class _UsersPart(Struct, frozen=True):
    """What a user's message says by itself: results, whose tools have no names yet, and what is said.

    ``referred`` are the tools that it refers to. ``speaks`` says that there is something beside results,
    ``attached`` that something is no text.
    """

    results: tuple[ToolResultMessage, ...]
    said: UserMessage | None
    referred: tuple[str, ...]
    speaks: bool
    attached: bool


class _AssistantsPart(Struct, frozen=True):
    """What an assistant's message says by itself.

    ``called`` are the names of tools by the ids of calls; a ``summary`` stands for everything before it.
    """

    said: AssistantMessage | None
    called: dict[str, str]
    summary: str
    referred: tuple[str, ...]


class _Instructions(Struct, frozen=True):
    """What an instruction among the messages says."""

    texts: tuple[str, ...]


_Part = _UsersPart | _AssistantsPart | _Instructions


class HistoryReader:
    """Reads conversations; ``signer`` knows the thoughts that are ours.

    What a message says by itself is made once of one that came before, by this reader.
    """

    def __init__(self, signer: Signer) -> None:
        self.signer = signer

    def read(self, body: Fields) -> MessageHistory:
        """The body's ``messages``, in order."""
        values = body.required_array("messages", least=1)
        make = self._part
        parts = [made_of(value, "messages", index, make) for index, value in enumerate(values)]
        for index in range(len(parts) - 1, -1, -1):
            part = parts[index]
            if type(part) is _UsersPart and part.speaks:
                if part.attached:
                    parts[index] = _users_part(Fields(values[index], f"messages[{index}]"), refusing=True)
                break
        history = _History()
        for value, part in zip(values, parts, strict=True):
            history.add(part, value)
        return history.finished()

    def _part(self, message: Fields) -> _Part:
        if "content" not in message.members:
            raise missing(message.at("content"))
        match message.required_choice("role", _ROLES):
            case "user":
                return _users_part(message, refusing=False)
            case "assistant":
                return self._assistants_part(message)
            case _:
                return _Instructions(tuple(_system_texts(message, "content")))

    def _assistants_part(self, message: Fields) -> _AssistantsPart:
        texts: list[str] = []
        thoughts: list[str] = []
        calls: list[ToolCall] = []
        called: dict[str, str] = {}
        referred: list[str] = []
        summary = ""
        for block in _blocks(message, "content"):
            match block.required_string("type"):
                case "text":
                    texts.append(block.required_string("text"))
                case "thinking":
                    thoughts.append(self._thought(block))
                case "redacted_thinking":
                    pass
                case "compaction":
                    if summed := block.string("content"):
                        texts, thoughts, calls = [], [], []
                        summary = summed
                case "tool_use":
                    call = _call(block)
                    called[call.id] = call.name
                    calls.append(call)
                case kind:
                    texts.append(f"{_PARAGRAPH}{_foreign(block, kind, referred)}{_PARAGRAPH}")
        # Joined as they were written: where an answer is cut into blocks says nothing.
        text, thought = "".join(texts), "".join(thoughts)
        speaks = text.strip() or thought or calls
        said = AssistantMessage(text, thought, tool_calls=tuple(calls)) if speaks else None
        return _AssistantsPart(said, called, summary, tuple(referred))

    def _thought(self, block: Fields) -> str:
        """What of it the client kept whole; of one that it cut or changed, the gateway has the original."""
        thought = block.string("thinking") or ""
        return "" if self.signer.is_altered(thought, block.string("signature") or "") else thought


class _History:
    """Puts messages one after the other; remembers the calls that later results answer."""

    def __init__(self) -> None:
        self._read = MessageHistory()
        self._tool_names: dict[str, str] = {}
        # Instructions that came between calls and their results.
        self._waiting: list[InstructionMessage] = []

    def add(self, part: _Part, value: Any) -> None:
        """Takes what the message ``value`` says."""
        if type(part) is _UsersPart:
            self._user(part, value)
        elif type(part) is _AssistantsPart:
            self._assistant(part)
        elif type(part) is _Instructions and part.texts:
            self._read.instructions += part.texts
            self._waiting.append(InstructionMessage(_PARAGRAPH.join(part.texts), "developer"))

    def finished(self) -> MessageHistory:
        self._settle()
        if not self._read.messages:
            self._read.messages.append(UserMessage(""))
        return self._read

    def _settle(self) -> None:
        self._read.messages += self._waiting
        self._waiting = []

    def _user(self, part: _UsersPart, value: Any) -> None:
        """Results first: what is said beside them is said about them."""
        messages = self._read.messages
        if part.referred:
            self._read.referred_tools.update(part.referred)
        if part.results:
            names = tuple([self._tool_names.get(result.call_id or "") for result in part.results])
            messages += made_with(value, _named, part, names).results
        if self._waiting:
            self._settle()
        said = part.said
        if said is None:
            return
        if messages and type(messages[-1]) is UserMessage:
            said = UserMessage(f"{messages.pop().text}{_PARAGRAPH}{said.text}")
        messages.append(said)

    def _assistant(self, part: _AssistantsPart) -> None:
        if self._waiting:
            self._settle()
        if part.referred:
            self._read.referred_tools.update(part.referred)
        self._tool_names.update(part.called)
        if part.summary:
            # Everything before a summary is in it, but what the application said.
            kept = [each for each in self._read.messages if isinstance(each, InstructionMessage)]
            self._read.messages[:] = [*kept, summary_message(part.summary)]
        if part.said is not None:
            self._read.messages.append(part.said)


def _users_part(message: Fields, *, refusing: bool) -> _UsersPart:
    """``refusing``: what a user attaches that is no text."""
    texts: list[str] = []
    results: list[ToolResultMessage] = []
    referred: list[str] = []
    attached = False
    blocks = _blocks(message, "content")
    for block in blocks:
        match block.required_string("type"):
            case "text":
                texts.append(block.required_string("text"))
            case "tool_result":
                results.append(_tool_result(block, referred))
            case "image" | "document" as kind:
                attached = True
                texts.append(_attachment(block, kind) if refusing else _attached(block, kind))
            case kind:
                texts.append(_foreign(block, kind, referred))
    speaks = len(blocks) > len(results) or message.get("content") is None
    texts = [text for text in texts if text.strip()]
    said = UserMessage(_PARAGRAPH.join(texts)) if texts else None
    return _UsersPart(tuple(results), said, tuple(referred), speaks, attached)


def _tool_result(block: Fields, referred: list[str]) -> ToolResultMessage:
    call_id = our_call_id(block.required_string("tool_use_id"))
    texts = []
    for part in _blocks(block, "content"):
        match part.required_string("type"):
            case "text":
                texts.append(part.required_string("text"))
            case "image" | "document" as kind:
                texts.append(_attached(part, kind))
            case kind:
                texts.append(_foreign(part, kind, referred))
    return ToolResultMessage("\n".join(texts), call_id, is_error=block.boolean("is_error") or False)


def _named(part: _UsersPart, names: tuple[str | None, ...]) -> _UsersPart:
    results = [
        ToolResultMessage(result.text, result.call_id, name, result.is_error)
        for result, name in zip(part.results, names, strict=True)
    ]
    return _UsersPart(tuple(results), part.said, part.referred, part.speaks, part.attached)


def _call(block: Fields) -> ToolCall:
    call_id = our_call_id(block.required_string("id"))
    return ToolCall(call_id, block.required_string("name"), _json(block.mapping("input") or {}))


def _foreign(block: Fields, kind: str, referred: list[str]) -> str:
    """A block that only Anthropic's own models write or read, in words; takes the tools it refers to."""
    match kind:
        case "tool_reference":
            name = block.required_string("tool_name")
            referred.append(name)
            return f"Tool {name} is now available."
        case "search_result":
            texts = (part.get("text") for part in _blocks(block, "content"))
            found = (block.get("title"), block.get("source"), *texts)
            return "\n".join(text for text in found if isinstance(text, str) and text)
        case "server_tool_use" | "mcp_tool_use":
            return f"[{block.get('name')}: {_json(block.get('input'))}]"
        case "web_search_tool_result" if isinstance(results := block.get("content"), list):
            return "\n".join(_web_result(result) for result in results)
        case _:
            return _json(block.members)


def _web_result(result: Any) -> str:
    if not isinstance(result, dict):
        return _json(result)
    return f"{result.get('title') or ''}: {result.get('url') or ''}"


def _attachment(block: Fields, kind: str) -> str:
    """The text of a document that is text.

    Raises:
        UnsupportedValue: for anything else that a user attaches.
    """
    text = _document_text(block)
    if text is None:
        raise UnsupportedValue(
            f"'{block.path}' is of type '{kind}', but gpt-oss models read only text. Send its text instead.",
            param=block.path,
        )
    return text


def _attached(block: Fields, kind: str) -> str:
    """The text of a document that is text, and a note for anything else."""
    return _document_text(block) or _omission(block, kind)


def _document_text(block: Fields) -> str | None:
    source = block.get("source")
    if not isinstance(source, dict):
        return None
    match source.get("type"):
        case "text" if isinstance(text := source.get("data"), str):
            return text
        case "content":
            parts = _blocks(Fields(source, block.at("source")), "content")
            texts = [part.get("text") for part in parts]
            return "\n".join(text for text in texts if isinstance(text, str))
        case _:
            return None


def _omission(block: Fields, kind: str) -> str:
    source = block.get("source")
    media = source.get("media_type") if isinstance(source, dict) else None
    return f"[{media if isinstance(media, str) else kind} omitted: this model reads text only]"


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
