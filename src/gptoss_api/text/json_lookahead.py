"""Whether a quote ends a string: decided by what follows it, up to 160 characters.

Models forget to escape quotes inside strings. A quote ends its string only where the text after it
can go on as JSON, or is the end of the block (docs/design/emulation.md, "Lenient JSON"). Every function takes
the text after the quote and answers ``None`` while more of it is needed; ``final`` says that no more
will come. Valid JSON always answers ``True`` for its real quotes.
"""

import re
from collections.abc import Sequence
from typing import Final

from msgspec import Struct

from .json_scalars import UNSEEN

LOOK: Final = 160
SPACE: Final = re.compile(r"[ \t\n\r]*+")

_SPECIAL: Final = '"\\\\\x00-\x1f\ud800-\udfff'
_COMMENTS: Final = rf"(?:[\s{UNSEEN}]++|//[^\n]*+\n|/\*(?:[^*]|\*(?!/))*+\*/|#[^\n]*+\n)*+"
_GAP: Final = re.compile(_COMMENTS)
_KEY: Final = re.compile(
    r"""(?:"(?:[^"\\]|\\.)*+"|'(?:[^'\\]|\\.)*+'|[“”„][^“”„]*+[“”„]|[‘’][^‘’]*+[‘’]|[A-Za-z_$][\w$-]*+)""",
    re.DOTALL,
)
_KEY_GOES_ON: Final = re.compile(r"[^\s,:{}\[\]=>\"](?:[^,:{}\[\]\n\"'’”]{0,80}+[\"'’”]){1,3}\s*+:")
_WORD: Final = re.compile(r"(?:true|false|null|True|False|None|nan|NaN|-?Infinity)\b")
_LONGEST_WORD: Final = 10
_NEXT_ITEM: Final = re.compile(r"""["“‘'][^"”’']*+["”’']\s*+[,\]]""")
_ODD_ITEM: Final = re.compile(r"""["“‘'][^"”’']*+["”’']\s*+[^\s,\]]""")
_LATER_END: Final = re.compile(r"[\"'”’]\s*[}\]]")
_LATER_QUOTE: Final = re.compile(r"[\"'”’]\s*(?:\Z|</?(?:tool|func|invoke|param|arg)|<\|)")
_ANOTHER: Final = re.compile(r'[^"{}\[\]\n]*+\n[^"{}\[\]]*+\{\s*+"[^"\\{}\[\]]++"\s*+:')
_BLOCK_END: Final = re.compile(r"</?(?:tool|func|invoke|param|arg)|<\||```|~~~", re.IGNORECASE)
_LONGEST_END: Final = 8
_STRAY: Final = re.compile(rf"[\s{UNSEEN}}}\]]*+")
_CLOSERS_THEN_END: Final = re.compile(
    r"\s*+[}\]][\s}\]]*+(?:</(?:tool|func|invoke|param|arg)|<\|)", re.IGNORECASE
)
# A name of at most 17 characters: a tag is waited for until 20 are there.
_CLOSERS_THEN_TAG: Final = re.compile(r"\s*+[}\]][\s}\]]*+</[A-Za-z_-]{1,17}>\s*+")


class StringKind(Struct, frozen=True):
    """How a string with a certain opening quote is read: what may close it, what needs no care."""

    closers: str
    plain: re.Pattern[str]


def _kind(closers: str) -> StringKind:
    ordinary = f"[^{closers}{_SPECIAL}]++"
    # An escaped quote before a bracket is looked at: it may be a forgotten doubled backslash.
    return StringKind(closers, re.compile(rf'(?:{ordinary}|\\[bfnrt\\/]|\\"(?=[^\s}}\]]))*+'))


DOUBLE: Final = _kind('"')
_SINGLE: Final = _kind("'")
_CURLY: Final = _kind("“”„")
_CURLY_SINGLE: Final = _kind("‘’")
_KINDS: Final = {'"': DOUBLE, "'": _SINGLE, "‘": _CURLY_SINGLE, "’": _CURLY_SINGLE}
OPENERS: Final = "\"'“”„‘’"


def string_kind(quote: str) -> StringKind:
    """How to read a string that opens with ``quote``, one of ``OPENERS``."""
    return _KINDS.get(quote, _CURLY)


def can_follow_key(after: str, stack: Sequence[str], final: bool) -> bool | None:
    """Whether a quote before ``after`` ends a key. ``stack`` is not needed: a colon must follow."""
    settled = final or len(after) == LOOK
    at = _skip_gap(after, 0)
    if at == len(after):
        return True if settled else None
    if after[at] == ":":
        return True
    if _unfinished_comment(after, at):
        return True if settled else None
    if _KEY_GOES_ON.match(after):
        return False
    if settled or after[0].isspace() or after[0] in ",:{}[]=>":
        return True
    return None


