"""Lenient JSON in, strict JSON out, piece by piece.

A push-down automaton reads what a model wrote and writes strict JSON as it goes, so that what was
produced so far is always a prefix of valid JSON. It mends form on the fly (raw control characters,
invalid escapes, odd or unescaped quotes, trailing and missing commas, comments, bare keys, Python's
literals, NaN) and refuses what would have to be invented: a missing value, an unquoted string.
Valid JSON passes unchanged. Source: docs/design/emulation.md, "Lenient JSON".
"""

from copy import copy
from typing import Final

from .json_lookahead import (
    DOUBLE,
    LOOK,
    OPENERS,
    SPACE,
    another_follows,
    block_ends,
    can_follow_backslash,
    can_follow_key,
    can_follow_value,
    string_kind,
)
from .json_scalars import BARE, BARE_KEY, LITERALS, LOW, UNSEEN, plain_number

MAX_DEPTH: Final = 512
_MAX_WORD: Final = 1024
_MOST_INNER: Final = 16

_VALUE, _FIRST_ITEM, _ITEM, _FIRST_KEY, _KEY, _COLON, _AFTER, _STRING = range(8)
_PLACES: Final = {
    _VALUE: "before a value",
    _FIRST_ITEM: "in a list",
    _ITEM: "after a comma",
    _FIRST_KEY: "in an object",
    _KEY: "after a comma",
    _COLON: "after a key",
    _AFTER: "after a value",
    _STRING: "in a string",
}
_CONTROLS: Final = {chr(code): f"\\u{code:04x}" for code in range(0x20)} | {
    "\b": "\\b",
    "\f": "\\f",
    "\n": "\\n",
    "\r": "\\r",
    "\t": "\\t",
}
_HEX: Final = frozenset("0123456789abcdefABCDEF")


class JsonBroken(ValueError):
    """Text that cannot be read as JSON without inventing something.

    ``position`` counts the characters read before the place. ``truncated`` is true where the text
    merely ended too early; ``output`` is then what the end still added to the strict JSON.
    """

    def __init__(self, reason: str, position: int, *, truncated: bool = False, output: str = "") -> None:
        super().__init__(f"{reason} (character {position})")
        self.reason = reason
        self.position = position
        self.truncated = truncated
        self.output = output


