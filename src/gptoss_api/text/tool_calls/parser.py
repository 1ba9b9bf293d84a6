"""The streaming parser: one forward scan that tells text from calls.

Theory of operation
-------------------
A model's answer arrives in pieces of any size. What it holds besides text (calls, code, leaked headers) can
be told only by what follows, and text must not wait longer than that. So the scan is a machine with a state;
a state reads on from an index, gives out what it has decided and says how far that is. What it could not
decide is held and read again with the next piece. Two rules make the sizes of the pieces invisible:

- A state decides by the text alone, within a window of fixed length, never by where a piece ends. It holds
  only where the window is not filled and more may come.
- Every step consumes something or changes the state. To give back the index it got, in the same state, means
  that more is needed.

The scan itself knows only what is text, what is a marker, and what comes after a call. Whatever has an inside
is a machine of its own, with one file, private state and a table like the one below: code (:mod:`.code`), a
call from its header on (:mod:`.body`, which hands over to one of :mod:`.blocks`), a leaked thought
(:mod:`.leaks`). The scan enters one, drives it until it is ``over``, and asks what became of it. All of them
write to one :class:`Delivery`, which knows where the next character stands, and ask one :class:`Judge`
whether what was read is a call.

======== ============================================== ====================================================
state    left at                                        holds back, at most
======== ============================================== ====================================================
text     a marker: a tag, a token, a run that opens     a suffix that may become a marker, 360 characters
         code; a beginning that a call may have         (600 at the message's beginning), and the space
                                                        before it, 360
message  its end, for all of it may be one call, as     all of it, 64 KiB; then it is text
         JSON or as an expression
wrapper  what is not space after "<tool_calls>"         the tag and the space, 360 characters
code     the end of :class:`.code.CodeReader`           see there
thought  the end of :class:`.leaks.ThoughtReader`       see there
call     the end of :class:`.body.CallReader`           see there
closing  what is not space after the one call that is   a closing tag that has begun, 33 characters
         wanted
after    a further call; an invented result or 400      what may become a marker, 360 characters; nothing of
         characters of text, which end the answer       it will be text
literal  never: there are no tools, and the client      nothing
         itself talks of tokens
done     never                                          nothing; what comes is dropped
======== ============================================== ====================================================

A call's machine may find that it read too far: a quote that ends a string shows by what follows it, and that
may lie in an earlier piece. It then gives back an index below zero, with what of the earlier pieces has to be
read again in ``returned``.

Time grows with length alone. Every look ahead is bounded, so is what a state copies (``_SLICE``); what is
held in bulk (a block, a fence, a message) is kept in pieces and joined once. What was judged and is no call
is text and is not read again, but for a call with the key that broken quotes had made a part of it.
"""

import re
from collections.abc import Callable
from typing import Final

from ..json_scalars import UNSEEN
from .blocks import Opening
from .body import CallReader
from .code import CALL_WORDS, CodeReader, HeldCode, HeldFence
from .events import MAX_CALLS, CallStart, Content, Delivery, ParserConfig, ParserEvent, Problem, Reasoning
from .grammar import (
    CLOSER,
    INVENTED_LINE,
    INVENTED_LINE_PREFIXES,
    INVENTED_PREFIXES,
    INVENTED_TAG,
    MAX_HEADER,
    SPACE,
    TAG,
    TAG_PREFIXES,
    TOKEN,
    TOKEN_PREFIXES,
    TagHeader,
    begins_call_tag,
    may_become,
    may_close,
    read_tag,
    tag_end,
)
from .judge import LONGEST_START, Judge, Verdict, call_shaped, deliver, expression_shaped
from .leaks import (
    BARE_LETTERS,
    NOT_BARE,
    LeakedHeader,
    ThoughtReader,
    read_bare_header,
    read_header,
    thought_opener,
)

