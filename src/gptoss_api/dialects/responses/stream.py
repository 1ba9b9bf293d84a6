"""A streamed response: every event of OpenAI's reference, numbered without gaps.

The hot path of the dialect: what an item's deltas have in common is serialised when the item begins, and
only the new piece of text and the number of the event are written for each.
"""

from collections.abc import Callable
from typing import Any, Final, Literal

from msgspec import Struct, field

from ...core.errors import GatewayError
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
from ..openai_errors import openai_error
from .objects import (
    Frame,
    ItemStatus,
    Status,
    call_item,
    encode,
    message_item,
    reasoning_item,
    reasoning_part,
    refusal_part,
    text_part,
)
from .tools import Names

PartKind = Literal["text", "refusal", "reasoning"]

# Of each kind of part: the stem of its events, the member of its "done" event, what follows a delta.
_PARTS: Final[dict[PartKind, tuple[str, str, bytes]]] = {
    "text": ("response.output_text", "text", b',"logprobs":[]'),
    "refusal": ("response.refusal", "refusal", b""),
    "reasoning": ("response.reasoning_text", "text", b""),
}
_PART_OBJECTS: Final[dict[PartKind, Callable[[str], dict[str, Any]]]] = {
    "text": text_part,
    "refusal": refusal_part,
    "reasoning": reasoning_part,
}


class _TextItem(Struct):
    """A message or a reasoning item that is being written, with its finished parts."""

    id: str
    output_index: int
    reasoning: bool
    contents: list[dict[str, Any]] = field(default_factory=list)


class _Part(Struct):
    """A content part that is being written. ``place`` are the members that say where it is."""

    kind: PartKind
    place: bytes
    before: bytes
    after: bytes
    pieces: list[str] = field(default_factory=list)


class _Call(Struct):
    """A call that is being written."""

    event: ToolCallStarted
    id: str
    output_index: int
    place: bytes
    before: bytes
    pieces: list[str] = field(default_factory=list)


