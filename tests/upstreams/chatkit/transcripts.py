"""Event streams of the two ChatKit dialects, built by hand for the tests of this room."""

import json
from collections.abc import Iterable, Sequence
from typing import Any

from gptoss_api.core.events import Event, ReasoningDelta, TextDelta

Json = dict[str, Any]
THREAD = "thr_0a1b2c3d"
MESSAGE = "msg_" + "5" * 48
THINKING = "msg_0000aaaa"


def sse(*events: Json | str, end: str = "\n", space: str = " ") -> bytes:
    """The bytes of a stream; a string stands for a raw block, such as a comment."""
    blocks = [
        event if isinstance(event, str) else f"data:{space}" + json.dumps(event, ensure_ascii=False)
        for event in events
    ]
    return "".join(block + end + end for block in blocks).encode()


def payloads(*events: Json) -> list[bytes]:
    return [json.dumps(event, ensure_ascii=False).encode() for event in events]


def text_of(events: Iterable[Event]) -> str:
    return "".join(event.text for event in events if isinstance(event, TextDelta))


def reasoning_of(events: Iterable[Event]) -> str:
    return "".join(event.text for event in events if isinstance(event, ReasoningDelta))


def output_text(text: str) -> Json:
    return {"annotations": [], "text": text, "type": "output_text"}


class Old:
    """The site's dialect: underscores and camelCase."""

    def created(self) -> Json:
        thread = {"items": {"data": [], "hasMore": False}, "id": THREAD, "created_at": "2025-08-06T12:00:00"}
        return {"type": "thread.created", "thread": thread}

    def titled(self, title: str = "A title") -> Json:
        return {"type": "thread.updated", "thread": {"title": title, "id": THREAD}}

    def user(self, text: str = "hello") -> Json:
        return self.done({"id": "msg_1f8aa048", "type": "user_message", "text": text} | self._content(text))

    def added(self, item: Json) -> Json:
        return {"type": "thread.item_added", "threadId": THREAD, "item": item}

    def done(self, item: Json) -> Json:
        return {"type": "thread.item_done", "threadId": THREAD, "item": item}

    def update(self, item_id: str, **update: Any) -> Json:
        return {"type": "thread.item_updated", "threadId": THREAD, "itemId": item_id, "update": update}

    def message_added(self, item_id: str = MESSAGE) -> Json:
        return self.added({"id": item_id, "type": "assistant_message", "content": []})

    def message_done(self, *texts: str, item_id: str = MESSAGE) -> Json:
        content = [output_text(text) for text in texts]
        return self.done({"id": item_id, "type": "assistant_message", "content": content})

    def part_added(self, item_id: str = MESSAGE, index: int = 0, text: str = "") -> Json:
        return self._part("added", item_id, index, content=output_text(text))

    def delta(self, text: str, item_id: str = MESSAGE, index: int = 0) -> Json:
        return self._part("text_delta", item_id, index, delta=text)

    def part_done(self, text: str, item_id: str = MESSAGE, index: int = 0) -> Json:
        return self._part("done", item_id, index, content=output_text(text))

    def thinking_added(self, item_id: str = THINKING) -> Json:
        return self.added({"type": "cot", "id": item_id, "entries": []})

    def thought(self, index: int, text: str, item_id: str = THINKING) -> Json:
        entry = {"type": "thought", "summary": "", "content": text}
        return self.update(item_id, type="cot.entry_added", entryIndex=index, entry=entry)

    def recap(self, index: int, item_id: str = THINKING) -> Json:
        return self.update(item_id, type="cot.entry_added", entryIndex=index, entry=self.recap_entry())

    def thinking_done(self, *thoughts: str, item_id: str = THINKING) -> Json:
        entries = [{"type": "thought", "summary": "", "content": text} for text in thoughts]
        return self.done({"type": "cot", "id": item_id, "entries": [*entries, self.recap_entry()]})

    def thinking(self, *thoughts: str) -> list[Json]:
        """A whole reasoning item, as it comes."""
        updates = [self.thought(index, text) for index, text in enumerate(thoughts)]
        return [self.thinking_added(), *updates, self.recap(len(thoughts)), self.thinking_done(*thoughts)]

    def message(self, deltas: Sequence[str], item_id: str = MESSAGE) -> list[Json]:
        """A whole assistant item, as it comes."""
        text = "".join(deltas)
        return [
            self.message_added(item_id),
            self.part_added(item_id),
            *(self.delta(delta, item_id) for delta in deltas),
            self.part_done(text, item_id),
            self.message_done(text, item_id=item_id),
        ]

    def opening(self) -> list[Json]:
        return [self.created(), self.user()]

    def widget(self, *children: Any) -> Json:
        return self.done({"id": "w1", "type": "widget", "widget": {"type": "Card", "children": [*children]}})

    @staticmethod
    def recap_entry() -> Json:
        return {"type": "recap", "summary": "Thought for a couple of seconds", "content": "Done"}

    def _part(self, what: str, item_id: str, index: int, **rest: Any) -> Json:
        kind = f"assistant_message.content_part.{what}"
        return self.update(item_id, type=kind, contentIndex=index, **rest)

    @staticmethod
    def _content(text: str) -> Json:
        return {"content": [{"type": "input_text", "text": text}], "attachments": [], "quoted_text": ""}


class New(Old):
    """The public SDK's dialect: dots and snake_case, reasoning as a workflow of cumulative tasks."""

    def created(self) -> Json:
        thread = {"id": THREAD, "status": {"type": "active"}, "items": {"data": [], "has_more": False}}
        return {"type": "thread.created", "thread": thread}

    def added(self, item: Json) -> Json:
        return {"type": "thread.item.added", "item": item | {"thread_id": THREAD}}

    def done(self, item: Json) -> Json:
        return {"type": "thread.item.done", "item": item | {"thread_id": THREAD}}

    def update(self, item_id: str, **update: Any) -> Json:
        return {"type": "thread.item.updated", "item_id": item_id, "update": update}

    def thinking_added(self, item_id: str = THINKING) -> Json:
        return self.added({"id": item_id, "type": "workflow", "workflow": {"type": "reasoning", "tasks": []}})

    def task(self, index: int, text: str, *, added: bool = False, item_id: str = THINKING) -> Json:
        kind = f"workflow.task.{'added' if added else 'updated'}"
        return self.update(item_id, type=kind, task_index=index, task=_task(text))

    def thought(self, index: int, text: str, item_id: str = THINKING) -> Json:
        return self.task(index, text, item_id=item_id)

    def thinking_done(self, *thoughts: str, item_id: str = THINKING) -> Json:
        workflow = {"type": "reasoning", "tasks": [_task(text) for text in thoughts]}
        summary = {"summary": {"duration": 2}, "expanded": False}
        return self.done({"id": item_id, "type": "workflow", "workflow": workflow | summary})

    def thinking(self, *thoughts: str) -> list[Json]:
        updates: list[Json] = []
        for index, text in enumerate(thoughts):
            middle = len(text) // 2
            updates += self.task(index, text[:middle], added=True), self.task(index, text)
        return [self.thinking_added(), *updates, self.thinking_done(*thoughts)]

    def opening(self) -> list[Json]:
        options = {"type": "stream_options", "stream_options": {"allow_cancel": True}}
        return [self.created(), self.user(), options]

    def _part(self, what: str, item_id: str, index: int, **rest: Any) -> Json:
        kind = f"assistant_message.content_part.{what}"
        return self.update(item_id, type=kind, content_index=index, **rest)


def _task(text: str) -> Json:
    return {"status_indicator": "none", "type": "thought", "content": text}


old = Old()
new = New()
