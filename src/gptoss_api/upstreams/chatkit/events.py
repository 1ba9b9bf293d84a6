"""What an event of the stream says, in either dialect of ChatKit, and no more of it than an answer needs.

Whatever is of the expected form is decoded into :class:`StreamEvent`. What is not is read as any JSON; the
functions here find the same members in it, and take those of another type than expected for empty.
"""

from collections.abc import Mapping
from typing import Any, Final

import msgspec

from ...text.loose_json import joined


class Part(msgspec.Struct, gc=False):
    """One part of a message."""

    text: str = ""


class Step(msgspec.Struct, gc=False):
    """An entry of a thought in the old dialect, a task of a workflow in the new one."""

    type: str = ""
    content: str | None = None
    summary: str | None = None


class Workflow(msgspec.Struct, gc=False):
    tasks: list[Step] | None = None


class Item(msgspec.Struct, gc=False):
    """Something in a thread: a message, a thought, a card."""

    id: str = ""
    type: str = ""
    thread_id: str | None = None
    content: list[Part] | None = None
    entries: list[Step] | None = None
    workflow: Workflow | None = None
    widget: Any = None


class Update(msgspec.Struct, gc=False):
    """A change of an item; indexes are those of the part, entry or task that changed."""

    type: str
    delta: str | None = None
    content: Part | None = None
    entry: Step | None = None
    task: Step | None = None
    widget: Any = None
    old_content_index: int | None = msgspec.field(default=None, name="contentIndex")
    content_index: int | None = None
    old_entry_index: int | None = msgspec.field(default=None, name="entryIndex")
    entry_index: int | None = None
    task_index: int | None = None
    old_task_index: int | None = msgspec.field(default=None, name="taskIndex")

    @property
    def new_index(self) -> int | None:
        """The index by its name in the new dialect, whatever it is one of."""
        if (index := self.content_index) is not None or (index := self.entry_index) is not None:
            return index
        return self.old_task_index if self.task_index is None else self.task_index


class Thread(msgspec.Struct, gc=False):
    id: str | None = None


class StreamEvent(msgspec.Struct, gc=False):
    """One event; which members it has depends on its ``type``."""

    type: str
    update: Update | None = None
    item: Item | None = None
    thread: Thread | None = None
    old_thread_id: str | None = msgspec.field(default=None, name="threadId")
    thread_id: str | None = None
    old_item_id: str | None = msgspec.field(default=None, name="itemId")
    item_id: str | None = None

    @property
    def thread_named(self) -> str | None:
        """The id of the thread that it is about, if it tells."""
        return (
            self.old_thread_id
            or self.thread_id
            or (self.item.thread_id if self.item is not None else None)
            or (self.thread.id if self.thread is not None else None)
            or None
        )


decode_event: Final = msgspec.json.Decoder(StreamEvent).decode

_INDEXES: Final = ("contentIndex", "content_index", "entryIndex", "entry_index", "task_index", "taskIndex")


def thread_of(event: Mapping[str, Any]) -> str | None:
    """See :attr:`StreamEvent.thread_named`."""
    item, thread = event.get("item"), event.get("thread")
    found = (
        event.get("threadId"),
        event.get("thread_id"),
        item.get("thread_id") if isinstance(item, dict) else None,
        thread.get("id") if isinstance(thread, dict) else None,
    )
    for value in found:
        if isinstance(value, str) and value:
            return joined(value) or None
    return None


def item_id_of(event: Mapping[str, Any]) -> str:
    return _string(event.get("itemId")) or _string(event.get("item_id"))


def item_of(value: Mapping[str, Any]) -> Item:
    workflow = value.get("workflow")
    return Item(
        _string(value.get("id")),
        _string(value.get("type")),
        content=[_part_of(part) for part in _objects(value.get("content"))],
        entries=[_step_of(entry) for entry in _objects(value.get("entries"))],
        workflow=Workflow([_step_of(task) for task in _objects(workflow.get("tasks"))])
        if isinstance(workflow, dict)
        else None,
        widget=value.get("widget"),
    )


def update_of(value: Mapping[str, Any]) -> Update:
    index = next((found for key in _INDEXES if isinstance(found := value.get(key), int)), None)
    return Update(
        _string(value.get("type")),
        delta=_string(value.get("delta")),
        content=_part_of(value.get("content")),
        entry=_step_of(value.get("entry")),
        task=_step_of(value.get("task")),
        widget=value.get("widget"),
        content_index=index,
    )


def _part_of(value: object) -> Part:
    return Part(_string(value.get("text")) if isinstance(value, dict) else "")


def _step_of(value: object) -> Step:
    if not isinstance(value, dict):
        return Step()
    return Step(_string(value.get("type")), _string(value.get("content")), _string(value.get("summary")))


def _objects(value: object) -> list[Any]:
    return value if isinstance(value, list) else []


def _string(value: object) -> str:
    return value if isinstance(value, str) else ""