_MAX_HELD_MESSAGE: Final = 64 * 1024
# What does not yet count as a message's text.
_BLANK: Final = re.compile(rf"[ \t\r\n{UNSEEN}]*+")
# How a line begins, and text goes on, that shows no sign of anything but text: no header that lost its tokens
# either. It ends in a line that has begun.
_LINE_SPACE: Final = rf"[ \t\r\n{UNSEEN}]*+"
_PLAIN_LINE: Final = rf"{_LINE_SPACE}{NOT_BARE}[^<`~\s{UNSEEN}]"
_PLAIN_TEXT: Final = rf"(?:[^<`\n]++|\n{_PLAIN_LINE})"
_PLAIN_AT_ONCE: Final = re.compile(rf"{_PLAIN_TEXT}++")
_PLAIN_BEGINNING: Final = re.compile(rf"{_PLAIN_LINE}{_PLAIN_TEXT}*+")
begins_plainly: Final = _PLAIN_BEGINNING.fullmatch
goes_on_plainly: Final = _PLAIN_AT_ONCE.fullmatch
# The same where calls are read: JSON may be one, and space may stand before one.
_SOLID: Final = rf"(?<![\s{UNSEEN}])"
_PLAIN: Final = re.compile(rf"{_PLAIN_TEXT}++{_SOLID}")
begins_without_call: Final = re.compile(
    rf"(?!{_LINE_SPACE}[{{\[]){_PLAIN_LINE}{_PLAIN_TEXT}*+{_SOLID}"
).fullmatch
goes_on_without_call: Final = _PLAIN.fullmatch
# What tags and tokens begin with.
_ANGLE: Final = r"<(?=[ \t]{0,2}(?:[tTfFiI]|\Z)|\|(?:\Z|[semcr]))"
_INDENT: Final = rf"[ \t\r{UNSEEN}]"
# Indentation counts as the line's start, for it may have come as a piece of its own.
_STOP: Final = re.compile(rf"{_ANGLE}|`+|^{_INDENT}*(?:~+|[{BARE_LETTERS}])", re.MULTILINE)
_LINE_STOP: Final = re.compile(rf"{_INDENT}*(?:~+|[{BARE_LETTERS}])")
_LINE_STOP_AFTER: Final = re.compile(rf"{_INDENT}*[*A-Za-z]")
_STOP_AFTER: Final = re.compile(rf"<|^{_INDENT}*[*A-Za-z]", re.MULTILINE)
# Bounds every copy of what is left to read, however long a piece is.
_SLICE: Final = 16 * 1024


