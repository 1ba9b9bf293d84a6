"""The body of a custom tool's call where the model wrote the tool's input as it is, not as JSON."""

import json
import re
from typing import Final

from .blocks import Opening, deliver
from .delivery import Delivery
from .judging import Judge, Verdict

# An input may hold closing tags of its own, but a patch has none at a line's start: every line of its
# files begins with "+", "-" or a space.
_CLOSER: Final = re.compile(
    r"\n(?:</(?:tool[_\-\u2011 ]?calls?|function[_\-\u2011 ]?calls?|function|invoke)>"
    r"|<\|(?:call|end|return)\|>)",
    re.IGNORECASE,
)
_LONGEST_CLOSER: Final = len("\n</function_calls>")
# What the end of the text leaves of a closing tag that is cut, or stands behind the last line.
_LEFT_OVER: Final = re.compile(
    r"(?:</(?:tool|function)[_\-\u2011 ]?calls?>|<\|(?:call|end|return)\|>|(?<=\n)</\w*|(?<=\n)<)\s*\Z",
    re.IGNORECASE,
)
_FENCED: Final = re.compile(r"(```+|~~~+)[\w-]*[ \t]*\r?\n(.*\n)?[ \t]*\1[ \t]*\Z", re.DOTALL)
_FIRST_SLICE: Final = 512


class FreeTextBlock:
    """A keyed block whose text is the input, up to a closing tag at a line's start or the text's end."""

    def __init__(self, opening: Opening, judge: Judge, out: Delivery) -> None:
        self.opening = opening
        self.over = False
        self.literal = ""
        self.returned = ""  # The beginning of what was read too far, where it is of earlier pieces.
        self._judge = judge
        self._out = out
        self._raw: list[str] = []
        self.size = 0
        self._tail = ""
        self._slice = _FIRST_SLICE

    def feed(self, text: str, at: int) -> int:
        """Reads from ``at``; the index after what was used, negative where earlier pieces go back."""
        while at < len(text) and not self.over:
            piece = text[at : at + min(self._slice, self.opening.cap - self.size)]
            self._slice = min(2 * self._slice, self.opening.cap)
            at += len(piece)
            self._raw.append(piece)
            self.size += len(piece)
            seen = self._tail + piece
            if found := _CLOSER.search(seen):
                closer = seen[found.start() + 1 :]
                at -= len(closer)
                again = self._complete("".join(self._raw)[: self.size - len(closer)], closed=True)
                self.returned = again + closer[: max(-at, 0)]
            elif self.size >= self.opening.cap:
                self._cut(f"the block is longer than {self.opening.cap} characters")
                self._out.cancel("a call is too long")
            self._tail = seen[-_LONGEST_CLOSER:]
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
