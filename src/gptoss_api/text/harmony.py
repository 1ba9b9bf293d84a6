"""Repairs what leaks of Harmony into an answer that should have been free of it.

Servers of gpt-oss decode the model's own format and sometimes lose their place: control tokens and headers
arrive in the content or in the chain of thought, and stick to the names of tools (docs/design/servers.md,
"Known faults"; docs/design/emulation.md, "Foreign forms", H1 to H3). The reading itself is that of
:mod:`.tool_calls`; this module applies it to a stream of events. Text is changed only where a token or a
header with a declared recipient stands outside code, and never if the client's own text has such tokens.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from ..core.errors import UndeclaredToolCalled
from ..core.events import (
    Event,
    Events,
    Finished,
    ReasoningDelta,
    TextDelta,
    ToolCallDelta,
    ToolCallFinished,
    ToolCallStarted,
    new_call_id,
)
from .tool_calls import (
    CallArgs,
    CallEnd,
    CallStart,
    Content,
    DeclaredTool,
    ParserConfig,
    ParserEvent,
    Problem,
    Reasoning,
    ToolCallParser,
)
from .tool_calls.grammar import TOKEN
from .tool_calls.judge import NO_TOOLS, ToolNames
from .tool_calls.parser import begins_plainly, goes_on_plainly

_LONGEST_NAME: Final = 80

# Events of one kind with their text: text or thoughts, or with its reason a ``Finished``.
Run = tuple[type[Event], str]


def mentions_tokens(texts: Iterable[str]) -> bool:
    """Whether any of ``texts`` has a control token of Harmony, written out."""
    return any("<|" in text and TOKEN.search(text) for text in texts)


def _readings(
    tools: Mapping[str, DeclaredTool], clients: Mapping[str, str], *, parallel: bool
) -> tuple[ParserConfig, ParserConfig]:
    """How content is read, and how thoughts are."""
    content = ParserConfig(tools=tools, clients=clients, parallel=parallel, harmony_only=True)
    return content, replace(content, thought=True)


# Without tools no call is one, whatever else is asked for.
_TOOLLESS: Final = _readings({}, {}, parallel=True)


class PlainText(Struct):
    """Whether what comes of one choice is nothing but text and thoughts, at a glance.

    What is of ``kind`` passes if it goes on plainly; what is of another, if it begins plainly and nothing is
    held back (``begins``). ``ends`` says that nothing has come that ``Finished`` would have to tell of,
    ``answered`` that there is text that is no thought.
    """

    kind: type[Event] | None = None
    begins: bool = True
    ends: bool = True
    answered: bool = False

    def passes(self, runs: Sequence[Run]) -> bool:
        """Takes ``runs`` if all their events come out as they are; else those have to be fed."""
        kind_so_far, answered = self.kind, self.answered
        for kind, text in runs:
            if kind is Finished:
                if not self.begins or not self.ends or text == "tool_calls":
                    return False
                kind_so_far = None
                continue
            answered |= kind is TextDelta
            if kind is kind_so_far:
                if not goes_on_plainly(text):
                    return False
            elif self.begins and begins_plainly(text):
                kind_so_far = kind
            else:
                return False
        self.kind, self.answered = kind_so_far, answered
        return True


class HarmonyRepair:
    """Repairs one choice: feed every batch of events; what is held back comes out before ``Finished``.

    ``plain``, if any, took what came before the first that is fed, and may take batches in between.

    ``tools`` are those the answer may call, ``clients`` the client's own names of those that are shown under
    others. ``clean`` is off where the client's text mentions control tokens:
    then only the names of tools are mended. Without ``parallel`` the first call is the only one. A call that
    nobody offered is dropped with a note; if it is the whole answer, the turn has failed.
    """

    def __init__(
        self,
        tools: Mapping[str, DeclaredTool],
        *,
        clients: Mapping[str, str] = {},
        clean: bool = True,
        parallel: bool = True,
        plain: PlainText | None = None,
    ) -> None:
        self._plain = plain or PlainText()
        self._names = ToolNames(tools, clients) if tools else NO_TOOLS
        self._clean = clean
        self._parallel = parallel
        self._content, self._thought = _readings(tools, clients, parallel=parallel) if tools else _TOOLLESS
        self._parser: ToolCallParser | None = None
        self._speaking: type[Event] | None = None
        self._stopped = False
        self._calls = 0
        self._leaked: dict[int, int] = {}
        self._native: dict[int, int] = {}
        self._undeclared = ""
        self._notes: list[str] = []
        self._withheld = 0  # Characters that were read and did not come out.

    def feed(self, events: Events) -> list[Event]:
        """What ``events`` are, repaired.

        Raises:
            UndeclaredToolCalled: at the end of an answer that is nothing but a call nobody offered.
        """
        out: list[Event] = []
        plain = self._plain
        for event in events:
            kind = type(event)
            if kind is plain.kind and goes_on_plainly(event.text):  # type: ignore[union-attr]  # one of the two below
                out.append(event)
                continue
            if kind is TextDelta or kind is ReasoningDelta:
                if self._clean:
                    self._hear(event, kind, out)  # type: ignore[arg-type]  # narrowed by identity, the hot path
                else:
                    plain.answered |= kind is TextDelta
                    out.append(event)
                continue
            match event:
                case ToolCallStarted():
                    self._start(event, out)
                case ToolCallDelta(index, arguments):
                    if index in self._native:
                        out.append(ToolCallDelta(self._native[index], arguments))
                case ToolCallFinished(index):
                    if index in self._native:
                        out.append(replace(event, index=self._native[index]))
                case Finished():
                    out += self._finish(event)
                case _:
                    out.append(event)
        return out

    @property
    def changed(self) -> bool:
        """Whether anything of the text was taken out, or may be."""
        return self._withheld != 0 or self._stopped

    def flush(self) -> list[Event]:
        """What is held back, for an answer that breaks off."""
        out: list[Event] = []
        self._pause(out, truncated=True)
        return out

    def _hear(self, event: TextDelta | ReasoningDelta, kind: type[Event], out: list[Event]) -> None:
        parser, plain = self._parser, self._plain
        if plain.kind is not kind if parser is None else self._speaking is not kind:
            self._pause(out)
            if not self._stopped and begins_plainly(event.text):
                # Most texts are nothing but text to their end, and need no parser.
                plain.answered |= kind is TextDelta
                plain.kind = kind
                out.append(event)
                return
            parser = None
        if parser is None:
            config = self._content if kind is TextDelta else self._thought
            parser = self._parser = ToolCallParser(config, begun=plain.kind is kind)
            self._speaking = kind
            plain.begins = False
        plain.kind = None
        if self._stopped:
            return
        self._withheld += len(event.text)
        self._read(parser.feed(event.text), out)
        if parser.settled and parser.thinks is (kind is ReasoningDelta) and not self._stopped:
            # Where nothing but space was said, what follows may be what answers.
            plain.kind = kind if parser.thinks or plain.answered else None

    def _pause(self, out: list[Event], *, truncated: bool = False) -> None:
        """Something else begins: what was held back is what it seems to be."""
        self._plain.kind = None
        if (parser := self._parser) is not None:
            if not self._stopped and (held := parser.finish(truncated)):
                self._read(held, out)
            self._parser = None
        self._plain.begins = not self._stopped

    def _read(self, parsed: list[ParserEvent], out: list[Event]) -> None:
        for event in parsed:
            match event:
                case Content(text):
                    self._plain.answered |= bool(text.strip())
                    self._withheld -= len(text)
                    out.append(TextDelta(text))
                case Reasoning(text):
                    self._withheld -= len(text)
                    out.append(ReasoningDelta(text))
                case CallStart(index, name):
                    self._plain.ends = False
                    number = self._next_call()
                    if number is not None:
                        self._leaked[index] = number
                        out.append(ToolCallStarted(number, new_call_id(), name))
                case CallArgs(index, text):
                    if index in self._leaked:
                        out.append(ToolCallDelta(self._leaked[index], text))
                case CallEnd(index):
                    if (done := self._leaked.pop(index, None)) is not None:
                        out.append(ToolCallFinished(done))
                case Problem(_, detail):
                    self._plain.ends = False
                    self._notes.append(f"leaked Harmony: {detail}")
                case _:
                    # What follows is the model's own continuation of a conversation that nobody had.
                    self._stopped = True

    def _start(self, call: ToolCallStarted, out: list[Event]) -> None:
        self._pause(out)
        self._plain.ends = False
        name = self._names.find(call.name)
        if name is None:
            self._undeclared = call.name[:_LONGEST_NAME]
            self._notes.append(f"dropped a call to {self._undeclared!r}, which was not offered")
            return
        number = self._next_call()
        if number is not None:
            self._native[call.index] = number
            out.append(replace(call, index=number, name=name))

    def _next_call(self) -> int | None:
        if self._calls and not self._parallel:
            self._notes.append("dropped a further call: only one was asked for")
            return None
        self._calls += 1
        return self._calls - 1

    def _finish(self, finished: Finished) -> list[Event]:
        out: list[Event] = []
        self._pause(out, truncated=finished.reason == "length")
        if self._undeclared and not self._calls and not self._plain.answered:
            raise UndeclaredToolCalled(
                f"The model called {self._undeclared!r}, which is not among the request's tools, and "
                "answered nothing else. Ask again."
            )
        reason = "tool_calls" if self._calls and finished.reason == "stop" else finished.reason
        if not self._calls and reason == "tool_calls":
            reason = "stop"
        out.append(replace(finished, reason=reason, notes=(*finished.notes, *self._notes)))
        return out
