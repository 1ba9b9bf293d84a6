"""The events of one turn in both ChatKit dialects, key for key as the servers send them.

Sources: docs/design/gpt-oss-com.md, "Events of the website" (old dialect) and "Bytes of the SDK" (new).
"""

import random
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from typing import Any, ClassVar

from .answers import SIGN_IN_TEXT, SIGN_IN_TITLE, Answer, At, Comment, Event, Pause, Step

Json = dict[str, Any]

RECAP = "Thought for a couple of seconds"
# Longest delta seen: 20 characters, mean 4.0 (docs/design/gpt-oss-com.md, "The answer").
_DELTA_SIZES = (1, 2, 3, 4, 5, 6, 8, 12, 20)
_DELTA_WEIGHTS = (12, 16, 22, 20, 12, 8, 6, 3, 1)


class Ids:
    """Identifiers of the forms the site uses, reproducible from a seed."""

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng

    def _hex(self, digits: int) -> str:
        return f"{self._rng.getrandbits(digits * 4):0{digits}x}"

    def thread(self) -> str:
        return "thr_" + self._hex(8)

    def item(self) -> str:
        return "msg_" + self._hex(8)

    def model_item(self) -> str:
        return "msg_" + self._hex(48)

    def reasoning_item(self) -> str:
        return "rs_" + self._hex(48)

    def workflow(self) -> str:
        return "wf_" + self._hex(8)

    def user(self) -> str:
        digits = self._hex(32)
        return "-".join((digits[:8], digits[8:12], "4" + digits[13:16], "a" + digits[17:20], digits[20:]))


def token_like(text: str, seed: object = 0) -> list[str]:
    """``text`` cut into pieces as long as the site's deltas, the same way for the same seed."""
    rng = random.Random(f"{seed}:{text}")
    pieces: list[str] = []
    position = 0
    while position < len(text):
        size = rng.choices(_DELTA_SIZES, _DELTA_WEIGHTS)[0]
        pieces.append(text[position : position + size])
        position += size
    return pieces


