"""What the tool-call parser is told, what it answers, and how its answers are collected."""

from collections.abc import Callable, Mapping
from typing import Any, Final, Literal

from msgspec import Struct
from msgspec.structs import replace

from ..json_scalars import UNSEEN
from .grammar import MAX_HEADER

MAX_CALLS: Final = 128
_MAX_GAP: Final = 400
_SPACE: Final = " \t\r\n" + UNSEEN

ProblemCode = Literal["E_UNKNOWN_TOOL", "E_BAD_JSON", "E_SCHEMA", "E_TRUNC", "E_HALLU"]


class Content(Struct, frozen=True, gc=False):
    """A piece of the answer's text; never empty."""

    text: str


class Reasoning(Struct, frozen=True, gc=False):
    """A piece of a chain of thought that leaked into the answer."""

    text: str


class CallStart(Struct, frozen=True, gc=False):
    """Call number ``index`` of the tool the prompt shows as ``name`` begins."""

    index: int
    name: str


class CallArgs(Struct, frozen=True, gc=False):
    """A further piece of the arguments' JSON text."""

    index: int
    json_text: str


class CallEnd(Struct, frozen=True, gc=False):
    """``complete`` is false where the arguments are cut or cannot be read as JSON."""

    index: int
    complete: bool = True


class Cancel(Struct, frozen=True, gc=False):
    """Nothing further will be delivered; the upstream can be stopped."""

    reason: str


class Problem(Struct, frozen=True, gc=False):
    """What a repair turn could mend (docs/design/emulation.md, "Repairs").

    ``index`` is the call concerned; its events follow unless it was started before. ``None``: the
    block became text or was cut off.
    """

    code: ProblemCode
    detail: str
    index: int | None = None


ParserEvent = Content | Reasoning | CallStart | CallArgs | CallEnd | Cancel | Problem


class DeclaredTool(Struct, frozen=True):
    """A tool under the name the prompt shows. ``strict`` tools are validated before delivery."""

    schema: Mapping[str, Any] | None = None
    strict: bool = False
    kind: Literal["function", "custom"] = "function"


def _as_is(_name: str, value: Any) -> Any:
    return value


class ParserConfig(Struct, frozen=True):
    """How one answer is to be read.

    ``key`` is the conversation's nonce, ``tools`` the tools by shown name, ``clients`` the shown names by
    the client's own, where they differ. ``mode`` and ``names`` are the tool choice. ``client_text`` is
    everything the client sent (or a function that joins it; asked at most once): an unkeyed block that
    occurs there is an echo. ``mend`` gets a shown name and decoded arguments and gives valid arguments, or
    raises ``ValueError`` saying what is wrong. ``clean_leaks`` is off where the client itself talks about
    control tokens. ``live`` streams arguments as they come, else a call leaves when it is complete.
    ``harmony_only`` reads no form of call but leaked Harmony, for upstreams that have calls of their own.
    ``thought`` is for text that is a chain of thought until a leaked header says otherwise.
    """

    key: str = ""
    tools: Mapping[str, DeclaredTool] = {}
    clients: Mapping[str, str] = {}
    mode: Literal["none", "auto", "required", "named"] = "auto"
    names: tuple[str, ...] = ()
    parallel: bool = True
    client_text: str | Callable[[], str] = ""
    mend: Callable[[str, Any], Any] = _as_is
    clean_leaks: bool = True
    live: bool = True
    harmony_only: bool = False
    thought: bool = False


