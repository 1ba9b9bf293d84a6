"""Members of the site's events in either dialect; what has another type than expected counts as empty."""

from collections.abc import Mapping
from typing import Any, Final

from ...text.loose_json import joined

_CARD_KEYS: Final = ("value", "label", "text", "title")


def thread_of(event: Mapping[str, Any]) -> str | None:
    item, thread = event.get("item"), event.get("thread")
    found = (
        string(event.get("threadId"))
        or string(event.get("thread_id"))
        or (string(item.get("thread_id")) if isinstance(item, dict) else "")
        or (string(thread.get("id")) if isinstance(thread, dict) else "")
    )
    return joined(found) or None


def item_id_of(event: Mapping[str, Any]) -> str:
    return string(event.get("itemId")) or string(event.get("item_id"))


def index_of(update: Mapping[str, Any]) -> int | None:
    for key in ("contentIndex", "content_index", "entryIndex", "entry_index", "task_index", "taskIndex"):
        if isinstance(value := update.get(key), int):
            return value
    return None


def text_of(part: object) -> str:
    return string(part.get("text")) if isinstance(part, dict) else ""


def objects(value: object) -> list[Any]:
    return value if isinstance(value, list) else []


def string(value: object) -> str:
    return value if isinstance(value, str) else ""


def words_of(widget: object) -> list[str]:
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