class ResponseStream:
    """Renders one response; see :class:`gptoss_api.dialects.base.StreamRenderer`.

    ``seal`` makes the ``encrypted_content`` of reasoning items where the client asked for it. After the
    end, ``final`` is the response object as JSON.
    """

    def __init__(self, frame: Frame, names: Names, seal: Callable[[str], str] | None = None) -> None:
        self._frame = frame
        self._names = names
        self._seal = seal
        self._number = 0
        self._model = frame.model
        self._created = self._begun = False
        # Finished items by output index, and what is still open.
        self._items: dict[int, bytes] = {}
        self._next_index = 0
        self._item: _TextItem | None = None
        self._part: _Part | None = None
        self._calls: dict[int, _Call] = {}
        self._reason: FinishReason | None = None
        self._usage: Usage | None = None
        self.final = b""

    def feed(self, events: Events) -> bytes:
        out: list[bytes] = []
        for event in events:
            # Compared by identity, the commonest first: this runs for every token.
            if type(event) is TextDelta:
                if event.text:
                    self._delta("text", event.text, out)
            elif type(event) is ReasoningDelta:
                if event.text:
                    self._delta("reasoning", event.text, out)
            elif type(event) is ToolCallDelta:
                if event.arguments and (call := self._calls.get(event.index)) is not None:
                    call.pieces.append(event.arguments)
                    out.append(
                        b'%b%b,"sequence_number":%d}\n\n'
                        % (call.before, encode(event.arguments), self._number)
                    )
                    self._number += 1
            else:
                self._seldom(event, out)
        return b"".join(out)

    def queued(self) -> bytes:
        """Opens the stream of a response that waits for its turn in the background."""
        out: list[bytes] = []
        self._created = True
        for kind in ("response.created", "response.queued"):
            self._emit(kind, b'"response":' + self._frame.render("queued"), out)
        return b"".join(out)

    def end(self) -> bytes:
        status: Status = "completed" if self._reason in ("stop", "tool_calls") else "incomplete"
        out: list[bytes] = []
        self._conclude(status, out)
        return b"".join(out)

    def fail(self, error: GatewayError) -> bytes:
        """``response.failed``; an ``error`` event where no response was created yet."""
        out: list[bytes] = []
        if self._created:
            self._close_all("incomplete", out)
            self._conclude("failed", out, error)
        else:
            code = openai_error(error).code
            said = {"code": code, "message": error.message, "param": error.param}
            self._emit("error", encode(said)[1:-1], out)
        return b"".join(out)

    def snapshot(self) -> bytes:
        """The response object as far as it has come, as JSON."""
        return self.final or self._render("in_progress" if self._begun else "queued")

    def cancel(self) -> bytes:
        """Ends a response that its client no longer wants. The reference knows no event for it."""
        out: list[bytes] = []
        self._close_all("incomplete", out)
        self.final = self._render("cancelled")
        return b"".join(out)

    def _emit(self, kind: str, members: bytes, out: list[bytes]) -> None:
        name = kind.encode()
        out.append(
            b'event: %b\ndata: {"type":"%b",%b,"sequence_number":%d}\n\n'
            % (name, name, members, self._number)
        )
        self._number += 1

    def _seldom(self, event: Event, out: list[bytes]) -> None:
        """Events that come a few times in a stream."""
        match event:
            case Started():
                self._begin(event, out)
            case RefusalDelta(text) if text:
                self._delta("refusal", text, out)
            case ToolCallStarted():
                self._start_call(event, out)
            case ToolCallFinished(index) if index in self._calls:
                self._close_call(index, "completed", out)
            case Finished(reason):
                self._reason = reason
                cut = reason not in ("stop", "tool_calls")
                self._close_all("incomplete" if cut else "completed", out)
            case UsageReported(usage):
                self._usage = usage
            case _:
                pass

    def _begin(self, started: Started, out: list[bytes]) -> None:
        self._model = started.model
        kinds = ("response.in_progress",) if self._created else ("response.created", "response.in_progress")
        self._created = self._begun = True
        response = b'"response":' + self._render("in_progress")
        for kind in kinds:
            self._emit(kind, response, out)

    def _render(self, status: Status, error: GatewayError | None = None) -> bytes:
        return self._frame.render(
            status,
            [self._items[index] for index in sorted(self._items)],
            model=self._model,
            usage=self._usage,
            reason=self._reason,
            error=error,
        )

    def _conclude(self, status: Status, out: list[bytes], error: GatewayError | None = None) -> None:
        self.final = self._render(status, error)
        self._emit(f"response.{status}", b'"response":' + self.final, out)

    # Messages and reasoning: items of parts.

    def _delta(self, kind: PartKind, text: str, out: list[bytes]) -> None:
        part = self._part
        if part is None or part.kind != kind:
            part = self._open_part(kind, out)
        part.pieces.append(text)
        out.append(
            b'%b%b%b,"sequence_number":%d}\n\n' % (part.before, encode(text), part.after, self._number)
        )
        self._number += 1

    def _open_part(self, kind: PartKind, out: list[bytes]) -> _Part:
        self._close_part(out)
        reasoning = kind == "reasoning"
        if self._item is not None and self._item.reasoning != reasoning:
            self._close_item("completed", out)
        if self._item is None:
            self._open_item(reasoning, out)
        item = self._item
        assert item is not None
        place = b'"item_id":"%b","output_index":%d,"content_index":%d' % (
            item.id.encode(),
            item.output_index,
            len(item.contents),
        )
        stem, _, after = _PARTS[kind]
        name = f"{stem}.delta".encode()
        before = b'event: %b\ndata: {"type":"%b",%b,"delta":' % (name, name, place)
        self._part = part = _Part(kind, place, before, after)
        empty = encode(_PART_OBJECTS[kind](""))
        self._emit("response.content_part.added", b'%b,"part":%b' % (place, empty), out)
        return part

    def _open_item(self, reasoning: bool, out: list[bytes]) -> None:
        index = self._next_index
        self._next_index += 1
        identifier = self._frame.item_id("rs" if reasoning else "msg", index)
        self._item = item = _TextItem(identifier, index, reasoning)
        self._add_item(self._text_object(item, "in_progress"), index, out)

    def _close_part(self, out: list[bytes]) -> None:
        part = self._part
        if part is None:
            return
        self._part = None
        text = "".join(part.pieces)
        stem, member, after = _PARTS[part.kind]
        said = b'%b,"%b":%b%b' % (part.place, member.encode(), encode(text), after)
        self._emit(f"{stem}.done", said, out)
        whole = _PART_OBJECTS[part.kind](text)
        assert self._item is not None
        self._item.contents.append(whole)
        self._emit("response.content_part.done", b'%b,"part":%b' % (part.place, encode(whole)), out)

    def _close_item(self, status: ItemStatus, out: list[bytes]) -> None:
        self._close_part(out)
        item = self._item
        if item is None:
            return
        self._item = None
        self._finish_item(self._text_object(item, status), item.output_index, out)

    def _text_object(self, item: _TextItem, status: ItemStatus) -> dict[str, Any]:
        if not item.reasoning:
            return message_item(item.id, item.contents, status)
        sealed = None
        if self._seal is not None and status != "in_progress":
            sealed = self._seal("".join(part["text"] for part in item.contents))
        return reasoning_item(item.id, item.contents, status, sealed)

    # Calls.

    def _start_call(self, event: ToolCallStarted, out: list[bytes]) -> None:
        self._close_item("completed", out)
        index = self._next_index
        self._next_index += 1
        custom = event.kind == "custom"
        identifier = self._frame.item_id("ctc" if custom else "fc", index)
        place = b'"item_id":"%b","output_index":%d' % (identifier.encode(), index)
        stem = "custom_tool_call_input" if custom else "function_call_arguments"
        name = f"response.{stem}.delta".encode()
        before = b'event: %b\ndata: {"type":"%b",%b,"delta":' % (name, name, place)
        call = self._calls[event.index] = _Call(event, identifier, index, place, before)
        self._add_item(self._call_object(call, "", "in_progress"), index, out)

    def _close_call(self, index: int, status: ItemStatus, out: list[bytes]) -> None:
        call = self._calls.pop(index)
        text = "".join(call.pieces)
        stem, member = (
            ("custom_tool_call_input", "input")
            if call.event.kind == "custom"
            else ("function_call_arguments", "arguments")
        )
        said = b'%b,"%b":%b' % (call.place, member.encode(), encode(text))
        self._emit(f"response.{stem}.done", said, out)
        self._finish_item(self._call_object(call, text, status), call.output_index, out)

    def _call_object(self, call: _Call, text: str, status: ItemStatus) -> dict[str, Any]:
        event = call.event
        called = self._names.restore(event.name)
        return call_item(call.id, event.id, called, event.kind, text, status)

    # Items.

    def _add_item(self, item: dict[str, Any], index: int, out: list[bytes]) -> None:
        self._emit("response.output_item.added", b'"output_index":%d,"item":%b' % (index, encode(item)), out)

    def _finish_item(self, item: dict[str, Any], index: int, out: list[bytes]) -> None:
        self._items[index] = encoded = encode(item)
        self._emit("response.output_item.done", b'"output_index":%d,"item":%b' % (index, encoded), out)

    def _close_all(self, status: ItemStatus, out: list[bytes]) -> None:
        """Closes what is open. A call whose end was seen is whole; whatever else is open may not be."""
        self._close_item(status, out)
        for index in sorted(self._calls):
            self._close_call(index, status, out)