class Delivery:
    """Collects the events of one piece.

    Blank lines before a call are not content, so trailing space waits for what follows it, and so does
    a ``wrapper`` ("<tool_calls>" and the like): a call takes it along, :meth:`plain` text makes it text.
    Once a call has begun no text is delivered any more; it is only counted (``gap``). ``line_start`` and
    ``blank`` tell where the next character stands: at a line's beginning, in a message without text.
    ``thought`` says that the text is a chain of thought. Where ``at_once``, no space waits. ``begun`` says
    that text has come before.
    """

    __slots__ = (
        "_at_once", "_events", "_run", "_space", "_text",
        "blank", "calls", "cancelled", "gap", "line_start", "thought", "wrapper",
    )  # fmt: skip

    def __init__(self, *, thought: bool = False, at_once: bool = False, begun: bool = False) -> None:
        self.thought = thought
        self._at_once = at_once
        self.calls = 0
        self.gap = 0
        self.line_start = self.blank = not begun
        self.cancelled = False
        self.wrapper = ""
        self._events: list[ParserEvent] = []
        self._text: list[str] = []
        self._space = ""
        self._run = 0  # How much space has come since the last text.

    @property
    def waiting(self) -> bool:
        """Whether space or a wrapper is held back."""
        return bool(self._space or self.wrapper)

    def plain(self, text: str) -> None:
        """Text for sure, and so is the wrapper before it."""
        if text:
            if self.wrapper:
                self.unwrap()
            self.content(text)

    def unwrap(self) -> None:
        """The wrapper was text."""
        if self.wrapper:
            wrapper, self.wrapper = self.wrapper, ""
            self.content(wrapper)

    def take_wrapper(self) -> str:
        """The wrapper goes along with a call that begins."""
        wrapper, self.wrapper = self.wrapper, ""
        return wrapper

    def content(self, text: str) -> None:
        """Text that leaves a wrapper before it where it is."""
        if not text:
            return
        solid = text.rstrip(_SPACE)
        newline = text.rfind("\n")
        if newline >= 0:
            self.line_start = len(solid) <= newline
        elif solid:
            self.line_start = False
        if self.calls:
            if self.gap or solid:
                self.gap += len(text if self.gap else text.lstrip(_SPACE))
            return
        if self._at_once:
            self.blank &= not solid
            self._text.append(text)
            return
        if solid:
            self.blank = False
            self._run = 0
            if self._space:
                self._text.append(self._space)
                self._space = ""
            self._text.append(solid)
        self._space += text[len(solid) :]
        self._run += len(text) - len(solid)
        if self._run > MAX_HEADER:
            # Not the few blank lines before a call: it counts as text, though it opens none.
            self._text.append(self._space[:-1])
            self._space = self._space[-1:]

    def reasoning(self, text: str) -> None:
        if text and not self.calls:
            self._flush()
            self._events.append(Reasoning(text))

    def answer(self) -> None:
        """What follows is the answer, whatever the text was so far."""
        if self.thought:
            self._let_go()
            self._flush()
            self.thought = False
            self.blank = True

    def start(self, name: str) -> int:
        self._space = ""
        self._flush()
        self._events.append(CallStart(self.calls, name))
        self.calls += 1
        return self.calls - 1

    def adopt(self, events: list[ParserEvent]) -> None:
        """Calls as another parser found them."""
        self._space = ""
        self._flush()
        self._events += [
            replace(event, index=self.calls + event.index)
            if isinstance(event, CallStart | CallArgs | CallEnd | Problem) and event.index is not None
            else event
            for event in events
        ]
        self.calls += sum(isinstance(event, CallStart) for event in events)
        self.cancelled |= any(isinstance(event, Cancel) for event in events)

    def arguments(self, index: int, json_text: str) -> None:
        self._events.append(CallArgs(index, json_text))

    def end(self, index: int, *, complete: bool = True) -> None:
        self._events.append(CallEnd(index, complete))
        self.gap = 0
        self.line_start = True

    def problem(self, code: ProblemCode, detail: str, index: int | None = None) -> None:
        self._flush()
        self._events.append(Problem(code, detail, index))

    def cancel(self, reason: str) -> None:
        self.cancelled = True
        self._flush()
        self._events.append(Cancel(reason))

    def too_far(self) -> bool:
        """Whether so much text follows the last call that no further call will."""
        return self.gap > _MAX_GAP

    def take(self, *, last: bool = False) -> list[ParserEvent]:
        """The events since the last time; the ``last`` time with the space held back."""
        if last:
            self._let_go()
        if self._text:
            self._flush()
        events, self._events = self._events, []
        return events

    def _let_go(self) -> None:
        if self._space and not self.calls:
            self._text.append(self._space)
            self._space = ""

    def _flush(self) -> None:
        if self._text:
            text = "".join(self._text)
            self._events.append(Reasoning(text) if self.thought else Content(text))
            self._text.clear()
