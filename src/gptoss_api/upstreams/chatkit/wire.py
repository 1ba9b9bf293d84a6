"""The event stream of one turn, in either dialect of ChatKit, read into the gateway's events.

Sans-I/O: the payloads of :class:`~gptoss_api.text.sse.SseDecoder` go in, reasoning and text come out.
The rules are docs/design/gpt-oss-com.md, "Reading the stream" and "When an answer is complete". Choices made
here:

- Several assistant items in one turn are joined in the order they speak, with a blank line between them;
  the parts of one item follow each other without one.
- Where ``done`` contradicts what was streamed, the streamed text stays: it cannot be unsaid.
- An event that cannot be read, also not leniently, may have been text: from then on deltas are held back
  until the full text of the item tells what is missing. Where it does not, the answer has a gap and fails.
- An error after a complete answer does not spoil it (the title is made after the answer).
- A turn may hold a second assistant item, so a complete answer is finished by the end of the stream or
  after a short ``patience``, whichever comes first.
"""

import logging
from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec

from ...core.errors import GatewayError, UpstreamEmpty, UpstreamIncomplete, UpstreamLoginRequired
from ...core.events import Event, Finished, ReasoningDelta, TextDelta
from ...core.redaction import Redactor
from ...text.loose_json import DONE, HalfJoiner, Unreadable, joined, read_values
from ...text.sse import Stray
from ..base import log_fields
from ..refusals import LOOKS
from .events import Item, Step, Update, decode_event, item_id_of, item_of, thread_of, update_of
from .failures import failure_of_card, failure_of_error_event

# Seconds the rest of the stream may take. After an answer only another answer would matter, after the
# thread's title most likely nothing comes, and a login card stands for the whole answer.
AFTER_ANSWER: Final = 0.3
AFTER_TITLE: Final = 0.05
AFTER_CARD: Final = 2.0

# The events that mean something to an answer, in either dialect.
_UPDATED: Final = frozenset({"thread.item_updated", "thread.item.updated"})
# Those that show an item as it is, and whether it is done.
_SHOWN: Final = {
    "thread.item_done": True,
    "thread.item.done": True,
    "thread.item_added": False,
    "thread.item.added": False,
    "thread.item_replaced": False,
    "thread.item.replaced": False,
}
_REMOVED: Final = frozenset({"thread.item_removed", "thread.item.removed"})
_IDLE: Final = frozenset({"thread.created", "stream_options", "progress_update", "notice", "client_effect"})
_TITLED: Final = "thread.updated"
_THOUGHT: Final = "thought"
_TEXT_DELTA: Final = "assistant_message.content_part.text_delta"
_BEFORE_DELTA: Final = b'"delta":'
_AFTER_DELTA: Final = b"}}"
_CARD_KEYS: Final = ("value", "label", "text", "title")
_NOT_JSON: Final = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)

_log = logging.getLogger(__name__)


_decode_text: Final = msgspec.json.Decoder(str).decode
_decode_any: Final = msgspec.json.Decoder().decode


class _Message:
    """An assistant item. ``parts`` holds what was sent of each content part, in pieces.

    ``held`` is what was heard of them after a gap, and ``halves`` of characters cut in two.
    """

    __slots__ = ("announced", "done", "halves", "held", "part_done", "parts")

    def __init__(self, *, announced: bool) -> None:
        self.announced = announced
        self.held: dict[int, list[str]] = {}
        self.halves: dict[int, HalfJoiner] = {}
        self.done = False
        # Whether the last thing heard of this message was the end of a part.
        self.part_done = False
        self.parts: dict[int, list[str]] = {}

    def says(self, texts: list[str]) -> bool:
        """Whether the full ``texts`` of the parts are what was sent."""
        for index, text in enumerate(texts):
            if "".join(self.parts.get(index, ())) != text:
                return False
        return len(self.parts) <= len(texts) or not any(
            "".join(pieces) for index, pieces in self.parts.items() if index >= len(texts)
        )


