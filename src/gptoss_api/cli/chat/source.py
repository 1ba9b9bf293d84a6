"""Who answers: what both kinds of sources do alike."""

from collections.abc import Sequence
from typing import Protocol

from msgspec import Struct, field

from .conversation import Conversation
from .screen import Screen


class Failed(Exception):
    """No answer, or none to its end: the message says why and what mends it.

    ``wants_key`` says that a key is missing or is not the right one.
    """

    def __init__(self, message: str, *, wants_key: bool = False) -> None:
        super().__init__(message)
        self.wants_key = wants_key


class Heard(Struct):
    """An answer as far as it was heard, shown on ``screen`` meanwhile."""

    screen: Screen
    text: list[str] = field(default_factory=list)
    reasoning: list[str] = field(default_factory=list)
    model: str = ""
    upstream: str = ""
    finish_reason: str = ""
    usage: dict[str, object] | None = None
    notes: list[str] = field(default_factory=list)

    def think(self, text: str) -> None:
        self.reasoning.append(text)
        self.screen.think(text)

    def answer(self, text: str) -> None:
        self.text.append(text)
        self.screen.answer(text)


class Source(Protocol):
    """``where`` says in words who answers.

    ``ask`` is interrupted by ``KeyboardInterrupt``, which ends the turn upstream as well.
    """

    @property
    def where(self) -> str: ...

    def ask(self, conversation: Conversation, heard: Heard) -> None:
        """Raises :class:`Failed`."""
        ...

    def models(self) -> Sequence[str]:
        """The names of those there are; none where nobody knows. Raises :class:`Failed`."""
        ...

    def close(self) -> None: ...
