"""The streaming parser: one forward scan that tells text from calls.

States, hold-back and grammar: emulation dossier, sections 3 and 4.2. Every step consumes something,
or holds what cannot be decided yet, so that pieces of any size give the same result.
"""

import re
from collections.abc import Callable
from typing import Final

from .blocks import JsonBlock, Opening, PairsBlock, deliver
from .contract import CallStart, Content, ParserConfig, ParserEvent, Problem
from .delivery import MAX_CALLS, Delivery
from .fences import CALL_WORDS, DATA_WORDS, Fence, close_fence, may_hold_call, open_fence
from .harmony import (
    BARE_LETTERS,
    LONGEST_THOUGHT_END,
    THOUGHT_END,
    THOUGHT_END_PREFIXES,
    LeakedHeader,
    read_bare_header,
    read_header,
    thought_opener,
)
from .headers import TagHeader, read_tag, tag_end
from .judging import Judge
from .markers import (
    CLOSER,
    CLOSER_PREFIXES,
    INVENTED_LINE,
    INVENTED_LINE_PREFIXES,
    INVENTED_PREFIXES,
    INVENTED_TAG,
    LONGEST_LINE,
    LONGEST_OPENER,
    MAX_HEADER,
    TAG,
    TAG_PREFIXES,
    TOKEN,
    TOKEN_PREFIXES,
    may_become,
)
from .shapes import LONGEST_START, call_shaped, expression_shaped

_MAX_HELD_MESSAGE: Final = 64 * 1024
_MAX_HELD_FENCE: Final = 1024 * 1024
_EASY: Final = re.compile(r"[^<`\n]*[^<`\s]")
_STOP: Final = re.compile(rf"<|`+|^(?:[ \t]{{0,3}}~+|[{BARE_LETTERS}])", re.MULTILINE)
_LINE_STOP: Final = re.compile(rf"[ \t]{{0,3}}~+|[{BARE_LETTERS}]")
_LINE_STOP_AFTER: Final = re.compile(r"[*A-Za-z]")
_STOP_AFTER: Final = re.compile(r"<|^[*A-Za-z]", re.MULTILINE)
_INLINE_STOP: Final = re.compile(r"`+|\n")
_SPACE: Final = re.compile(r"\s*+")
_BODY_FENCE: Final = re.compile(r"(?:```+|~~~+)[\w-]*[ \t]*\r?\n\s*+")
_NULL: Final = re.compile(r"(?:null|None)\b")
_NAME_LINE: Final = re.compile(r"([A-Za-z_][\w.-]{0,63})[ \t]*(?:\r?\n\s*+)?(?=[{<])")
_NAME_LINE_BEGUN: Final = re.compile(r"[A-Za-z_][\w.-]{0,63}\s*\Z")
_PAIR_OPENER: Final = re.compile(r"<(?:parameter|arg_key)\b", re.IGNORECASE)
_PAIR_PREFIXES: Final = frozenset(
    marker[:size] for marker in ("<parameter", "<arg_key") for size in range(1, len(marker) + 1)
)
_QUOTED_OBJECT: Final = re.compile(r'"\s*[{\[]')
# Bounds every copy of what is left to read, however long a piece is.
_SLICE: Final = 16 * 1024