class _Block:
    """A thought: what was sent of it and the longest form in which it was seen."""

    __slots__ = ("longest", "sent")

    def __init__(self) -> None:
        self.sent = ""
        self.longest = ""


class ChatKitWire:
    """Reads one turn: ``feed`` the payloads as they come, then ``finish`` once at the end of the stream.

    ``thread_id`` is known from the first event that names it. ``failure`` is set when the site reported
    one; what ``feed`` returned up to then was delivered before it, and nothing comes after. ``redact`` knows
    the secrets that the site may repeat in an error; ``request_id`` is for the log.
    """

    # No event says that it is the last, and none after the answer buys time.
    done = False
    carried = 0

    def __init__(
        self,
        *,
        show_reasoning: bool = True,
        redact: Redactor = LOOKS,
        request_id: str = "",
    ) -> None:
        self.thread_id: str | None = None
        self.failure: GatewayError | None = None
        self._show_reasoning = show_reasoning
        self._redact = redact
        self._request_id = request_id
        self._messages: dict[str, _Message] = {}
        # Items of every other kind: their updates are not text.
        self._other_items: set[str] = set()
        self._speaking: _Message | None = None
        self._speaking_id = ""
        self._speaking_index = 0
        self._pieces: list[str] = []
        # How the last payload began, up to its delta, where it was one of the speaking part. The next one
        # that begins and ends like it says the same but for its text.
        self._same = b""
        self._blocks: dict[tuple[str, int], _Block] = {}
        self._last_block: _Block | None = None
        self._thinking: set[str] = set()
        self._cards: dict[str, list[str]] = {}
        self._wants_login = False
        self._answers = 0
        self._titled = False
        # Whether the stream was about a thread at all, and whether an answer or its reasoning began.
        self._useful = False
        self._begun = False
        # Whether thoughts that are not shown have begun in this event, and whether that is still news.
        self._hidden = False
        self._tells_hidden = not show_reasoning
        self._malformed = 0
        # Whether something was lost that may have been text; whether characters may come in halves.
        self._gap = False
        self._loose = False
        self._at_rest = False
        self._unknown = 0
        self._contradictions = 0

    @property
    def complete(self) -> bool:
        """Whether an answer was completed and no other one is under way."""
        if not self._answers:
            return False
        for message in self._messages.values():  # noqa: SIM110  # a generator costs more than what it saves
            if not message.done:
                return False
        return True

    @property
    def answered(self) -> bool:
        """Whether the stream may end here: complete, or only the formal end of the item is missing."""
        return self.complete or (
            self._speaking is not None
            and bool(self._messages)
            and all(message.done or message.part_done for message in self._messages.values())
        )

    @property
    def patience(self) -> float | None:
        """How many seconds the rest of the stream is worth waiting for; ``None``: as long as it takes."""
        if not self._answers:
            return AFTER_CARD if self._wants_login and not self._begun else None
        if self._thinking or not self.complete:
            return None
        return AFTER_TITLE if self._titled else AFTER_ANSWER

    def feed(self, payloads: Sequence[bytes]) -> list[Event]:
        """The reasoning and text in these payloads, in order."""
        events: list[Event] = []
        if self.failure is not None:
            return events
        same, begin, pieces = self._same, len(self._same), self._pieces
        for payload in payloads:
            if type(payload) is Stray:
                self._stray(payload)
                if self.failure is not None:
                    break
                begin = len(self._same)
                continue
            # Slices cost less than to ask what a payload starts and ends with.
            if begin and payload[:begin] == same and payload[-2:] == _AFTER_DELTA:
                try:
                    delta = _decode_text(payload[begin:-2])
                except _NOT_JSON:
                    pass
                else:
                    if delta:
                        pieces.append(delta)
                        events.append(TextDelta(delta))
                    continue
            self._same, begin = b"", 0
            if payload and payload != b"[DONE]":
                self._read(payload, events)
                same, begin, pieces = self._same, len(self._same), self._pieces
            if self._hidden:
                # What follows is to know that there are thoughts.
                self._hidden, self._tells_hidden = False, False
                events.append(ReasoningDelta(""))
            if self.failure is not None:
                break
        return events

    def feed_rest(self, payloads: Sequence[bytes]) -> list[Event]:
        """What the end of the stream left of its last event: nothing is missing if only that is cut off."""
        self._at_rest = True
        return self.feed(payloads)

    def finish(self) -> list[Event]:
        """The end of a complete turn; an answer that says nothing is one.

        Raises what the site reported, :class:`UpstreamEmpty` if there was nothing of use at all, or
        :class:`UpstreamIncomplete`.
        """
        if self.failure is not None:
            raise self.failure
        if self._malformed or self._unknown or self._contradictions:
            _log.debug(
                "turn in thread %s: %d malformed and %d unknown events, %d contradictions",
                self.thread_id,
                self._malformed,
                self._unknown,
                self._contradictions,
                extra=log_fields(self._request_id),
            )
        if self._cards and self._speaking is None:
            raise self._failure_of_cards()
        if not (self._useful or self._begun):
            raise UpstreamEmpty(
                "gpt-oss.com sent nothing that could be read."
                if self._malformed
                else "gpt-oss.com ended the answer before it began."
            )
        complete = self.complete
        if not complete and not self.answered:
            raise UpstreamIncomplete("gpt-oss.com ended the answer before it was complete.")
        if self._gap:
            raise UpstreamIncomplete(
                "gpt-oss.com sent an event that cannot be read: the answer has a gap. Ask again."
            )
        if not complete:
            _log.debug(
                "turn in thread %s ended without the formal end of its answer",
                self.thread_id,
                extra=log_fields(self._request_id),
            )
        return [Finished("stop")]

    # -- events ----------------------------------------------------------------------------------

    def _read(self, payload: bytes, events: list[Event]) -> None:
        try:
            event = decode_event(payload)
        except _NOT_JSON:
            self._read_leniently(payload, events)
            return
        kind, update = event.type, event.update
        if self.thread_id is None:
            self.thread_id = event.thread_named
        if not self._useful:
            self._useful = kind.startswith("thread.")
        if update is not None and kind in _UPDATED:
            item_id = event.old_item_id or event.item_id or ""
            if (index := update.old_content_index) is None and (index := update.old_entry_index) is None:
                index = update.new_index
            delta = update.delta
            if update.type != _TEXT_DELTA:
                self._update(item_id, index, update, events)
            elif delta is not None and self._hear(item_id, index or 0, delta, events):
                self._same = _before_delta(payload, delta)
        elif event.item is not None and (done := _SHOWN.get(kind)) is not None:
            self._item(event.item, events, done=done)
        elif kind == _TITLED:
            self._titled = self._answers > 0
        elif kind not in _IDLE:
            self._read_leniently(payload, events)

    def _read_leniently(self, payload: bytes, events: list[Event]) -> None:
        """What has not the form of the frequent events, or is not even JSON."""
        try:
            event = _decode_any(payload)
        except _NOT_JSON:
            self._read_loosely(payload, events)
        else:
            self._event(event, events)

    def _read_loosely(self, payload: bytes, events: list[Event]) -> None:
        """What a strict reader refuses: nearly JSON, or several events in one."""
        self._loose = True
        try:
            for event in read_values(payload):
                if event is not DONE:
                    self._event(event, events)
                if self.failure is not None:
                    return
        except Unreadable:
            self._miss()

    def _stray(self, lines: bytes) -> None:
        """An object outside of any event: an error that was written plainly, or something that is lost."""
        try:
            for value in read_values(lines):
                if isinstance(value, dict) and value.get("error") and "type" not in value:
                    self._event(value, [])
                    return
        except Unreadable:
            pass
        self._miss()

    def _miss(self) -> None:
        """Something that may have been text is lost; what the end cut off is judged by the end."""
        self._malformed += 1
        self._same = b""
        self._gap |= not (self._at_rest or self.complete)

    def _event(self, event: object, events: list[Event]) -> None:
        if not isinstance(event, dict):
            self._unknown += 1
            return
        if self.thread_id is None:
            self.thread_id = thread_of(event)
        kind = event.get("type")
        if not isinstance(kind, str):
            kind = "error" if event.get("error") else ""
        if not self._useful:
            self._useful = kind.startswith("thread.")
        if kind in _UPDATED:
            self._any_update(event, event.get("update"), events)
        elif (done := _SHOWN.get(kind)) is not None:
            item = event.get("item")
            if isinstance(item, dict):
                self._item(item_of(item), events, done=done)
            else:
                self._unknown += 1
        elif kind in _IDLE:
            pass
        elif kind == _TITLED:
            self._titled = self._answers > 0
        elif kind in _REMOVED:
            self._remove(item_id_of(event))
        elif kind == "error":
            self._fail(event)
        elif kind.startswith(("assistant_message.", "cot.", "workflow.")):
            self._any_update(event, event, events)
        else:
            self._unknown += 1

    def _fail(self, event: Mapping[str, Any]) -> None:
        if self.complete:
            _log.debug(
                "an error after the complete answer in thread %s is ignored",
                self.thread_id,
                extra=log_fields(self._request_id),
            )
        else:
            self.failure = failure_of_error_event(event, self._redact)

    def _item(self, item: Item, events: list[Event], *, done: bool) -> None:
        item_id = item.id
        match item.type:
            case "assistant_message":
                texts = [part.text for part in item.content] if item.content else []
                self._message(item_id, texts, events, done=done)
                return
            case "cot":
                self._think(item_id, done=done)
                for index, entry in enumerate(item.entries or ()):
                    if entry.type == _THOUGHT:
                        self._block(item_id, index, entry.content or entry.summary or "", events, final=True)
            case "workflow":
                self._think(item_id, done=done)
                for index, task in enumerate((item.workflow and item.workflow.tasks) or ()):
                    self._task(item_id, index, task, events, final=done)
            case "widget":
                self._card(item_id, item.widget)
            case "end_of_turn":
                self._titled = self._answers > 0
            case _:
                pass
        self._other_items.add(item_id)

    def _any_update(self, event: Mapping[str, Any], update: object, events: list[Event]) -> None:
        """An update in the form of any JSON, of the item that ``event`` names."""
        if not isinstance(update, dict):
            self._unknown += 1
            return
        item_id, said = item_id_of(event), update_of(update)
        if said.type != _TEXT_DELTA:
            self._update(item_id, said.content_index, said, events)
        elif isinstance(update.get("delta"), str | None):
            self._hear(item_id, said.content_index or 0, said.delta or "", events)
        else:
            self._miss()

    def _update(self, item_id: str, index: int | None, update: Update, events: list[Event]) -> None:
        """Whatever changed of an item, but for a delta of text."""
        match update.type:
            case "assistant_message.content_part.added" | "assistant_message.content_part.done":
                done = update.type.endswith(".done")
                text = "" if update.content is None else update.content.text
                message = self._messages.get(item_id) if item_id else self._under_way()
                if message is None and done and text and item_id not in self._other_items:
                    message = self._open(item_id, announced=False)
                if message is not None:
                    self._whole(item_id, message, index or 0, text, events)
                    message.part_done = done
            case "cot.entry_added" | "cot.entry_updated":
                self._entry(item_id, index, update.entry, events)
            case "workflow.task.added" | "workflow.task.updated":
                self._task(item_id, index, update.task, events, final=False)
            case "widget.root.updated":
                self._card(item_id, update.widget)
            case "assistant_message.content_part.annotation_added":
                pass
            case _:
                self._unknown += 1

    def _card(self, item_id: str, widget: object) -> None:
        self._cards[item_id] = _words_of(widget)
        self._wants_login = isinstance(self._failure_of_cards(), UpstreamLoginRequired)

    def _failure_of_cards(self) -> GatewayError:
        return failure_of_card([word for words in self._cards.values() for word in words], self._redact)

    def _remove(self, item_id: str) -> None:
        self._thinking.discard(item_id)
        if (message := self._messages.pop(item_id, None)) is not None and message.done:
            self._answers -= 1

    # -- text --------------------------------------------------------------------------------------

    def _hear(self, item_id: str, index: int, delta: str, events: list[Event]) -> bool:
        """Sends a delta; whether one more of its part would need no more than to be sent."""
        if not delta:
            return False
        if self._loose or self._gap:
            self._hear_carefully(item_id, index, delta, events)
            return False
        if item_id != self._speaking_id or index != self._speaking_index or self._speaking is None:
            message = self._messages.get(item_id) if item_id else self._under_way()
            if message is None:
                if item_id in self._other_items:
                    self._unknown += 1
                    return False
                message = self._open(item_id, announced=False)
            return self._say(item_id, message, index, delta, events)
        if self._speaking.done:
            self._contradictions += 1
            return False
        self._speaking.part_done = False
        self._pieces.append(delta)
        events.append(TextDelta(delta))
        return True

    def _hear_carefully(self, item_id: str, index: int, delta: str, events: list[Event]) -> None:
        """Sends a delta with its characters whole; after a gap it waits for the full text."""
        message = self._messages.get(item_id) if item_id else self._under_way()
        if message is None:
            if item_id in self._other_items:
                self._unknown += 1
                return
            message = self._open(item_id, announced=False)
        text = message.halves.setdefault(index, HalfJoiner()).feed(delta)
        if self._gap:
            message.part_done = False
            message.held.setdefault(index, []).append(text)
        elif text:
            self._say(item_id, message, index, text, events)

    def _say(self, item_id: str, message: _Message, index: int, text: str, events: list[Event]) -> bool:
        """Sends text and makes its part the speaking one, unless its message is done."""
        if message.done:
            self._contradictions += 1
            return False
        separator = "\n\n" if self._speaking is not None and self._speaking is not message else ""
        message.part_done = False
        self._speaking = message
        self._speaking_id = item_id
        self._speaking_index = index
        self._pieces = message.parts.setdefault(index, [])
        self._pieces.append(text)
        events.append(TextDelta(separator + text))
        return True

    def _whole(self, item_id: str, message: _Message, index: int, text: str, events: list[Event]) -> None:
        """The full text of a part: sends what is missing at the end of what was sent."""
        pieces = message.parts.get(index)
        sent = "".join(pieces) if pieces else ""
        if self._loose:
            text = joined(text)
        if text == sent or message.done:
            return
        held = message.held.pop(index, ()) if text else ()
        if held and text == sent + "".join(held):
            for piece in held:
                self._say(item_id, message, index, piece, events)
            return
        # What comes late can only be appended while nothing else was said in between.
        is_last = not sent or pieces is self._pieces
        if not is_last or not text.startswith(sent):
            self._contradictions += 1
            return
        self._say(item_id, message, index, text[len(sent) :], events)

    def _message(self, item_id: str, texts: list[str], events: list[Event], *, done: bool) -> None:
        if self._loose:
            texts = [joined(text) for text in texts]
        message = self._messages.get(item_id)
        if message is None:
            message = self._adopt(item_id, texts) if done else None
        if message is None:
            message = self._open(item_id, announced=True)
        message.announced = True
        says = message.says(texts)
        if not says:
            for index, text in enumerate(texts):
                self._whole(item_id, message, index, text, events)
        if done and not message.done:
            if says or message.says(texts):
                self._gap = False
            elif self._loose:
                events += [TextDelta(rest) for each in message.halves.values() if (rest := each.finish())]
            message.done = True
            message.parts = {}
            self._answers += 1
            self._titled = False
            self._thinking.clear()
            for other in self._messages.values():
                # Nothing else will end an item that was never announced.
                other.done = other.done or not other.announced

    def _under_way(self) -> _Message | None:
        """What an update belongs to that names no item."""
        return next(
            (message for message in reversed(self._messages.values()) if not message.done),
            None,
        )

    def _open(self, item_id: str, *, announced: bool) -> _Message:
        self._begun = True
        self._titled = False
        self._messages[item_id] = message = _Message(announced=announced)
        return message

    def _adopt(self, item_id: str, texts: list[str]) -> _Message | None:
        """The message that was only heard under another id, or none, and now ends under this one."""
        for heard_as, message in self._messages.items():
            if message.announced or message.done:
                continue
            sent = {index: "".join(pieces) for index, pieces in message.parts.items()}
            if all(index < len(texts) and texts[index].startswith(text) for index, text in sent.items()):
                del self._messages[heard_as]
                self._messages[item_id] = message
                return message
        return None

    # -- reasoning ---------------------------------------------------------------------------------

    def _think(self, item_id: str, *, done: bool) -> None:
        self._begun = True
        self._hidden = self._tells_hidden
        if done:
            self._thinking.discard(item_id)
        else:
            self._thinking.add(item_id)

    def _entry(self, item_id: str, index: int | None, entry: Step | None, events: list[Event]) -> None:
        """An entry of the old dialect: a whole thought, or the recap, which says nothing."""
        self._begun = True
        self._hidden = self._tells_hidden
        if entry is None or entry.type != _THOUGHT:
            return
        if index is None:
            index = sum(1 for known, _ in self._blocks if known == item_id)
        self._block(item_id, index, entry.content or entry.summary or "", events, final=True)

    def _task(
        self, item_id: str, index: int | None, task: Step | None, events: list[Event], *, final: bool
    ) -> None:
        """A task of the new dialect; its content is everything so far, which may also shrink."""
        self._begun = True
        self._hidden = self._tells_hidden
        if task is not None and task.type == _THOUGHT:
            self._block(item_id, index or 0, task.content or "", events, final=final)

    def _block(self, item_id: str, index: int, text: str, events: list[Event], *, final: bool) -> None:
        if self._loose:
            # What is not final is sent again, with what its last character lacks.
            halves = HalfJoiner()
            text = halves.feed(text) + (halves.finish() if final else "")
        key = (item_id, index)
        block = self._blocks.get(key)
        if block is None:
            block = self._blocks[key] = _Block()
        sent = block.sent
        if len(text) > len(block.longest) and text.startswith(sent):
            block.longest = text
        if final:
            # The finished form may hold less than was seen on the way
            # (docs/design/gpt-oss-com.md, "Bytes of the SDK").
            if not text.startswith(sent):
                self._contradictions += 1
            text = block.longest
        if len(text) <= len(sent) or not text.startswith(sent):
            return
        if not sent and text.strip() == "Done":
            return
        if self._last_block is block:
            piece = text[len(sent) :]
        elif sent and not final:
            # Another thought has begun since; the rest of this one waits for its end.
            return
        else:
            piece = text[len(sent) :] if self._last_block is None else "\n\n" + text[len(sent) :]
            self._last_block = block
        block.sent = text
        if self._show_reasoning:
            events.append(ReasoningDelta(piece))


def _before_delta(payload: bytes, delta: str) -> bytes:
    """The payload up to its delta, if nothing but ``_AFTER_DELTA`` follows that; else nothing."""
    start = payload.rfind(_BEFORE_DELTA) + len(_BEFORE_DELTA)
    try:
        alone = payload.endswith(_AFTER_DELTA) and _decode_text(payload[start : -len(_AFTER_DELTA)]) == delta
    except _NOT_JSON:
        alone = False
    return payload[:start] if alone else b""


def _words_of(widget: object) -> list[str]:
    """The visible words of a widget, from anywhere inside it, in reading order."""
    words: list[str] = []
    stack = [widget]
    while stack:
        node = stack.pop()
        if isinstance(node, dict):
            words.extend(node[key] for key in _CARD_KEYS if isinstance(node.get(key), str) and node[key])
            stack.extend(reversed(node.values()))
        elif isinstance(node, list):
            stack.extend(reversed(node))
    return words
