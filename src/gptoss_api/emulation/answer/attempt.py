"""The machines that read one upstream turn: parser, stop strings, and what takes the escapes off."""

from collections.abc import Sequence
from io import StringIO

from ...text.stops import StopScanner
from ...text.tool_calls import ParserConfig, ParserEvent, ToolCallParser
from ..plan import Plan
from . import bounds
from .calls import HeldCall


class Attempt:
    """One turn's reading state.

    ``begun`` are the calls that are on their way to the client, by the parser's numbers; ``stopped`` says
    that a stop string was hit, ``said`` that the answer has text. ``plain`` that text passes unread.
    """

    def __init__(self, plan: Plan, config: ParserConfig | None) -> None:
        self.begun: dict[int, HeldCall] = {}
        self.stopped = False
        self.said = False
        self._parser = None if config is None else ToolCallParser(config)
        self._restorer = plan.prompt.restorer(json=plan.format) if plan.prompt is not None else None
        self._scanner = StopScanner(plan.stop) if plan.stop else None
        self._text = StringIO()
        self._thoughts = StringIO()
        self.plain = self._parser is None and self._restorer is None and self._scanner is None

    @property
    def text(self) -> str:
        return self._text.getvalue()

    @property
    def size(self) -> int:
        """How many characters were written, thoughts that may hold a call included."""
        return self._text.tell() + self._thoughts.tell()

    @property
    def undecided(self) -> int:
        """How many characters the parser will judge together with what follows."""
        return 0 if self._parser is None else self._parser.undecided

    @property
    def thoughts(self) -> str:
        return self._thoughts.getvalue()

    @property
    def stop_sequence(self) -> str | None:
        return None if self._scanner is None else self._scanner.matched

    def think(self, text: str) -> None:
        """Raises: UpstreamFailure, where the reasoning has no end."""
        if self._parser is not None:
            self._thoughts.write(text)
            if self._thoughts.tell() > bounds.MAX_ANSWER:
                raise bounds.endless()

    def feed(self, text: str) -> Sequence[ParserEvent] | None:
        """What the parser finds in ``text``; ``None`` where all of it is content.

        Raises:
            UpstreamFailure: where the answer has no end.
        """
        self._text.write(text)
        if self._text.tell() > bounds.MAX_ANSWER:
            raise bounds.endless()
        return None if self._parser is None else self._parser.feed(text)

    def scan(self, content: str) -> tuple[str, bool]:
        """What of ``content`` may pass, and whether a stop string ends it."""
        if self._restorer is not None:
            content = self._restorer.feed(content)
        if self._scanner is None:
            return content, False
        return self._scanned(*self._scanner.feed(content))

    def finish(self, *, truncated: bool) -> Sequence[ParserEvent]:
        """What the parser still finds at the end; ``truncated`` where the upstream's limit cut the text."""
        return () if self._parser is None else self._parser.finish(truncated)

    def last_content(self) -> str:
        """What was held back of the content, once everything has been scanned or a call follows."""
        rest = "" if self._restorer is None else self._restorer.finish()
        if self._scanner is None or self.stopped:
            return "" if self.stopped else rest
        passed, hit = self._scanned(*self._scanner.feed(rest))
        if not hit:
            passed += self._scanned(*self._scanner.finish())[0]
        return passed

    def _scanned(self, passed: str, hit: bool) -> tuple[str, bool]:
        self.stopped |= hit
        return passed, hit
