r"""Regular expressions as JSON Schema has them (ECMA-262), written so that the validator's engine takes them.

The engine reads most patterns as ECMA-262 means them and refuses some that are valid: groups referred to by
name, halves of surrogate pairs, ``[^]``, ``\0``, and what Annex B allows (``[\w-.]``, ``a{``). A pattern that
could also be meant in Python's or Perl's way (``\Z``, ``a{,3}``) stays as it is: the meaning is not known.
"""

import re
from typing import Final

# What may go on without an end is bounded: it would be tried from every beginning.
_CAPTURES: Final = re.compile(
    r"\\.|\[(?:\\.|[^\]\\])*+\]?|(?P<plain>\((?!\?))|\(\?P?<(?P<name>[^>=!][^>]{0,99})>", re.DOTALL
)
_OPEN: Final = re.compile(r"\(\?P?<(?P<name>[^>=!][^>]{0,99})>|\(\?<?[=!]|\(\?[a-zA-Z-]*:?|\(")
_TIMES: Final = re.compile(r"[*+?]\??|\{([0-9]+)(?:,([0-9]*))?\}\??")
_PYTHON_COUNT: Final = re.compile(r"\{,[0-9]+\}")
_NUMBER: Final = re.compile(r"\\([1-9][0-9]{0,5})")
_REFERENCE: Final = re.compile(r"\\k<([^>]{0,99})>")
_ESCAPE: Final = re.compile(
    r"""\\(?:
        u(?P<high>[dD][89abAB][0-9a-fA-F]{2})\\u(?P<low>[dD][c-fC-F][0-9a-fA-F]{2})
      | (?:u\{0{0,9}(?P<point>[0-9a-fA-F]{1,6})\}|u(?P<unit>[0-9a-fA-F]{4})|x(?P<byte>[0-9a-fA-F]{2}))
      | (?P<octal>[0-3][0-7]{0,2}|[4-7][0-7]?)
      | (?P<property>[pP]\{[^}]{0,99}\})
      | c(?P<control>[a-zA-Z])
      | (?P<char>.)
    )""",
    re.VERBOSE | re.DOTALL,
)
_CONTROLS: Final = {"t": 9, "n": 10, "v": 11, "f": 12, "r": 13}
_ANY: Final = r"[\s\S]"
_NONE: Final = r"[^\s\S]"
_HALVES: Final = range(0xD800, 0xE000)
_BEYOND: Final = 0x110000

# A character by its number, or what is none as it is written.
Item = int | str


class MalformedPattern(ValueError):
    """What is a regular expression in no dialect; the message says why."""


def translated(pattern: str) -> str:
    """``pattern`` in the engine's syntax, as far as that has words for it.

    Raises:
        MalformedPattern: where a bracket has no other half, there is nothing to repeat and the like.
    """
    return _Translation(pattern).read()


