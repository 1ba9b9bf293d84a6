"""JSON as programs write it that no strict reader takes, and text that comes with halves of characters.

The readers of other languages take what this takes: Python writes NaN, JavaScript cuts strings between the
halves of a surrogate pair. Nothing is invented: what cannot be read is said to be unreadable.
"""

import json
import math
import re
from collections.abc import Iterator
from typing import Any, Final

import msgspec

DONE: Final = object()

# No parameter or measurement has more digits; reading one takes time that grows with their square.
_MOST_DIGITS: Final = 1_000
_SPACE: Final = re.compile(r"[ \t\r\n]*")
_END_MARK: Final = re.compile(r"\[DONE\][ \t\r]*(?:\n|\Z)")
# "ping", ": keep-alive", "[HEARTBEAT]": a line of plain words, which no part of a JSON object looks like.
_WORDS: Final = re.compile(r"(?:[\w .:!-]{1,40}|\[[\w .:!-]{1,40}\]|\"[\w .:!-]{0,40}\")[ \t\r]*(?:\n|\Z)")
_LONE_HALF: Final = re.compile("[\ud800-\udbff](?![\udc00-\udfff])|(?<![\ud800-\udbff])[\udc00-\udfff]")


class Unreadable(ValueError):
    """Something that is no JSON, not even nearly."""


def read_values(payload: bytes) -> Iterator[Any]:
    """The JSON objects and lists in an event, one after the other, with or without line breaks between them.

    NaN, the infinities and numbers beyond all bounds are ``None``, raw control characters stay in their
    strings, bytes that are not UTF-8 become U+FFFD, and halves of surrogate pairs stay as they are (see
    :class:`HalfJoiner`). ``[DONE]`` is :data:`DONE`; a line of plain words is passed over. Linear.

    Raises:
        Unreadable: at the first thing that is neither, after what stands before it was given out.
    """
    text = payload.decode("utf-8", "replace").removeprefix("\ufeff")
    at, apart = _after_space(text, 0), True
    while at < len(text):
        # Before any attempt to decode: the library's error counts the lines up to it, each time anew.
        if apart and (mark := _END_MARK.match(text, at)):
            yield DONE
            end = mark.end()
        elif apart and (mark := _WORDS.match(text, at)):
            end = mark.end()
        elif text[at] not in "{[":
            raise Unreadable("neither JSON nor nearly")
        else:
            try:
                value, end = _decoder.raw_decode(text, at)
            except (ValueError, RecursionError):
                raise Unreadable("neither JSON nor nearly") from None
            yield value
        at = _after_space(text, end)
        # What only follows a value on its line is no word of its own.
        apart = text[at - 1] in " \t\r\n"


def decode_loosely(data: bytes) -> Any:
    """The one JSON value in ``data``, read strictly if possible and as :func:`read_values` does otherwise.

    Raises:
        Unreadable: if there is none, or more than one.
    """
    try:
        return msgspec.json.decode(data)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        values = list(read_values(data))
    if len(values) != 1 or values[0] is DONE:
        raise Unreadable("not one JSON value")
    return values[0]


class HalfJoiner:
    """Joins the halves of surrogate pairs that two pieces of a text were cut between.

    A half whose other half does not follow becomes U+FFFD; what :meth:`feed` returns is always text that
    can be encoded.
    """

    __slots__ = ("_first",)

    def __init__(self) -> None:
        self._first = ""

    def feed(self, text: str) -> str:
        """What ``text`` adds; the first half of a pair at its end is kept for the next piece."""
        text = self._first + text
        self._first = text[-1:] if "\ud800" <= text[-1:] <= "\udbff" else ""
        return joined(text[:-1] if self._first else text)

    def finish(self) -> str:
        """What stands for a half that nothing followed."""
        rest, self._first = joined(self._first), ""
        return rest


def joined(text: str) -> str:
    """``text`` with its surrogate pairs as the characters they mean, and U+FFFD for halves of them."""
    if text.isascii():
        return text
    # The codecs' own replacing calls back for each.
    text = _LONE_HALF.sub("\ufffd", text)
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le")


def _after_space(text: str, at: int) -> int:
    return _SPACE.match(text, at).end()  # type: ignore[union-attr]  # it also matches nothing


def _finite(digits: str) -> float | None:
    number = float(digits)
    return number if math.isfinite(number) else None


def _whole(digits: str) -> int | None:
    return int(digits) if len(digits) <= _MOST_DIGITS else None


_decoder: Final = json.JSONDecoder(
    strict=False, parse_constant=lambda _: None, parse_float=_finite, parse_int=_whole
)
