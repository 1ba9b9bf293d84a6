"""``context_management``: what of a conversation is left out before it goes up, and what was."""

from collections.abc import Sequence
from typing import Any, Final

from msgspec import Struct

from ...core.events import ContextEdited
from ...core.turn import ClearThinking, ClearToolUses, Compact, ContextEdit
from ..fields import Fields, missing, wrong_type

_TOOL_USES: Final = "clear_tool_uses_20250919"
_THINKING: Final = "clear_thinking_20251015"
_TRIGGERS: Final = ("input_tokens", "tool_uses")
# How an answer names what was done, and how many of what were left out.
_APPLIED: Final = {
    "clear_tool_uses": (_TOOL_USES, "cleared_tool_uses"),
    "clear_thinking": (_THINKING, "cleared_thinking_turns"),
}


class ContextEdits(Struct, frozen=True):
    """The edits that are made, and the names of those that are not."""

    edits: tuple[ContextEdit, ...] = ()
    ignored: tuple[str, ...] = ()


def read_context_edits(body: Fields) -> ContextEdits:
    """The body's ``context_management``; an edit of another kind or age than is known here is ignored."""
    management = body.object("context_management")
    edits: list[ContextEdit] = []
    ignored: list[str] = []
    for edit in [] if management is None else management.objects("edits"):
        match edit.required_string("type"):
            case "clear_tool_uses_20250919":
                edits.append(_clear_tool_uses(edit))
            case "clear_thinking_20251015":
                if (keep := _turns_to_keep(edit)) is not None:
                    edits.append(ClearThinking(keep))
            case "compact_20260112":
                edits.append(_compact(edit))
            case kind:
                ignored.append(f"context_management.{kind}")
    return ContextEdits(tuple(edits), tuple(ignored))


def _clear_tool_uses(edit: Fields) -> ClearToolUses:
    usual = ClearToolUses()
    trigger, keep, least = edit.object("trigger"), edit.object("keep"), edit.object("clear_at_least")
    inputs = edit.get("clear_tool_inputs")
    named = isinstance(inputs, list)
    return ClearToolUses(
        over=usual.over if trigger is None else _value(trigger),
        counts_calls=trigger is not None and trigger.required_choice("type", _TRIGGERS) == "tool_uses",
        keep=usual.keep if keep is None else _value(keep),
        at_least=usual.at_least if least is None else _value(least),
        spared=_names(edit, "exclude_tools"),
        inputs=_names(edit, "clear_tool_inputs") if named else edit.boolean("clear_tool_inputs") or False,
    )


def _compact(edit: Fields) -> Compact:
    trigger = edit.object("trigger")
    if trigger is not None:
        trigger.required_choice("type", ("input_tokens",))
    return Compact(
        over=Compact().over if trigger is None else _value(trigger),
        instructions=edit.string("instructions") or "",
        pauses=edit.boolean("pause_after_compaction") or False,
    )


def _names(edit: Fields, member: str) -> tuple[str, ...]:
    names = edit.array(member, of="strings") or []
    for index, name in enumerate(names):
        if not isinstance(name, str):
            raise wrong_type(f"{edit.at(member)}[{index}]", "a string", name)
    return tuple(names)


def _value(fields: Fields) -> int:
    value = fields.integer("value", 0)
    if value is None:
        raise missing(fields.at("value"))
    return value


def _turns_to_keep(edit: Fields) -> int | None:
    """How many turns keep their thoughts; ``None`` for all."""
    keep = edit.get("keep")
    if keep is None:
        return 1
    if keep == "all":
        return None
    fields = edit.required_object("keep")
    return None if fields.get("type") == "all" else _value(fields)


def applied_edits(edits: Sequence[ContextEdited]) -> dict[str, Any]:
    """The member of a message that says what was left out; none where nothing was."""
    applied = [
        {"type": kind, counted: each.count, "cleared_input_tokens": each.tokens}
        for each in edits
        if each.edit in _APPLIED
        for kind, counted in (_APPLIED[each.edit],)
    ]
    return {"context_management": {"applied_edits": applied}} if applied else {}


def summary_of(edits: Sequence[ContextEdited]) -> str:
    """What stands for the beginning of the conversation, "" where nothing was summed up."""
    return next((each.summary for each in edits if each.edit == "compaction"), "")
