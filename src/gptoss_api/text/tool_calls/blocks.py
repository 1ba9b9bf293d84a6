"""The body of a call while it is read: JSON that streams or waits, elements, or broken text."""

import json
import re
from typing import Final

from ..json_stream import JsonBroken, JsonTransducer
from .delivery import MAX_CALLS, Delivery
from .judging import Judge, Verdict
from .markers import CLOSER, LONGEST_CLOSER
from .pairs import PairsReader
from .shapes import read_strict, unwrap

MAX_KEYED: Final = 1024 * 1024
MAX_UNKEYED: Final = 64 * 1024
_FIRST_SLICE: Final = 512
_FIRST_KEY: Final = re.compile(r'\{\s*"((?:[^"\\]|\\.)*+)"\s*:')
_LONGEST_KEY: Final = 400


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
        return MAX_KEYED if self.trusted else MAX_UNKEYED


class JsonBlock:
    """A JSON body. ``feed`` gives how much of the piece was used; ``over`` says that it ended.

    ``size`` is how many characters were read.

    Arguments that are delivered ``as_written`` need no look at the whole of them.
    """

    def __init__(self, opening: Opening, judge: Judge, out: Delivery, *, as_written: bool) -> None:
        self.opening = opening
        self.over = False
        self.literal = ""
        self.returned = ""  # The beginning of what was read too far, where it is of earlier pieces.
        self._judge = judge
        self._out = out
        self._json = JsonTransducer()
        self._raw: list[str] = []
        self._strict: list[str] = []
        self.size = 0
        self._slice = _FIRST_SLICE
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
            # Growing slices: a short block in a long text must not copy all of it.
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

    def _give_raw(self, code: str, reason: str) -> None:
        """Ends the block without valid arguments: as it was written (trusted) or as text."""
        self.over = True
        name = self.opening.name
        raw = "".join(self._raw)
        if self._index >= 0:
            self._out.problem("E_TRUNC" if code == "E_TRUNC" else "E_BAD_JSON", reason, self._index)
            self._out.end(self._index, complete=False)
            if code == "E_BAD_JSON":
                self._out.cancel("a call's arguments are broken")
        elif self.opening.trusted and name and not (self.opening.native and self._out.calls):
            self._out.problem("E_TRUNC" if code == "E_TRUNC" else "E_BAD_JSON", reason, self._out.calls)
            index = self._out.start(name)
            self._out.arguments(index, raw.strip())
            self._out.end(index, complete=False)
        else:
            self.literal = self.opening.raw + raw


class PairsBlock:
    """A body of elements; the values are typed by the schema."""

    def __init__(self, opening: Opening, judge: Judge, out: Delivery) -> None:
        self.opening = opening
        self.over = False
        self.literal = ""
        self.returned = ""  # Nothing of earlier pieces is ever read too far.
        self._judge = judge
        self._out = out
        self._pairs = PairsReader()
        self._slice = _FIRST_SLICE
        self.size = 0

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


def deliver(verdict: Verdict, out: Delivery, judge: Judge) -> None:
    """Sends the calls of a verdict, each in one piece, as many as may still be made."""
    if verdict.complaint:
        out.problem("E_SCHEMA", verdict.complaint, out.calls)
    most = MAX_CALLS - out.calls if judge.config.parallel else 1
    for name, json_text in verdict.calls[:most]:
        index = out.start(name)
        out.arguments(index, json_text)
        out.end(index)
