"""A streamed message: every event of Anthropic's reference.

The hot path of the dialect: what a block's deltas have in common is serialised when the block begins, and
only the new piece of text is written for each.
"""

from typing import Any, Final

import msgspec

from ...core.errors import GatewayError
from ...core.events import (
    Event,
    Events,
    Finished,
    Started,
    ToolCallDelta,
    ToolCallFinished,
    ToolCallStarted,
    Usage,
    UsageReported,
)
from ..parts import CallPart, Parts, TextKind, TextPart
from .call_ids import shown_call_id
from .context_edits import applied_edits, summary_of
from .errors import error_object
from .message import is_object, message_object, no_object, stop_object, usage_object
from .signatures import Signer

PING: Final = b'event: ping\ndata: {"type":"ping"}\n\n'
_STOP: Final = b'event: message_stop\ndata: {"type":"message_stop"}\n\n'
# The delta of each kind of block: its type, and the member that has the new piece.
_THINKING: Final = (b"thinking_delta", b"thinking")
_TEXT: Final = (b"text_delta", b"text")
_INPUT: Final = (b"input_json_delta", b"partial_json")

_encode: Final = msgspec.json.Encoder().encode


class MessageStream:
    """Renders one turn; see :class:`gptoss_api.dialects.base.StreamRenderer`."""

    def __init__(self, model: str, signer: Signer) -> None:
        self._model = model
        self._signer = signer
        self._out: list[bytes] = []
        self._one_by_one = _OneByOne()
        self._parts: Parts[bytes] = Parts(self)
        self._index = -1
        self._silent = True
        self._called = False
        # The call whose arguments are no object. Its block is open until it is known whether a limit cut it.
        self._broken: str | None = None
        self._cut = False
        self._finished: Finished | None = None
        self._usage: Usage | None = None
        self._edits: dict[str, Any] = {}
        self._compacted = False

    def feed(self, events: Events) -> bytes:
        """Raises UpstreamFailure for a call whose arguments are no JSON object, as a whole answer does."""
        if events and not self._cut:
            # Known beforehand: several calls may be cut, and all of them end in the last batch.
            self._cut = any(type(event) is Finished and event.reason == "length" for event in events)
        self._parts.feed(self._one_by_one.feed(events))
        return self._taken()

    def end(self) -> bytes:
        finished, usage = self._finished, self._usage
        assert finished is not None
        ended = stop_object(
            finished.reason,
            finished.stop_sequence,
            silent=self._silent,
            called=self._called,
            compacted=self._compacted,
        )
        spent = usage_object(usage or Usage(0, 0))
        self._emit("message_delta", {"delta": ended, "usage": spent, **self._edits})
        self._out.append(_STOP)
        return self._taken()

    def fail(self, error: GatewayError) -> bytes:
        self._emit("error", error_object(error))
        return self._taken()

    def _taken(self) -> bytes:
        out, self._out = self._out, []
        return b"".join(out)

    def _emit(self, kind: str, members: dict[str, Any]) -> None:
        self._out.append(b"event: %b\ndata: %b\n\n" % (kind.encode(), _encode({"type": kind, **members})))

    # What the events say; see :class:`gptoss_api.dialects.parts.PartSink`.

    def text_delta(self, data: bytes, text: str) -> None:
        self._out.append(b"%b%b}}\n\n" % (data, _encode(text)))

    def text_started(self, kind: TextKind) -> bytes:
        if kind == "reasoning":
            return self._begin({"type": "thinking", "thinking": "", "signature": ""}, _THINKING)
        self._silent = False
        return self._begin({"type": "text", "text": "", "citations": None}, _TEXT)

    def text_ended(self, part: TextPart[bytes]) -> None:
        if part.kind == "reasoning":
            signed = {"type": "signature_delta", "signature": self._signer.sign(part.text)}
            self._emit("content_block_delta", {"index": self._index, "delta": signed})
        self._end()

    def call_started(self, call: ToolCallStarted) -> bytes:
        self._silent, self._called = False, True
        identifier = shown_call_id(call.id)
        return self._begin({"type": "tool_use", "id": identifier, "name": call.name, "input": {}}, _INPUT)

    def call_ended(self, part: CallPart[bytes], *, complete: bool) -> None:
        written = part.arguments
        if not written.strip():
            if complete:
                self.text_delta(part.data, "{}")
        elif not is_object(written):
            self._broken = part.call.name
            return
        self._end()

    def other(self, event: Event) -> None:
        match event:
            case Started():
                self._start(event.prompt_tokens or 0)
                self._edits = applied_edits(event.context_edits)
                self._compact(summary_of(event.context_edits))
            case Finished():
                self._parts.end_text()
                self._parts.end_calls(complete=not self._cut)
                self._end_broken()
                self._finished = event
            case UsageReported(usage):
                self._usage = usage
            case _:
                pass

    def _start(self, prompt_tokens: int) -> None:
        # So far: that it begins is its first token.
        spent = {**usage_object(Usage(prompt_tokens, 1)), "service_tier": "standard"}
        self._emit("message_start", {"message": message_object(self._model, spent)})
        self._out.append(PING)

    def _compact(self, summary: str) -> None:
        if summary:
            self._compacted = True
            self._index += 1
            block = {"type": "compaction", "content": None}
            self._emit("content_block_start", {"index": self._index, "content_block": block})
            delta = {"type": "compaction_delta", "content": summary}
            self._emit("content_block_delta", {"index": self._index, "delta": delta})
            self._end()

    def _begin(self, block: dict[str, Any], delta: tuple[bytes, bytes]) -> bytes:
        """Opens a block; gives what comes before each piece of it."""
        self._end_broken()
        self._index += 1
        self._emit("content_block_start", {"index": self._index, "content_block": block})
        kind, member = delta
        return (
            b'event: content_block_delta\ndata: {"type":"content_block_delta","index":%d,'
            b'"delta":{"type":"%b","%b":' % (self._index, kind, member)
        )

    def _end_broken(self) -> None:
        name, self._broken = self._broken, None
        if name is None:
            return
        if not self._cut:
            raise no_object(name)
        self._end()

    def _end(self) -> None:
        self._emit("content_block_stop", {"index": self._index})


class _OneByOne:
    """Keeps back what comes while a call is being written, until that is over: blocks stand in a row."""

    def __init__(self) -> None:
        self._open: int | None = None
        self._held: list[Event] = []

    def feed(self, events: Events) -> Events:
        out: list[Event] = []
        for event in events:
            # Compared by identity: this runs for every token.
            kind = type(event)
            if self._open is None:
                out.append(event)
                if kind is ToolCallStarted:
                    self._open = event.index  # type: ignore[union-attr]  # narrowed by identity, the hot path
            elif kind is Finished:
                out += self._released()
                out.append(event)
            elif isinstance(event, ToolCallDelta | ToolCallFinished) and event.index == self._open:
                out.append(event)
                if kind is ToolCallFinished:
                    out += self._released()
            else:
                self._held.append(event)
        return out

    def _released(self) -> Events:
        held, self._held, self._open = self._held, [], None
        return self.feed(held) if held else ()
