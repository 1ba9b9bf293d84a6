"""Answers as ``text_completion`` objects, whole or streamed: both have one shape."""

from typing import Any, Final

import msgspec
from msgspec import Struct

from ...core.errors import GatewayError
from ...core.events import (
    ChoiceStarted,
    Event,
    Events,
    Finished,
    FinishReason,
    RefusalDelta,
    Started,
    TextDelta,
    UsageReported,
)
from ...core.result import Choice, Collector
from ..openai_answers import extension, opening, render_whole, usage_object
from ..openai_errors import error_object

_encode: Final = msgspec.json.Encoder().encode


class TextShape(Struct, frozen=True):
    """How one client wants its texts: ``echoed`` prompts (none: no echo), ``n`` texts for each prompt."""

    echoed: tuple[str, ...] = ()
    n: int = 1
    include_usage: bool = False

    def echo(self, index: int) -> str:
        """What stands before the text of choice ``index``."""
        return self.echoed[index // self.n] if self.echoed else ""


class TextRenderer:
    """Renders one stream; see :class:`gptoss_api.dialects.base.StreamRenderer`."""

    def __init__(self, shape: TextShape) -> None:
        self._shape = shape
        self._started: Started | None = None
        self._index = 0
        self._repairs = 0
        self._notes: tuple[str, ...] = ()
        # A chunk is before + text + after; both change with the choice.
        self._head = self._foot = self._before = self._after = b""

    def feed(self, events: Events) -> bytes:
        out: list[bytes] = []
        for event in events:
            if type(event) is TextDelta or type(event) is RefusalDelta:
                if event.text:
                    out += (self._before, _encode(event.text), self._after)
            else:
                out.append(self._seldom(event))
        return b"".join(out)

    def end(self) -> bytes:
        return b"data: [DONE]\n\n"

    def fail(self, error: GatewayError) -> bytes:
        """One error event, on which SDKs raise; neither a finish reason nor ``[DONE]`` follows."""
        return b"data: %b\n\n" % _encode({"error": error_object(error)})

    def _seldom(self, event: Event) -> bytes:
        match event:
            case Started():
                self._started = event
                self._head = b'data: %b,"choices":' % _encode(opening("cmpl", "text_completion", event))[:-1]
                self._foot = b',"usage":null}\n\n' if self._shape.include_usage else b"}\n\n"
                return self._choose(0)
            case ChoiceStarted(index):
                return self._choose(index)
            case Finished():
                return self._finish(event)
            case UsageReported(usage) if self._shape.include_usage:
                return b'%b[],"usage":%b}\n\n' % (self._head, _encode(usage_object(usage)))
            case _:
                return b""

    def _choose(self, index: int) -> bytes:
        self._index = index
        self._before = self._head + b'[{"text":'
        self._after = b',"index":%d,"logprobs":null,"finish_reason":null}]%b' % (index, self._foot)
        echo = self._shape.echo(index)
        return self._before + _encode(echo) + self._after if echo else b""

    def _finish(self, finished: Finished) -> bytes:
        self._repairs += finished.repairs
        self._notes += finished.notes
        said = extension(self._started, self._repairs, self._notes) if self._started else {}
        return b'%b"","index":%d,"logprobs":null,"finish_reason":"%b"}]%b%b' % (
            self._before,
            self._index,
            finished.reason.encode(),
            b',"x_gptoss":' + _encode(said) if said else b"",
            self._foot,
        )


def render_texts(result: Collector, shape: TextShape) -> bytes:
    """The body of a non-streaming answer; see :func:`~gptoss_api.dialects.openai_answers.render_whole`."""

    def text(index: int, choice: Choice, reason: FinishReason) -> dict[str, Any]:
        return {
            "text": shape.echo(index) + choice.text + choice.refusal,
            "index": index,
            "logprobs": None,
            "finish_reason": reason,
        }

    return render_whole(result, "cmpl", "text_completion", text)
