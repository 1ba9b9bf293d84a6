"""A conversation as a chain of hashes: equal conversations end in equal hashes.

What clients change without meaning anything by it does not count: ids, line ends, white space around a
text, the reasoning, the spelling of arguments' JSON. Source: emulation dossier, section 7.2.
"""

import json
from collections.abc import Iterator, Sequence
from typing import Any, Final

from ..core.turn import (
    AssistantMessage,
    InstructionMessage,
    Message,
    ToolCall,
    ToolResultMessage,
    UserMessage,
)
from ..text.digest import digest

_VERSION: Final = b"gptoss-api chain 1"
# Below this, a JavaScript client writes a whole number without fraction or exponent, and exactly.
_EXACT: Final = 2**53


class Chain:
    """The hash of a conversation that grows by one message at a time.

    ``opening`` stands for everything that makes conversations different before their first message.
    """

    def __init__(self, opening: bytes) -> None:
        self.tip = digest((_VERSION, opening))
        # Where the latest call with an id stands among all calls.
        self._calls: dict[str, int] = {}
        self._made = 0

    def add(self, *messages: Message) -> None:
        for message in messages:
            self.tip = digest((self.tip, *self._parts(message)))

    def _parts(self, message: Message) -> Iterator[bytes]:
        match message:
            case InstructionMessage(text, role, name):
                yield from (role.encode(), _text(name or ""), _text(text))
            case UserMessage(text, name):
                yield from (b"user", _text(name or ""), _text(text))
            case AssistantMessage(text=text, tool_calls=calls, name=name):
                yield from (b"assistant", _text(name or ""), _text(text))
                for call in calls:
                    self._calls[call.id] = self._made
                    self._made += 1
                    yield from (call.kind.encode(), _text(call.name), _text(_arguments(call)))
            case ToolResultMessage(text, call_id, name):
                position = -1 if call_id is None else self._calls.get(call_id, -1)
                # A result that answers no known call has only its name to go by.
                label = str(position) if position >= 0 else f"- {name or ''}"
                yield from (b"tool", _text(label), _text(text))


def new_from(messages: Sequence[Message]) -> int | None:
    """Where the part begins that follows the last answer; ``None`` unless it is one to continue with.

    Only users and tools may have spoken since: anything else is not what a conversation goes on with.
    """
    begin = len(messages)
    while begin and isinstance(messages[begin - 1], UserMessage | ToolResultMessage):
        begin -= 1
    if begin in (0, len(messages)) or not isinstance(messages[begin - 1], AssistantMessage):
        return None
    return begin


def without_opening(messages: Sequence[Message]) -> int:
    """How many instructions come first."""
    return next((i for i, m in enumerate(messages) if not isinstance(m, InstructionMessage)), len(messages))


def opening_texts(messages: Sequence[Message]) -> Iterator[str]:
    """The instructions that come first, in the form in which they are compared."""
    return (text for m in messages[: without_opening(messages)] if (text := _normal(m.text)))


def _text(text: str) -> bytes:
    return _normal(text).encode("utf-8", "surrogatepass")


def _normal(text: str) -> str:
    return text.replace("\r\n", "\n").strip()


def _arguments(call: ToolCall) -> str:
    if call.kind == "custom":
        return call.arguments
    try:
        value = json.loads(call.arguments, parse_float=_number)
        return json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
    except (ValueError, RecursionError):
        return call.arguments


def _number(text: str) -> Any:
    value = float(text)
    return int(value) if value.is_integer() and abs(value) < _EXACT else value
