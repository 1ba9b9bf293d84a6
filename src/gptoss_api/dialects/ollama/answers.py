"""Answers as lines of JSON, one for each piece, or as one object.

The hot path of the dialect: what the lines of a batch have in common is written once.
"""

import time
from functools import lru_cache
from typing import Any, Final, Literal

import msgspec
from msgspec import Struct

from ...core.errors import GatewayError, UpstreamFailure, UpstreamIncomplete
from ...core.events import (
    Event,
    Events,
    Finished,
    FinishReason,
    ReasoningDelta,
    RefusalDelta,
    Started,
    TextDelta,
    ToolCallDelta,
    ToolCallFinished,
    ToolCallStarted,
    Usage,
    UsageReported,
)
from ...core.result import Collector
from .errors import error_object

_encode: Final = msgspec.json.Encoder().encode

_now: Final = time.time_ns
# Nanoseconds.
_TICK: Final = 1_000_000

Form = Literal["chat", "text"]
# What stands around a piece, by form: before text, after it, before a thought, after it.
_AROUND: Final[dict[Form, tuple[bytes, bytes, bytes, bytes]]] = {
    "chat": (
        b'","message":{"role":"assistant","content":',
        b'},"done":false}\n',
        b'","message":{"role":"assistant","content":"","thinking":',
        b'},"done":false}\n',
    ),
    "text": (
        b'","response":',
        b',"done":false}\n',
        b'","response":"","thinking":',
        b',"done":false}\n',
    ),
}


class Shape(Struct, frozen=True):
    """How one client wants its answer. ``model`` is the name it asked for.

    ``began`` is when its request was read, in nanoseconds of the monotonic clock.
    """

    form: Form
    model: str
    began: int


def signs_of_life(form: Form) -> bytes:
    """A line that adds nothing, for silences; it is the same for all requests, whatever they asked for."""
    before, after, _, _ = _AROUND[form]
    return b'{"model":"gpt-oss","created_at":"%b%b""%b' % (b"1970-01-01T00:00:00.000000000Z", before, after)


class LineStream:
    """Renders one turn; see :class:`gptoss_api.dialects.base.StreamRenderer`."""

    def __init__(self, shape: Shape) -> None:
        self._shape = shape
        self._head = b'{"model":%b,"created_at":"' % _encode(shape.model)
        self._text, self._text_end, self._thought, self._thought_end = _AROUND[shape.form]
        self._calls: dict[int, tuple[ToolCallStarted, list[str]]] = {}
        self._called = 0
        # The call whose arguments are no object, until it is known whether a limit cut it.
        self._broken: str | None = None
        self._finished: Finished | None = None
        self._usage = Usage(0, 0)
        self._opened = self._spoke = 0
        self._silent = True
        # A time is written into the lines of a millisecond.
        self._stamped = self._stale = 0
        self._before_text = self._before_thought = b""

    def feed(self, events: Events) -> bytes:
        """Raises UpstreamFailure for a call whose arguments are no JSON object, as a whole answer does."""
        now = _now()
        if not self._stamped <= now < self._stale:
            self._stamp(now)
        out: list[bytes] = []
        for event in events:
            # Compared by identity, the commonest first: this runs for every token.
            if type(event) is TextDelta:
                if event.text:
                    out += (self._before_text, _encode(event.text), self._text_end)
            elif type(event) is ReasoningDelta:
                if event.text:
                    out += (self._before_thought, _encode(event.text), self._thought_end)
            elif type(event) is ToolCallDelta:
                self._calls[event.index][1].append(event.arguments)
            else:
                out.append(self._seldom(event))
        if self._silent and (out or self._calls):
            self._silent = False
            self._spoke = time.monotonic_ns()
        return b"".join(out)

    def end(self) -> bytes:
        finished = self._finished
        assert finished is not None
        now = time.monotonic_ns()
        last = metrics(self._shape, finished.reason, self._usage, self._opened or now, self._spoke or now)
        self._stamp(_now())
        # An object without its braces.
        return b'%b""%b%b\n' % (
            self._before_text,
            b"}," if self._shape.form == "chat" else b",",
            _encode(last)[1:],
        )

    def fail(self, error: GatewayError) -> bytes:
        """One more line, on which clients raise; none that ends the answer follows."""
        return _encode(error_object(error)) + b"\n"

    def _stamp(self, now: int) -> None:
        self._stamped, self._stale = now, now + _TICK
        head = self._head + _stamp(now)
        self._before_text, self._before_thought = head + self._text, head + self._thought

    def _seldom(self, event: Event) -> bytes:
        match event:
            case Started():
                self._opened = time.monotonic_ns()
            case ToolCallStarted(index):
                self._calls[index] = (event, [])
            case ToolCallFinished(index):
                return self._call(*self._calls.pop(index))
            case RefusalDelta(text) if text:
                return self._before_text + _encode(text) + self._text_end
            case Finished(reason):
                if self._broken is not None and reason != "length":
                    raise no_object(self._broken)
                self._finished = event
            case UsageReported(usage):
                self._usage = usage
            case _:
                pass
        return b""

    def _call(self, call: ToolCallStarted, pieces: list[str]) -> bytes:
        """The line of a call, which is told as a whole."""
        arguments = as_object("".join(pieces))
        if arguments is None:
            self._broken = call.name
            return b""
        made = call_object(call.id, self._called, call.name, arguments)
        self._called += 1
        return b'%b"","tool_calls":[%b]%b' % (self._before_text, _encode(made), self._text_end)


