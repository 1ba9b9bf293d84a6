"""Where a conversation stands upstream, and whether it may go on there."""

from typing import Final

import msgspec
from msgspec import Struct

from ..core.turn import ThreadRef
from ..state import Space

# Seconds. A turn that takes longer than its lease is not continued.
LEASE_TIME: Final = 15 * 60.0


class ThreadLimits(Struct, frozen=True):
    """How far one upstream thread is used.

    ``turns`` because a site may show the model only its newest 20 items, two for each turn; ``tokens``
    because the whole thread has to fit the model's window with room to answer; ``idle`` in seconds.
    Source: docs/design/emulation.md, "Threads upstream".
    """

    turns: int = 8
    tokens: int = 60_000
    idle: float = 30 * 60.0

    def space(self) -> Space:
        """Where heads are kept, with the bounds of each caller and, in bytes, of all together."""
        # There is no text in a head, and sealing one would be work for every answer.
        return Space(
            "tips",  # As stores that exist already know them.
            ttl=self.idle,
            entries=10_000,
            value_size=4_096,
            size=8 * 1024**2,
            total=64 * 1024**2,
            secret=False,
        )


class ThreadHead(Struct, frozen=True, array_like=True):
    """The end of a thread that has said nothing but what its client knows.

    ``key`` is that of the tool calls, ``sections`` are the parts of prompts that the thread has seen.
    ``control_tokens`` and ``tags`` say what client text in it was escaped (all four:
    :class:`gptoss_api.emulation.prompt.render.Prompt`). ``tokens`` is what the whole conversation comes to.
    """

    thread: str
    account: str
    key: str
    sections: tuple[str, ...]
    control_tokens: bool
    tags: bool
    turns: int
    tokens: int

    @property
    def ref(self) -> ThreadRef:
        return ThreadRef(self.thread, self.account)

    @property
    def lease_key(self) -> bytes:
        return f"thread:{self.account}:{self.thread}".encode()

    def within(self, limits: ThreadLimits) -> bool:
        return self.turns < limits.turns and self.tokens <= limits.tokens

    def encode(self) -> bytes:
        return msgspec.msgpack.encode(self)


def decode_head(data: bytes) -> ThreadHead | None:
    """``None`` for what another version of the gateway may have written."""
    try:
        return msgspec.msgpack.decode(data, type=ThreadHead)
    except msgspec.MsgspecError:
        return None