class _Translation:
    """One pass over a pattern, from left to right."""

    def __init__(self, pattern: str) -> None:
        self._pattern = pattern
        self._out: list[str] = []
        self._names: dict[str, list[int]] = {}
        # Whether an escaped number refers to a group depends on how many there are in all.
        self._captures = 0
        for found in _CAPTURES.finditer(pattern):
            if found["plain"] or found["name"] is not None:
                self._captures += 1
            if found["name"] is not None:
                self._names.setdefault(found["name"], []).append(self._captures)
        self._opened = 0
        self._open: list[int] = []
        self._closed: set[int] = set()
        # Nothing at a beginning can be repeated, nor what is repeated already.
        self._repeatable = False

    def read(self) -> str:
        at = 0
        while at < len(self._pattern):
            at = self._next(at)
        if self._open:
            raise MalformedPattern("a ( has no )")
        return "".join(self._out)

    def _next(self, at: int) -> int:
        pattern, char = self._pattern, self._pattern[at]
        times = _TIMES.match(pattern, at)
        if times:
            self._repeat(times)
            return times.end()
        if char == "(":
            return self._begin(at)
        self._repeatable = char not in "|^"
        if char == "[":
            return self._set(at)
        if char == "\\":
            return self._escaped(at)
        if char == ")":
            if not self._open:
                raise MalformedPattern("a ) has no (")
            self._closed.add(self._open.pop())
        self._out.append("\\{" if char == "{" and not _PYTHON_COUNT.match(pattern, at) else char)
        return at + 1

    def _repeat(self, times: re.Match[str]) -> None:
        # A second plus belongs to another dialect.
        if not self._repeatable and times[0] != "+":
            raise MalformedPattern(f"{times[0]} has nothing to repeat")
        if times[2] and int(times[2]) < int(times[1]):
            raise MalformedPattern(f"{times[0]} ends before it begins")
        self._repeatable = False
        self._out.append(times[0])

    def _begin(self, at: int) -> int:
        found = _OPEN.match(self._pattern, at)
        assert found is not None
        name, captures = found["name"], found["name"] is not None or found[0] == "("
        self._opened += captures
        self._open.append(self._opened if captures else 0)
        # Groups that share a name cannot be said otherwise.
        self._out.append("(" if name is not None and len(self._names[name]) == 1 else found[0])
        self._repeatable = False
        return found.end()

    def _escaped(self, at: int) -> int:
        pattern = self._pattern
        if (number := _NUMBER.match(pattern, at)) and int(number[1]) <= self._captures:
            self._out.append(self._reference(int(number[1])))
            return number.end()
        if self._names and (named := _REFERENCE.match(pattern, at)):
            numbers = self._names.get(named[1], [])
            if not numbers:
                raise MalformedPattern(f"no group has the name {named[1][:40]!r}")
            self._out.append(self._reference(numbers[0]) if len(numbers) == 1 else named[0])
            return named.end()
        item, end = _item(pattern, at)
        if item == "\\k" and not self._names:
            item = "k"
        self._out.append(item if isinstance(item, str) else _letter(item) or _NONE)
        return end

    def _reference(self, number: int) -> str:
        # What has not ended has captured nothing, and that is what it matches.
        return f"(?:\\{number})" if number in self._closed else "(?:)"

    def _set(self, at: int) -> int:
        pattern = self._pattern
        at += 1
        negated = pattern.startswith("^", at)
        at += negated
        items: list[Item] = []
        while not pattern.startswith("]", at):
            if at == len(pattern):
                raise MalformedPattern("a [ has no ]")
            if pattern[at] == "\\":
                item, at = _item(pattern, at)
                items.append(8 if item == "\\b" else item)
            else:
                # A dash between two others may make a range of them.
                items.append("-" if pattern[at] == "-" else ord(pattern[at]))
                at += 1
        inside = "".join(_set_parts(items))
        self._out.append(f"[{'^' * negated}{inside}]" if inside else _ANY if negated else _NONE)
        return at + 1


def _item(pattern: str, at: int) -> tuple[Item, int]:
    """What the escape at ``at`` stands for, and where it ends."""
    found = _ESCAPE.match(pattern, at)
    if found is None:
        raise MalformedPattern("a \\ has nothing to escape")
    if found["high"]:
        point = 0x10000 + ((int(found["high"], 16) & 0x3FF) << 10) + (int(found["low"], 16) & 0x3FF)
    elif digits := found["point"] or found["unit"] or found["byte"]:
        point = int(digits, 16)
    elif found["octal"]:
        point = int(found["octal"], 8)
    elif found["control"]:
        point = ord(found["control"]) % 32
    elif (char := found["char"]) and char in _CONTROLS:
        point = _CONTROLS[char]
    elif char and not (char.isascii() and char.isalpha()):
        point = ord(char)
    else:
        point = _BEYOND
    return found[0] if point >= _BEYOND else point, found.end()


def _set_parts(items: list[Item]) -> list[str]:
    parts: list[str] = []
    at = 0
    while at < len(items):
        first = items[at]
        last = items[at + 2] if at + 2 < len(items) and items[at + 1] == "-" else None
        if last is None:
            parts.append(_in_set(first))
            at += 1
            continue
        begin, end = _point(first), _point(last)
        if begin is None or end is None:
            # Beside a class of characters the dash is one of them.
            parts += [_in_set(first), _in_set("-")]
            at += 2
            continue
        if end < begin:
            raise MalformedPattern("a range in a set ends before it begins")
        parts.append(_range(begin, end))
        at += 3
    return parts


def _point(item: Item) -> int | None:
    return ord("-") if item == "-" else item if isinstance(item, int) else None


def _range(begin: int, end: int) -> str:
    """The range without halves of pairs, which no text has."""
    if begin in _HALVES:
        begin = _HALVES.stop
    if end in _HALVES:
        end = _HALVES.start - 1
    return f"{_letter(begin)}-{_letter(end)}" if begin <= end else ""


def _in_set(item: Item) -> str:
    point = _point(item)
    return str(item) if point is None else _letter(point)


def _letter(point: int) -> str:
    """A character as it is taken inside sets and outside; nothing for half of a pair."""
    if point in _HALVES:
        return ""
    return chr(point) if point > 0x9F or chr(point).isalnum() else f"\\x{point:02x}"