def render_whole(result: Collector, shape: Shape) -> bytes:
    """The body of a non-streaming answer.

    Raises:
        UpstreamIncomplete: when the answer was never finished.
        UpstreamFailure: for a call whose arguments are no JSON object.
    """
    (choice,) = result.choices
    if choice.finish_reason is None or result.usage is None:
        raise UpstreamIncomplete("The answer ended before it was complete.")
    calls: list[dict[str, Any]] = []
    for call in choice.tool_calls:
        arguments = as_object(call.arguments)
        if arguments is not None:
            calls.append(call_object(call.id, len(calls), call.name, arguments))
        elif choice.finish_reason != "length":
            raise no_object(call.name)
    text = choice.text + choice.refusal
    answer: dict[str, Any] = {"model": shape.model, "created_at": _stamp(_now()).decode()}
    thought = {"thinking": choice.reasoning} if choice.reasoning else {}
    if shape.form == "chat":
        answer["message"] = {"role": "assistant", "content": text} | thought
        if calls:
            answer["message"]["tool_calls"] = calls
    else:
        answer |= {"response": text} | thought
    answer |= metrics(shape, choice.finish_reason, result.usage, result.opened, result.spoke)
    return _encode(answer)


def render_nothing(shape: Shape, *, unload: bool) -> bytes:
    """The answer to a request without a prompt, which asks whether the model is there."""
    answer: dict[str, Any] = {"model": shape.model, "created_at": _stamp(_now()).decode()}
    empty = {"message": {"role": "assistant", "content": ""}} if shape.form == "chat" else {"response": ""}
    return _encode(answer | empty | {"done": True, "done_reason": "unload" if unload else "load"})


def metrics(shape: Shape, reason: FinishReason, usage: Usage, opened: int, spoke: int) -> dict[str, Any]:
    """How an answer ended, what it had of tokens, and how long its parts took, in nanoseconds.

    ``opened`` is when the upstream began to answer and ``spoke`` when the first of it was there. Clients
    divide by the time of the last part.
    """
    now = time.monotonic_ns()
    return {
        "done": True,
        "done_reason": "length" if reason == "length" else "stop",
        "total_duration": max(1, now - shape.began),
        "load_duration": max(0, opened - shape.began),
        "prompt_eval_count": usage.prompt_tokens,
        "prompt_eval_duration": max(0, spoke - opened),
        "eval_count": usage.completion_tokens,
        "eval_duration": max(1, now - spoke),
    }


def call_object(call_id: str, index: int, name: str, arguments: msgspec.Raw) -> dict[str, Any]:
    return {"id": call_id, "function": {"index": index, "name": name, "arguments": arguments}}


def as_object(written: str) -> msgspec.Raw | None:
    """The arguments of a call where they are a JSON object, which those of one that was cut are not."""
    encoded = written.strip().encode() or b"{}"
    try:
        whole = isinstance(msgspec.json.decode(encoded), dict)
    except (ValueError, RecursionError):
        return None
    return msgspec.Raw(encoded) if whole else None


def no_object(name: str) -> UpstreamFailure:
    """The failure of an answer that calls ``name`` with anything else."""
    return UpstreamFailure(f"The model called '{name}' with arguments that are no JSON object.")


def _stamp(now: int) -> bytes:
    """The time as Go writes it, to the nanosecond in UTC."""
    second, rest = divmod(now, 1_000_000_000)
    return b"%b.%09dZ" % (_whole_second(second), rest)


@lru_cache(maxsize=4)
def _whole_second(second: int) -> bytes:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second)).encode()
