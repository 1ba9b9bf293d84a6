"""One call from the end of its header to its own end: how its body is written decides how it is read.

The machine waits at the header's end until it knows what follows, for at most 360 characters; then a block of
:mod:`.blocks` reads on, or there is none:

================================================================ ==========================================
what follows the header                                          makes it
================================================================ ==========================================
an object or a list, in a fence or not, as it is or in a string  a JSON block
``<parameter``, ``<arg_key>``                                    a block of elements
``null``, ``None``, a closing tag, where the header is trusted   a call without arguments
a tool's name, where the header has none                         that tool's header; what follows decides
``<function=NAME>``, ``<invoke name="NAME">``, likewise          a wrapper around that header
anything else, for a custom tool under a header with the key     that tool's input, as it is
anything else                                                    text: the header was only mentioned
================================================================ ==========================================
"""

import re
from typing import Final

from .blocks import ElementsBlock, FreeTextBlock, JsonBlock, Opening
from .events import Delivery
from .grammar import BODY_PREFIXES, CLOSER, MAX_HEADER, PAIR_OPENER, SPACE, TAG, may_become, may_close
from .judge import Judge, deliver

_FENCE: Final = re.compile(rf"(?:```+|~~~+)[\w-]*[ \t]*\r?\n{SPACE.pattern}")
_NULL: Final = re.compile(r"(?:null|None)\b")
_NULL_BEGUN: Final = frozenset(word[:size] for word in ("null", "None") for size in range(1, 5))
_NAME_LINE: Final = re.compile(r"([A-Za-z_][\w.-]{0,63})[ \t]*(?:\r?\n\s*+)?(?=[{<])")
_NAME_LINE_BEGUN: Final = re.compile(r"[A-Za-z_][\w.-]{0,63}\s*\Z")
_QUOTED_OBJECT: Final = re.compile(rf'"{SPACE.pattern}[{{\[]')
_OBJECT: Final = re.compile(rf"(?:\[{SPACE.pattern})?\{{")


class CallReader:
    """Reads one call's body.

    ``over`` says that the call has ended: ``called`` if it was one, ``cut`` if it was begun only, else
    ``literal`` is the text that it was (empty where its header became a wrapper). ``returned`` is what has to
    be read again.
    """

    def __init__(self, opening: Opening, judge: Judge, out: Delivery) -> None:
        self.over = False
        self.called = False
        self.cut = False
        self.literal = ""
        self.returned = ""
        self._opening = opening
        self._judge = judge
        self._out = out
        self._block: JsonBlock | ElementsBlock | FreeTextBlock | None = None
        name = opening.name
        # Whether the body may be a custom tool's input as it is.
        self._free = opening.keyed and name is not None and judge.tool(name).kind == "custom"

    @property
    def size(self) -> int:
        """How many characters wait for the block's end."""
        return 0 if self._block is None else self._block.size

    def read(self, text: str, at: int, final: bool, *, truncated: bool) -> int:
        """The index up to which ``text`` is decided from ``at``; negative where earlier pieces go back."""
        block = self._block
        if block is None:
            # What a limit cut shows nothing by its end, but any text is a custom tool's.
            end = self._begin(text, at, final and (self._free or not truncated))
            return end if self._block is None else self.read(text, end, final, truncated=truncated)
        end = block.feed(text, at)
        self.returned, block.returned = block.returned, ""
        if block.over:
            self._end(block)
        return end

    def finish(self, truncated: bool) -> None:
        """The text ended inside the call; ``truncated`` where a limit cut it."""
        block = self._block
        if block is None:
            self._cut_off(truncated)
            return
        block.finish(truncated)
        self.returned = block.returned
        self._end(block)

    def _cut_off(self, truncated: bool) -> None:
        """The text ends before the arguments: no tag that was meant as a call's is left to the client."""
        if not self._opening.trusted and not truncated:
            self._is_text()
            return
        self._out.problem("E_TRUNC", "the block ends before its arguments")
        self.over = self.cut = True

    def _begin(self, text: str, at: int, final: bool) -> int:
        """What begins after a header decides how the body is read."""
        opening = self._opening
        # Nothing beyond the window decides anything, or the size of the pieces would.
        text = text[: at + MAX_HEADER + 1]
        begin = start = SPACE.match(text, at).end()  # type: ignore[union-attr]  # it also matches nothing
        wait = not final and len(text) - at <= MAX_HEADER
        free = self._free
        if begin == len(text):
            return at if wait or final else self._no_body(at)
        fence = _FENCE.match(text, begin)
        if fence:
            begin = fence.end()
            if begin == len(text):
                return at if wait else self._no_body(at)
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
            if (end := self._angle(text, at, begin)) >= 0:
                return end
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
            (char in ('"[' if free else '"/') and SPACE.fullmatch(text, begin + 1))
            or (opening.name and not free and text[begin:] in _NULL_BEGUN)
            or (opening.name is None and _NAME_LINE_BEGUN.match(text, begin))
        ):
            return at
        if free:
            # The indentation of the first line is part of the input.
            self._block = FreeTextBlock(opening, self._judge, self._out)
            return text.rfind("\n", at, start) + 1 or start
        return self._no_body(at)

    def _angle(self, text: str, at: int, begin: int) -> int:
        """What a body is that begins with ``<``: the index after what is decided, -1 where nothing is."""
        opening = self._opening
        if PAIR_OPENER.match(text, begin) and opening.name:
            opening.raw += text[at:begin]
            self._block = ElementsBlock(opening, self._judge, self._out)
            return begin
        if CLOSER.match(text, begin) and opening.name and opening.trusted:
            return self._no_arguments(opening.name, begin)
        tag = TAG.match(text, begin)
        if tag and opening.name is None and tag[1].lower() in ("function", "invoke"):
            self._out.wrapper = opening.raw + text[at:begin]
            self.over = True
            return begin
        return -1

    def _no_arguments(self, name: str, end: int) -> int:
        deliver(self._judge.without_arguments(name), self._out, self._judge)
        self.over = self.called = True
        return end

    def _read_json(self, text: str, at: int, begin: int) -> int:
        opening = self._opening
        opening.raw += text[at:begin]
        name = opening.name
        as_written = bool(opening.keyed and name and text[begin] == "{" and not self._judge.tool(name).strict)
        self._block = JsonBlock(opening, self._judge, self._out, as_written=as_written)
        return begin

    def _no_body(self, at: int) -> int:
        """The header was only mentioned: it and what follows are text."""
        if self._opening.trusted:
            self._out.problem("E_BAD_JSON", "the block holds no JSON object")
        self._is_text()
        return at

    def _is_text(self) -> None:
        self.over = True
        self.literal = self._opening.raw

    def _end(self, block: JsonBlock | ElementsBlock | FreeTextBlock) -> None:
        self.over = True
        self.literal = block.literal
        self.called = not block.literal
        if not self._opening.trusted and (real := self._judge.swallowed_call(block.literal)) >= 0:
            self.literal = block.literal[:real]
            self.returned = block.literal[real:] + self.returned
