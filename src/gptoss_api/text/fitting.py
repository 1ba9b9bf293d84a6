"""Arguments of a tool call made to fit their schema while they stream.

Theory of operation. Strict JSON goes in piece by piece, as the tool-call parser and the assembler of native
calls give it, and comes out the same but for what certainly does not fit. Beside the text the machine walks
down the schema (:mod:`.schema_places`): for each value it knows what is demanded there, or that nothing is
known, and then the value passes, whatever it is. So what validates is never changed: a change needs a demand
that the value breaks in any case, and something of the same meaning that keeps all of them. Nothing is added.

Objects and arrays flow on, strings too. What is held back is only what is in question, and never more than
``MOST_HELD`` characters; what is longer leaves as it is:

============ ============================================= ============================================
state        reads                                         holds back
============ ============================================= ============================================
VALUE        up to the first character of a value          the member's comma, name and colon
INSIDE       a value to its end, which leaves as it comes  nothing
WHOLE        a value to its end, then it is mended         the value, with its comma and name: of another
                                                           type than demanded, one of options, a null
ASIDE        the value of a name that the schema refuses   the member, to the object's end: it is left out
                                                           where the object has all that is required
NAME, COLON  a member's name, and the colon                the comma and the name
AFTER        a comma or a closing bracket                  a comma in an object
AHEAD        an object to its end, for its names           the rest of the object
PASSING      everything after what is no JSON              nothing
============ ============================================= ============================================

AHEAD is for one case. ``{"dryRun": true}`` lacks the required ``dry_run``, unless that is still to come: only
at the object's end it is known that one stands for the other. The names of all objects in there are noted on
the way, so that this is read ahead once and not for each object inside again. Where the schema refuses
``dryRun`` anyway, nothing is waited for; should ``dry_run`` follow, it stands last, and the last counts.

(docs/design/emulation.md, "Repairs".)
"""

import json
import re
from enum import Enum, auto
from typing import Final

from .schema import at_once
from .schema_places import Inner, Place, Places, Way

MOST_HELD: Final = 64 * 1024
# JSON in a string of JSON in a string; nobody means more.
_MOST_INNER: Final = 3

_SPACE: Final = re.compile(r"[ \t\r\n]*+")
_STRING: Final = re.compile(r'[^"\\]*+(?:\\.[^"\\]*+)*+', re.DOTALL)
_BRACKETS: Final = re.compile(r'[^"{}\[\]]*+')
_BRACKETS_AND_COMMAS: Final = re.compile(r'[^"{}\[\],]*+')
# A name up to its value, where all of it is there.
_MEMBER: Final = re.compile(r'("[^"\\]*+")([ \t\r\n]*+:[ \t\r\n]*+)')
_WORD: Final = re.compile(r"[^\s,\]}]*+")
_KINDS: Final = {
    '"': "string",
    "{": "object",
    "[": "array",
    "n": "null",
    "t": "boolean",
    "f": "boolean",
} | dict.fromkeys("-0123456789", "number")
_CLOSERS: Final = {"object": "}", "array": "]"}


class _State(Enum):
    """See the table above."""

    VALUE = auto()
    INSIDE = auto()
    WHOLE = auto()
    ASIDE = auto()
    NAME = auto()
    COLON = auto()
    AFTER = auto()
    AHEAD = auto()
    PASSING = auto()


class _AnyName:
    """Names that are not known: each may be among them."""

    def __contains__(self, name: object) -> bool:
        return True


_UNKNOWN: Final = _AnyName()
Names = set[str] | _AnyName


class _Frame:
    """An open object or array, or a ``list`` that was put around one value.

    ``seen`` are the declared names that have come, ``ahead`` all that are still to come, where that is known.
    ``begun`` says that a member or an item has left, ``aside`` are the members that perhaps will not.
    """

    __slots__ = ("ahead", "aside", "begun", "count", "kind", "place", "seen")

    def __init__(self, kind: str, place: Place, ahead: Names | None) -> None:
        self.kind = kind
        self.place = place
        self.ahead = ahead
        self.seen: set[str] = set()
        self.aside: list[str] = []
        self.begun = False
        self.count = 0


