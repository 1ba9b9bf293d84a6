"""The bodies of calls: JSON, elements, or a custom tool's text as it is. One machine each, one contract.

``feed(text, at)`` reads from an index on and gives the index after what belongs to the block, below zero
where what was read too far is of earlier pieces (``returned`` is then the part of it that they had). ``over``
says that the block has ended: as calls, which were delivered, or as the text in ``literal``. ``finish`` is
the end of all text; ``size`` is how many characters were read.

==================================== ==================================== ==================================
block                                delivers                             holds back, at most
==================================== ==================================== ==================================
JSON under a header with the key,    as it is read, once its first key is 400 characters, then 160 (a bare
for a tool that is not strict        known for one of the arguments       word: 1,024)
any other JSON                       when it is complete and was judged   all of it: 1 MiB if the header is
                                                                          trusted, else 64 KiB
JSON broken beyond mending, under a  as it was written, at a closing tag  all of it, as above
trusted header
elements                             when their closing tag was read      all of it, as above
a custom tool's text                 when a closing tag begins a line     all of it, 1 MiB
==================================== ==================================== ==================================

Pieces are read in slices that grow, so that a short block in a long text does not cost a copy of all that
follows it.
"""

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from msgspec import Struct

from ..json_stream import JsonBroken, JsonTransducer
from .events import Delivery, ProblemCode
from .grammar import CLOSER, GAP, LONGEST_CLOSER, SPACE
from .judge import Judge, Verdict, decode, deliver, read_strict, unwrap

_MAX_TRUSTED: Final = 1024 * 1024
_MAX_UNTRUSTED: Final = 64 * 1024
_FIRST_SLICE: Final = 512
# A key whose value is missing is no reason to begin a call: what has not begun may be repaired.
_FIRST_KEY: Final = re.compile(r'\{\s*"((?:[^"\\]|\\.)*+)"\s*:\s*\S')
_LONGEST_KEY: Final = 400

_ELEMENT: Final = re.compile(
    rf"<{GAP}(?P<open>parameter(?=\W)|arg_value>)|<{GAP}/(?P<shut>parameter|arg_value)>"
    rf"|(?P<cdata><!\[CDATA\[)|(?P<end><{GAP}/(?:function|invoke|tool[_-]?call)>)",
    re.IGNORECASE,
)
_LONGEST_ELEMENT: Final = 18
_PAIR: Final = re.compile(
    rf"<{GAP}parameter(?:\s*=\s*|\s+name\s*=\s*)"
    r"[\"'“]?(?P<key>\s*+[^\"'”>\s]{1,256}+)[\"'”]?+(?:\s[^>]{0,256}+)?+>"
    rf"|<{GAP}arg_key>",
    re.IGNORECASE,
)
_PARAMETER_END: Final = re.compile(rf"<{GAP}/parameter>", re.IGNORECASE)
_KEY_END: Final = re.compile(rf"<{GAP}/arg_key>", re.IGNORECASE)
_VALUE: Final = re.compile(rf"\s*+<{GAP}arg_value>", re.IGNORECASE)
_VALUE_END: Final = re.compile(rf"<{GAP}/arg_value>", re.IGNORECASE)
_CDATA: Final = re.compile(r"<!\[CDATA\[(.*?)\]\]>", re.DOTALL)
_HIDDEN: Final = re.compile(r"\0([0-9]+)\0")

# An input may hold closing tags of its own, but a patch has none at a line's start: every line of its
# files begins with "+", "-" or a space.
_INPUT_END: Final = re.compile(
    rf"\n(?:<{GAP}/(?:tool[_\-\u2011 ]?calls?|function[_\-\u2011 ]?calls?|function|invoke)>"
    r"|<\|(?:call|end|return)\|>)",
    re.IGNORECASE,
)
_LONGEST_INPUT_END: Final = len("\n<  /function_calls>")
# What the end of the text leaves of a closing tag that is cut, or stands behind the last line.
_LEFT_OVER: Final = re.compile(
    rf"(?:<{GAP}/(?:tool|function)[_\-\u2011 ]?calls?>|<\|(?:call|end|return)\|>"
    rf"|(?<=\n)<{GAP}/\w*|(?<=\n)<)\s*\Z",
    re.IGNORECASE,
)
_FENCED: Final = re.compile(r"(```+|~~~+)[\w-]*[ \t]*\r?\n(.*\n)?[ \t]*\1[ \t]*\Z", re.DOTALL)


