"""The answer to a search of the web, which nobody behind this gateway can do.

Claude Code asks for one in a request of its own and hands the answer to its model. It is told the truth
without asking a model, which would make results up.
"""

from typing import Final

from ...core.events import Event, Finished, Started, TextDelta, Usage, UsageReported
from ...core.result import Collector
from ...core.turn import Turn
from ..base import PreparedAnswer
from .message import render_message
from .signatures import Signer
from .stream import MessageStream

_TEXT: Final = (
    "Web search is not available: this gateway has no search engine behind it. Nothing was searched and "
    "there are no results. Answer from what you know and say that it was not looked up, or use another tool."
)


class NoWebSearch(PreparedAnswer):
    """A request that is answered without a turn; see :class:`gptoss_api.dialects.base.DialectRequest`."""

    stream: bool
    model: str
    signer: Signer
    turns: tuple[Turn, ...] = ()

    def renderer(self) -> MessageStream:
        return MessageStream(self.model, self.signer)

    def render(self, result: Collector) -> bytes:
        return render_message(result, self.model, self.signer)


def no_web_search(turn: Turn, stream: bool, model: str, signer: Signer) -> NoWebSearch:
    """The answer to ``turn``, which asks for a search and is not to be asked of a model."""
    events: tuple[Event, ...] = (
        Started("gateway", turn.model, ignored=turn.ignored, prompt_tokens=0),
        TextDelta(_TEXT),
        Finished("stop"),
        UsageReported(Usage(0, 0)),
    )
    return NoWebSearch(stream, model, signer, events=events)
