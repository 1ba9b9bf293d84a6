"""How the upstream turns of an answer end: by themselves, or left in the middle."""

from typing import Final

from msgspec import Struct

from ...core.events import Event, Finished, FinishReason, TextDelta

# Characters of white space that may follow a complete answer
# (docs/design/emulation.md, "When a thread goes on").
LONGEST_TAIL: Final = 64


class Ending(Struct):
    """``reason`` is how the latest upstream turn ended by itself, ``None`` until it does.

    ``abandoned`` says that an earlier one was left before its end. Events that come after everything that
    was wanted are only watched: :meth:`watch`.
    """

    reason: FinishReason | None = None
    abandoned: bool = False
    _tail: int = 0

    @property
    def near(self) -> bool:
        """Whether a turn that is watched can still end without having said more than white space."""
        return self.reason is None and self._tail <= LONGEST_TAIL

    def watch(self, event: Event) -> None:
        if isinstance(event, TextDelta):
            self._tail += len(event.text) if event.text.isspace() else LONGEST_TAIL + 1
        elif isinstance(event, Finished) and self.near:
            # One that said more first is as good as left.
            self.reason = event.reason

    def next_turn(self) -> None:
        self.abandoned |= self.reason is None
        self.reason = None
        self._tail = 0
