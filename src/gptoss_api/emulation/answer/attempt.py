"""One upstream turn as it is read: its parser, its stop strings, and what takes the escapes off."""

from collections.abc import Sequence
from io import StringIO

from ...core.events import Events, ReasoningDelta, TextDelta
from ...text.harmony import PlainText, Run
from ...text.stops import StopScanner
from ...text.tool_calls import ParserEvent, ToolCallParser
from ...text.tool_calls.parser import begins_without_call, goes_on_without_call
from . import output
from .calls import CallReading
from .held import HeldCall
from .native import NativeAnswer
from .spec import AnswerSpec


class Attempt:
    """What one upstream turn says, for an answer that may take several.

    ``reading``, if any, says how calls are read once the text shows a first sign of something else than text.
    Unless it ``scans``, its ``plain_text`` or, without one, ``passes_all`` takes runs of which all events
    come out as they are. Any other batch is :meth:`cleaned`; then :meth:`feed` takes what is text in it and
    :meth:`think` what is reasoning, and :meth:`scan` what turns out to be content. ``begun`` are the calls
    that are on their way to the client, by the parser's numbers; ``stop_sequence`` is the stop string that
    was hit, ``said`` that the answer has text. ``plain`` says that text passes unread.
    """

    def __init__(self, spec: AnswerSpec, reading: CallReading | None) -> None:
        self.begun: dict[int, HeldCall] = {}
        self.stop_sequence: str | None = None
        self.said = False
        self._spec = spec
        # Where nobody reads the text for calls, what leaks of Harmony is repaired; most answers have nothing.
        self.plain_text: PlainText | None = None
        self._native: NativeAnswer | None = None
        if not spec.reads_calls and not (spec.verbatim and spec.prompt is None):
            self.plain_text = PlainText()
        self._reading = reading
        self._parser: ToolCallParser | None = None
        # Whether what comes is text if it goes on plainly, and whether it may begin so: where a call is
        # demanded, the first word may be one.
        self._plainly = False
        self._may_begin = reading is not None and spec.turn.tool_choice.mode not in ("required", "named")
        self._restorer = None if spec.prompt is None else spec.prompt.restorer(json=spec.checks_format)
        self._scanner = StopScanner(spec.stop) if spec.stop else None
        self._text = StringIO()
        self._thoughts = StringIO()
        self.scans = self._restorer is not None or self._scanner is not None
        self.plain = reading is None and not self.scans

    @property
    def text(self) -> str:
        return self._text.getvalue()

    @property
    def thoughts(self) -> str:
        return self._thoughts.getvalue()

    @property
    def size(self) -> int:
        """How many characters were written, thoughts that may hold a call included."""
        return self._text.tell() + self._thoughts.tell()

    @property
    def undecided(self) -> int:
        """How many characters the parser will judge together with what follows."""
        return 0 if self._parser is None else self._parser.undecided

    @property
    def rewritten(self) -> bool:
        """Whether something else was read than the model wrote; asked at the end."""
        return self._native is not None and self._native.changed

    def cleaned(self, batch: Events) -> Events:
        """What ``batch`` says in the client's terms.

        Raises:
            UpstreamFailure: at the end of an answer that is nothing but a call nobody offered.
        """
        if self.plain_text is None:
            return batch
        if self._native is None:
            spec = self._spec
            self._native = NativeAnswer(spec.turn, offers_tools=spec.passes_calls, plain=self.plain_text)
        return self._native.feed(batch)

    def broken_off(self) -> Events:
        """What :meth:`cleaned` held back of an answer that broke off."""
        return () if self._native is None else self._native.flush()

    def think(self, text: str) -> None:
        """Raises: UpstreamFailure, where the reasoning has no end."""
        if self._reading is not None:
            self._thoughts.write(text)
            if self._thoughts.tell() > output.MAX_ANSWER:
                raise output.endless()

    def feed(self, text: str) -> Sequence[ParserEvent] | None:
        """What the parser finds in ``text``; ``None`` where all of it is content.

        Raises:
            UpstreamFailure: where the answer has no end.
        """
        self._write(text)
        if self._reading is None:
            return None
        parser = self._parser
        if parser is None:
            parser = self._parser = ToolCallParser(self._reading.config(), begun=self._plainly)
        events = parser.feed(text)
        self._plainly = parser.settled and not parser.thinks
        return events

    def passes(self, text: str) -> bool:
        """Takes ``text`` where all of it is content; else it has to be fed.

        Raises:
            UpstreamFailure: where the answer has no end.
        """
        if self._plainly:
            plain = goes_on_without_call(text)
        else:
            plain = begins_without_call(text) if self._may_begin and self._parser is None else None
        if plain is None:
            return False
        self._plainly = self.said = True
        self._write(text)
        return True

    def passes_all(self, runs: Sequence[Run]) -> bool:
        """Takes ``runs`` where all their events come out as they are; else those have to be fed."""
        if self._reading is None:
            return True
        said = thought = ""
        for kind, text in runs:
            if kind is TextDelta:
                said += text
            elif kind is ReasoningDelta:
                thought += text
        if said and not self.passes(said):
            return False
        if thought:
            self.think(thought)
        return True

    def _write(self, text: str) -> None:
        self._text.write(text)
        if self._text.tell() > output.MAX_ANSWER:
            raise output.endless()

    def scan(self, content: str) -> str:
        """What of ``content`` may pass: as the client spells it, and up to a stop string."""
        if self._restorer is not None:
            content = self._restorer.feed(content)
        if self._scanner is None:
            return content
        passed, _ = self._scanner.feed(content)
        self.stop_sequence = self._scanner.matched
        return passed

    def last_content(self) -> str:
        """What was held back of the content, once everything has been scanned or a call follows."""
        rest = "" if self._restorer is None else self._restorer.finish()
        if self._scanner is None:
            return rest
        passed = self._scanner.feed(rest)[0] + self._scanner.finish()[0]
        self.stop_sequence = self._scanner.matched
        return passed

    def finish(self, *, truncated: bool) -> Sequence[ParserEvent]:
        """What the parser still finds at the end; ``truncated`` where the upstream's limit cut the text."""
        return () if self._parser is None else self._parser.finish(truncated)