def can_follow_value(after: str, stack: Sequence[str], final: bool) -> bool | None:
    """Whether a quote before ``after`` ends a value inside the brackets that ``stack`` closes."""
    settled = final or len(after) == LOOK
    undecided = True if settled else None
    size, depth, at, comma = len(after), len(stack), 0, False
    while True:
        at = _skip_gap(after, at)
        if at == size:
            return undecided
        if depth == 0:
            return _text_ends(after, at, settled, final, in_brackets=bool(stack))
        char, closer = after[at], stack[depth - 1]
        if char == closer:
            depth, at, comma = depth - 1, at + 1, False
        elif char == "," and not comma:
            comma, at = True, at + 1
        elif _unfinished_comment(after, at):
            return undecided
        elif char in "}]":
            return _forgotten_bracket(after, at, settled)
        elif char == "<" and not comma:
            return block_ends(after, at, settled)
        elif closer == "}":
            return _key_stands(after, at, settled)
        elif comma:
            return _item_stands(after, at, settled)
        elif not (at and after[at - 1].isspace()) or char not in OPENERS:
            return False
        elif _NEXT_ITEM.match(after, at):
            return True
        else:
            return False if settled or _ODD_ITEM.match(after, at) else None


def can_follow_backslash(after: str, stack: Sequence[str], final: bool) -> bool | None:
    r"""Whether ``\"`` before ``after`` was meant as a backslash and the string's end.

    Only believed where closing brackets and the block's own end tag follow, and nothing after the
    tag speaks for a string that merely quotes such a tag.
    """
    settled = final or len(after) == LOOK
    brackets = _STRAY.match(after).end()  # type: ignore[union-attr]  # it also matches nothing
    if brackets == len(after):
        return False if settled else None
    if not after[:brackets].strip() or not stack:
        return False
    tag = _CLOSERS_THEN_TAG.match(after)
    if tag is None:
        rest = after[brackets:]
        begun = rest[0] == "<" and ">" not in rest and len(rest) < 20
        return None if begun and not settled else False
    if tag.end() == len(after):
        return True if settled else None
    return after[tag.end()] not in "\"'\\,;.)"


def block_ends(text: str, at: int, final: bool) -> bool | None:
    """Whether the block's end tag, the next block or a fence stands at ``at``."""
    if text[at] not in "<`~":
        return False
    if _BLOCK_END.match(text, at):
        return True
    return None if not final and len(text) - at < _LONGEST_END else False


def another_follows(after: str, stack: Sequence[str]) -> bool:
    """Whether a quote before ``after`` ends the whole value, for another object begins on a later line.

    Only believed of the first quote in its string that :func:`can_follow_value` takes for an inner one:
    models escape all inner quotes or none.
    """
    at = 0
    for closer in reversed(stack):
        at = _skip_gap(after, at)
        if not after.startswith(closer, at):
            return False
        at += 1
    return bool(stack) and _ANOTHER.match(after, at) is not None


def _skip_gap(text: str, at: int) -> int:
    return _GAP.match(text, at).end()  # type: ignore[union-attr]  # it also matches nothing


def _unfinished_comment(text: str, at: int) -> bool:
    return text[at] == "#" or (text[at] == "/" and (at + 1 == len(text) or text[at + 1] in "/*"))


def _forgotten_bracket(after: str, at: int, settled: bool) -> bool | None:
    if _CLOSERS_THEN_END.match(after, at):
        return True
    end = _STRAY.match(after, at).end()  # type: ignore[union-attr]  # it also matches nothing
    if end == len(after) or (after[end] == "<" and len(after) - end < _LONGEST_END):
        return settled if settled else None
    return False


def _text_ends(after: str, at: int, settled: bool, final: bool, *, in_brackets: bool) -> bool | None:
    """Whether the value as a whole may end before ``at``: nothing further speaks for a longer string."""
    at = _STRAY.match(after, at).end()  # type: ignore[union-attr]  # it also matches nothing
    if at == len(after):
        return True if settled else None
    ends = block_ends(after, at, settled)
    if ends is not False:
        return ends
    if after[at] in "{[":
        return True
    if _unfinished_comment(after, at):
        return True if settled else None
    if after[at] == ",":
        following = after[at + 1 :].lstrip()
        if not following and not settled:
            return None
        if following[:1] in "{[":
            return True
    later = _LATER_END.search(after, at) if in_brackets else None
    block = _BLOCK_END.search(after, at)
    if later or block:
        return later is None or (block is not None and block.start() < later.start())
    if not settled:
        return None
    return in_brackets or not _LATER_QUOTE.search(after if final else after + ".", at)


def _key_stands(after: str, at: int, settled: bool) -> bool | None:
    """Whether a key and its colon stand at ``at``."""
    key = _KEY.match(after, at)
    quoted = after[at] in OPENERS
    if key is None:
        return (True if settled else None) if quoted else False
    end = _skip_gap(after, key.end())
    if end == len(after):
        return quoted if settled else None
    if after[end] == ":":
        return True
    if _unfinished_comment(after, end) and not settled:
        return None
    if not quoted or after[key.end()].isspace() or after[key.end()] in ",:{}[]=>":
        return False
    if _KEY_GOES_ON.match(after, key.end()):
        return True
    return False if settled else None


def _item_stands(after: str, at: int, settled: bool) -> bool | None:
    """Whether a list's next value begins at ``at``."""
    if after[at] in OPENERS or after[at] in "{[-+.0123456789":
        return True
    word = _WORD.match(after, at)
    if word is not None and (settled or word.end() < len(after)):
        return True
    if len(after) - at <= _LONGEST_WORD:
        return True if settled and len(after) == LOOK else (False if settled else None)
    return False
