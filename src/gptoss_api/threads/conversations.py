"""Which upstream thread continues a conversation.

A head stands in the store under the hash of the whole conversation up to an answer. Who continues it takes
it out: there is one taker, everybody else sends the whole conversation to a thread of its own. A new head
is stored only after an answer that ended well, so a thread whose last turn was cancelled, cut, failed or
not delivered as written is never used again. Heads reach the store in groups, beside the answers; until then
their process has them in memory. Source: docs/design/emulation.md, "When a thread goes on".
"""

import asyncio
from typing import Final

from ..core.turn import AssistantMessage, Message, Turn
from ..state import GuardedStore, Lease
from .chain import Chain, end_of, new_from
from .heads import LEASE_TIME, ThreadHead, ThreadLimits, decode_head
from .under_way import Notes
from .write_behind import WriteBehind

# Seconds between two looks for a head that another worker has under way, and how many there are: for longer
# than it takes, unless that worker died.
_ARRIVAL_LOOK: Final = 0.002
_ARRIVAL_LOOKS: Final = 300

_LIMITS: Final = ThreadLimits()


class Conversations:
    """All conversations that can go on, in ``store``.

    Heads are stored beside the requests by ``writes``, within ``pause`` seconds. With ``notes`` other workers
    know which are not yet, and wait for one that they need.
    """

    def __init__(
        self,
        store: GuardedStore,
        limits: ThreadLimits = _LIMITS,
        *,
        pause: float = 0.0,
        notes: Notes | None = None,
    ) -> None:
        self._store = store
        self._limits = limits
        self._space = limits.space()
        self._notes = notes
        self.writes: Final = WriteBehind(store, self._space, pause=pause, notes=notes)

    async def close(self) -> None:
        await self.writes.close()

    async def take(self, key: bytes) -> tuple[ThreadHead, Lease | None] | None:
        """The head under ``key`` and the right to its thread, if both are to be had."""
        if (entry := self.writes.take(key)) is not None:
            # Nobody else has ever seen it, so that what right there was is still the only one.
            head = self._usable(entry.value)
            return None if head is None else (head, entry.lease)
        await self.writes.done(key)
        await self._arrived(key)
        head = self._usable(await self._store.take(self._space, key))
        if head is None:
            return None
        # Taking is exclusive already; the lease holds where a store forgets that it gave a value away.
        lease = await self._store.lease(head.lease_key, LEASE_TIME)
        return None if lease is None else (head, lease)

    def _usable(self, data: bytes | None) -> ThreadHead | None:
        head = None if data is None else decode_head(data)
        return head if head is not None and head.within(self._limits) else None

    async def _arrived(self, key: bytes) -> None:
        """Waits for a head that another worker has under way."""
        if self._notes is None:
            return
        for _ in range(_ARRIVAL_LOOKS):
            if key not in self._notes:
                return
            await asyncio.sleep(_ARRIVAL_LOOK)


class Conversation:
    """One ``turn`` of one conversation, which begins after ``front`` instructions.

    See :class:`.chain.Chain` for ``preamble``. ``new_messages`` is what a thread that it can go on in has not
    seen, ``end`` what explains them.
    """

    def __init__(self, all_of_them: Conversations, turn: Turn, preamble: bytes, front: int) -> None:
        self._conversations = all_of_them
        self._caller = turn.caller
        self._known_until: bytes | None = None
        self._lease: Lease | None = None
        self.new_messages: tuple[Message, ...] = ()
        self.end: tuple[Message, ...] = ()
        messages = turn.messages
        begin = new_from(messages)
        self._chain = Chain.of(preamble, messages[front:begin])
        if begin is not None:
            self.new_messages, self.end = messages[begin:], tuple(end_of(messages, begin))
            self._known_until = self._chain.digest
            self._chain.add(*self.new_messages)

    async def resume(self) -> ThreadHead | None:
        """The thread to go on with, which nobody else gets from now on; ``None`` where there is none."""
        if self._known_until is None:
            return None
        taken = await self._conversations.take(self._known_until)
        if taken is None:
            return None
        head, self._lease = taken
        return head

    def give_back(self, head: ThreadHead) -> None:
        """The thread was not used after all: the conversation still stands where it stood."""
        if self._known_until is not None:
            self._store(self._known_until, head)

    def forget_thread(self) -> None:
        """The thread that was to be continued is not: what follows happens in a new one."""
        self._lease = None

    def keep(self, answer: AssistantMessage, head: ThreadHead) -> None:
        """The conversation, to which ``answer`` was given, can go on where ``head`` says."""
        self._chain.add(answer)
        self._store(self._chain.digest, head)

    def _store(self, key: bytes, head: ThreadHead) -> None:
        self._conversations.writes.put(key, head.encode(), self._lease, caller=self._caller)
