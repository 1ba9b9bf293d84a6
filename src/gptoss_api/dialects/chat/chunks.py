"""A streamed answer as ``chat.completion.chunk`` events.

The hot path of the gateway: what stays the same in a stream is serialised once for each choice, and
only the piece of text that is new is encoded for each event.
"""

from functools import cache
from typing import Any, Final

import msgspec

from ...core.errors import GatewayError
from ...core.events import (
    ChoiceStarted,
    Event,
    Events,
    Finished,
    LogprobsDelta,
    ReasoningDelta,
    RefusalDelta,
    Started,
    TextDelta,
    ToolCallDelta,
    ToolCallStarted,
    Usage,
    UsageReported,
)
from ..openai_answers import extension, opening, usage_object
from ..openai_errors import error_object
from .completion import AnswerShape

_encode: Final = msgspec.json.Encoder().encode
_DONE: Final = b"data: [DONE]\n\n"


@cache
def _members(names: tuple[str, ...]) -> tuple[bytes, ...]:
    """What comes before the value of each member of an object that has these, which are settings."""
    return tuple([(b"," if place else b"{") + _encode(name) + b":" for place, name in enumerate(names)])


class ChunkRenderer:
    """Renders one turn; see :class:`gptoss_api.dialects.base.StreamRenderer`.

    Each event becomes a chunk of its own, also where several arrive together: clients take the time
    and count of chunks for those of tokens.
    """

    def __init__(self, shape: AnswerShape) -> None:
        self._shape = shape
        self._started: Started | None = None
        self._repairs = 0
        self._notes: tuple[str, ...] = ()
        self._said = b""
        # A chunk is head + choices + foot; a choice's chunk is start + delta + end. A delta's text goes
        # between one of the openings and the end.
        self._head = self._foot = b""
        self._start = self._end = b""
        self._content = self._refusal = b""
        self._reasoning: tuple[bytes, ...] = ()
        # By index of the call: what comes before and after a piece of its arguments.
        self._calls: dict[int, tuple[bytes, bytes]] = {}

    def feed(self, events: Events) -> bytes:
        out: list[bytes] = []
        for event in events:
            # Compared by identity, the commonest first: this runs for every token.
            if type(event) is TextDelta:
                if event.text:
                    out += (self._content, _encode(event.text), self._end)
            elif type(event) is ReasoningDelta:
                if event.text and self._shape.reasoning_fields:
                    text = _encode(event.text)
                    for field in self._reasoning or self._begin_thoughts():
                        out += (field, text)
                    out.append(self._end)
            elif type(event) is ToolCallDelta:
                if event.arguments and event.index in self._calls:
                    before, after = self._calls[event.index]
                    out += (before, _encode(event.arguments), after)
            else:
                out.append(self._seldom(event))
        return b"".join(out)

    def end(self) -> bytes:
        return _DONE

    def fail(self, error: GatewayError) -> bytes:
        """One error event, on which SDKs raise; neither a finish reason nor ``[DONE]`` follows."""
        return b"data: %b\n\n" % _encode({"error": error_object(error)})

    def _seldom(self, event: Event) -> bytes:
        """The bytes for events that come a few times in a stream."""
        match event:
            case Started():
                return self._begin(event)
            case Finished():
                return self._finish(event)
            case UsageReported(usage):
                return self._report(usage) if self._shape.include_usage else b""
            case ChoiceStarted(index):
                return self._choose(index)
            case LogprobsDelta(entries):
                told = _encode({"content": entries, "refusal": None})
                return b'%b{},"logprobs":%b,"finish_reason":null}]%b' % (self._start, told, self._foot)
            case RefusalDelta(text) if text:
                return self._refusal + _encode(text) + self._end
            case ToolCallStarted():
                return self._start_call(event)
            case _:
                return b""

    def _begin(self, started: Started) -> bytes:
        self._started = started
        # Without its closing brace the opening can be continued.
        self._head = (
            b'data: %b,"choices":' % _encode(opening("chatcmpl", "chat.completion.chunk", started))[:-1]
        )
        self._foot = b',"usage":null}\n\n' if self._shape.include_usage else b"}\n\n"
        return self._choose(0)

    def _choose(self, index: int) -> bytes:
        """Opens choice ``index``: its templates, and the chunk that names the role."""
        self._start = start = b'%b[{"index":%d,"delta":' % (self._head, index)
        self._end = b'},"logprobs":null,"finish_reason":null}]' + self._foot
        self._content = start + b'{"content":'
        self._refusal = start + b'{"refusal":'
        self._reasoning = ()
        self._calls = {}
        return b'%b{"role":"assistant","content":""%b' % (start, self._end)

    def _begin_thoughts(self) -> tuple[bytes, ...]:
        first, *others = _members(self._shape.reasoning_fields)
        self._reasoning = (self._start + first, *others)
        return self._reasoning

    def _delta(self, delta: dict[str, Any]) -> bytes:
        return self._start + _encode(delta)[:-1] + self._end

    def _start_call(self, call: ToolCallStarted) -> bytes:
        if self._shape.legacy_functions:
            if call.index:
                return b""  # The legacy form has room for one call; more were not asked for.
            self._calls[0] = self._start + b'{"function_call":{"arguments":', b"}" + self._end
            return self._delta({"function_call": {"name": call.name, "arguments": ""}})
        kind, text = ("custom", "input") if call.kind == "custom" else ("function", "arguments")
        self._calls[call.index] = (
            b'%b{"tool_calls":[{"index":%d,"%b":{"%b":'
            % (self._start, call.index, kind.encode(), text.encode()),
            b"}}]" + self._end,
        )
        return self._delta(
            {
                "tool_calls": [
                    {"index": call.index, "id": call.id, "type": kind, kind: {"name": call.name, text: ""}}
                ]
            }
        )

    def _finish(self, finished: Finished) -> bytes:
        # Sums over the choices so far, so that the last chunk tells of the whole answer.
        self._repairs += finished.repairs
        self._notes += finished.notes
        said = extension(self._started, self._repairs, self._notes) if self._started else {}
        self._said = b',"x_gptoss":' + _encode(said) if said else b""
        return b'%b{},"logprobs":null,"finish_reason":"%b"}]%b%b' % (
            self._start,
            self._shape.finish_reason(finished.reason).encode(),
            self._said,
            self._foot,
        )

    def _report(self, usage: Usage) -> bytes:
        # With usage this is the last chunk.
        return b'%b[]%b,"usage":%b}\n\n' % (self._head, self._said, _encode(usage_object(usage)))
