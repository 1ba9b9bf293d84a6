"""A conversation as a chain of hashes: equal conversations end in equal hashes.

What clients change without meaning anything by it does not count: ids, line ends, white space around a
text, the reasoning, the spelling of arguments' JSON. Source: docs/design/emulation.md,
"What a conversation is".
"""

import hashlib
import json
from collections.abc import Sequence
from functools import lru_cache
from typing import Any, Final

from msgspec import Struct

from ..core.turn import (
    AssistantMessage,
    Message,
    ToolCall,
    ToolResultMessage,
    UserMessage,
    leading_instructions,
)
from ..text.digest import digest
from ..text.memo import Memo

_VERSION: Final = b"gptoss-api chain 2"
# Below this, a JavaScript client writes a whole number without fraction or exponent, and exactly.
_EXACT: Final = 2**53
# Characters of arguments that are compared by their meaning: longer ones are compared as they are written.
_LONGEST_ARGUMENTS: Final = 64 * 1024
# Bytes of calls whose forms are remembered, and what a message takes beside its text.
_REMEMBERED: Final = 2 * 1024 * 1024
_BESIDE: Final = 400

# Conversations of so many messages are remembered as a whole, and bytes of them: one that grows comes again
# to its end with every request.
_MANY: Final = 4
_BEGUN: Final = 8 * 1024 * 1024

_NOTHING: Final = "0:"

# The forms of an answer's calls.
_called: Final[Memo[tuple[ToolCall, ...], str]] = Memo(_REMEMBERED)


class Chain:
    """The hash of a conversation that grows by one message at a time.

    ``preamble`` stands for everything that makes conversations different before their first message.
    """

    def __init__(self, preamble: bytes) -> None:
        self._hash = _begin(preamble).copy()
        # Where the latest call with an id stands among all calls.
        self._calls: dict[str, int] = {}
        self._made = 0

    @classmethod
    def of(cls, preamble: bytes, messages: tuple[Message, ...]) -> "Chain":
        """The chain of ``messages``; of a conversation that grew, only what is new is hashed."""
        if len(messages) < _MANY:
            chain = cls(preamble)
            chain.add(*messages)
            return chain
        place = (preamble, messages[0])
        known = _begun.get(place)
        if known is not None and messages[: len(known.messages)] == known.messages:
            chain, new, size = known.chain.copy(), messages[len(known.messages) :], known.size
        else:
            chain, new, size = cls(preamble), messages, 0
        if new:
            chain.add(*new)
            size += sum([len(message.text) + _BESIDE for message in new])
            _begun.put(place, _Begun(messages, chain.copy(), size), size)
        return chain

    @property
    def digest(self) -> bytes:
        return self._hash.digest()

    def copy(self) -> "Chain":
        copied = Chain.__new__(Chain)
        copied._hash, copied._calls, copied._made = self._hash.copy(), dict(self._calls), self._made
        return copied

    def add(self, *messages: Message) -> None:
        forms: list[str] = []
        for message in messages:
            answers = -1
            if isinstance(message, AssistantMessage):
                for call in message.tool_calls:
                    self._calls[call.id] = self._made
                    self._made += 1
            elif isinstance(message, ToolResultMessage) and message.call_id is not None:
                answers = self._calls.get(message.call_id, -1)
            forms.append(_form(message, answers))
        self._hash.update("".join(forms).encode("utf-8", "surrogatepass"))


@lru_cache(64)
def _begin(preamble: bytes) -> "hashlib.blake2b":
    return hashlib.blake2b(digest((_VERSION, preamble)), digest_size=16)


class _Begun(Struct, frozen=True):
    """A conversation as it was last, its chain, and about how many bytes it takes."""

    messages: tuple[Message, ...]
    chain: Chain
    size: int


# By preamble and first message: the latest conversation that began so.
_begun: Final[Memo[tuple[bytes, Message], _Begun]] = Memo(_BEGUN)


def _form(message: Message, answers: int) -> str:
    """What counts of a message; every part with its length, so that no other messages begin like this.

    A result ``answers`` the call at that place, or with -1 no known one.
    """
    said = _part(message.text)
    name = _part(message.name) if message.name else _NOTHING
    if isinstance(message, UserMessage):
        return f"user {name}{said}"
    if isinstance(message, AssistantMessage):
        return f"assistant {name}{said}{_calls(message.tool_calls) if message.tool_calls else ''}"
    if isinstance(message, ToolResultMessage):
        # A result that answers no known call has only its name to go by.
        return f"tool {answers if answers >= 0 else name} {said}{' failed' if message.is_error else ''}"
    return f"{message.role} {name}{said}"


def _calls(calls: tuple[ToolCall, ...]) -> str:
    form = _called.get(calls)
    if form is None:
        form = "".join([f"{call.kind} {_part(call.name)}{_part(_arguments(call))}" for call in calls])
        _called.put(calls, form, 2 * len(form) + _BESIDE)
    return form


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


def end_of(messages: Sequence[Message], begin: int) -> Sequence[Message]:
    """As much of a conversation as it takes to understand its part from ``begin`` on.

    That is its preamble and the answer before that part, unless a result is for an older call.
    """
    answer = messages[begin - 1]
    calls = {call.id for call in answer.tool_calls} if isinstance(answer, AssistantMessage) else set()
    for message in messages[begin:]:
        if isinstance(message, ToolResultMessage) and message.call_id not in calls:
            return messages
    return (*messages[: leading_instructions(messages)], *messages[begin - 1 :])


def _part(text: str) -> str:
    if "\r\n" in text:
        text = text.replace("\r\n", "\n")
    text = text.strip()
    return f"{len(text)}:{text}"


def _arguments(call: ToolCall) -> str:
    if call.kind == "custom" or len(call.arguments) > _LONGEST_ARGUMENTS:
        return call.arguments
    try:
        value = json.loads(call.arguments, parse_float=_number)
        return json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
    except (ValueError, RecursionError):
        return call.arguments


def _number(text: str) -> Any:
    value = float(text)
    return int(value) if value.is_integer() and abs(value) < _EXACT else value
