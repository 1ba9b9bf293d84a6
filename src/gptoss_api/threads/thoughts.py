"""The reasoning that led to tool calls, kept for clients that do not send it back.

gpt-oss needs it until its final answer is given: otherwise it forgets why the tools were called
(emulation dossier, section 1.1). A thread that goes on remembers by itself; a conversation that is sent
whole gets it from here.
"""

from collections.abc import Iterator, Sequence
from typing import Final

from msgspec.structs import replace

from ..core.turn import AssistantMessage, Message, Turn, UserMessage
from ..state import GuardedStore, Space
from ..text.digest import digest
from .writes import Writes

# Characters. Of a longer thought the end is kept, which is where the calls are decided.
_LONGEST: Final = 16_384
_SPACE: Final = Space("thoughts", ttl=60 * 60.0, entries=2_000, value_size=4 * _LONGEST)


class Thoughts:
    """Reasoning by the ids of the calls it led to, each caller's own."""

    def __init__(self, store: GuardedStore) -> None:
        self._store = store
        self._writes = Writes(store, _SPACE)

    async def recalled(self, turn: Turn) -> Turn:
        """``turn`` with the reasoning that its client left out since the last user message."""
        missing = {
            index: _key(turn.caller, message.tool_calls[0].id)
            for index, message in _calling(turn.messages)
            if not message.reasoning
        }
        if not missing:
            return turn
        await self._writes.done(*missing.values())
        found = dict(zip(missing, await self._store.get(_SPACE, *missing.values()), strict=True))
        messages = list(turn.messages)
        for index, thought in found.items():
            message = messages[index]
            if thought is not None and isinstance(message, AssistantMessage):
                text = thought.decode("utf-8", "surrogatepass")
                messages[index] = replace(message, reasoning=text)
        return replace(turn, messages=tuple(messages))

    def keep(self, turn: Turn, answer: AssistantMessage) -> None:
        """Keeps the reasoning of an answer that calls tools; after any other, drops what led to it.

        Returns at once; the store is told beside the request.
        """
        if answer.tool_calls:
            if answer.reasoning:
                thought = answer.reasoning[-_LONGEST:].encode("utf-8", "surrogatepass")
                self._writes.put(_key(turn.caller, answer.tool_calls[0].id), thought)
            return
        self._writes.delete(
            *(_key(turn.caller, message.tool_calls[0].id) for _, message in _calling(turn.messages))
        )

    async def close(self) -> None:
        await self._writes.close()


def _calling(messages: Sequence[Message]) -> Iterator[tuple[int, AssistantMessage]]:
    """The answers with tool calls since the last user message."""
    begin = max((i for i, message in enumerate(messages) if isinstance(message, UserMessage)), default=-1)
    for index in range(begin + 1, len(messages)):
        message = messages[index]
        if isinstance(message, AssistantMessage) and message.tool_calls:
            yield index, message


def _key(caller: str, call_id: str) -> bytes:
    return digest((caller.encode(), call_id.encode("utf-8", "surrogatepass")))