class ArgumentFitter:
    """Feed the arguments of one call to the tool whose schema ``places`` knows, then :meth:`finish`.

    ``repairs`` is how many values and names were changed or left out.
    """

    def __init__(self, places: Places) -> None:
        self.repairs = 0
        self._place = places.root
        self._allowance = at_once()
        self._state = _State.VALUE
        self._stack: list[_Frame] = []
        self._out: list[str] = []
        self._end = _ValueEnd()
        # Of a member that has not left: the comma and space, the name as written, what is up to the value.
        self._comma: list[str] = []
        self._name: list[str] = []
        self._colon: list[str] = []
        self._required = False
        self._refused = False
        self._held: list[str] = []
        self._size = 0
        self._aside = 0
        self._reading_ahead: _NamesAhead | None = None
        # The names of the objects that begin in what was read ahead, by where they do.
        self._noted: dict[int, set[str]] | None = None
        self._inner = 0

    def feed(self, text: str) -> str:
        """What may leave now."""
        if self._state is _State.PASSING:
            return text
        at = 0
        if self._state is _State.INSIDE:
            at = self._end.find(text, 0)
            if at < 0:
                return text
            self._out.append(text[:at])
            self._left()
        self._run(text, at)
        return self._take()

    def finish(self) -> str:
        """What was held back, as it is: the text has ended, perhaps in the middle."""
        if self._state is _State.AHEAD:
            self._resume(_UNKNOWN)
        if self._stack:
            self._put_back(self._stack[-1])
        self._let_go()
        return self._take()

    def _take(self) -> str:
        out = "".join(self._out)
        self._out.clear()
        return out

    def _let_go(self) -> None:
        """What is held back leaves as it is."""
        if not self._name:
            self._out += self._comma
            self._comma.clear()
        self._lead()
        self._out += self._held
        self._held.clear()
        self._size = 0

    def _run(self, text: str, at: int = 0) -> None:
        size = len(text)
        while at < size:
            state = self._state
            if state is _State.VALUE:
                at = self._value(text, at)
            elif state is _State.NAME:
                at = self._member_name(text, at)
            elif state is _State.COLON:
                at = self._member_colon(text, at)
            elif state is _State.AFTER:
                at = self._after(text, at)
            elif state is _State.AHEAD:
                at = self._read_ahead(text, at)
            elif state is _State.PASSING:
                self._out.append(text[at:])
                at = size
            else:
                at = self._go_on(text, at, at)

    # Values

    def _value(self, text: str, at: int) -> int:
        begin = _space(text, at)
        self._between(text[at:begin], self._colon)
        if begin == len(text):
            return begin
        char = text[begin]
        kind = _KINDS.get(char)
        if kind is None:
            return self._closing(text, begin)
        if self._refused:
            self._state = _State.ASIDE
            return self._begin(text, begin)
        place = self._place
        way = Way.AS_IS if place is None else place.way(kind)
        if way is Way.WHOLE:
            self._state = _State.WHOLE
            return self._begin(text, begin)
        self._lead()
        if way is Way.AS_IS or place is None:
            self._state = _State.INSIDE
            return self._begin(text, begin)
        if way is Way.LISTED:
            self.repairs += 1
            self._out.append("[")
            self._stack.append(_Frame("list", place, None))
            self._place = place.item(0)
            return begin
        self._out.append(char)
        self._open(kind, place, begin)
        return begin + 1

    def _begin(self, text: str, at: int) -> int:
        self._end.begin(text[at])
        return self._go_on(text, at, at + 1)

    def _go_on(self, text: str, begin: int, at: int) -> int:
        """The value to its end or that of ``text``; it is taken from ``begin``, and looked at from ``at``."""
        end = self._end.find(text, at)
        after = len(text) if end < 0 else end
        match self._state:
            case _State.INSIDE:
                self._out.append(text[begin:after])
            case _:
                self._held.append(text[begin:after])
                self._size += after - begin
                if self._size + self._aside > MOST_HELD:
                    self._let_go()
                    self._state = _State.INSIDE
        if end >= 0:
            self._ended()
        return after

    def _ended(self) -> None:
        match self._state:
            case _State.WHOLE:
                self._mend()
            case _State.ASIDE:
                self._set_aside()
            case _:
                self._left()

    def _left(self) -> None:
        """A value has left to its end."""
        self._state = _State.AFTER
        while self._stack:
            frame = self._stack[-1]
            frame.begun = True
            frame.count += 1
            if frame.kind != "list":
                return
            self._out.append("]")
            self._stack.pop()
        self._state = _State.PASSING

    def _mend(self) -> None:
        written = "".join(self._held)
        self._held.clear()
        self._size = 0
        place = self._place
        assert place is not None
        if written == "null":
            if self._stack and self._stack[-1].kind == "object" and not self._required:
                self.repairs += 1
                self._drop()
                self._state = _State.AFTER
                return
            change = None
        else:
            change = place.mended(written, self._allowance)
        if isinstance(change, Inner) and self._inner < _MOST_INNER:
            self.repairs += 1
            self._read_inner(change)
            return
        self._lead()
        self.repairs += change is not None
        self._out.append(written if change is None or isinstance(change, Inner) else change)
        self._left()

    def _read_inner(self, text: str) -> None:
        noted, self._noted = self._noted, None
        self._inner += 1
        self._state = _State.VALUE
        self._run(text)
        self._inner -= 1
        self._noted = noted

    def _set_aside(self) -> None:
        member = "".join((*self._name, *self._colon, *self._held))
        self._stack[-1].aside.append(member)
        self._aside += len(member)
        self._held.clear()
        self._size = 0
        self._drop()
        self._state = _State.AFTER

    def _judge_aside(self, frame: _Frame) -> None:
        """Leaves out what was set aside, unless it may be what the object lacks."""
        if any(name not in frame.seen for name in frame.place.members.required):
            self._put_back(frame)
        else:
            self.repairs += len(frame.aside)
        self._aside -= sum(map(len, frame.aside))

    def _put_back(self, frame: _Frame) -> None:
        for member in frame.aside:
            self._out.append(f", {member}" if frame.begun else member)
            frame.begun = True

    # Objects and arrays

    def _open(self, kind: str, place: Place, at: int) -> None:
        ahead: Names | None = None
        if self._noted is not None:
            ahead = self._noted.get(at, _UNKNOWN)
        self._stack.append(_Frame(kind, place, ahead))
        if kind == "object":
            self._state = _State.NAME
        else:
            self._state = _State.VALUE
            self._place = place.item(0)

    def _after(self, text: str, at: int) -> int:
        begin = _space(text, at)
        self._between(text[at:begin], self._out)
        if begin == len(text):
            return begin
        frame = self._stack[-1]
        if text[begin] != ",":
            return self._closing(text, begin)
        if frame.kind == "object":
            self._comma.append(",")
            self._state = _State.NAME
        else:
            self._out.append(",")
            self._state = _State.VALUE
            self._place = frame.place.item(frame.count)
        return begin + 1

    def _closing(self, text: str, at: int) -> int:
        """A bracket that closes what is open; anything else is no JSON, and so is all that follows."""
        frame = self._stack[-1] if self._stack else None
        open_member = self._comma or self._name or self._colon
        if frame is None or open_member or text[at] != _CLOSERS.get(frame.kind):
            self._let_go()
            self._out.append(text[at:])
            self._state = _State.PASSING
            return len(text)
        if frame.aside:
            self._judge_aside(frame)
        self._out.append(text[at])
        self._stack.pop()
        self._left()
        return at + 1

    # Members

    def _member_name(self, text: str, at: int) -> int:
        if self._name:
            return self._rest_of_name(text, at, at)
        begin = _space(text, at)
        self._between(text[at:begin], self._comma if self._comma else self._out)
        if begin == len(text):
            return begin
        if text[begin] != '"':
            return self._closing(text, begin)
        if at_once := _MEMBER.match(text, begin):
            self._name.append(at_once[1])
            self._colon.append(at_once[2])
            self._state = _State.VALUE
            self._named()
            return at_once.end()
        self._end.begin('"')
        return self._rest_of_name(text, begin, begin + 1)

    def _rest_of_name(self, text: str, begin: int, at: int) -> int:
        end = self._end.find(text, at)
        after = len(text) if end < 0 else end
        self._name.append(text[begin:after])
        if end >= 0:
            self._state = _State.COLON
        return after

    def _member_colon(self, text: str, at: int) -> int:
        begin = _space(text, at)
        self._between(text[at:begin], self._colon)
        if begin == len(text):
            return begin
        if text[begin] != ":":
            return self._closing(text, begin)
        self._colon.append(":")
        self._state = _State.VALUE
        self._named()
        return begin + 1

    def _named(self) -> None:
        """What the name says of the value that follows it."""
        frame = self._stack[-1]
        members = frame.place.members
        name = _read_name("".join(self._name))
        self._refused = members.refuses(name)
        if name not in members.declared:
            meant = members.meant(name)
            if meant is not None and meant not in frame.seen and (self._refused or meant in members.required):
                if frame.ahead is None and not self._refused:
                    self._state = _State.AHEAD
                    self._reading_ahead = _NamesAhead()
                    return
                if frame.ahead is None or meant not in frame.ahead:
                    self.repairs += 1
                    self._refused = False
                    self._name = [json.dumps(meant, ensure_ascii=False)]
                    name = meant
        if name in members.declared:
            frame.seen.add(name)
        self._required = name in members.required
        self._place = frame.place.member(name)

    def _lead(self) -> None:
        """The comma, the name and the colon of a member that stays."""
        if not self._name:
            return
        if self._comma and not self._stack[-1].begun:
            # What it would have followed was left out.
            self._comma.clear()
        self._out += self._comma
        self._out += self._name
        self._out += self._colon
        self._drop()

    def _drop(self) -> None:
        self._comma.clear()
        self._name.clear()
        self._colon.clear()
        self._refused = False

    def _between(self, space: str, where: list[str]) -> None:
        if not space:
            return
        if where is self._colon and not self._name:
            where = self._out
        where.append(space)

    # Reading ahead

    def _read_ahead(self, text: str, at: int) -> int:
        ahead = self._reading_ahead
        assert ahead is not None
        end = ahead.find(text, at)
        after = len(text) if end < 0 else end
        self._held.append(text[at:after])
        self._size += after - at
        if end >= 0:
            self._resume(ahead.names)
        elif self._size > MOST_HELD:
            self._resume(_UNKNOWN)
        return after

    def _resume(self, names: Names) -> None:
        """Reads what was read ahead, with the names that it has."""
        ahead, text = self._reading_ahead, "".join(self._held)
        assert ahead is not None
        self._reading_ahead = None
        self._held.clear()
        self._size = 0
        self._stack[-1].ahead = names
        self._state = _State.VALUE
        self._named()
        self._noted = ahead.noted
        self._run(text)
        self._noted = None