class Opening:
    """What is known of a block when its body begins.

    ``raw`` is the text so far, in case it turns out to be none. ``keyed`` blocks carry the key,
    ``native`` ones a Harmony recipient: neither has to validate, and broken JSON is delivered raw.
    """

    __slots__ = ("keyed", "name", "native", "raw")

    def __init__(self, raw: str, name: str | None, *, keyed: bool, native: bool = False) -> None:
        self.raw = raw
        self.name = name
        self.keyed = keyed
        self.native = native

    @property
    def trusted(self) -> bool:
        return self.keyed or self.native

    @property
    def cap(self) -> int:
        return _MAX_TRUSTED if self.trusted else _MAX_UNTRUSTED


class _Block:
    """What every block knows."""

    def __init__(self, opening: Opening, judge: Judge, out: Delivery) -> None:
        self.opening = opening
        self.over = False
        self.literal = ""
        self.returned = ""
        self.size = 0
        self._judge = judge
        self._out = out
        # Growing slices: a short block in a long text must not copy all of it.
        self._slice = _FIRST_SLICE


class JsonBlock(_Block):
    """A JSON body; arguments that are delivered ``as_written`` need no look at the whole of them."""

    def __init__(self, opening: Opening, judge: Judge, out: Delivery, *, as_written: bool) -> None:
        super().__init__(opening, judge, out)
        self._json = JsonTransducer()
        self._raw: list[str] = []
        self._strict: list[str] = []
        self._index = -1  # The call's number once it streams.
        self._undecided = as_written
        self._live = judge.config.live
        self._broken = False
        self._broken_tail = ""

    def feed(self, text: str, at: int) -> int:
        """Reads from ``at``; the index after what was used, negative where earlier pieces go back."""
        size = len(text)
        while at < size and not self.over:
            piece = text[at : at + min(self._slice, self.opening.cap - self.size)]
            self._slice = min(2 * self._slice, self.opening.cap)
            at += len(piece)
            if self._broken:
                at -= self._feed_broken(piece, at)
                continue
            self._keep(piece)
            self._deliver(self._json.feed(piece))
            if self._json.done or self._json.broken:
                rest = len(self._json.rest)
                at -= rest
                self._drop(rest)
                if at < 0:
                    self.returned = self._json.rest[:-at]
                if self._json.done:
                    self._complete()
                else:
                    self._break()
                if at < 0:
                    return at
            elif self.size >= self.opening.cap:
                self._overflow()
        return at

    def finish(self, truncated: bool) -> None:
        """The text ended inside the block; ``truncated`` where a limit cut it."""
        if self._broken:
            self._give_raw("E_BAD_JSON", self._reason())
            return
        try:
            tail = self._json.finish()
        except JsonBroken as broken:
            self._deliver(broken.output)
            if not broken.truncated:
                self._broken = True
                self._give_raw("E_BAD_JSON", broken.reason)
            else:
                self._give_raw("E_TRUNC", broken.reason)
            return
        self._drop(len(self._json.rest))
        rest = self._json.rest
        if self._json.missing and (truncated or not self._fits("".join(self._strict) + tail)):
            self._deliver(tail.removesuffix(self._json.missing))
            self._give_raw("E_TRUNC", "the JSON ends before its closing brackets")
            return
        self._deliver(tail)
        self._complete()
        self.returned = rest

    def _fits(self, json_text: str) -> bool:
        name = self.opening.name
        return name is None or self._judge.valid(name, json_text)

    def _keep(self, piece: str) -> None:
        self._raw.append(piece)
        self.size += len(piece)

    def _drop(self, count: int) -> None:
        """Takes back what was read too far."""
        while count and self._raw:
            last = self._raw.pop()
            self.size -= len(last)
            if len(last) > count:
                self._raw.append(last[: len(last) - count])
                self.size += len(last) - count
                return
            count -= len(last)

    def _deliver(self, strict: str) -> None:
        if not strict:
            return
        self._strict.append(strict)
        if self._index >= 0:
            self._out.arguments(self._index, strict)
        elif self._undecided and self._live:
            self._decide()

    def _decide(self) -> None:
        """Begins the call, unless its first key may be that of a wrapper."""
        begun = "".join(self._strict)
        key = _FIRST_KEY.match(begun, 0, _LONGEST_KEY)
        if key is None and len(begun) < _LONGEST_KEY:
            return
        self._undecided = False
        name = self.opening.name
        if name and (key is None or self._judge.streams(name, json.loads(f'"{key[1]}"'))):
            self._index = self._out.start(name)
            self._out.arguments(self._index, begun)

    def _complete(self) -> None:
        self.over = True
        if self._undecided:
            self._decide()
        if self._index >= 0:
            self._out.end(self._index)
            return
        strict = "".join(self._strict)
        raw = self.opening.raw + "".join(self._raw)
        value = read_strict(strict)
        name = self.opening.name
        verdict: Verdict | None
        if self.opening.native and self._out.calls and name:
            verdict = self._judge.unkeyed([(name, value)] if isinstance(value, dict) else None, "\0")
        elif self.opening.trusted:
            verdict = self._judge.keyed(name, value, strict)
        elif name and isinstance(value, dict):
            verdict = self._judge.unkeyed([(name, value)], raw) or self._judge.unkeyed(
                unwrap(value, self._judge.names, name), raw
            )
        else:
            verdict = self._judge.unkeyed(unwrap(value, self._judge.names, name), raw)
        if verdict is None:
            if self.opening.trusted:
                self._out.problem("E_UNKNOWN_TOOL", "the block names no known tool")
            self.literal = raw
            return
        deliver(verdict, self._out, self._judge)

    def _break(self) -> None:
        if self._index >= 0:
            # What was streamed cannot be taken back, so the call ends here, unfinished.
            self._give_raw("E_BAD_JSON", self._reason())
        elif self.opening.trusted:
            self._broken = True
        else:
            self.over = True
            self.literal = self.opening.raw + "".join(self._raw)

    def _feed_broken(self, piece: str, at: int) -> int:
        """Collects up to the closing tag; gives how many characters at the end are not the block's."""
        text = self._broken_tail + piece
        found = CLOSER.search(text)
        self._keep(piece)
        if found:
            back = len(text) - found.start()
            self._drop(back)
            self.returned = text[found.start() :][: max(back - at, 0)]
            self._give_raw("E_BAD_JSON", self._reason())
            return back
        self._broken_tail = text[-LONGEST_CLOSER:]
        if self.size >= self.opening.cap:
            self._overflow()
        return 0

    def _reason(self) -> str:
        return self._json.broken.reason if self._json.broken else "the JSON cannot be read"

    def _overflow(self) -> None:
        self._give_raw("E_TRUNC", f"the block is longer than {self.opening.cap} characters")
        if not self.literal:
            self._out.cancel("a call is too long")

    def _give_raw(self, code: ProblemCode, reason: str) -> None:
        """Ends the block without valid arguments: as it was written (trusted) or as text."""
        self.over = True
        name = self.opening.name
        if self._index >= 0:
            self._out.problem(code, reason, self._index)
            self._out.end(self._index, complete=False)
            if code == "E_BAD_JSON":
                self._out.cancel("a call's arguments are broken")
        elif self.opening.trusted and name and not (self.opening.native and self._out.calls):
            self._out.problem(code, reason, self._out.calls)
            index = self._out.start(name)
            # What is merely cut is given as far as it is JSON: half an escape helps nobody.
            written = self._raw if self._broken or code == "E_BAD_JSON" else self._strict
            self._out.arguments(index, "".join(written).strip())
            self._out.end(index, complete=False)
        else:
            self.literal = self.opening.raw + "".join(self._raw)