class Transcript(ABC):
    """One turn's events. ``clock`` gives the UTC time without a zone; ``speed`` scales real pauses."""

    dialect: ClassVar[str]

    def __init__(
        self,
        *,
        prompt: str,
        thread_id: str,
        thread_created_at: datetime,
        new_thread: bool,
        show_reasoning: bool,
        ids: Ids,
        clock: Callable[[], datetime],
        speed: float = 0.0,
        seed: object = 0,
    ) -> None:
        self.prompt = prompt
        self.thread_id = thread_id
        self.thread_created_at = thread_created_at
        self.new_thread = new_thread
        self.show_reasoning = show_reasoning
        self.ids = ids
        self.clock = clock
        self.speed = speed
        self.seed = seed

    def now(self) -> str:
        return self.clock().isoformat(timespec="microseconds")

    def natural_pause(self, seconds: float) -> Iterator[Step]:
        if self.speed > 0 and seconds > 0:
            yield Pause(seconds * self.speed)

    def steps(self, answer: Answer) -> Iterator[Step]:
        """The whole turn, with the steps that ``answer.at`` puts at its marks."""
        play = answer.script(self, answer) if answer.script is not None else self.play(answer)
        for step in play:
            yield step
            if isinstance(step, At):
                yield from answer.at.get(step.mark, ())

    def play(self, answer: Answer) -> Iterator[Step]:
        """The ordinary course of a turn (docs/design/gpt-oss-com.md, "Order")."""
        yield At("headers")
        yield from self.opening()
        if answer.think:
            yield Pause(answer.think)
        yield from self.natural_pause(5.0)
        if answer.reasoning or answer.recap_only:
            shown = self.show_reasoning and not answer.recap_only
            yield from self.reasoning(tuple(answer.reasoning) if shown else ())
        yield At("reasoned")
        yield from self.natural_pause(0.3)
        yield from self.message(answer)
        yield At("done")
        yield from self.natural_pause(0.5)
        yield self.thread_updated(answer.title or self.usual_title())
        yield At("end")

    def opening(self) -> Iterator[Step]:
        if self.new_thread:
            yield self.thread_created()
            yield from self.after_created()
        yield At("created")
        yield self.user_item()
        yield from self.after_user_item()
        yield At("opened")

    def message(self, answer: Answer) -> Iterator[Step]:
        item_id = self.message_id()
        started = self.now()
        yield self.message_added(item_id, started)
        yield self.part_added(item_id, 0)
        yield At("message")
        deltas = answer.deltas if answer.deltas is not None else token_like(answer.text, self.seed)
        half = max(1, len(deltas) // 2)
        for number, delta in enumerate(deltas, start=1):
            if number > 1 and answer.pace:
                yield Pause(answer.pace)
            elif number > 1:
                yield from self.natural_pause(1 / 60)
            yield self.delta(item_id, 0, delta)
            if number == half:
                yield At("half")
        yield At("deltas")
        full = answer.full_text if answer.full_text is not None else answer.text
        yield self.part_done(item_id, 0, full)
        yield At("part_done")
        yield self.message_done(item_id, started, [full])

    def usual_title(self) -> str:
        return " ".join(self.prompt.split()[:5])[:60] or "New chat"

    def sign_in_card(self) -> Event:
        """The login card, its text as documented (docs/design/gpt-oss-com.md, "Sign-in card")."""
        return self.widget({"type": "Card", "children": [{"value": SIGN_IN_TITLE}, {"value": SIGN_IN_TEXT}]})

    # Where the dialects are alike apart from names

    def part_added(self, item_id: str, index: int) -> Event:
        return self.item_updated(
            item_id,
            {
                "type": "assistant_message.content_part.added",
                self.content_index: index,
                "content": _output_text(""),
            },
        )

    def delta(self, item_id: str, index: int, delta: str) -> Event:
        return self.item_updated(
            item_id,
            {
                "type": "assistant_message.content_part.text_delta",
                self.content_index: index,
                "delta": delta,
            },
        )

    def part_done(self, item_id: str, index: int, text: str) -> Event:
        return self.item_updated(
            item_id,
            {
                "type": "assistant_message.content_part.done",
                self.content_index: index,
                "content": _output_text(text),
            },
        )

    content_index: ClassVar[str]

    @abstractmethod
    def message_id(self) -> str: ...
    @abstractmethod
    def thread_created(self) -> Event: ...
    @abstractmethod
    def thread_updated(self, title: str) -> Event: ...
    @abstractmethod
    def after_created(self) -> Iterator[Step]: ...
    @abstractmethod
    def after_user_item(self) -> Iterator[Step]: ...
    @abstractmethod
    def user_item(self) -> Event: ...
    @abstractmethod
    def item_updated(self, item_id: str, update: Json) -> Event: ...
    @abstractmethod
    def reasoning(self, blocks: Sequence[str]) -> Iterator[Step]: ...
    @abstractmethod
    def message_added(self, item_id: str, started: str) -> Event: ...
    @abstractmethod
    def message_done(self, item_id: str, started: str, parts: Sequence[str]) -> Event: ...
    @abstractmethod
    def widget(self, widget: Json) -> Event: ...


class OldTranscript(Transcript):
    """The website's own dialect: underscores and camelCase."""

    dialect = "old"
    content_index = "contentIndex"

    def item_event(self, kind: str, item: Json) -> Event:
        return Event({"type": kind, "threadId": self.thread_id, "item": item})

    def item_updated(self, item_id: str, update: Json) -> Event:
        return Event(
            {
                "type": "thread.item_updated",
                "threadId": self.thread_id,
                "itemId": item_id,
                "update": update,
            }
        )

    def _thread(self) -> Json:
        return {"id": self.thread_id, "created_at": self.thread_created_at.isoformat(timespec="microseconds")}

    def message_id(self) -> str:
        return self.ids.model_item()

    def thread_created(self) -> Event:
        return Event(
            {"type": "thread.created", "thread": {"items": {"data": [], "hasMore": False}, **self._thread()}}
        )

    def thread_updated(self, title: str) -> Event:
        return Event(
            {
                "type": "thread.updated",
                "thread": {"items": {"data": [], "hasMore": False}, "title": title, **self._thread()},
            }
        )

    def after_created(self) -> Iterator[Step]:
        yield Comment()

    def after_user_item(self) -> Iterator[Step]:
        yield from ()

    def user_item(self) -> Event:
        return self.item_event(
            "thread.item_done",
            {
                "id": self.ids.item(),
                "created_at": self.now(),
                "type": "user_message",
                "content": [{"type": "input_text", "text": self.prompt}],
                "attachments": [],
                "quoted_text": "",
                "text": self.prompt,
            },
        )

    def cot_added(self, item_id: str) -> Event:
        return self.item_event(
            "thread.item_added", {"type": "cot", "id": item_id, "created_at": self.now(), "entries": []}
        )

    def cot_done(self, item_id: str, entries: Sequence[Json]) -> Event:
        return self.item_event(
            "thread.item_done",
            {"type": "cot", "id": item_id, "created_at": self.now(), "entries": list(entries)},
        )

    def cot_entry(self, item_id: str, index: int, entry: Json) -> Event:
        return self.item_updated(item_id, {"type": "cot.entry_added", "entryIndex": index, "entry": entry})

    def stray_part(self) -> Event:
        """The model server's reasoning item leaking through (docs/design/gpt-oss-com.md, "Stray updates")."""
        return self.part_added(self.ids.reasoning_item(), 0)

    def reasoning(self, blocks: Sequence[str]) -> Iterator[Step]:
        item_id = self.ids.item()
        yield self.cot_added(item_id)
        yield self.stray_part()
        yield At("thinking")
        entries = [thought_entry(block) for block in blocks] + [recap_entry()]
        for index, entry in enumerate(entries):
            yield from self.natural_pause(0.3)
            yield self.cot_entry(item_id, index, entry)
        yield self.cot_done(item_id, entries)

    def message_added(self, item_id: str, started: str) -> Event:
        return self.item_event(
            "thread.item_added",
            {"id": item_id, "created_at": started, "type": "assistant_message", "content": []},
        )

    def message_done(self, item_id: str, started: str, parts: Sequence[str]) -> Event:
        # The time is the event's, not the item's (docs/design/gpt-oss-com.md, "The answer").
        return self.item_event(
            "thread.item_done",
            {
                "id": item_id,
                "created_at": self.now(),
                "type": "assistant_message",
                "content": [_output_text(part) for part in parts],
            },
        )

    def widget(self, widget: Json) -> Event:
        return self.item_event(
            "thread.item_done",
            {"id": self.ids.item(), "created_at": self.now(), "type": "widget", "widget": widget},
        )


class NewTranscript(Transcript):
    """The public SDK's dialect: dots and snake_case."""

    dialect = "new"
    content_index = "content_index"

    def item_event(self, kind: str, item_id: str, created_at: str, rest: Json) -> Event:
        head = {"id": item_id, "thread_id": self.thread_id, "created_at": created_at}
        return Event({"type": kind, "item": {**head, **rest}})

    def item_updated(self, item_id: str, update: Json) -> Event:
        return Event({"type": "thread.item.updated", "item_id": item_id, "update": update})

    def _thread(self) -> Json:
        return {
            "id": self.thread_id,
            "created_at": self.thread_created_at.isoformat(timespec="microseconds"),
            "status": {"type": "active"},
            "metadata": {},
            "items": {"data": [], "has_more": False},
        }

    def message_id(self) -> str:
        return self.ids.item()

    def thread_created(self) -> Event:
        return Event({"type": "thread.created", "thread": self._thread()})

    def thread_updated(self, title: str) -> Event:
        return Event({"type": "thread.updated", "thread": {"title": title, **self._thread()}})

    def after_created(self) -> Iterator[Step]:
        yield from ()

    def after_user_item(self) -> Iterator[Step]:
        yield Event({"type": "stream_options", "stream_options": {"allow_cancel": True}})

    def user_item(self) -> Event:
        return self.item_event(
            "thread.item.done",
            self.ids.item(),
            self.now(),
            {
                "type": "user_message",
                "content": [{"type": "input_text", "text": self.prompt}],
                "attachments": [],
                "quoted_text": "",
                "inference_options": {},
            },
        )

    def workflow_added(self, item_id: str, started: str) -> Event:
        workflow: Json = {"type": "reasoning", "tasks": [], "expanded": False}
        return self.item_event(
            "thread.item.added", item_id, started, {"type": "workflow", "workflow": workflow}
        )

    def workflow_done(self, item_id: str, started: str, thoughts: Sequence[str]) -> Event:
        workflow = {
            "type": "reasoning",
            "tasks": [thought_task(thought) for thought in thoughts],
            "summary": {"duration": 2},
            "expanded": False,
        }
        return self.item_event(
            "thread.item.done", item_id, started, {"type": "workflow", "workflow": workflow}
        )

    def task(self, item_id: str, index: int, content: str, *, added: bool) -> Event:
        return self.item_updated(
            item_id,
            {
                "type": "workflow.task.added" if added else "workflow.task.updated",
                "task_index": index,
                "task": thought_task(content),
            },
        )

    def reasoning(self, blocks: Sequence[str]) -> Iterator[Step]:
        item_id, started = self.ids.workflow(), self.now()
        yield self.workflow_added(item_id, started)
        yield At("thinking")
        for index, block in enumerate(blocks):
            third = max(1, len(block) // 3)
            yield self.task(item_id, index, block[:third], added=True)
            for end in (2 * third, len(block)):
                yield from self.natural_pause(0.1)
                yield self.task(item_id, index, block[:end], added=False)
        yield self.workflow_done(item_id, started, blocks)

    def message_added(self, item_id: str, started: str) -> Event:
        return self.item_event(
            "thread.item.added", item_id, started, {"type": "assistant_message", "content": []}
        )

    def message_done(self, item_id: str, started: str, parts: Sequence[str]) -> Event:
        content = [_output_text(part) for part in parts]
        return self.item_event(
            "thread.item.done", item_id, started, {"type": "assistant_message", "content": content}
        )

    def widget(self, widget: Json) -> Event:
        return self.item_event(
            "thread.item.done", self.ids.item(), self.now(), {"type": "widget", "widget": widget}
        )


def thought_entry(content: str) -> Json:
    return {"type": "thought", "summary": "", "content": content}


def recap_entry() -> Json:
    return {"type": "recap", "summary": RECAP, "content": "Done"}


def thought_task(content: str) -> Json:
    return {"status_indicator": "none", "type": "thought", "content": content}


def _output_text(text: str) -> Json:
    return {"annotations": [], "text": text, "type": "output_text"}
