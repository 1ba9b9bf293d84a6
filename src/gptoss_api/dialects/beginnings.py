"""Arrays of requests that begin as one did before: each step of a conversation sends all of it again."""

from collections.abc import Callable
from typing import Any, Final

from msgspec import Struct

from ..text.memo import Memo

# Arrays of fewer bytes are read as fast as found.
LEAST: Final = 16 * 1024
# How many bytes tell which array it may be that goes on.
_TOLD_BY: Final = 256
_SPACE: Final = b" \t\r\n"


class ConversationItems(list[Any]):
    """The items of an array that may come again, and go on: never to be changed, nor what they hold.

    ``made`` is what readers made of as many of its first items as they say, by reader.
    """

    __slots__ = ("made",)

    def __init__(self, items: list[Any], made: dict[Callable[..., Any], Any]) -> None:
        super().__init__(items)
        self.made = made


class Beginning(Struct, frozen=True):
    """The text of an array without its end, its items, and what is thought to be taken by both in bytes."""

    text: bytes
    items: ConversationItems
    size: int


class Beginnings:
    """The latest arrays of at most ``size`` bytes in all; one of those that are alike for long."""

    def __init__(self, size: int) -> None:
        self._known: Memo[bytes, Beginning] = Memo(size)

    def of(self, array: bytes) -> tuple[Beginning, bytes] | None:
        """What ``array``, the text of one, begins with, and the text of the others: an array, too."""
        for place in _places(len(array)):
            known = self._known.get(array[place - _TOLD_BY : place])
            if known is not None and array.startswith(known.text):
                rest = array[len(known.text) :].lstrip(_SPACE)
                if rest[:1] == b",":
                    return known, b"[" + rest[1:]
                if rest == b"]":
                    return known, b"[]"
        return None

    def put(self, array: bytes, items: ConversationItems, size: int) -> None:
        text = array[:-1].rstrip(_SPACE)
        place = _places(len(text))[0]
        self._known.put(text[place - _TOLD_BY : place], Beginning(text, items, size), size)


def _places(length: int) -> tuple[int, int]:
    """Where the bytes end that tell which array it is, in one of that ``length`` and in one of the half."""
    place = 1 << (length.bit_length() - 1)
    return place, place >> 1
