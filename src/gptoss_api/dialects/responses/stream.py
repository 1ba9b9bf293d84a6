"""A streamed response: every event of OpenAI's reference, numbered without gaps.

The hot path of the dialect: what an item's deltas have in common is serialised when the item begins, and
only the new piece of text and the number of the event are written for each.
"""

from collections.abc import Callable
from typing import Any, Final

from msgspec import Struct, field

from ...core.errors import GatewayError
from ...core.events import (
    Event,
    Events,
    Finished,
    FinishReason,
    Started,
    ToolCallStarted,
    Usage,
    UsageReported,
)
from ..openai_errors import error_object
from ..parts import CallPart, Parts, TextKind, TextPart
from .client_tools import ClientTool
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

# Of each kind of part: the stem of its events, the member of its "done" event, what follows a delta.
_PARTS: Final[dict[TextKind, tuple[str, str, bytes]]] = {
    "text": ("response.output_text", "text", b',"logprobs":[]'),
    "refusal": ("response.refusal", "refusal", b""),
    "reasoning": ("response.reasoning_text", "text", b""),
}
_PART_OBJECTS: Final[dict[TextKind, Callable[[str], dict[str, Any]]]] = {
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


class _Place(Struct, frozen=True):
    """Where a part is, as members too; ``before`` and ``after`` stand around each of its deltas."""

    place: bytes
    before: bytes
    after: bytes
    item_id: str
    output_index: int


def error_event(said: dict[str, str | None], number: int) -> bytes:
    """Ends a stream that has no response; ``said`` is the error as OpenAI's other APIs have it.

    OpenAI's reference has its members in the event itself, its servers and SDKs in an object ``error``.
    """
    flat = {name: said[name] for name in ("code", "message", "param")}
    event = {"type": "error", **flat, "error": said, "sequence_number": number}
    return b"event: error\ndata: %b\n\n" % encode(event)


# The place of a call whose item is made at its end.
_UNSAID: Final = _Place(b"", b"", b"", "", -1)


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
        # Rendered and not yet taken.
        self._out: list[bytes] = []
        # Finished items by output index, and what is still open.
        self._items: dict[int, bytes] = {}
        # Calls of custom tools that were cut: without a status, they are told by the response's own alone.
        self._cut: dict[int, bytes] = {}
        self._next_index = 0
        self._item: _TextItem | None = None
        self._parts: Parts[_Place] = Parts(self)
        self._reason: FinishReason | None = None
        self._usage: Usage | None = None
        self.final = b""

    def feed(self, events: Events) -> bytes:
        self._parts.feed(events)
        out, self._out = self._out, []
        return b"".join(out)

    def queued(self) -> bytes:
        """Opens the stream of a response that waits for its turn in the background."""
        self._created = True
        for kind in ("response.created", "response.queued"):
            self._emit(kind, b'"response":' + self._frame.render("queued"))
        return self._taken()

    def end(self) -> bytes:
        self._conclude("completed" if self._reason in ("stop", "tool_calls") else "incomplete")
        return self._taken()

    def fail(self, error: GatewayError) -> bytes:
        """``response.failed``; an ``error`` event where no response was created yet."""
        if self._created:
            self._close_all("incomplete")
            self._conclude("failed", error)
        else:
            self._out.append(error_event(error_object(error), self._number))
            self._number += 1
        return self._taken()

    def snapshot(self) -> bytes:
        """The response object as far as it has come, as JSON."""
        return self.final or self._render("in_progress" if self._begun else "queued")

    def cancel(self) -> bytes:
        """Ends a response that its client no longer wants. The reference knows no event for it."""
        self._close_all("incomplete")
        self.final = self._render("cancelled")
        return self._taken()

    def _taken(self) -> bytes:
        out, self._out = self._out, []
        return b"".join(out)

    def _emit(self, kind: str, members: bytes) -> None:
        name = kind.encode()
        self._out.append(
            b'event: %b\ndata: {"type":"%b",%b,"sequence_number":%d}\n\n'
            % (name, name, members, self._number)
        )
        self._number += 1

    # What the events say; see :class:`gptoss_api.dialects.parts.PartSink`.

    def text_delta(self, data: _Place, text: str) -> None:
        if data is _UNSAID:
            return
        self._out.append(
            b'%b%b%b,"sequence_number":%d}\n\n' % (data.before, encode(text), data.after, self._number)
        )
        self._number += 1

    def text_started(self, kind: TextKind) -> _Place:
        reasoning = kind == "reasoning"
        item = self._item
        if item is not None and item.reasoning != reasoning:
            self._close_item("completed")
            item = None
        if item is None:
            item = self._open_item(reasoning)
        place = b'"item_id":"%b","output_index":%d,"content_index":%d' % (
            item.id.encode(),
            item.output_index,
            len(item.contents),
        )
        stem, _, after = _PARTS[kind]
        empty = encode(_PART_OBJECTS[kind](""))
        self._emit("response.content_part.added", b'%b,"part":%b' % (place, empty))
        return _Place(place, _before(f"{stem}.delta", place), after, item.id, item.output_index)

    def text_ended(self, part: TextPart[_Place]) -> None:
        text = part.text
        stem, member, after = _PARTS[part.kind]
        place = part.data.place
        self._emit(f"{stem}.done", b'%b,"%b":%b%b' % (place, member.encode(), encode(text), after))
        whole = _PART_OBJECTS[part.kind](text)
        assert self._item is not None
        self._item.contents.append(whole)
        self._emit("response.content_part.done", b'%b,"part":%b' % (place, encode(whole)))

    def call_started(self, call: ToolCallStarted) -> _Place:
        self._close_item("completed")
        if call.name in self._names.typed:
            # Nothing can be said of it before it is whole.
            return _UNSAID
        index = self._take_index()
        custom = call.kind == "custom"
        identifier = self._frame.item_id("ctc" if custom else "fc", index)
        place = b'"item_id":"%b","output_index":%d' % (identifier.encode(), index)
        stem, _ = _call_events(call)
        self._add_item(self._call_object(identifier, call, "", "in_progress"), index)
        return _Place(place, _before(f"{stem}.delta", place), b"", identifier, index)

    def call_ended(self, part: CallPart[_Place], *, complete: bool) -> None:
        text, data = part.arguments, part.data
        if data is _UNSAID:
            if complete:
                self._typed_call(self._names.typed[part.call.name], part.call, text)
            return
        status: ItemStatus = "completed" if complete else "incomplete"
        item = self._call_object(data.item_id, part.call, text, status)
        if part.call.kind == "custom" and not complete:
            # An event of its end would say that the input is whole.
            self._cut[data.output_index] = encode(item)
            return
        stem, member = _call_events(part.call)
        self._emit(f"{stem}.done", b'%b,"%b":%b' % (data.place, member.encode(), encode(text)))
        self._finish_item(item, data.output_index)

    def _typed_call(self, tool: ClientTool, call: ToolCallStarted, arguments: str) -> None:
        index = self._take_index()
        identifier = self._frame.item_id(tool.prefix, index)
        item = tool.item(identifier, call.id, arguments, "completed")
        self._add_item(item | {"status": "in_progress"}, index)
        self._finish_item(item, index)

    def other(self, event: Event) -> None:
        match event:
            case Started():
                self._begin(event)
            case Finished(reason):
                self._reason = reason
                self._close_all("completed" if reason in ("stop", "tool_calls") else "incomplete")
            case UsageReported(usage):
                self._usage = usage
            case _:
                pass

    # The response itself.

    def _begin(self, started: Started) -> None:
        self._model = started.model
        kinds = ("response.in_progress",) if self._created else ("response.created", "response.in_progress")
        self._created = self._begun = True
        response = b'"response":' + self._render("in_progress")
        for kind in kinds:
            self._emit(kind, response)

    def _render(self, status: Status, error: GatewayError | None = None) -> bytes:
        items = self._items | self._cut if status == "incomplete" else self._items
        return self._frame.render(
            status,
            [items[index] for index in sorted(items)],
            model=self._model,
            usage=self._usage,
            reason=self._reason,
            error=error,
        )

    def _conclude(self, status: Status, error: GatewayError | None = None) -> None:
        self.final = self._render(status, error)
        self._emit(f"response.{status}", b'"response":' + self.final)

    # Its items.

    def _take_index(self) -> int:
        self._next_index += 1
        return self._next_index - 1

    def _open_item(self, reasoning: bool) -> _TextItem:
        index = self._take_index()
        identifier = self._frame.item_id("rs" if reasoning else "msg", index)
        self._item = item = _TextItem(identifier, index, reasoning)
        self._add_item(self._text_object(item, "in_progress"), index)
        return item

    def _close_item(self, status: ItemStatus) -> None:
        item, self._item = self._item, None
        if item is not None:
            self._finish_item(self._text_object(item, status), item.output_index)

    def _text_object(self, item: _TextItem, status: ItemStatus) -> dict[str, Any]:
        if not item.reasoning:
            return message_item(item.id, item.contents, status)
        sealed = None
        if self._seal is not None and status != "in_progress":
            sealed = self._seal("".join(part["text"] for part in item.contents))
        return reasoning_item(item.id, item.contents, status, sealed)

    def _call_object(
        self, identifier: str, call: ToolCallStarted, text: str, status: ItemStatus
    ) -> dict[str, Any]:
        return call_item(identifier, call.id, self._names.restore(call.name), call.kind, text, status)

    def _add_item(self, item: dict[str, Any], index: int) -> None:
        self._emit("response.output_item.added", b'"output_index":%d,"item":%b' % (index, encode(item)))

    def _finish_item(self, item: dict[str, Any], index: int) -> None:
        self._items[index] = encoded = encode(item)
        self._emit("response.output_item.done", b'"output_index":%d,"item":%b' % (index, encoded))

    def _close_all(self, status: ItemStatus) -> None:
        """Closes what is open. A call whose end was seen is whole; whatever else is open may not be."""
        self._parts.end_text()
        self._close_item(status)
        self._parts.end_calls(complete=status == "completed")


def _before(kind: str, place: bytes) -> bytes:
    name = kind.encode()
    return b'event: %b\ndata: {"type":"%b",%b,"delta":' % (name, name, place)


def _call_events(call: ToolCallStarted) -> tuple[str, str]:
    """The stem of a call's events, and the member that its "done" event has the whole text in."""
    if call.kind == "custom":
        return "response.custom_tool_call_input", "input"
    return "response.function_call_arguments", "arguments"
