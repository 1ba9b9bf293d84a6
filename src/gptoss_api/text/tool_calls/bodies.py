"""From a call's header to its end: how the body is written decides how it is read."""

import re
from typing import Final

from .blocks import JsonBlock, Opening, PairsBlock, deliver
from .contract import ParserConfig
from .free_text import FreeTextBlock
from .judging import Judge
from .markers import BODY_PREFIXES, CLOSER, MAX_HEADER, PAIR_OPENER, TAG, may_become, may_close
from .reading import SPACE, Reading

_BODY_FENCE: Final = re.compile(r"(?:```+|~~~+)[\w-]*[ \t]*\r?\n\s*+")
_NULL: Final = re.compile(r"(?:null|None)\b")
_NULL_BEGUN: Final = frozenset(word[:size] for word in ("null", "None") for size in range(1, 5))
_NAME_LINE: Final = re.compile(r"([A-Za-z_][\w.-]{0,63})[ \t]*(?:\r?\n\s*+)?(?=[{<])")
_NAME_LINE_BEGUN: Final = re.compile(r"[A-Za-z_][\w.-]{0,63}\s*\Z")
_QUOTED_OBJECT: Final = re.compile(r'"\s*[{\[]')
_OBJECT: Final = re.compile(r"(?:\[\s*+)?\{")


class BodyReading(Reading):
    """Reads the bodies of calls."""

    def __init__(self, config: ParserConfig, judge: Judge) -> None:
        super().__init__(config, judge)
        self._opening = Opening("", None, keyed=False)
        self._block: JsonBlock | PairsBlock | FreeTextBlock | None = None

    def _open_json(self, raw: str, name: str, end: int, *, native: bool) -> int:
        self._opening = Opening(raw, name, keyed=False, native=native)
        self._state = self._body
        return end

    def _body(self, text: str, at: int, final: bool) -> int:
        """What begins after a header decides how the body is read."""
        opening = self._opening
        # Nothing beyond the window decides anything, or the size of the pieces would.
        text = text[: at + MAX_HEADER + 1]
        begin = start = SPACE.match(text, at).end()  # type: ignore[union-attr]  # it also matches nothing
        wait = not final and len(text) - at <= MAX_HEADER
        free = self._takes_free_text()
        if begin == len(text):
            return at if wait or final else self._not_json(at)
        fence = _BODY_FENCE.match(text, begin)
        if fence:
            begin = fence.end()
            if begin == len(text):
                return at if wait else self._not_json(at)
        char, left = text[begin], len(text) - begin
        if (
            _QUOTED_OBJECT.match(text, begin)
            or (_OBJECT.match(text, begin) if free else char in "{[")
            or (not free and text.startswith(("//", "/*"), begin))
        ):
            if opening.name or char in "{[":
                return self._read_json(text, at, begin)
        elif char in "`~" and not fence and text.find("\n", begin) < 0:
            if wait:
                return at
        elif char == "<":
            if PAIR_OPENER.match(text, begin) and opening.name:
                opening.raw += text[at:begin]
                self._block = PairsBlock(opening, self._judge, self._out)
                self._state = self._in_block
                return begin
            if CLOSER.match(text, begin) and opening.name and opening.trusted:
                return self._no_arguments(opening.name, begin)
            tag = TAG.match(text, begin)
            if tag and opening.name is None and tag[1].lower() in ("function", "invoke"):
                self._wrapper = opening.raw + text[at:begin]
                self._state = self._after if self._out.calls else self._text
                return begin
            if wait and (may_become(text, begin, BODY_PREFIXES) or may_close(text, begin)):
                return at
        elif opening.name and not free and _NULL.match(text, begin):
            if wait and left <= 4:
                return at
            if opening.trusted:
                return self._no_arguments(opening.name, begin + 4)
        elif opening.name is None and (line := _NAME_LINE.match(text, begin)):
            name = self._judge.names.find(line[1])
            if name:
                opening.name = name
                opening.raw += text[at : line.end()]
                return line.end()
        if wait and (
            (char in ('"[' if free else '"/') and not text[begin + 1 :].strip())
            or (opening.name and not free and text[begin:] in _NULL_BEGUN)
            or (opening.name is None and _NAME_LINE_BEGUN.match(text, begin))
        ):
            return at
        if free:
            # The indentation of the first line is part of the input.
            start = text.rfind("\n", at, start) + 1 or start
            self._block = FreeTextBlock(opening, self._judge, self._out)
            self._state = self._in_block
            return start
        return self._not_json(at)

    def _takes_free_text(self) -> bool:
        """Whether the body may be a custom tool's input as it is."""
        name = self._opening.name
        return self._opening.keyed and name is not None and self._judge.tool(name).kind == "custom"

    def _no_arguments(self, name: str, end: int) -> int:
        deliver(self._judge.named(name, {}, "{}"), self._out, self._judge)
        self._after_call()
        return end

    def _read_json(self, text: str, at: int, begin: int) -> int:
        opening = self._opening
        opening.raw += text[at:begin]
        name = opening.name
        as_written = bool(opening.keyed and name and text[begin] == "{" and not self._judge.tool(name).strict)
        self._block = JsonBlock(opening, self._judge, self._out, as_written=as_written)
        self._state = self._in_block
        return begin

    def _not_json(self, at: int) -> int:
        """The header was only mentioned: it and what follows are text."""
        if self._opening.trusted:
            self._out.problem("E_BAD_JSON", "the block holds no JSON object")
        self._back_to_text(self._opening.raw)
        return at

    def _in_block(self, text: str, at: int, _final: bool) -> int:
        assert self._block is not None
        block = self._block
        end = block.feed(text, at)
        self._returned, block.returned = block.returned, ""
        if block.over:
            self._returned = self._block_over() + self._returned
        return end

    def _block_over(self) -> str:
        """Goes on after a block; gives what of it must be read again."""
        block, self._block = self._block, None
        if block is None or not block.literal:
            self._after_call()
            return ""
        literal, again = block.literal, ""
        if not block.opening.trusted and (real := self._judge.swallowed_call(literal)) >= 0:
            literal, again = literal[:real], literal[real:]
        self._back_to_text(literal)
        return again
