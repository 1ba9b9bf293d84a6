"""The answer to a search of the web, which nobody behind this gateway can do.

Claude Code asks for one in a request of its own and hands the answer to its model. It is told the truth
without asking a model, which would make results up.
"""

from typing import Final

from msgspec import Struct

from ...core.catalog import DEFAULT_MODEL
from ...core.events import Event, Events, Finished, Started, TextDelta, Usage, UsageReported
from ...core.result import Collector
from ...core.turn import Turn
from .message import render_message
from .signatures import Signer
from .stream import MessageStream

_TEXT: Final = (
    "Web search is not available: this gateway has no search engine behind it. Nothing was searched and "
    "there are no results. Answer from what you know and say that it was not looked up, or use another tool."
)
_ANSWER: Final[tuple[Event, ...]] = (
    Started("gateway", DEFAULT_MODEL),
    TextDelta(_TEXT),
    Finished("stop"),
    UsageReported(Usage(0, 0)),
)


class NoWebSearch(Struct):
    """A request that is answered without a turn; see :class:`gptoss_api.dialects.base.DialectRequest`."""

    stream: bool
    model: str
    signer: Signer
    turns: tuple[Turn, ...] = ()

    def renderer(self) -> MessageStream:
        return _Prepared(self.model, self.signer)

    def render(self, result: Collector) -> bytes:
        result.feed(_ANSWER)
        return render_message(result, self.model, self.signer)


class _Prepared(MessageStream):
    """A stream that says what is known beforehand."""

    def feed(self, events: Events) -> bytes:
        return b""

    def end(self) -> bytes:
        return super().feed(_ANSWER) + super().end()
