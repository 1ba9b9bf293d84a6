"""Where an answer ends before the model ends it: at a stop string or at a token limit.

Both machines take the text as it streams and give back what may be passed on. How the text is
split on its way never changes the result (docs/design/emulation.md, "Stop strings and limits").
"""

from collections.abc import Hashable, Sequence
from typing import Final, Generic, TypeVar

from .bpe import last_joint
from .tokens import Tokens, utf8_length

S = TypeVar("S", bound=Hashable)

# A run this long in which no place is found to cut the count is cut all the same.
_RUN: Final = 4096
# Characters that are counted at the latest when so many came, however far the limit is.
_FAR: Final = 16_384


class StopScanner:
    """Ends a text before the first stop string in it.

    The match that begins first wins; of those that begin together, the one given first. Held back
    is only what may be the beginning of a stop string, less than the longest of them. After the
    hit, ``matched`` is the stop string found and nothing more comes out.
    """

    __slots__ = ("_held", "_stops", "matched")

    def __init__(self, stops: Sequence[str]) -> None:
        self._stops = [stop for stop in stops if stop]
        self._held = ""
        self.matched: str | None = None

    def feed(self, text: str) -> tuple[str, bool]:
        """What of the text so far may be passed on, and whether a stop string was hit."""
        if self.matched is not None:
            return "", True
        if not self._stops:
            return text, False
        return self._scan(self._held + text, ended=False)

    def finish(self) -> tuple[str, bool]:
        """The same at the end of the text: nothing is held back any longer."""
        if self.matched is not None:
            return "", True
        return self._scan(self._held, ended=True)

    def _scan(self, text: str, *, ended: bool) -> tuple[str, bool]:
        start = len(text)
        hit: str | None = None
        for stop in self._stops:
            # One that begins where the last hit does is behind it in order.
            found = text.find(stop, 0, start + len(stop) - 1)
            if found >= 0:
                start, hit = found, stop
            elif not ended:
                begun = _begun(text, stop)
                if begun < start:
                    start, hit = begun, None
        self._held = "" if hit else text[start:]
        self.matched = hit
        return text[:start], hit is not None


def _begun(text: str, stop: str) -> int:
    """Where the end of the text may be the beginning of the stop string, or the text's length."""
    at = text.find(stop[0], max(0, len(text) - len(stop) + 1))
    while at >= 0 and not stop.startswith(text[at:]):
        at = text.find(stop[0], at + 1)
    return len(text) if at < 0 else at


class TokenLimiter(Generic[S]):
    """Ends an answer after ``limit`` tokens, at the end of a token and of a character.

    The answer consists of segments (reasoning, text, each call), every one counted for itself;
    ``S`` is what the caller names them by. While the bytes alone show that the limit is far,
    nothing is held back, and little is counted; near it, the last words are held back until their
    count is certain. A complete answer of exactly ``limit`` tokens does not reach the limit.

    Exact but for one case: in a run of more than 4096 characters without a space, line break or
    punctuation the cut may be off by a token.
    """

    __slots__ = (
        "_bytes",
        "_chars",
        "_limit",
        "_parts",
        "_released",
        "_searched",
        "_segment",
        "_spent",
        "_tokens",
        "reached",
    )

    _segment: S

    def __init__(self, limit: int, tokens: Tokens) -> None:
        self._limit = limit
        self._tokens = tokens
        self.reached = False
        # Tokens of what is counted for good; of the rest (the tail of the segment) the text,
        # its bytes and characters, up to which character it was let through, and up to which it
        # was searched for a joint.
        self._spent = 0
        self._parts: list[str] = []
        self._bytes = 0
        self._chars = 0
        self._released = 0
        self._searched = 0

    def feed(self, segment: S, text: str) -> tuple[list[tuple[S, str]], bool]:
        """The texts that may be passed on, with their segments, and whether the limit is reached.

        A segment ends when another begins. What was held back of it comes first.
        """
        passed: list[tuple[S, str]] = []
        if not self._parts or segment != self._segment:
            self._end_segment(passed)
            self._segment = segment
        if self.reached or not text:
            return passed, self.reached
        self._parts.append(text)
        self._bytes += utf8_length(text)
        self._chars += len(text)
        if self._spent + self._bytes <= self._limit and self._chars <= _FAR:
            # So far nothing was held back.
            self._released = self._chars
            passed.append((segment, text))
            return passed, False
        self._approach(passed)
        return passed, self.reached

    def finish(self) -> tuple[list[tuple[S, str]], bool]:
        """The same at the end of the answer: nothing is held back any longer."""
        passed: list[tuple[S, str]] = []
        self._end_segment(passed)
        return passed, self.reached

    def _approach(self, passed: list[tuple[S, str]]) -> None:
        """Count for good what can be, let through what is within the limit in any case."""
        tail = "".join(self._parts)
        joint = self._joint(tail)
        if joint:
            spent = self._spent + self._tokens.count_once(tail[:joint])
            if spent > self._limit or (spent == self._limit and joint < len(tail)):
                self._cut(tail, joint, passed)
                return
            self._release(tail, joint, passed)
            self._spent = spent
            self._released -= joint
            tail = tail[joint:]
            self._bytes = utf8_length(tail)
            self._chars = len(tail)
        elif self._spent >= self._limit:
            self._cut(tail, 0, passed)
            return
        self._parts = [tail]
        self._searched = self._chars
        self._release(tail, _prefix(tail, self._limit - self._spent), passed)

    def _joint(self, tail: str) -> int:
        """Up to where the tail's count is certain, or 0."""
        start = max(self._searched - 1, len(tail) - 2 * _RUN, 0)
        joint = last_joint(tail[start:])
        joint = joint + start if joint else 0
        if len(tail) - joint > _RUN:
            most = self._tokens.count_once(tail) * 7 // 8
            joint = max(joint, self._tokens.fit(tail, most))
        return joint

    def _end_segment(self, passed: list[tuple[S, str]]) -> None:
        tail = "".join(self._parts)
        if not tail or self.reached:
            return
        spent = self._spent + self._tokens.count_once(tail)
        if spent > self._limit:
            self._cut(tail, len(tail), passed)
            return
        self._release(tail, len(tail), passed)
        self._spent = spent
        self._parts = []
        self._bytes = self._chars = self._released = self._searched = 0

    def _cut(self, tail: str, joint: int, passed: list[tuple[S, str]]) -> None:
        """The limit lies in the tail, at ``joint`` at the latest."""
        self.reached = True
        self._release(tail, self._tokens.fit(tail[:joint], self._limit - self._spent), passed)

    def _release(self, tail: str, end: int, passed: list[tuple[S, str]]) -> None:
        """Let the tail through up to character ``end``."""
        if end > self._released:
            passed.append((self._segment, tail[self._released : end]))
            self._released = end


def _prefix(text: str, size: int) -> int:
    """How many characters of the text fit into ``size`` bytes of UTF-8; no surrogate is left alone."""
    if text.isascii():
        return min(size, len(text))
    data = text.encode("utf-8", "surrogatepass")
    if len(data) <= size:
        return len(text)
    while size > 0 and data[size] & 0xC0 == 0x80:
        size -= 1
    count = len(data[:size].decode("utf-8", "surrogatepass"))
    return count - 1 if count and "\ud800" <= text[count - 1] <= "\udbff" else count
