"""What begins and ends a call, and how much of it may stand at the end of a piece.

The hold-back table is generated from the markers: every prefix of every opener. Their letters are ASCII's
in either case, and nothing that merely folds to them: the table has to know every spelling.
"""

import re
from itertools import product
from typing import Final

from msgspec import Struct

from ..json_scalars import UNSEEN

MAX_HEADER: Final = 360
SPACE: Final = re.compile(rf"[\s{UNSEEN}]*+")

_JOINTS: Final = ("_", "-", "\u2011", " ", "")
_TAG_NAMES: Final = (
    *("".join(parts) for parts in product(("tool", "function"), _JOINTS, ("call", "calls"))),
    "function",
    "invoke",
)
_TOKEN_NAMES: Final = ("start", "end", "message", "channel", "constrain", "return", "call")


def _prefixes(markers: tuple[str, ...]) -> frozenset[str]:
    return frozenset(marker[:size] for marker in markers for size in range(1, len(marker) + 1))


TAG_PREFIXES: Final = _prefixes(tuple(f"<{name}" for name in _TAG_NAMES))
_CALL_TAG_PREFIXES: Final = _prefixes(tuple(f"<{name}" for name in _TAG_NAMES if name.startswith("tool")))
TOKEN_PREFIXES: Final = _prefixes(tuple(f"<|{name}|>"[:-1] for name in _TOKEN_NAMES))

# Models put space after a tag's first bracket; more of it is text.
GAP: Final = r"[ \t]{0,2}"
TAG: Final = re.compile(
    rf"<{GAP}((?ai:tool[_\-\u2011 ]?calls?|function[_\-\u2011 ]?calls?|function|invoke))(?=[\s>:=/])"
)
TOKEN: Final = re.compile(rf"<\|(?:{'|'.join(_TOKEN_NAMES)})\|>")

# After a call: what ends it, and what shows that the model went on alone.
_MAX_SLACK: Final = 8
_CLOSERS: Final = r"tool[_\-\u2011 ]?calls?|function(?:[_\-\u2011 ]?calls?)?|invoke|parameter|arguments"
CLOSER: Final = re.compile(
    rf"<{GAP}/\s{{0,{_MAX_SLACK}}}(?ai:{_CLOSERS})\s{{0,{_MAX_SLACK}}}>|<\|(?ai:call|end|return)\|>"
)
_SLACK: Final = re.compile(rf"(?<=</)\s+|(?<=[a-z])\s+\Z|(?<=<){GAP}(?=/|\Z)")
_CLOSER_PREFIXES: Final = _prefixes(
    (
        *(f"</{name}>" for name in (*_TAG_NAMES, "parameter", "arguments")),
        *(f"<|{name}|>" for name in ("call", "end", "return")),
    )
)
_INVENTED_TAGS: Final = (
    "<tool_result",
    "<tool_response",
    "<function_result",
    "<message role",
    "<tool_output",
)
INVENTED_PREFIXES: Final = _prefixes(_INVENTED_TAGS)
INVENTED_TAG: Final = re.compile(rf"<{GAP}(?ai:{'|'.join(tag[1:] for tag in _INVENTED_TAGS)})")
_INVENTED_LINES: Final = (
    "tool result:",
    "tool response:",
    "tool output:",
    "function result:",
    "user:",
    "human:",
    "result:",
    "**user:",
    "**tool result:",
)
INVENTED_LINE_PREFIXES: Final = _prefixes(_INVENTED_LINES)
INVENTED_LINE: Final = re.compile(rf"(?ai:{'|'.join(map(re.escape, _INVENTED_LINES))})")

# What may begin a block's body other than JSON.
PAIR_OPENER: Final = re.compile(rf"<{GAP}(?ai:parameter|arg_key)(?=\W)")
BODY_PREFIXES: Final = TAG_PREFIXES | _prefixes(("<parameter", "<arg_key"))

LONGEST_CLOSER: Final = max(map(len, _CLOSER_PREFIXES)) + 2 * _MAX_SLACK + 2
_GAPS: Final = frozenset((" ", "\t"))
_LONGEST: Final = 2 + max(
    map(len, BODY_PREFIXES | TOKEN_PREFIXES | INVENTED_PREFIXES | INVENTED_LINE_PREFIXES)
)

# Inside a tag.
_STRAIGHT: Final = str.maketrans({"“": '"', "”": '"', "„": '"', "″": '"', "‘": "'", "’": "'", "＝": "="})
_ATTRIBUTE: Final = re.compile(r"""([\w.-]+)\s*=\s*(?:"([^"]*)"|'([^']*)'|([^\s"'>]+?)(?=\s|/?$))""")
# A name may drag a control token along; any other tag or code inside is no header.
_TAG_END: Final = re.compile(r"(?<!\|)>|<(?!\|)|`")
_BARE_NAME: Final = re.compile(r"[\s:=]+([A-Za-z_][\w.-]*)\s*/?$")


def may_become(text: str, at: int, prefixes: frozenset[str]) -> bool:
    """Whether what ``text`` ends with, from ``at``, may still grow into one of the markers."""
    if len(text) - at > _LONGEST:
        return False
    tail = text[at:].lower()
    if tail[1:2] in _GAPS:
        tail = tail[0] + tail[1:3].lstrip(" \t") + tail[3:]
    return tail in prefixes


def begins_call_tag(text: str, at: int) -> bool:
    """Whether ``text`` ends inside the word of a tag that is nothing else than a call's."""
    return len(text) - at >= len("<tool_") and may_become(text, at, _CALL_TAG_PREFIXES)


def may_close(text: str, at: int) -> bool:
    """The same for what closes a call, which may hold some space."""
    return len(text) - at <= LONGEST_CLOSER and _SLACK.sub("", text[at:].lower()) in _CLOSER_PREFIXES


class TagHeader(Struct, frozen=True):
    """An opening tag: ``kind`` is ``call``, ``wrapper`` (several calls) or ``function``."""

    kind: str
    name: str
    key: str | None
    closed: bool


def tag_end(text: str, at: int, word_end: int) -> tuple[int, str]:
    """Where the tag at ``at`` is over, with what stands between its word and its ``>``.

    ``(-1, "...")``: it may still be a tag, more is needed; ``(-1, "")``: it is none.
    """
    found = _TAG_END.search(text, word_end, at + MAX_HEADER)
    if found is None:
        return -1, "..." if len(text) - at < MAX_HEADER else ""
    if found[0] == ">":
        return found.end(), text[word_end : found.start()]
    if found[0] == "<" and found.end() == len(text):
        return -1, "..."
    return -1, ""


def read_tag(word: str, attributes: str) -> TagHeader:
    """The meaning of ``<word attributes>``; ``attributes`` excludes the final ``>``."""
    text = attributes.translate(_STRAIGHT)
    kind = "function"
    if word.endswith("call"):
        kind = "call"
    elif word.endswith("calls"):
        kind = "wrapper"
    name, key = "", None
    for found in _ATTRIBUTE.finditer(text):
        value = next((group for group in found.groups()[1:] if group is not None), "").strip()
        match found[1].lower():
            case "name":
                name = value
            case "key":
                key = value
    if (
        not name
        and key is None
        and (bare := _BARE_NAME.fullmatch(text.rstrip().replace('"', "").replace("'", "")))
    ):
        name = bare[1]
    return TagHeader(kind, name, key, text.rstrip().endswith("/"))
