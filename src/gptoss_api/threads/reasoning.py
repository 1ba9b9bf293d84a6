"""The reasoning that led to tool calls, kept for clients that do not send it back.

gpt-oss needs it until its final answer is given: otherwise it forgets why the tools were called
(docs/design/emulation.md, "Harmony"). A thread that goes on remembers by itself; a conversation that is sent
whole gets it from here.
"""

from collections.abc import Sequence
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from ..core.turn import AssistantMessage, Message, ToolCall, Turn, UserMessage
from ..loop import beside
from ..state import GuardedStore, Space
from ..text.digest import digest
from .chain import Chain
from .write_behind import WriteBehind

# Characters. Of a longer thought the end is kept, which is where the calls are decided.
_LONGEST: Final = 16_384
REASONING_TTL: Final = 60 * 60.0
# Of each caller and, in bytes, of all.
_SPACE: Final = Space(
    "thoughts",
    ttl=REASONING_TTL,
    entries=2_000,
    value_size=4 * _LONGEST,
    size=32 * 1024**2,
    total=128 * 1024**2,
)

# Characters of a call's arguments that count: what is longer would have to be parsed at one go.
_LONGEST_ARGUMENTS: Final = 65_536


class ReasoningCache:
    """Reasoning by the conversation that it belongs to and the id of the first call that it led to.

    Each caller has its own. A conversation is what its users said and which tools it called, so that the same
    is found where a client writes its instructions anew or shortens old results; whatever else was changed,
    nothing is found.
    """

    def __init__(self, store: GuardedStore) -> None:
        self._store = store
        self._writes = WriteBehind(store, _SPACE)

    async def recalled(self, turn: Turn) -> Turn:
        """``turn`` with the reasoning that its client left out since the last user message."""
        missing = missing_thoughts(turn.messages)
        if not missing:
            return turn
        places = await _places(turn)
        keys = [places.keys[index] for index in missing]
        await self._writes.done(*keys)
        messages = list(turn.messages)
        for index, thought in zip(missing, await self._store.get(_SPACE, *keys), strict=True):
            message = messages[index]
            if thought is not None and isinstance(message, AssistantMessage):
                text = thought.decode("utf-8", "surrogatepass")
                messages[index] = replace(message, reasoning=text)
        return replace(turn, messages=tuple(messages))

    async def keep(self, turn: Turn, answer: AssistantMessage) -> None:
        """Keeps the reasoning of an answer that calls tools; after any other, drops what led to it.

        Nobody waits for the store, which is told beside the request.
        """
        if answer.tool_calls:
            if answer.reasoning:
                end = (await _places(turn)).end
                thought = answer.reasoning[-_LONGEST:].encode("utf-8", "surrogatepass")
                self._writes.put(_key(end, answer), thought, caller=turn.caller)
        elif _calling(turn.messages):
            self._writes.delete(*(await _places(turn)).keys.values())

    async def close(self) -> None:
        await self._writes.close()


class _Places(Struct):
    """Where a conversation's thoughts are kept: of each answer in ``keys`` by its index, and its ``end``."""

    keys: dict[int, bytes]
    end: bytes


async def _places(turn: Turn) -> _Places:
    return await beside(turn.weight, _places_in, turn)


def _places_in(turn: Turn) -> _Places:
    calling = dict(_calling(turn.messages))
    chain = Chain(digest((b"thoughts", turn.caller.encode())))
    keys: dict[int, bytes] = {}
    for index, message in enumerate(turn.messages):
        if index in calling:
            keys[index] = _key(chain.digest, calling[index])
        if isinstance(message, UserMessage):
            chain.add(message)
        elif isinstance(message, AssistantMessage) and message.tool_calls:
            chain.add(AssistantMessage(tool_calls=tuple(map(_bounded, message.tool_calls))))
    return _Places(keys, chain.digest)


def _bounded(call: ToolCall) -> ToolCall:
    return call if len(call.arguments) <= _LONGEST_ARGUMENTS else replace(call, arguments="")


def missing_thoughts(messages: Sequence[Message]) -> Sequence[int]:
    """Where the answers stand that :meth:`ReasoningCache.recalled` looks for."""
    calling = _calling(messages)
    return [index for index, message in calling if not message.reasoning] if calling else ()


def touches_thoughts(messages: Sequence[Message], *, calls: bool) -> bool:
    """Whether :meth:`ReasoningCache.keep` has anything to do after an answer that ``calls`` tools or not."""
    return calls or bool(_calling(messages))


def _calling(messages: Sequence[Message]) -> Sequence[tuple[int, AssistantMessage]]:
    """The answers with tool calls since the last user message."""
    if messages and isinstance(messages[-1], UserMessage):
        return ()
    found = []
    for index in range(len(messages) - 1, -1, -1):
        message = messages[index]
        if isinstance(message, UserMessage):
            break
        if isinstance(message, AssistantMessage) and message.tool_calls:
            found.append((index, message))
    found.reverse()
    return found


def _key(before: bytes, answer: AssistantMessage) -> bytes:
    return digest((before, answer.tool_calls[0].id.encode("utf-8", "surrogatepass")))