class ElementsBlock(_Block):
    """A body of elements; the values are typed by the schema."""

    def __init__(self, opening: Opening, judge: Judge, out: Delivery) -> None:
        super().__init__(opening, judge, out)
        self._pairs = ElementsReader()

    def feed(self, text: str, at: int) -> int:
        while at < len(text) and not self.over:
            piece = text[at : at + min(self._slice, self.opening.cap - self.size)]
            self._slice = min(2 * self._slice, self.opening.cap)
            at += len(piece)
            self.size += len(piece)
            self._pairs.feed(piece)
            if self._pairs.done:
                at -= len(self._pairs.rest)
                self._complete()
            elif self.size >= self.opening.cap:
                self._give_up("the block is too long")
        return at

    def finish(self, _truncated: bool) -> None:
        self._give_up("the block has no end")

    def _complete(self) -> None:
        self.over = True
        raw = self.opening.raw + self._pairs.raw
        name = self.opening.name
        verdict = None
        if name and not self._pairs.stray_text():
            arguments = self._pairs.arguments(self._judge.tool(name).schema)
            if self.opening.trusted:
                verdict = self._judge.keyed(name, arguments, "")
            else:
                verdict = self._judge.unkeyed([(name, arguments)], raw)
        if verdict is None:
            if self.opening.trusted:
                self._out.problem("E_BAD_JSON", "the block holds no JSON object")
            self.literal = raw
        else:
            deliver(verdict, self._out, self._judge)

    def _give_up(self, reason: str) -> None:
        self.over = True
        if self.opening.trusted:
            self._out.problem("E_TRUNC", reason)
        self.literal = self.opening.raw + self._pairs.raw