class _ValueEnd:
    """Finds where a value ends: :meth:`begin` with its first character, :meth:`find` from the next on."""

    __slots__ = ("_depth", "_escaped", "_quoted")

    def __init__(self) -> None:
        self._depth = 0
        self._quoted = self._escaped = False

    def begin(self, char: str) -> None:
        self._quoted = char == '"'
        self._depth = 1 if char in "{[" else 0

    def find(self, text: str, at: int) -> int:
        """The index after the end, -1 where ``text`` ends before; a word ends before what follows it."""
        size = len(text)
        if not self._quoted and not self._depth:
            end = _WORD.match(text, at).end()  # type: ignore[union-attr]  # it also matches nothing
            return end if end < size else -1
        while at < size:
            if self._escaped:
                self._escaped = False
                at += 1
            elif self._quoted:
                at = _STRING.match(text, at).end()  # type: ignore[union-attr]  # as above
                if at < size:
                    self._escaped = text[at] == "\\"
                    self._quoted = self._escaped
                    at += 1
                    if not self._quoted and not self._depth:
                        return at
            else:
                at = _BRACKETS.match(text, at).end()  # type: ignore[union-attr]  # as above
                if at < size:
                    char = text[at]
                    at += 1
                    self._quoted = char == '"'
                    self._depth += 0 if self._quoted else 1 if char in "{[" else -1
                    if not self._depth:
                        return at
        return -1


