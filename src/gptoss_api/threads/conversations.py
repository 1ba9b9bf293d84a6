"""Which upstream thread continues a conversation.

A tip stands in the store under the hash of the whole conversation up to an answer. Who continues it takes
it out: there is one taker, everybody else sends the whole conversation to a thread of its own. A new tip
is stored only after an answer that ended well, so a thread whose last turn was cancelled, cut, failed or
not delivered as written is never used again. Source: docs/design/emulation.md, "When a thread goes on".
"""

import asyncio
import contextlib
from collections.abc import Sequence
from typing import Final

from ..core.turn import AssistantMessage, Message, Turn, leading_instructions
from ..state import GuardedStore, Lease
from .chain import Chain, end_of, new_from
from .tips import LEASE_TIME, Caps, Tip, decode_tip
from .writes import Writes

# Seconds the end of an answer may wait for its tip to be stored where other processes look for it. A store
# on this machine takes a fraction of a millisecond, a fast client not much more.
SHARING_TIME: Final = 0.02

_CAPS: Final = Caps()


class Conversations:
    """All conversations that can go on, in ``store``.

    With ``shared``, the next turn of a conversation may be for another process.
    """

    def __init__(self, store: GuardedStore, caps: Caps = _CAPS, *, shared: bool = False) -> None:
        self._store = store
        self._shared = shared
        self._caps = caps
        self._space = caps.space()
        self._writes = Writes(store, self._space)

    def conversation(self, turn: Turn, opening: bytes) -> "Conversation":
        """The one that ``turn`` belongs to; see :class:`.chain.Chain` for ``opening``."""
        return Conversation(self, turn.caller, turn.messages, opening)

    async def close(self) -> None:
        await self._writes.close()

    async def take(self, key: bytes) -> tuple[Tip, Lease] | None:
        """The tip under ``key`` and the right to its thread, if both are to be had."""
        await self._writes.done(key)
        data = await self._store.take(self._space, key)
        tip = None if data is None else decode_tip(data)
        if tip is None or not tip.within(self._caps):
            return None
        # Taking is exclusive already; the lease holds where a store forgets that it gave a value away.
        lease = await self._store.lease(tip.lease_key, LEASE_TIME)
        return None if lease is None else (tip, lease)

    def put(self, key: bytes, tip: Tip, lease: Lease | None, caller: str) -> None:
        """Stores a tip of ``caller`` beside the request."""
        self._writes.put(key, tip.encode(), lease, caller=caller)

    async def stored(self, key: bytes) -> None:
        """Waits a moment for a tip to be stored, where another process may look for it."""
        if self._shared:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(SHARING_TIME):
                    await self._writes.done(key)


class Conversation:
    """One turn of one conversation.

    ``new_messages`` is what a thread that it can go on in has not seen, ``end`` what explains them.
    """

    def __init__(
        self, all_of_them: Conversations, caller: str, messages: Sequence[Message], opening: bytes
    ) -> None:
        self._conversations = all_of_them
        self._caller = caller
        self._chain = Chain(opening)
        self._known_until: bytes | None = None
        self._lease: Lease | None = None
        begin = new_from(messages)
        self.new_messages = tuple(messages[begin:]) if begin is not None else ()
        self.end = tuple(end_of(messages, begin)) if begin is not None else ()
        rest = messages[leading_instructions(messages) :]
        known = rest[: len(rest) - len(self.new_messages)]
        self._chain.add(*known)
        if self.new_messages:
            self._known_until = self._chain.tip
            self._chain.add(*self.new_messages)

    async def resume(self) -> Tip | None:
        """The thread to go on with, which nobody else gets from now on; ``None`` where there is none."""
        if self._known_until is None:
            return None
        taken = await self._conversations.take(self._known_until)
        if taken is None:
            return None
        tip, self._lease = taken
        return tip

    def give_back(self, tip: Tip) -> None:
        """The thread was not used after all: the conversation still stands where it stood."""
        if self._known_until is not None:
            self._conversations.put(self._known_until, tip, self._lease, self._caller)

    def forget_thread(self) -> None:
        """The thread that was to be continued is not: what follows happens in a new one."""
        self._lease = None

    async def keep(self, answer: AssistantMessage, tip: Tip) -> None:
        """The conversation, to which ``answer`` was given, can go on where ``tip`` says."""
        self._chain.add(answer)
        self._conversations.put(self._chain.tip, tip, self._lease, self._caller)
        await self._conversations.stored(self._chain.tip)
