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
    return tuple([_stored(item, index, response_id, known) for index, item in enumerate(items)])


def _stored(
    item: Fields, index: int, response_id: str, known: Mapping[str, dict[str, Any]]
) -> dict[str, Any]:
    kind = item_type(item)
    if kind == "item_reference":
        return known[item.required_string("id")]
    stored = {name: value for name, value in item.members.items() if value is not None}
    stored["type"] = kind
    if not isinstance(stored.get("id"), str):
        stored["id"] = item_id(_PREFIXES.get(kind, "item"), response_id, index)
    if kind in _WITH_STATUS:
        stored.setdefault("status", "completed")
    if kind == "message" and isinstance(stored.get("content"), str):
        part = {"type": "input_text", "text": stored["content"]}
        if stored.get("role") == "assistant":
            part = {"type": "output_text", "text": stored["content"], "annotations": []}
        stored["content"] = [part]
    if kind == "reasoning":
        stored.setdefault("summary", [])
    return stored