class _NamesAhead:
    """Reads the rest of an object, from a value on, and notes the names of its members.

    ``names`` are those of the object itself, ``noted`` those of every object in it, by where it begins.
    """

    def __init__(self) -> None:
        self.names: set[str] = set()
        self.noted: dict[int, set[str]] = {}
        self._open: list[tuple[int, set[str] | None]] = [(-1, self.names)]
        self._read = 0
        self._name: list[str] | None = None  # The pieces of a name that is being read.
        self._expects_name = False
        self._quoted = self._escaped = False

    def find(self, text: str, at: int) -> int:
        """The index of the bracket that closes the object, -1 where ``text`` ends before."""
        begin, size = at, len(text)
        while at < size:
            if self._escaped:
                self._escaped = False
                self._keep(text[at])
                at += 1
            elif self._quoted:
                end = _STRING.match(text, at).end()  # type: ignore[union-attr]  # it also matches nothing
                self._keep(text[at:end])
                at = end
                if at < size:
                    self._string_goes_on(text[at])
                    at += 1
            else:
                at = _BRACKETS_AND_COMMAS.match(text, at).end()  # type: ignore[union-attr]  # as above
                if at < size:
                    if self._structure(text[at], self._read + at - begin):
                        return at
                    at += 1
        self._read += size - begin
        return -1

    def _keep(self, text: str) -> None:
        if self._name is not None:
            self._name.append(text)

    def _string_goes_on(self, char: str) -> None:
        self._escaped = char == "\\"
        self._quoted = self._escaped
        self._keep(char)
        if not self._quoted and self._name is not None:
            names = self._open[-1][1]
            assert names is not None
            names.add(_read_name("".join(self._name)))
            self._name = None

    def _structure(self, char: str, index: int) -> bool:
        """Whether this closes the object."""
        if char == '"':
            self._quoted = True
            self._name = ['"'] if self._expects_name else None
            self._expects_name = False
        elif char == "{" or char == "[":
            self._open.append((index, set() if char == "{" else None))
            self._expects_name = char == "{"
        elif char == ",":
            self._expects_name = self._open[-1][1] is not None
        else:
            self._expects_name = False
            begin, names = self._open.pop()
            if not self._open:
                return True
            if names is not None:
                self.noted[begin] = names
        return False


def _space(text: str, at: int) -> int:
    if text[at] > " ":
        return at
    return _SPACE.match(text, at).end()  # type: ignore[union-attr]  # it also matches nothing


def _read_name(written: str) -> str:
    if "\\" not in written:
        return written[1:-1]
    try:
        return str(json.loads(written))
    except ValueError:
        return written