class ElementsReader:
    """Reads up to the block's own closing tag, which inside a value or CDATA is just text."""

    def __init__(self) -> None:
        self.done = False
        self.rest = ""
        self.size = 0
        self._pieces: list[str] = []
        self._held = ""
        self._in_value = False
        self._in_cdata = False

    def feed(self, text: str) -> None:
        text = self._held + text
        at, size = 0, len(text)
        while at < size:
            if self._in_cdata:
                end = text.find("]]>", at)
                if end < 0:
                    break
                self._in_cdata, at = False, end + 3
                continue
            found = _ELEMENT.search(text, at)
            if found is None:
                break
            at = found.end()
            if found["cdata"]:
                self._in_cdata = True
            elif found["open"]:
                self._in_value = True
            elif found["shut"]:
                self._in_value = False
            elif not self._in_value:
                self.done = True
                self._keep(text[:at])
                self.rest = text[at:]
                return
        tail = max(at, size - _LONGEST_ELEMENT)
        self._keep(text[:tail])
        self._held = text[tail:]

    def _keep(self, text: str) -> None:
        self._pieces.append(text)
        self.size += len(text)

    @property
    def raw(self) -> str:
        return "".join(self._pieces) + ("" if self.done else self._held)

    def arguments(self, schema: Mapping[str, Any] | None) -> dict[str, Any]:
        """The pairs, each value read as the type that ``schema`` gives it."""
        properties = schema.get("properties") if schema else None
        if not isinstance(properties, Mapping):
            properties = {}
        arguments: dict[str, Any] = {}
        # Tags inside CDATA are text: hidden while the pairs are told apart.
        hidden: list[str] = []

        def hide(found: re.Match[str]) -> str:
            hidden.append(found[1])
            return f"\0{len(hidden) - 1}\0"

        text = _CDATA.sub(hide, self.raw.replace("\0", ""))
        for pair in _pairs(text):
            value = text[pair.begin : pair.end]
            value = value.strip() if "\0" in value else value.removeprefix("\n").removesuffix("\n")
            shown = _HIDDEN.sub(lambda mark: hidden[int(mark[1])], value)
            arguments[pair.key] = _typed(shown, properties.get(pair.key))
        return arguments

    def stray_text(self) -> bool:
        """Whether anything but pairs stands in the block."""
        text = _CDATA.sub("", self.raw)
        others: list[str] = []
        at = 0
        for pair in _pairs(text):
            others.append(text[at : pair.start])
            at = pair.after
        return SPACE.fullmatch(_ELEMENT.sub("", "".join((*others, text[at:])))) is None


