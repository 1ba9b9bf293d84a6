"""How much a regular expression costs, estimated before an engine has seen it.

Engines of linear time pay for counted repetition with space: ``(\\w{99}){99}`` is nearly ten thousand states.
"""

import re
from typing import Final

from msgspec import Struct

# In units of one ASCII letter, measured on the engine behind jsonschema-rs 0.61: 1.3 microseconds to compile
# and 150 bytes. Sets of Unicode characters become many ranges of bytes, large properties some hundreds.
_LETTER: Final = 1
_WIDE_LETTER: Final = 4
_MOST_LETTERS: Final = 12
_NO_SPACE: Final = 20
_PROPERTY: Final = 500
_IGNORING_CASE: Final = 3
# Brackets in brackets: no engine takes more.
_DEPTH: Final = 250

_TOKEN: Final = re.compile(
    r"""
    (?P<property> \\[pP](?:\{[^}]{0,99}\}|.) )
    | (?P<nospace> \\S )
    | (?P<wide> \\[DWsXR] | \. )
    | (?P<back> \\(?:[1-9]|[kgGK]) )
    | (?P<escape> \\(?:[xu]\{[^}]{0,9}\}|x[0-9a-fA-F]{2}|u[0-9a-fA-F]{4}|.) )
    | (?P<note> \(\?\#[^)]{0,99}\) )
    | (?P<flags> \(\?[a-zA-Z]{0,9}(?:-[a-zA-Z]{1,9})?\) )
    | (?P<look> \(\?(?:<?[=!]|>|\() )
    | (?P<open> \((?:\?(?:[a-zA-Z-]{0,9}:|P?<[^>]{0,99}>))? )
    | (?P<close> \) )
    | (?P<count> \{\s*(?P<least>\d*)\s*(?:,\s*(?P<most>\d*)\s*)?\} )
    | (?P<often> [*+?] )
    | (?P<either> \| )
    | (?P<set> \[(?:\\.|\[:\^?[a-z]{1,9}:\]|[^\]\\])*\]? )
    | (?P<stray> \] )
    | (?P<letter> . )
    """,
    re.VERBOSE | re.DOTALL,
)
_SET_PART: Final = re.compile(r"\\[pP]|\\S|\\[DWs]|\[\^|\\[xu]|[^\x00-\x7f]")
_SET_SIZES: Final = {
    "\\p": _PROPERTY, "\\P": _PROPERTY, "\\S": _NO_SPACE, "\\D": _MOST_LETTERS, "\\W": _MOST_LETTERS,
    "\\s": _MOST_LETTERS, "[^": _MOST_LETTERS,
}  # fmt: skip


class PatternSize(Struct, frozen=True):
    """``size`` is what it takes to compile, ``positions`` how many of its characters a text may be at.

    ``backtracks`` says that it looks around or back, so that no engine of linear time matches it.
    """

    size: int
    positions: int
    backtracks: bool


class _Group:
    """The sums of what is inside a pair of brackets, and of its last part, which may yet be repeated."""

    __slots__ = ("last", "last_positions", "positions", "size")

    def __init__(self) -> None:
        self.size = self.positions = self.last = self.last_positions = 0

    def add(self, size: int, positions: int = 1) -> None:
        self.size += size
        self.positions += positions
        self.last, self.last_positions = size, positions

    def join(self) -> None:
        """Takes everything so far for the last part."""
        self.last, self.last_positions = self.size, self.positions

    def repeat(self, times: int) -> None:
        whole, whole_positions = self.last * times, self.last_positions * times
        self.add(whole - self.last, whole_positions - self.last_positions)
        self.last, self.last_positions = whole, whole_positions


def pattern_size(pattern: str) -> PatternSize:
    """An estimate from above for ``pattern``, be it a valid one or not."""
    groups = [_Group()]
    backtracks = folded = spaced = repeated = False
    for token in _TOKEN.finditer(pattern):
        text, group = token[0], groups[-1]
        match token.lastgroup:
            case "count":
                if spaced:
                    # Blanks and notes are no part of the pattern: what is repeated is not known for sure.
                    group.join()
                group.repeat(max(1, int((token["most"] or token["least"]).lstrip("0")[:9] or "1")))
            case "open" | "look" | "flags":
                flags = text[2:] if text.startswith("(?") and "<" not in text else ""
                folded |= "i" in flags
                spaced |= "x" in flags
                backtracks |= token.lastgroup == "look"
                if token.lastgroup != "flags":
                    groups.append(_Group())
                    group.size += _LETTER if len(groups) <= _DEPTH else len(pattern) ** 3
                if len(groups) > _DEPTH:
                    break
            case "close" if len(groups) > 1:
                groups.pop()
                groups[-1].add(group.size, group.positions)
            case "back":
                backtracks = True
                group.add(_LETTER)
            case "often" | "either" | "note":
                # What is repeated a second time by "+" is not given back.
                backtracks |= repeated and text == "+"
                group.size += _LETTER
            case "stray":
                # Perhaps the end of a set that has sets inside.
                group.add(_LETTER)
                group.join()
            case "set":
                group.add(
                    _LETTER + sum(_SET_SIZES.get(part, _WIDE_LETTER) for part in _SET_PART.findall(text))
                )
            case kind:
                group.add(_SIZES.get(kind or "", _LETTER) if text.isascii() else _WIDE_LETTER)
        repeated = token.lastgroup in ("often", "count")
    size = sum(group.size for group in groups) * (_IGNORING_CASE if folded else 1)
    return PatternSize(size, sum(group.positions for group in groups), backtracks)


_SIZES: Final = {"property": _PROPERTY, "nospace": _NO_SPACE, "wide": _MOST_LETTERS}
