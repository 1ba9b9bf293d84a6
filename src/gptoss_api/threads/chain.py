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

_VERSION: Final = b"gptoss-api chain 1"
# Below this, a JavaScript client writes a whole number without fraction or exponent, and exactly.
_EXACT: Final = 2**53
# Characters of arguments that are compared by their meaning: longer ones are compared as they are written.
_LONGEST_ARGUMENTS: Final = 64 * 1024
# Bytes of messages whose steps are remembered, and what one takes beside its text.
_REMEMBERED: Final = 2 * 1024 * 1024
_BESIDE: Final = 400

# Conversations of so many messages are remembered as a whole, too, and bytes of them.
_MANY: Final = 16
_BEGUN: Final = 8 * 1024 * 1024
# Shorter texts are hashed as fast as they are found.
_LONG: Final = 512

_NOTHING: Final = "0:"

# The hash after a hash, a message, and the place of the call that it answers: a conversation that grows is
# hashed to its end with every request.
_steps: Final[Memo[tuple[bytes, Message, int], bytes]] = Memo(_REMEMBERED)


class Chain:
    """The hash of a conversation that grows by one message at a time.

    ``preamble`` stands for everything that makes conversations different before their first message.
    """

    def __init__(self, preamble: bytes) -> None:
        self.digest = _begin(preamble)
        # Where the latest call with an id stands among all calls.
        self._calls: dict[str, int] = {}
        self._made = 0

    @classmethod
    def of(cls, preamble: bytes, messages: tuple[Message, ...]) -> "Chain":
        """The chain of ``messages``; of a conversation that grew, only what is new is hashed."""
        chain = cls(preamble)
        if len(messages) < _MANY:
            chain.add(*messages)
            return chain
        place = (chain.digest, messages[0])
        known = _begun.get(place)
        begin = 0
        if known is not None and messages[: len(known.messages)] == known.messages:
            chain, begin = known.chain.copy(), len(known.messages)
        chain.add(*messages[begin:])
        size = sum(len(message.text) + _BESIDE for message in messages)
        _begun.put(place, _Begun(messages, chain.copy()), size)
        return chain

    def copy(self) -> "Chain":
        copied = Chain.__new__(Chain)
        copied.digest, copied._calls, copied._made = self.digest, dict(self._calls), self._made
        return copied

    def add(self, *messages: Message) -> None:
        for message in messages:
            answers = -1
            is_long = len(message.text) >= _LONG
            if isinstance(message, AssistantMessage):
                for call in message.tool_calls:
                    self._calls[call.id] = self._made
                    self._made += 1
                    is_long = True
            elif isinstance(message, ToolResultMessage) and message.call_id is not None:
                answers = self._calls.get(message.call_id, -1)
            before = self.digest
            if is_long and (known := _steps.get((before, message, answers))) is not None:
                self.digest = known
                continue
            data = _form(message, answers).encode("utf-8", "surrogatepass")
            self.digest = hashlib.blake2b(before + data, digest_size=16).digest()
            if is_long:
                _steps.put((before, message, answers), self.digest, len(data) + _BESIDE)


@lru_cache(64)
def _begin(preamble: bytes) -> bytes:
    return digest((_VERSION, preamble))


class _Begun(Struct, frozen=True):
    """A conversation as it was last, and its chain."""

    messages: tuple[Message, ...]
    chain: Chain


# By preamble and first message: the latest conversation that began so.
_begun: Final[Memo[tuple[bytes, Message], _Begun]] = Memo(_BEGUN)


def _form(message: Message, answers: int) -> str:
    """What counts of a message; every part with its length, so that no other message has this form.

    A result ``answers`` the call at that place, or with -1 no known one.
    """
    text = message.text
    if "\r\n" in text:
        text = text.replace("\r\n", "\n")
    text = text.strip()
    name = _part(message.name) if message.name else _NOTHING
    said = f"{len(text)}:{text}"
    if isinstance(message, UserMessage):
        return f"user {name}{said}"
    if isinstance(message, AssistantMessage):
        calls = "".join(map(_call, message.tool_calls)) if message.tool_calls else ""
        return f"assistant {name}{said}{calls}"
    if isinstance(message, ToolResultMessage):
        # A result that answers no known call has only its name to go by.
        return f"tool {answers if answers >= 0 else name} {said}{' failed' if message.is_error else ''}"
    return f"{message.role} {name}{said}"


def _call(call: ToolCall) -> str:
    return f"{call.kind} {_part(call.name)}{_part(_arguments(call))}"


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
    plain = text.replace("\r\n", "\n").strip()
    return f"{len(plain)}:{plain}"


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