class _Pair(Struct):
    """An element from ``start`` to ``after``, its value from ``begin`` to ``end``."""

    key: str
    start: int
    begin: int
    end: int
    after: int


def _pairs(text: str) -> Iterator[_Pair]:
    """The pairs in ``text``, in time that grows with its length, whatever is opened and never closed."""
    at = 0
    absent: set[re.Pattern[str]] = set()

    def find(pattern: re.Pattern[str], start: int) -> re.Match[str] | None:
        found = None if pattern in absent else pattern.search(text, start)
        if found is None:
            absent.add(pattern)
        return found

    while opener := _PAIR.search(text, at):
        at = begin = opener.end()
        key, closer = opener["key"], _PARAMETER_END
        if key is None:
            named = find(_KEY_END, at)
            value = named and _VALUE.match(text, named.end())
            if named is None or value is None:
                continue
            key, begin, closer = text[at : named.start()], value.end(), _VALUE_END
        if closed := find(closer, begin):
            at = closed.end()
            yield _Pair(key.strip(), opener.start(), begin, closed.start(), at)


def _typed(text: str, schema: Any) -> Any:
    types = schema.get("type") if isinstance(schema, Mapping) else None
    wanted = {types} if isinstance(types, str) else set(types or ())
    if "string" in wanted:
        return text
    try:
        return decode(text.strip())
    except ValueError:
        return text


class FreeTextBlock(_Block):
    """A keyed block whose text is the input, up to a closing tag at a line's start or the text's end."""

    def __init__(self, opening: Opening, judge: Judge, out: Delivery) -> None:
        super().__init__(opening, judge, out)
        self._raw: list[str] = []
        self._tail = ""

    def feed(self, text: str, at: int) -> int:
        """Reads from ``at``; the index after what was used, negative where earlier pieces go back."""
        while at < len(text) and not self.over:
            piece = text[at : at + min(self._slice, self.opening.cap - self.size)]
            self._slice = min(2 * self._slice, self.opening.cap)
            at += len(piece)
            self._raw.append(piece)
            self.size += len(piece)
            seen = self._tail + piece
            if found := _INPUT_END.search(seen):
                closer = seen[found.start() + 1 :]
                at -= len(closer)
                again = self._complete("".join(self._raw)[: self.size - len(closer)], closed=True)
                self.returned = again + closer[: max(-at, 0)]
            elif self.size >= self.opening.cap:
                self._cut(f"the block is longer than {self.opening.cap} characters")
                self._out.cancel("a call is too long")
            self._tail = seen[-_LONGEST_INPUT_END:]
        return at

    def finish(self, truncated: bool) -> None:
        """The text ended inside the block; ``truncated`` where a limit cut it."""
        if truncated:
            self._cut("the text ends before the block does")
        else:
            self.returned = self._complete("".join(self._raw), closed=False)

    def _complete(self, raw: str, *, closed: bool) -> str:
        """Delivers the call; gives what follows it, where a further call was begun without closing this."""
        self.over = True
        name = self.opening.name
        assert name is not None
        end = self._judge.swallowed_call(raw)
        body, again = (raw, "") if end < 0 else (raw[:end], raw[end:])
        body = body.rstrip()
        if not closed or again:
            body = _LEFT_OVER.sub("", body).rstrip()
        arguments = json.dumps({"input": _input(body)}, ensure_ascii=False)
        deliver(Verdict(((name, arguments),)), self._out, self._judge)
        return again

    def _cut(self, reason: str) -> None:
        self.over = True
        name = self.opening.name
        assert name is not None
        self._out.problem("E_TRUNC", reason, self._out.calls)
        index = self._out.start(name)
        self._out.arguments(index, "".join(self._raw).strip())
        self._out.end(index, complete=False)


def _input(text: str) -> str:
    """The input out of a code fence, or out of the quotes of a JSON string."""
    if fenced := _FENCED.fullmatch(text):
        return (fenced[2] or "").strip("\r\n")
    if text.startswith('"'):
        try:
            value = json.loads(text)
        except ValueError:
            return text
        return value if isinstance(value, str) else text
    return text
