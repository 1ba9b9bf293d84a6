"""The streaming parser: one forward scan that tells text from calls.

States, hold-back and grammar: docs/design/emulation.md, "The streaming parser" and "Forms of a call". Every
step consumes something, or holds what cannot be decided yet, so that pieces of any size give the same result.
"""

import re
from typing import Final

from .blocks import deliver
from .code import CodeReading
from .contract import CallStart, Content, ParserConfig, ParserEvent, Problem, Reasoning
from .fences import CALL_WORDS
from .harmony import BARE_LETTERS, thought_opener
from .judging import Judge
from .markers import (
    CLOSER,
    INVENTED_LINE,
    INVENTED_LINE_PREFIXES,
    INVENTED_PREFIXES,
    INVENTED_TAG,
    MAX_HEADER,
    may_become,
    may_close,
)
from .shapes import LONGEST_START, call_shaped, expression_shaped

_MAX_HELD_MESSAGE: Final = 64 * 1024
# What does not yet count as a message's text.
_BLANK: Final = re.compile(r"[ \t\r\n]*+")
_EASY: Final = re.compile(r"[^<`\n]*[^<`\s]")
_EASY_AT_ONCE: Final = re.compile(r"[^<`\n]+")
# What tags and tokens begin with.
_ANGLE: Final = r"<(?=[tTfFiI]|\|?\Z|\|[semcr])"
# Indentation counts as the line's start, for it may have come as a piece of its own.
_STOP: Final = re.compile(rf"{_ANGLE}|`+|^[ \t\r]*(?:~+|[{BARE_LETTERS}])", re.MULTILINE)
_LINE_STOP: Final = re.compile(rf"[ \t\r]*(?:~+|[{BARE_LETTERS}])")
_LINE_STOP_AFTER: Final = re.compile(r"[ \t\r]*[*A-Za-z]")
_STOP_AFTER: Final = re.compile(r"<|^[ \t\r]*[*A-Za-z]", re.MULTILINE)
# Bounds every copy of what is left to read, however long a piece is.
_SLICE: Final = 16 * 1024


