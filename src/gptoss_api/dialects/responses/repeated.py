"""Input items that the chain of earlier responses has already: clients send their whole history beside it."""

from collections.abc import Sequence
from typing import Any, Final

import msgspec

from ..fields import Fields

_Key = tuple[Any, ...]

_CALLS: Final = frozenset({"function_call", "custom_tool_call"})
_OUTPUTS: Final = frozenset({"function_call_output", "custom_tool_call_output"})


def without_known(items: Sequence[Fields], history: Sequence[dict[str, Any]]) -> list[Fields]:
    """``items`` without what ``history`` says: all of it at their beginning, or single items by their ids.

    Reasoning is not compared, as clients leave it out. Words that come again without an id are new words.
    """
    if not history:
        return list(items)
    rest = _after(items, [key for item in history if (key := _key(item)) is not None])
    ids = {item["id"]: item.get("type") for item in history if isinstance(item.get("id"), str)}
    calls = {_key(item) for item in history if item.get("type") in _CALLS | _OUTPUTS}
    return [
        item
        for item in rest
        if not (_type(item.members) in _CALLS | _OUTPUTS and _key(item.members) in calls)
        and not (_id(item.members) in ids and ids[_id(item.members)] == _type(item.members))
    ]


def _after(items: Sequence[Fields], known: list[_Key]) -> Sequence[Fields]:
    """What follows the whole of ``known`` in ``items``; all of them where they do not begin with it."""
    at = 0
    for index, item in enumerate(items):
        key = _key(item.members)
        if key is None:
            continue
        if at == len(known):
            return items[index:]
        if key != known[at]:
            return items
        at += 1
    return items


def _id(item: dict[str, Any]) -> str:
    identifier = item.get("id")
    return identifier if isinstance(identifier, str) else ""


def _type(item: dict[str, Any]) -> Any:
    return item.get("type") or ("message" if "role" in item else None)


def _key(item: dict[str, Any]) -> _Key | None:
    """What makes an item the same as another; ``None`` for reasoning."""
    match _type(item):
        case "reasoning":
            return None
        case "message":
            return "message", item.get("role"), _text(item.get("content"))
        case kind if kind in _CALLS:
            return kind, item.get("call_id"), item.get("name")
        case kind if kind in _OUTPUTS:
            return kind, item.get("call_id"), _text(item.get("output"))
        case kind:
            return kind, _id(item) or _text({key: value for key, value in item.items() if key != "status"})


def _text(content: Any) -> str:
    """The words of ``content``, in whatever parts they come."""
    if isinstance(content, str):
        return content.strip()
    if isinstance(content, list) and all(
        isinstance(part, dict) and isinstance(part.get("text"), str) for part in content
    ):
        return "\n".join(part["text"] for part in content).strip()
    return msgspec.json.encode(content, order="sorted").decode()