class ToolCallParser:
    """Feed the answer's text in pieces, then :meth:`finish`.

    ``keyed_only`` accepts nothing but calls with the key: for text that is not the final answer. ``judge`` is
    that of an enclosing parser, which knows the client's text already. ``begun`` says that text came before
    that :func:`begins_without_call` and :func:`goes_on_without_call`, or where leaked Harmony only is read
    :func:`begins_plainly` and :func:`goes_on_plainly`.
    """

    def __init__(
        self,
        config: ParserConfig,
        *,
        judge: Judge | None = None,
        keyed_only: bool = False,
        begun: bool = False,
    ) -> None:
        self._config = config
        self._judge = judge or Judge(config)
        self._keyed_only = keyed_only
        self._tags = bool(self._judge.names) and not config.harmony_only
        self._leaks = config.clean_leaks
        self._out = Delivery(thought=config.thought, at_once=config.harmony_only, begun=begun)
        # Most answers have no code.
        self._code: CodeReader | None = None
        self._thought: ThoughtReader | None = None
        self._call: CallReader | None = None
        self._message: list[str] = []
        self._message_size = 0
        self._held = ""
        self._truncated = False
        self._returned = ""  # What a call had read too far, to be read again.
        # A match where a piece has no sign of anything but text.
        self.is_plain = (_PLAIN_AT_ONCE if config.harmony_only else _PLAIN).fullmatch
        # Of the class: bound to this parser they would be a circle.
        self._state: Callable[[ToolCallParser, str, int, bool], int] = ToolCallParser._in_text
        if not self._tags and not self._leaks:
            self._state = ToolCallParser._in_literal

    @property
    def undecided(self) -> int:
        """How many characters wait for what follows, to be judged together with it."""
        code = 0 if self._code is None else self._code.size
        return self._message_size + code + (0 if self._call is None else self._call.size)

    @property
    def thinks(self) -> bool:
        """Whether text is taken for a chain of thought now."""
        return self._out.thought

    @property
    def settled(self) -> bool:
        """Whether the next piece goes on with the last one, if it :attr:`is_plain`."""
        out = self._out
        return (
            not self._held
            and not out.line_start
            and not out.blank
            and self._state is ToolCallParser._in_text
            and not out.waiting
        )

    def feed(self, text: str) -> list[ParserEvent]:
        """What ``text`` decides."""
        out = self._out
        if self.settled and self.is_plain(text):
            return [Reasoning(text) if out.thought else Content(text)]
        for at in range(0, len(text), _SLICE):
            piece = text[at : at + _SLICE]
            self._advance(self._held + piece if self._held else piece, False)
        return out.take()

    def finish(self, truncated: bool = False) -> list[ParserEvent]:
        """What the end of the text decides; ``truncated`` where a limit cut it, not the model."""
        self._truncated = truncated
        self._advance(self._held, True)
        while call := self._call:
            call.finish(truncated)
            self._leave_call(call)
            self._advance(call.returned if call.cut else call.returned + self._held, True)
        if self._message:
            self._judge_message()
        elif self._code is not None and (held := self._code.take_held()):
            self._judge_code(held)
        if truncated and self._out.wrapper:
            self._cut_off()
        self._out.unwrap()
        self._out.content(self._held)
        self._held = ""
        self._state = ToolCallParser._done
        return self._out.take(last=True)

    def _advance(self, text: str, final: bool) -> None:
        at = 0
        while at < len(text):
            state = self._state
            after = state(self, text, at, final)
            if self._returned:
                text, after = self._returned + text[max(after, 0) :], 0
                self._returned = ""
            elif after == at and self._state is state:
                break
            at = after
        self._held = text[at:]

    # -- Text ----------------------------------------------------------------------------------------

    def _in_literal(self, text: str, at: int, _final: bool) -> int:
        self._out.content(text[at:])
        return len(text)

    def _in_text(self, text: str, at: int, final: bool) -> int:
        out = self._out
        if out.blank:
            begun = self._message_start(text, at, final)
            if begun is not None:
                return begun
        # A line may begin where the text before it was no text: after a header or a thought.
        found = (_LINE_STOP.match(text, at) if out.line_start else None) or _STOP.search(text, at)
        if found is None:
            out.plain(text[at:])
            return len(text)
        begin = found.end() - 1 if found[0][-1] in BARE_LETTERS else found.start()
        if begin > at:
            out.plain(text[at:begin])
        char = text[begin]
        if char == "<":
            return self._angle(text, begin, final)
        if char == "`":
            return self._open_code(text, begin, begin, found.end(), final)
        if not out.line_start:
            out.plain(char)
            return begin + 1
        if char in BARE_LETTERS:
            return self._bare_line(text, begin, final)
        if not found[0].endswith("~~~"):
            if found.end() == len(text) and not final:
                return begin
            out.plain(found[0])
            return found.end()
        return self._open_code(text, begin, found.end() - found[0].count("~"), found.end(), final)

    def _resume(self) -> None:
        """Text goes on; after a call none is delivered."""
        self._state = ToolCallParser._after if self._out.calls else ToolCallParser._in_text

    def _message_start(self, text: str, at: int, final: bool) -> int | None:
        """Forms that only a message's very beginning has; ``None`` where there is none of them."""
        begin = _BLANK.match(text, at).end()  # type: ignore[union-attr]  # it also matches nothing
        if begin == len(text):
            return None
        char = text[begin]
        shaped: bool | None = False
        names = self._judge.names
        if self._out.wrapper or not self._tags or self._keyed_only:
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
            self._state = ToolCallParser._in_message
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
                    self._think(glued=True)
                else:
                    self._out.answer()
                return begin + len(thought)
        return None

    # -- A message that may be a call -----------------------------------------------------------------

    def _in_message(self, text: str, at: int, _final: bool) -> int:
        end = min(len(text), at + _MAX_HELD_MESSAGE + 1 - self._message_size)
        self._message.append(text[at:end])
        self._message_size += end - at
        if self._message_size > _MAX_HELD_MESSAGE:
            self._out.content(self._take_message())
            self._state = ToolCallParser._in_text
        return end

    def _take_message(self) -> str:
        message = "".join(self._message)
        self._message.clear()
        self._message_size = 0
        return message

    def _judge_message(self) -> None:
        message = self._take_message()
        verdict = self._judge.message(message)
        if verdict is None:
            self._out.content(message)
        else:
            deliver(verdict, self._out, self._judge)

    # -- Code -----------------------------------------------------------------------------------------

    def _open_code(self, text: str, begin: int, at: int, end: int, final: bool) -> int:
        code = self._code
        if code is None:
            code = CodeReader(self._judge, self._out, tags=self._tags, keyed_only=self._keyed_only)
            self._code = code
        after = code.open(text, begin, at, end, final)
        if not code.over:
            self._state = ToolCallParser._in_code
        return after

    def _in_code(self, text: str, at: int, final: bool) -> int:
        code = self._code
        assert code is not None
        after = code.read(text, at, final)
        if code.over:
            self._state = ToolCallParser._in_text
        return after

    def _judge_code(self, held: HeldCode) -> None:
        """The message ended with held fences: each of them is a call, or all are text."""
        found = [self._calls_in(fence) for fence in held.fences]
        if not all(found):
            self._out.content(held.raw)
            return
        for calls in found:
            if isinstance(calls, Verdict):
                deliver(calls, self._out, self._judge)
            elif calls and self._out.calls < self._judge.most_calls:
                self._out.adopt(calls)

    def _calls_in(self, fence: HeldFence) -> Verdict | list[ParserEvent] | None:
        """The calls in a fence that holds nothing else; another parser finds them if they are tags."""
        begin = SPACE.match(fence.content).end()  # type: ignore[union-attr]  # it also matches nothing
        if not fence.content.startswith("<", begin):
            return self._judge.message(fence.content)
        free = fence.word in CALL_WORDS or self._out.blank or self._judge.required
        inner = ToolCallParser(self._config, judge=self._judge, keyed_only=not free)
        events = [*inner.feed(fence.content), *inner.finish()]
        called = any(isinstance(event, CallStart) for event in events)
        other = any(
            isinstance(event, Content) or (isinstance(event, Problem) and event.index is None)
            for event in events
        )
        return events if called and not other else None

    # -- Markers --------------------------------------------------------------------------------------

    def _angle(self, text: str, at: int, final: bool) -> int:
        """What stands at a ``<``."""
        if self._tags and (found := TAG.match(text, at)):
            end, inside = tag_end(text, at, found.end())
            if end >= 0:
                return self._tag(text, at, end, read_tag(found[1].lower(), inside))
            if inside and not final:
                return at
            if inside and self._is_call_begun(text, at, found):
                self._cut_off()
                return len(text)
        elif self._leaks and (token := TOKEN.match(text, at)):
            return self._token(text, at, token.end(), final)
        elif not final:
            if self._tags and may_become(text, at, TAG_PREFIXES):
                return at
            if self._leaks and may_become(text, at, TOKEN_PREFIXES):
                return at
        elif self._truncated and self._tags and self._may_open() and begins_call_tag(text, at):
            self._cut_off()
            return len(text)
        self._out.plain("<")
        return at + 1

    def _may_open(self) -> bool:
        """Whether a tag without the key may open a call here."""
        return not self._keyed_only and self._out.line_start

    def _is_call_begun(self, text: str, at: int, word: re.Match[str]) -> bool:
        """Whether the text ends inside a call's tag: the key shows it, or a limit that cut it."""
        inside = text[word.end() :]
        header = read_tag(word[1].lower(), inside)
        if header.key is not None or not self._truncated:
            return bool(self._config.key) and header.key == self._config.key
        if "key" in inside:
            return f'<tool_call key="{self._config.key}'.startswith(text[at:])
        known = not header.name or self._judge.names.find(header.name) is not None
        return self._may_open() and header.kind != "function" and known

    def _cut_off(self) -> None:
        """The text ends where a call was begun and had no arguments: what there is of it is nothing."""
        self._out.take_wrapper()
        self._out.problem("E_TRUNC", "the block ends before its arguments")

    def _tag(self, text: str, at: int, end: int, header: TagHeader) -> int:
        raw = text[at:end]
        out = self._out
        keyed = header.key is not None and header.key == self._config.key and bool(self._config.key)
        may_start = keyed or (header.key is None and self._may_open())
        if not may_start or (header.closed and not (keyed and header.name)):
            out.plain(raw)
            return end
        if header.kind == "wrapper" and not header.name:
            out.unwrap()
            out.wrapper = raw
            self._state = ToolCallParser._in_wrapper
            return end
        name = self._judge.names.find(header.name) if header.name else None
        if header.name and name is None:
            if keyed:
                out.problem("E_UNKNOWN_TOOL", f"no tool is called {header.name[:80]}")
            out.plain(raw)
            return end
        if header.closed and name is not None:
            deliver(self._judge.without_arguments(name), out, self._judge)
            self._after_call()
            return end
        if not header.name and header.kind == "function":
            out.plain(raw)
            return end
        self._open_call(Opening(out.take_wrapper() + raw, name, keyed=keyed))
        return end

    def _in_wrapper(self, text: str, at: int, _final: bool) -> int:
        """After ``<tool_calls>``: calls follow, or a list of them, or it was only text."""
        out = self._out
        most = at + MAX_HEADER + 1 - len(out.wrapper)
        begin = SPACE.match(text, at, most).end()  # type: ignore[union-attr]  # it also matches nothing
        out.wrapper += text[at:begin]
        far = begin == most
        if far or begin < len(text):
            self._resume()
            if far or text[begin] not in "{[<":
                out.unwrap()
            elif text[begin] != "<":
                self._open_call(Opening(out.take_wrapper(), None, keyed=False))
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
            self._open_call(Opening(text[at : header.end], name, keyed=False, native=True))
        elif header.recipient:
            self._out.problem("E_UNKNOWN_TOOL", f"no tool is called {header.recipient[:80]}")
        elif header.channel == "analysis":
            self._think(glued=False)
        elif header.channel:
            self._out.answer()
        return header.end

    def _bare_line(self, text: str, at: int, final: bool) -> int:
        # A thought may draft a call; only one with its tokens was meant.
        called = self._leaks and self._judge.names and not self._out.thought
        header = read_bare_header(text, at, final) if called else False
        if header is None:
            return at
        if isinstance(header, LeakedHeader):
            name = self._judge.names.find(header.recipient or "")
            if name:
                self._open_call(Opening(text[at : header.end], name, keyed=False, native=True))
                return header.end
        self._out.plain(text[at])
        return at + 1

    # -- A thought ------------------------------------------------------------------------------------

    def _think(self, *, glued: bool) -> None:
        self._thought = ThoughtReader(self._out, glued=glued)
        self._state = ToolCallParser._in_thought

    def _in_thought(self, text: str, at: int, final: bool) -> int:
        assert self._thought is not None
        after = self._thought.read(text, at, final)
        if self._thought.over:
            self._resume()
        return after

    # -- A call, and what follows it ------------------------------------------------------------------

    def _open_call(self, opening: Opening) -> None:
        self._call = CallReader(opening, self._judge, self._out)
        self._state = ToolCallParser._in_call

    def _in_call(self, text: str, at: int, final: bool) -> int:
        call = self._call
        assert call is not None
        after = call.read(text, at, final, truncated=self._truncated)
        self._returned = call.returned
        if call.over:
            self._leave_call(call)
        return after

    def _leave_call(self, call: CallReader) -> None:
        self._call = None
        if call.called:
            self._after_call()
        else:
            self._out.content(call.literal)
            self._resume()

    def _after_call(self) -> None:
        self._state = ToolCallParser._after
        if self._out.cancelled:
            self._state = ToolCallParser._done
        elif not self._config.parallel:
            self._state = ToolCallParser._closing
        elif self._out.calls >= MAX_CALLS:
            self._stop("too many calls")

    def _closing(self, text: str, at: int, final: bool) -> int:
        """The call's own closer still belongs to it: what is stopped before was not written to its end."""
        begin = SPACE.match(text, at).end()  # type: ignore[union-attr]  # it also matches nothing
        if begin == len(text):
            return begin
        closer = CLOSER.match(text, begin)
        if closer is None and not final and may_close(text, begin):
            return begin
        self._stop("only one call was asked for")
        return begin if closer is None else closer.end()

    def _after(self, text: str, at: int, final: bool) -> int:
        """Nothing here is delivered; it only matters whether another call comes."""
        out = self._out
        found = (_LINE_STOP_AFTER.match(text, at) if out.line_start else None) or _STOP_AFTER.search(text, at)
        begin = found.end() - 1 if found else len(text)
        out.plain(text[at:begin])
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
            out.plain(text[begin])
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

    def _stop(self, reason: str) -> None:
        self._out.cancel(reason)
        self._state = ToolCallParser._done

    def _done(self, text: str, _at: int, _final: bool) -> int:
        return len(text)
