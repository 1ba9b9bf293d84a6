"""The machines that read one upstream turn: parser, stop strings, and what takes the escapes off."""

from collections.abc import Sequence

from ..text.stops import StopScanner
from ..text.tool_calls import ParserConfig, ParserEvent, ToolCallParser
from .plan import Plan


class Attempt:
    """One turn's reading state.

    ``begun`` are the parser's numbers of the calls that are on their way to the client; ``stopped`` says
    that a stop string was hit. ``plain`` that text passes unread.
    """

    def __init__(self, plan: Plan, config: ParserConfig | None) -> None:
        self.begun: set[int] = set()
        self.stopped = False
        self.said = False
        self._parser = None if config is None else ToolCallParser(config)
        self._restorer = plan.prompt.restorer() if plan.prompt is not None else None
        self._scanner = StopScanner(plan.stop) if plan.stop else None
        self._text: list[str] = []
        self._thoughts: list[str] = []
        self.plain = self._parser is None and self._restorer is None and self._scanner is None

    @property
    def text(self) -> str:
        return "".join(self._text)

    @property
    def thoughts(self) -> str:
        return "".join(self._thoughts)

    def think(self, text: str) -> None:
        if self._parser is not None:
            self._thoughts.append(text)

    def feed(self, text: str) -> Sequence[ParserEvent] | None:
        """What the parser finds in ``text``; ``None`` where all of it is content."""
        self._text.append(text)
        if not self.said and not text.isspace():
            self.said = bool(text)
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
        """What was held back of the content, once everything has been scanned."""
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
