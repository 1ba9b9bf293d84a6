"""Items as they are kept and listed: complete, each with its id."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from ..fields import Fields
from .items import item_type
from .objects import item_id

_PREFIXES: Final = {
    "message": "msg",
    "reasoning": "rs",
    "function_call": "fc",
    "function_call_output": "fco",
    "custom_tool_call": "ctc",
    "custom_tool_call_output": "ctco",
    "compaction": "cmp",
}
_WITH_STATUS: Final = frozenset({*_PREFIXES} - {"reasoning", "compaction"})


def input_items(
    items: Sequence[Fields], response_id: str, known: Mapping[str, dict[str, Any]]
) -> tuple[dict[str, Any], ...]:
    """The input items of a response in their stored form; references are replaced by what they name."""
    kept = []
    for index, item in enumerate(items):
        stored, prefix = item.made(_stored)
        if stored["type"] == "item_reference":
            stored = known[stored["id"]]
        elif prefix:
            # In its place, but each time its own.
            stored = stored | {"id": item_id(prefix, response_id, index)}
        kept.append(stored)
    return tuple(kept)


def _stored(item: Fields) -> tuple[dict[str, Any], str]:
    """The stored form of an item, and what an id begins with that it has yet to be given."""
    kind = item_type(item)
    prefix = ""
    stored = {name: value for name, value in item.members.items() if value is not None}
    stored["type"] = kind
    if not isinstance(stored.get("id"), str):
        prefix = _PREFIXES.get(kind, "item")
        stored["id"] = ""
    if kind in _WITH_STATUS:
        stored.setdefault("status", "completed")
    if kind == "message" and isinstance(stored.get("content"), str):
        part = {"type": "input_text", "text": stored["content"]}
        if stored.get("role") == "assistant":
            part = {"type": "output_text", "text": stored["content"], "annotations": []}
        stored["content"] = [part]
    if kind == "reasoning":
        stored.setdefault("summary", [])
    return stored, prefix
