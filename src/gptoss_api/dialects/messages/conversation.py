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
from ..fields import Fields, as_object, missing, unknown_value, wrong_type
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


def read_history(body: Fields, signer: Signer) -> MessageHistory:
    """The body's ``messages``, in order; ``signer`` knows the thoughts that are ours."""
    reader = _Reader(signer)
    path = body.at("messages")
    values = body.required_array("messages", least=1)
    newest = max((at for at, value in enumerate(values) if _is_said_by_user(value)), default=-1)
    for index, value in enumerate(values):
        reader.read(as_object(value, f"{path}[{index}]"), refusing=index == newest)
    return reader.finished()


def _is_said_by_user(message: Any) -> bool:
    """Whether there is something in a user's message beside results of tools."""
    if not isinstance(message, dict) or message.get("role") != "user":
        return False
    content = message.get("content")
    blocks = content if isinstance(content, list) else [content]
    return not all(isinstance(block, dict) and block.get("type") == "tool_result" for block in blocks)


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


class _Reader:
    """Reads messages one after the other; remembers the calls that later results answer."""

    def __init__(self, signer: Signer) -> None:
        self._signer = signer
        self._read = MessageHistory()
        self._tool_names: dict[str, str] = {}
        # Instructions that came between calls and their results.
        self._waiting: list[InstructionMessage] = []

    def read(self, message: Fields, *, refusing: bool) -> None:
        """Takes a message, ``refusing`` what a user attaches to it that is no text."""
        if "content" not in message.members:
            raise missing(message.at("content"))
        match message.required_choice("role", _ROLES):
            case "user":
                self._user(message, refusing=refusing)
            case "assistant":
                self._settle()
                self._assistant(message)
            case _:
                texts = _system_texts(message, "content")
                self._read.instructions += texts
                if texts:
                    self._waiting.append(InstructionMessage(_PARAGRAPH.join(texts), "developer"))

    def finished(self) -> MessageHistory:
        self._settle()
        if not self._read.messages:
            self._read.messages.append(UserMessage(""))
        return self._read

    def _settle(self) -> None:
        self._read.messages += self._waiting
        self._waiting = []

    def _user(self, message: Fields, *, refusing: bool) -> None:
        """Results first: what is said beside them is said about them."""
        texts = []
        for block in _blocks(message, "content"):
            match block.required_string("type"):
                case "text":
                    texts.append(block.required_string("text"))
                case "tool_result":
                    self._read.messages.append(self._tool_result(block))
                case "image" | "document" as kind:
                    texts.append(_attachment(block, kind) if refusing else _attached(block, kind))
                case kind:
                    texts.append(self._foreign(block, kind))
        self._settle()
        texts = [text for text in texts if text.strip()]
        if not texts:
            return
        messages = self._read.messages
        if messages and isinstance(messages[-1], UserMessage):
            texts.insert(0, messages.pop().text)
        messages.append(UserMessage(_PARAGRAPH.join(texts)))

    def _tool_result(self, block: Fields) -> ToolResultMessage:
        call_id = our_call_id(block.required_string("tool_use_id"))
        texts = []
        for part in _blocks(block, "content"):
            match part.required_string("type"):
                case "text":
                    texts.append(part.required_string("text"))
                case "image" | "document" as kind:
                    texts.append(_attached(part, kind))
                case kind:
                    texts.append(self._foreign(part, kind))
        return ToolResultMessage(
            "\n".join(texts),
            call_id,
            self._tool_names.get(call_id),
            is_error=block.boolean("is_error") or False,
        )

    def _assistant(self, message: Fields) -> None:
        texts: list[str] = []
        thoughts: list[str] = []
        calls: list[ToolCall] = []
        for block in _blocks(message, "content"):
            match block.required_string("type"):
                case "text":
                    texts.append(block.required_string("text"))
                case "thinking":
                    thoughts.append(self._thought(block))
                case "redacted_thinking":
                    pass
                case "compaction":
                    if summary := block.string("content"):
                        texts, thoughts, calls = [], [], []
                        self._sum_up(summary)
                case "tool_use":
                    calls.append(self._call(block))
                case kind:
                    texts.append(f"{_PARAGRAPH}{self._foreign(block, kind)}{_PARAGRAPH}")
        # Joined as they were written: where an answer is cut into blocks says nothing.
        text, thought = "".join(texts), "".join(thoughts)
        if text.strip() or thought or calls:
            self._read.messages.append(AssistantMessage(text, thought, tool_calls=tuple(calls)))

    def _sum_up(self, summary: str) -> None:
        """Everything before a summary is in it, but what the application said."""
        kept = [each for each in self._read.messages if isinstance(each, InstructionMessage)]
        self._read.messages[:] = [*kept, summary_message(summary)]

    def _thought(self, block: Fields) -> str:
        """What of it the client kept whole; of one that it cut or changed, the gateway has the original."""
        thought = block.string("thinking") or ""
        return "" if self._signer.is_altered(thought, block.string("signature") or "") else thought

    def _call(self, block: Fields) -> ToolCall:
        call_id = our_call_id(block.required_string("id"))
        name = block.required_string("name")
        self._tool_names[call_id] = name
        return ToolCall(call_id, name, _json(block.mapping("input") or {}))

    def _foreign(self, block: Fields, kind: str) -> str:
        """A block that only Anthropic's own models write or read, in words."""
        match kind:
            case "tool_reference":
                name = block.required_string("tool_name")
                self._read.referred_tools.add(name)
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