class ToolCallParser(CodeReading):
    """Feed the answer's text in pieces, then :meth:`finish`.

    ``keyed_only`` accepts nothing but calls with the key: for text that is not the final answer.
    """

    def __init__(self, config: ParserConfig, *, judge: Judge | None = None, keyed_only: bool = False) -> None:
        super().__init__(config, judge or Judge(config), keyed_only)
        self._held = ""
        # A match where a piece has no sign of anything but text.
        self.easy = (_EASY_AT_ONCE if config.harmony_only else _EASY).fullmatch
        if not self._tags and not self._leaks:
            self._state = self._literal

    @property
    def calls(self) -> int:
        """How many calls have begun."""
        return self._out.calls

    @property
    def undecided(self) -> int:
        """How many characters wait for what follows, to be judged together with it."""
        return self._raw_size if self._block is None else self._block.size

    @property
    def thinks(self) -> bool:
        """Whether text is taken for a chain of thought now."""
        return self._out.thought

    @property
    def settled(self) -> bool:
        """Whether the next piece goes on with the last one, unless it fails :attr:`easy`."""
        out = self._out
        return (
            not self._held
            and not out.line_start
            and not out.blank
            and self._state == self._text
            and not out.waiting
            and not self._wrapper
        )

    def passes(self, text: str) -> bool:
        """Whether ``text`` is nothing but a further piece of what the last one was."""
        return self.settled and self.easy(text) is not None

    def feed(self, text: str) -> list[ParserEvent]:
        """What ``text`` decides."""
        out = self._out
        if self.passes(text):
            return [Reasoning(text) if out.thought else Content(text)]
        for at in range(0, len(text), _SLICE):
            piece = text[at : at + _SLICE]
            self._advance(self._held + piece if self._held else piece, False)
        return out.take()

    def finish(self, truncated: bool = False) -> list[ParserEvent]:
        """What the end of the text decides; ``truncated`` where a limit cut it, not the model."""
        self._advance(self._held, True)
        while block := self._block:
            block.finish(truncated)
            self._advance(self._block_over() + block.returned, True)
        if self._raw and self._state == self._message:
            self._judge_message()
        elif self._raw:
            self._judge_fence()
        if self._state == self._body:
            if self._opening.trusted:
                self._out.problem("E_TRUNC", "the block ends before its arguments")
            self._out.content(self._opening.raw)
        self._unwrap_text()
        self._out.content(self._held)
        self._held = ""
        self._state = self._done
        return self._out.take(last=True)

    def _advance(self, text: str, final: bool) -> None:
        at = 0
        while at < len(text):
            state = self._state
            after = state(text, at, final)
            if self._returned:
                text, after = self._returned + text[max(after, 0) :], 0
                self._returned = ""
            elif after == at and self._state == state:
                break
            at = after
        self._held = text[at:]

    def _literal(self, text: str, at: int, _final: bool) -> int:
        self._out.content(text[at:])
        return len(text)

    def _text(self, text: str, at: int, final: bool) -> int:
        out = self._out
        if out.blank:
            begun = self._message_start(text, at, final)
            if begun is not None:
                return begun
        # A line may begin where the text before it was no text: after a header or a thought.
        found = (_LINE_STOP.match(text, at) if out.line_start else None) or _STOP.search(text, at)
        if found is None:
            self._plain(text[at:])
            return len(text)
        begin = found.end() - 1 if found[0][-1] in BARE_LETTERS else found.start()
        if begin > at:
            self._plain(text[at:begin])
        char = text[begin]
        if char == "<":
            return self._angle(text, begin, final)
        if char == "`":
            return self._ticks(text, begin, found.end(), final)
        if not out.line_start:
            self._plain(char)
            return begin + 1
        if char in BARE_LETTERS:
            return self._bare_line(text, begin, final)
        if not found[0].endswith("~~~"):
            if found.end() == len(text) and not final:
                return begin
            self._plain(found[0])
            return found.end()
        return self._ticks(text, found.end() - len(found[0].lstrip()), found.end(), final, begin)

    def _message_start(self, text: str, at: int, final: bool) -> int | None:
        """Forms that only a message's very beginning has; ``None`` where there is none of them."""
        begin = _BLANK.match(text, at).end()  # type: ignore[union-attr]  # it also matches nothing
        if begin == len(text):
            return None
        char = text[begin]
        shaped: bool | None = False
        names = self._judge.names
        if self._wrapper or not self._tags or self._keyed_only:
            shaped = False
        elif char in "{[":
            start = text[begin : begin + LONGEST_START + 1]
            shaped = bool(char == "{" and self._judge.bare_tool()) or call_shaped(
                start, names, len(start) > LONGEST_START
            )
        elif self._judge.required and (char.isalpha() or char == "_"):
            shaped = expression_shaped(text[begin : begin + MAX_HEADER], names)
        if shaped or (shaped is None and final):
            self._out.content(text[at:begin])
            self._state = self._message
            return begin
        if shaped is None:
            return at
        if self._leaks and char == "a":
            thought = thought_opener(text, begin, final)
            if thought is None:
                return at
            if thought:
                self._out.content(text[at:begin])
                if thought == "analysis":
                    self._thought = True
                    self._state = self._thinking
                else:
                    self._out.answer()
                return begin + len(thought)
        return None

    def _message(self, text: str, at: int, _final: bool) -> int:
        """A message that is one piece of JSON or one expression is judged at its end."""
        end = min(len(text), at + _MAX_HELD_MESSAGE + 1 - self._raw_size)
        self._raw.append(text[at:end])
        self._raw_size += end - at
        if self._raw_size > _MAX_HELD_MESSAGE:
            self._flush_raw()
            self._state = self._text
        return end

    def _judge_message(self) -> None:
        verdict = self._judge.message("".join(self._raw))
        if verdict is None:
            self._flush_raw()
        else:
            deliver(verdict, self._out, self._judge)

    def _calls_inside(self, content: str) -> bool:
        free = self._fence.word in CALL_WORDS or self._out.blank or self._judge.required
        inner = ToolCallParser(self.config, judge=self._judge, keyed_only=not free)
        events = [*inner.feed(content), *inner.finish()]
        if not any(isinstance(event, CallStart) for event in events):
            return False
        if any(
            isinstance(event, Content) or (isinstance(event, Problem) and event.index is None)
            for event in events
        ):
            return False
        self._out.adopt(events, inner.calls)
        return True

    def _after(self, text: str, at: int, final: bool) -> int:
        """Nothing here is delivered; it only matters whether another call comes."""
        out = self._out
        found = (_LINE_STOP_AFTER.match(text, at) if out.line_start else None) or _STOP_AFTER.search(text, at)
        begin = found.end() - 1 if found else len(text)
        self._plain(text[at:begin])
        if out.too_far():
            self._stop("text follows the call")
            return len(text)
        if found is None:
            return len(text)
        if text[begin] != "<":
            if out.line_start:
                if INVENTED_LINE.match(text, begin):
                    return self._invented(text)
                if not final and may_become(text, begin, INVENTED_LINE_PREFIXES):
                    return begin
                if text[begin] in BARE_LETTERS:
                    return self._bare_line(text, begin, final)
            self._plain(text[begin])
            return begin + 1
        if closer := CLOSER.match(text, begin):
            return closer.end()
        if INVENTED_TAG.match(text, begin):
            return self._invented(text)
        if not final and (may_close(text, begin) or may_become(text, begin, INVENTED_PREFIXES)):
            return begin
        return self._angle(text, begin, final)

    def _invented(self, text: str) -> int:
        self._out.problem("E_HALLU", "the model invented what follows the call")
        self._stop("the model went on alone")
        return len(text)