class ToolCallParser:
    """Feed the answer's text in pieces, then :meth:`finish`."""

    def __init__(self, config: ParserConfig, *, judge: Judge | None = None, keyed_only: bool = False) -> None:
        self.config = config
        self._judge = judge or Judge(config)
        self._keyed_only = keyed_only
        self._out = Delivery()
        self._held = ""
        self._tags = bool(self._judge.names)
        self._leaks = config.clean_leaks
        self._state: Callable[[str, int, bool], int] = self._text
        if not self._tags and not self._leaks:
            self._state = self._literal
        self._run = ""
        self._fence = Fence("```", "", "")
        self._raw: list[str] = []
        self._raw_size = 0
        self._opening = Opening("", None, keyed=False)
        self._block: JsonBlock | PairsBlock | None = None
        self._wrapper = ""
        self._returned = ""  # What a block had read too far, to be read again.
        self._in_line = False  # Inside a fence: the current line has begun.
        self._raw_body = 0
        self._thought = False  # Reasoning without tokens: it ends at a glued "assistantfinal".

    @property
    def calls(self) -> int:
        """How many calls have begun."""
        return self._out.calls

    def feed(self, text: str) -> list[ParserEvent]:
        """What ``text`` decides."""
        out = self._out
        if (
            self._state == self._text
            and not self._held
            and not out.line_start
            and not out.waiting
            and not self._wrapper
            and _EASY.fullmatch(text)
        ):
            return [Content(text)]
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
        if self._raw:
            self._whole()
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

    # Text

    def _literal(self, text: str, at: int, _final: bool) -> int:
        self._out.content(text[at:])
        return len(text)

    def _done(self, text: str, _at: int, _final: bool) -> int:
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
        begin = found.start()
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

    def _plain(self, text: str) -> None:
        """Text for sure, unless it is only the space inside a wrapper."""
        if self._wrapper:
            if not text.strip():
                self._wrapper += text
                return
            self._unwrap_text()
        self._out.content(text)

    def _unwrap_text(self) -> None:
        wrapper, self._wrapper = self._wrapper, ""
        self._out.content(wrapper)

    def _message_start(self, text: str, at: int, final: bool) -> int | None:
        """Forms that only a message's very beginning has; ``None`` where there is none of them."""
        begin = _SPACE.match(text, at).end()  # type: ignore[union-attr]  # it also matches nothing
        if begin == len(text):
            return None
        char = text[begin]
        shaped: bool | None = False
        names = self._judge.names
        if self._wrapper or not names or self._keyed_only:
            shaped = False
        elif char in "{[":
            shaped = bool(char == "{" and self._judge.bare_tool()) or call_shaped(
                text[begin : begin + LONGEST_START + 1], names
            )
        elif self._judge.required and (char.isalpha() or char == "_"):
            shaped = expression_shaped(text[begin : begin + MAX_HEADER], names)
        if shaped or (shaped is None and final):
            self._out.content(text[at:begin])
            self._state = self._message
            return begin
        if self._leaks and char == "a":
            thought = thought_opener(text, begin, final)
            if thought is None:
                shaped = None
            elif thought:
                if thought == "analysis":
                    self._thought = True
                    self._state = self._thinking
                return begin + len(thought)
        return at if shaped is None else None

    def _message(self, text: str, at: int, _final: bool) -> int:
        """A message that is one piece of JSON or one expression is judged at its end."""
        self._raw.append(text[at:])
        self._raw_size += len(text) - at
        if self._raw_size > _MAX_HELD_MESSAGE:
            self._flush_raw()
            self._state = self._text
        return len(text)

    def _flush_raw(self) -> None:
        raw = "".join(self._raw)
        self._raw.clear()
        self._raw_size = 0
        self._out.content(raw)

    def _bare_line(self, text: str, at: int, final: bool) -> int:
        header = read_bare_header(text, at, final) if self._tags and self._leaks else False
        if header is None:
            return at
        if isinstance(header, LeakedHeader):
            name = self._judge.names.find(header.recipient)
            if name:
                return self._open_json(text[at : header.end], name, header.end, native=True)
        self._plain(text[at])
        return at + 1

    # Code

    def _ticks(self, text: str, at: int, end: int, final: bool, begin: int | None = None) -> int:
        begin = at if begin is None else begin
        if end == len(text) and not final:
            return begin
        if self._out.line_start and end - at >= 3:
            fence = open_fence(text, at, end, final)
            if fence is None:
                return begin
            if isinstance(fence, Fence):
                return self._open_fence(fence, text, begin, at, final)
        self._plain(text[begin:end])
        if text[at] == "`":
            self._run = text[at:end]
            self._state = self._inline
        return end

    def _inline(self, text: str, at: int, final: bool) -> int:
        found = _INLINE_STOP.search(text, at)
        if found is None:
            self._out.content(text[at:])
            return len(text)
        if found.end() == len(text) and text[found.start()] == "`" and not final:
            self._out.content(text[at : found.start()])
            return found.start()
        self._out.content(text[at : found.end()])
        if found[0] == "\n" or found[0] == self._run:
            self._state = self._text
        return found.end()

    def _open_fence(self, fence: Fence, text: str, begin: int, at: int, final: bool) -> int:
        self._fence = fence
        body = at + len(fence.opening)
        may: bool | None = False
        if self._tags and not self._wrapper and (fence.word in CALL_WORDS or fence.word in DATA_WORDS):
            free = (self._out.blank or self._judge.required) and not self._keyed_only
            start = text[body : body + LONGEST_START + 1]
            may = may_hold_call(
                fence.word,
                start,
                self.config.key,
                self._judge.names,
                free=free,
                bare=self._judge.bare_tool() is not None,
                final=final,
            )
            if may is None and not final:
                return begin
        if may:
            self._out.content(text[begin:at])
            self._raw.append(fence.opening)
            self._raw_size = len(fence.opening)
            self._state = self._candidate
        else:
            self._plain(text[begin:body])
            self._state = self._fenced
        self._in_line = False
        return body

    def _fenced(self, text: str, at: int, final: bool) -> int:
        end, over = close_fence(self._fence, text, at, final, not self._in_line)
        self._out.content(text[at : max(end, over)])
        if over >= 0:
            self._state = self._text
            return over
        if end > at:
            self._in_line = text[end - 1] != "\n"
        return end

    def _candidate(self, text: str, at: int, final: bool) -> int:
        """A fence that may hold a call is held until what follows it is known."""
        end, over = close_fence(self._fence, text, at, final, not self._in_line)
        taken = text[at : max(end, over)]
        self._raw.append(taken)
        self._raw_size += len(taken)
        if over >= 0:
            self._raw_body = self._raw_size - (over - end)
            self._state = self._candidate_tail
            return over
        if self._raw_size > _MAX_HELD_FENCE:
            self._flush_raw()
            self._state = self._fenced
        if end > at:
            self._in_line = text[end - 1] != "\n"
        return end

    def _candidate_tail(self, text: str, at: int, _final: bool) -> int:
        begin = _SPACE.match(text, at).end()  # type: ignore[union-attr]  # it also matches nothing
        self._raw.append(text[at:begin])
        self._raw_size += begin - at
        if begin < len(text):
            self._flush_raw()
            self._state = self._text
        return begin

    def _whole(self) -> None:
        """The message ended with something held: a call, or text after all."""
        raw = "".join(self._raw)
        if self._state == self._message:
            verdict = self._judge.message(raw)
        else:
            end = self._raw_body if self._state == self._candidate_tail else len(raw)
            content = raw[len(self._fence.opening) : end]
            if content.lstrip().startswith("<"):
                if self._calls_inside(content):
                    self._raw.clear()
                    return
                verdict = None
            else:
                verdict = self._judge.message(content)
        if verdict is None:
            self._flush_raw()
        else:
            self._raw.clear()
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

    # Tags and tokens

    def _angle(self, text: str, at: int, final: bool) -> int:
        """What stands at a ``<``."""
        if self._tags and (found := TAG.match(text, at)):
            end, inside = tag_end(text, at, found.end())
            if end >= 0:
                return self._tag(text, at, end, read_tag(found[1].lower(), inside))
            if inside and not final:
                return at
        elif self._leaks and (token := TOKEN.match(text, at)):
            return self._token(text, at, token.end(), final)
        elif not final and len(text) - at <= LONGEST_OPENER:
            rest = text[at:]
            if self._tags and may_become(rest, TAG_PREFIXES):
                return at
            if self._leaks and may_become(rest, TOKEN_PREFIXES):
                return at
        self._plain("<")
        return at + 1

    def _tag(self, text: str, at: int, end: int, header: TagHeader) -> int:
        raw = text[at:end]
        out = self._out
        keyed = header.key is not None and header.key == self.config.key and bool(self.config.key)
        may_start = keyed or (header.key is None and not self._keyed_only and out.line_start)
        if not may_start or (header.closed and not (keyed and header.name)):
            self._plain(raw)
            return end
        if header.kind == "wrapper" and not header.name:
            if self._wrapper:
                self._unwrap_text()
            self._wrapper = raw
            self._state = self._wrapped
            return end
        name = self._judge.names.find(header.name) if header.name else None
        if header.name and name is None:
            if keyed:
                out.problem("E_UNKNOWN_TOOL", f"no tool is called {header.name[:80]}")
            self._plain(raw)
            return end
        if header.closed:
            verdict = self._judge.keyed(name, {}, "{}")
            if verdict:
                deliver(verdict, out, self._judge)
            self._after_call()
            return end
        if not header.name and header.kind == "function":
            self._plain(raw)
            return end
        self._opening = Opening(self._wrapper + raw, name, keyed=keyed)
        self._wrapper = ""
        self._state = self._body
        return end

    def _wrapped(self, text: str, at: int, _final: bool) -> int:
        """After ``<tool_calls>``: calls follow, or a list of them, or it was only text."""
        begin = _SPACE.match(text, at).end()  # type: ignore[union-attr]  # it also matches nothing
        self._wrapper += text[at:begin]
        if begin < len(text) or len(self._wrapper) > MAX_HEADER:
            self._state = self._after if self._out.calls else self._text
            if text[begin : begin + 1] in ("{", "["):
                self._opening = Opening(self._wrapper, None, keyed=False)
                self._wrapper = ""
                self._state = self._body
            elif text[begin : begin + 1] != "<":
                self._unwrap_text()
        return begin

    def _token(self, text: str, at: int, end: int, final: bool) -> int:
        """A leaked Harmony token: a header, or one that is simply dropped."""
        if not text.startswith(("<|start|>", "<|channel|>"), at):
            return end
        header = read_header(text, at, final)
        if header is None:
            return at
        if not isinstance(header, LeakedHeader):
            return end
        if header.role and not header.role.startswith("assistant"):
            self._out.problem("E_HALLU", f"the model went on as {header.role.split()[0][:40]}")
            self._stop("the model went on alone")
            return header.end
        if header.recipient and (name := self._judge.names.find(header.recipient)):
            return self._open_json(text[at : header.end], name, header.end, native=True)
        if header.recipient:
            self._out.problem("E_UNKNOWN_TOOL", f"no tool is called {header.recipient[:80]}")
        elif header.channel == "analysis":
            self._thought = False
            self._state = self._thinking
        return header.end

    def _thinking(self, text: str, at: int, final: bool) -> int:
        """Leaked reasoning, up to the next token or glued role."""
        search = at
        while found := THOUGHT_END.search(text, search):
            begin = found.start()
            if text[begin] == "<":
                if TOKEN.match(text, begin):
                    break
                if not final and may_become(text[begin:], TOKEN_PREFIXES):
                    self._out.reasoning(text[at:begin])
                    return begin
            elif self._thought:
                break
            search = begin + 1
        if found:
            begin = found.start()
            self._out.reasoning(text[at:begin])
            self._out.line_start = True
            self._state = self._after if self._out.calls else self._text
            if text[begin] == "a" and text.startswith("assistantfinal", begin):
                return begin + len("assistantfinal")
            return begin
        keep = len(text)
        if not final:
            tail = max(at, keep - LONGEST_THOUGHT_END)
            keep = next(
                (
                    i
                    for i in range(tail, keep)
                    if text[i:] in THOUGHT_END_PREFIXES
                    or (text[i] == "<" and may_become(text[i:], TOKEN_PREFIXES))
                ),
                keep,
            )
        self._out.reasoning(text[at:keep])
        return keep

    # Bodies

    def _open_json(self, raw: str, name: str, end: int, *, native: bool) -> int:
        self._opening = Opening(raw, name, keyed=False, native=native)
        self._state = self._body
        return end

    def _body(self, text: str, at: int, final: bool) -> int:
        """What begins after a header decides how the body is read."""
        opening = self._opening
        begin = _SPACE.match(text, at).end()  # type: ignore[union-attr]  # it also matches nothing
        far = len(text) - at > MAX_HEADER
        wait = not final and not far
        if begin == len(text):
            return at if wait or final else self._not_json(at)
        fence = _BODY_FENCE.match(text, begin)
        if fence:
            begin = fence.end()
            if begin == len(text):
                return at if wait else self._not_json(at)
        char, left = text[begin], len(text) - begin
        if char in "{[" or text.startswith(("//", "/*"), begin) or _QUOTED_OBJECT.match(text, begin):
            if opening.name or char in "{[":
                return self._read_json(text, at, begin)
        elif char in "`~" and not fence and "\n" not in text[begin:]:
            if wait:
                return at
        elif char == "<":
            if _PAIR_OPENER.match(text, begin) and opening.name:
                opening.raw += text[at:begin]
                self._block = PairsBlock(opening, self._judge, self._out)
                self._state = self._in_block
                return begin
            if CLOSER.match(text, begin) and opening.name and opening.trusted:
                return self._no_arguments(begin)
            tag = TAG.match(text, begin)
            if tag and opening.name is None and tag[1].lower() in ("function", "invoke"):
                self._wrapper = opening.raw + text[at:begin]
                self._state = self._after if self._out.calls else self._text
                return begin
            if wait and (
                may_become(text[begin:], TAG_PREFIXES)
                or may_become(text[begin:], CLOSER_PREFIXES)
                or may_become(text[begin:], _PAIR_PREFIXES)
            ):
                return at
        elif opening.name and _NULL.match(text, begin):
            if wait and left <= 4:
                return at
            if opening.trusted:
                return self._no_arguments(begin + 4)
        elif opening.name is None and (line := _NAME_LINE.match(text, begin)):
            name = self._judge.names.find(line[1])
            if name:
                opening.name = name
                opening.raw += text[at : line.end()]
                return line.end()
        if wait and (
            (char in '"/' and not text[begin + 1 :].strip())
            or ((opening.name and "null".startswith(text[begin:])) or "None".startswith(text[begin:]))
            or (opening.name is None and _NAME_LINE_BEGUN.match(text, begin))
        ):
            return at
        return self._not_json(at)

    def _no_arguments(self, end: int) -> int:
        verdict = self._judge.keyed(self._opening.name, {}, "{}")
        if verdict:
            deliver(verdict, self._out, self._judge)
        self._after_call()
        return end

    def _read_json(self, text: str, at: int, begin: int) -> int:
        opening = self._opening
        opening.raw += text[at:begin]
        name = opening.name
        live = bool(
            self.config.live
            and opening.keyed
            and name
            and text[begin] == "{"
            and not self._judge.tool(name).strict
        )
        self._block = JsonBlock(opening, self._judge, self._out, live=live)
        self._state = self._in_block
        return begin

    def _not_json(self, at: int) -> int:
        """The header was only mentioned: it and what follows are text."""
        if self._opening.trusted:
            self._out.problem("E_BAD_JSON", "the block holds no JSON object")
        self._back_to_text(self._opening.raw)
        return at

    def _back_to_text(self, literal: str) -> None:
        self._out.content(literal)
        self._state = self._after if self._out.calls else self._text

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

    # After a call

    def _after_call(self) -> None:
        self._state = self._after
        if self._out.cancelled:
            self._state = self._done
        elif not self.config.parallel:
            self._stop("only one call was asked for")
        elif self._out.calls >= MAX_CALLS:
            self._stop("too many calls")

    def _stop(self, reason: str) -> None:
        self._out.cancel(reason)
        self._state = self._done

    def _after(self, text: str, at: int, final: bool) -> int:
        """Nothing here is delivered; it only matters whether another call comes."""
        out = self._out
        found = (_LINE_STOP_AFTER.match(text, at) if out.line_start else None) or _STOP_AFTER.search(text, at)
        begin = found.start() if found else len(text)
        self._plain(text[at:begin])
        if out.too_far():
            self._stop("text follows the call")
            return len(text)
        if found is None:
            return len(text)
        rest = text[begin : begin + LONGEST_LINE]
        if text[begin] != "<":
            if out.line_start:
                if INVENTED_LINE.match(text, begin):
                    return self._invented(text)
                if (
                    not final
                    and len(rest) < LONGEST_LINE
                    and may_become(text[begin:], INVENTED_LINE_PREFIXES)
                ):
                    return begin
                if text[begin] in BARE_LETTERS:
                    return self._bare_line(text, begin, final)
            self._plain(text[begin])
            return begin + 1
        if closer := CLOSER.match(text, begin):
            return closer.end()
        if INVENTED_TAG.match(text, begin):
            return self._invented(text)
        if not final and (may_become(rest, CLOSER_PREFIXES) or may_become(rest, INVENTED_PREFIXES)):
            return begin
        return self._angle(text, begin, final)

    def _invented(self, text: str) -> int:
        self._out.problem("E_HALLU", "the model invented what follows the call")
        self._stop("the model went on alone")
        return len(text)