class JsonTransducer:
    """Reads one JSON value; feed pieces, then :meth:`finish`.

    ``done`` turns true with the value's last character; ``rest`` is then the text after it, and
    ``missing`` the closing brackets that had to be added. ``broken`` is set by the piece that cannot
    be read; ``rest`` then begins there. At most 160 characters (a bare word: 1024) are held back.
    """

    __slots__ = (
        "_comment",
        "_held",
        "_in_key",
        "_inner",
        "_out",
        "_pending",
        "_position",
        "_stack",
        "_state",
        "_string",
        "broken",
        "done",
        "missing",
        "rest",
        "started",
    )

    def __init__(self) -> None:
        self.done = False
        self.broken: JsonBroken | None = None
        self.rest = ""
        self.missing = ""
        self.started = False
        self._state = _VALUE
        self._stack: list[str] = []
        self._held = ""
        self._out: list[str] = []
        self._pending = ""  # A comma and the space after it, until something follows.
        self._comment = ""  # What ends the comment being read.
        self._string = DOUBLE
        # What followed quotes that did not end the string: where text repeats itself, they are many.
        self._inner: set[str] = set()
        self._in_key = False
        self._position = 0

    @property
    def consumed(self) -> int:
        """How many characters belong to the value so far."""
        return self._position

    @property
    def ends_here(self) -> bool:
        """Whether the value is whole if nothing follows; nothing is closed for it, and little is read."""
        if self.done or self.broken or not self._held:
            return self.done
        end = copy(self)
        end._stack, end._out = self._stack.copy(), []
        end._advance(self._held, True)
        return end.done

    def feed(self, text: str) -> str:
        """The strict JSON that ``text`` adds."""
        if self.done or self.broken:
            self.rest += text
            return ""
        return self._advance(self._held + text if self._held else text, False)

    def finish(self) -> str:
        """The strict JSON still owed, with missing closing brackets if nothing else is missing.

        Raises:
            JsonBroken: if the text was broken or ended in the middle of something.
        """
        if self.done:
            return ""
        if self.broken:
            raise self.broken
        output = self._advance(self._held, True)
        if self.done:
            return output
        if self.broken:
            self.broken.output = output
            raise self.broken
        if self._state == _AFTER and not self._held and not self._comment:
            self._close_all()
            return output + self._take()
        raise JsonBroken(
            f"the JSON ends {_PLACES[self._state]}", self._position, truncated=True, output=output
        )

    def _take(self) -> str:
        output = "".join(self._out)
        self._out.clear()
        return output

    def _advance(self, text: str, final: bool) -> str:
        """Reads ``text`` as far as it can be decided; every step consumes something or holds."""
        at, size = 0, len(text)
        while at < size:
            if self._state == _STRING:
                after = self._in_string(text, at, final)
            elif self._comment:
                after = self._in_comment(text, at)
            else:
                after = self._structure(text, at, final)
            if self.done or self.broken:
                self._position += after
                self.rest = text[after:]
                return self._take()
            if after == at:
                break
            at = after
        self._position += at
        self._held = text[at:]
        return self._take()

    # Strings

    def _in_string(self, text: str, at: int, final: bool) -> int:
        kind = self._string
        end = kind.plain.match(text, at).end()  # type: ignore[union-attr]  # it also matches nothing
        if end > at:
            self._out.append(text[at:end])
            if end == len(text):
                return end
        char = text[end]
        if char in kind.closers:
            closes = self._closes(text[end + 1 : end + 1 + LOOK], final)
            if closes is None:
                return end
            if closes:
                self._close_string()
                return end + 1
            self._out.append('\\"' if char == '"' else char)
        elif char == "\\":
            return self._escape(text, end, final)
        elif char == '"':
            self._out.append('\\"')
        elif char < " ":
            self._out.append(_CONTROLS[char])
        else:
            self._out.append("\\ufffd")
        return end + 1

    def _closes(self, after: str, final: bool) -> bool | None:
        """Whether a quote before ``after`` ends the string."""
        inner = self._inner
        if inner and after in inner:
            return False
        follow = can_follow_key if self._in_key else can_follow_value
        closes = follow(after, self._stack, final)
        if closes is False and not inner and not self._in_key:
            closes = another_follows(after, self._stack)
        if closes is False and not final:
            if len(inner) >= _MOST_INNER:
                inner.clear()
            inner.add(after)
        return closes

    def _close_string(self) -> None:
        self._out.append('"')
        if self._in_key:
            self._state = _COLON
        else:
            self._value_ended()

    def _escape(self, text: str, at: int, final: bool) -> int:
        if at + 1 == len(text):
            return at
        char = text[at + 1]  # Not one of those that JSON has: they are plain.
        if char == '"':
            closes = can_follow_backslash(text[at + 2 : at + 2 + LOOK], self._stack, final)
            if closes is None:
                return at
            if closes:
                self._out.append("\\\\")
                self._close_string()
            else:
                self._out.append('\\"')
            return at + 2
        if char == "u":
            return self._unicode_escape(text, at)
        if char in "'’‘“”":
            self._out.append(char)
            return at + 2
        self._out.append("\\\\")
        return at + 1

    def _unicode_escape(self, text: str, at: int) -> int:
        """Half an escape at the very end is held for good: where no string ends, no value needs it."""
        digits = text[at + 2 : at + 6]
        if not _HEX.issuperset(digits):
            self._out.append("\\\\")
            return at + 1
        if len(digits) < 4:
            return at
        code = int(digits, 16)
        if not 0xD800 <= code <= 0xDFFF:
            self._out.append(text[at : at + 6])
            return at + 6
        if code < 0xDC00:
            second = text[at + 6 : at + 12]
            if LOW.fullmatch(second):
                self._out.append(text[at : at + 12])
                return at + 12
            if len(second) < 6 and LOW.fullmatch(second + "\\uDC00"[len(second) :]):
                return at
        # Half a pair is no character, and strict readers refuse it.
        self._out.append("\\ufffd")
        return at + 6

    # Everything outside strings

    def _in_comment(self, text: str, at: int) -> int:
        end = text.find(self._comment, at)
        if end >= 0:
            end += len(self._comment)
            self._comment = ""
            return end
        # Half of a block comment's end may be the last character.
        return len(text) - 1 if self._comment == "*/" and text[-1] == "*" else len(text)

    def _structure(self, text: str, at: int, final: bool) -> int:
        end = SPACE.match(text, at).end()  # type: ignore[union-attr]  # it also matches nothing
        if end > at:
            if self._pending:
                self._pending = (self._pending + text[at:end])[:LOOK]
            elif self.started:
                self._out.append(text[at:end])
            return end
        char = text[at]
        if char == "/" or char == "#":
            return self._open_comment(text, at)
        if char.isspace() or char in UNSEEN:
            return at + 1
        state = self._state
        if state == _COLON:
            if char != ":":
                return self._break("a colon is missing after a key", at)
            self._out.append(":")
            self._state = _VALUE
            return at + 1
        if state == _AFTER:
            return self._after_value(text, at, final)
        if state in (_FIRST_KEY, _KEY):
            return self._key(text, at, final)
        return self._value(text, at, final)

    def _open_comment(self, text: str, at: int) -> int:
        if text[at] == "#" or text.startswith("//", at):
            self._comment = "\n"
        elif text.startswith("/*", at):
            self._comment = "*/"
        elif at + 1 == len(text):
            return at
        else:
            return self._break("a slash stands outside a string", at)
        return at + (1 if text[at] == "#" else 2)

    def _value(self, text: str, at: int, final: bool) -> int:
        char = text[at]
        if char in "{[":
            if len(self._stack) == MAX_DEPTH:
                return self._break(f"the JSON is nested deeper than {MAX_DEPTH} levels", at)
            self._begin(char)
            self._stack.append("}" if char == "{" else "]")
            self._state = _FIRST_KEY if char == "{" else _FIRST_ITEM
            return at + 1
        if char in OPENERS:
            return self._open_string(text, at, final, key=False)
        if char in "]}" and self._state != _VALUE:
            return self._bracket(char, at)
        end = BARE.match(text, at).end()  # type: ignore[union-attr]  # it also matches nothing
        if end == at:
            return self._break("a value is missing", at)
        word = text[at:end]
        literal = LITERALS.get(word)
        if end - at > _MAX_WORD:
            return self._break("a word is too long for a number", at)
        if end == len(text) and (not final or (literal is None and self._stack)):
            return at  # A number may go on; a cut one is not a number.
        strict = literal if literal is not None else plain_number(word)
        if strict is None:
            return self._break("a value is neither quoted nor a number", at)
        self._begin(strict)
        self._value_ended()
        return end

    def _key(self, text: str, at: int, final: bool) -> int:
        char = text[at]
        if char in OPENERS:
            return self._open_string(text, at, final, key=True)
        if char in "}]":
            return self._bracket(char, at)
        word = BARE_KEY.match(text, at)
        if word is None:
            return self._break("a key is missing", at)
        if word.end() - at > _MAX_WORD:
            return self._break("a bare key is too long", at)
        if word.end() == len(text):
            return at
        if text[word.end()] != ":":
            return self._break("a colon is missing after a key", at)
        self._begin(f'"{word[1]}"')
        self._state = _COLON
        return at + len(word[1])

    def _open_string(self, text: str, at: int, final: bool, *, key: bool) -> int:
        char = text[at]
        if char in "\"'":
            start = text[at : at + 3]
            if start == char * 3:
                return self._break("triple quotes are not JSON", at)
            if len(start) < 3 and start == char * len(start) and not final:
                return at
        self._string = string_kind(char)
        self._inner.clear()
        self._in_key = key
        self._begin('"')
        self._state = _STRING
        return at + 1

    def _after_value(self, text: str, at: int, final: bool) -> int:
        char = text[at]
        if char == ",":
            self._pending = ","
            self._state = _KEY if self._stack[-1] == "}" else _ITEM
            return at + 1
        if char in "}]":
            return self._bracket(char, at)
        ends = block_ends(text, at, final)
        if ends is None:
            return at
        if ends:
            self._close_all()
            return at
        # A comma is missing: whatever stands here must be the next item or key.
        if char in ":=":
            return self._break("a comma is missing", at)
        self._pending = ","
        self._state = _KEY if self._stack[-1] == "}" else _ITEM
        return self._key(text, at, final) if self._state == _KEY else self._value(text, at, final)

    def _bracket(self, char: str, at: int) -> int:
        """A closing bracket, with the inner one added where it was forgotten, or a stray one dropped."""
        self._pending = ""
        if char not in self._stack:
            if self._state in (_KEY, _ITEM):
                self._state = _AFTER
            return at + 1
        while (closer := self._stack.pop()) != char:
            self._out.append(closer)
            self.missing += closer
        self._out.append(char)
        self._value_ended()
        return at + 1

    def _begin(self, strict: str) -> None:
        if self._pending:
            self._out.append(self._pending)
            self._pending = ""
        self.started = True
        self._out.append(strict)

    def _value_ended(self) -> None:
        self._state = _AFTER
        if not self._stack:
            self.done = True

    def _close_all(self) -> None:
        closers = "".join(reversed(self._stack))
        self._stack.clear()
        self.missing += closers
        self._out.append(closers)
        self.done = True

    def _break(self, reason: str, at: int) -> int:
        self.broken = JsonBroken(reason, self._position + at)
        return at
