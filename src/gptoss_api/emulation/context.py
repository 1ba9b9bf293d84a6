"""What a conversation loses to keep its context small: older results and thoughts, at last its beginning."""

from collections.abc import Callable, Sequence
from typing import Final

from msgspec.structs import replace

from ..core.events import ContextEdited
from ..core.turn import (
    AssistantMessage,
    ClearThinking,
    ClearToolUses,
    Compact,
    InstructionMessage,
    Message,
    ToolCall,
    ToolResultMessage,
    Truncate,
    Turn,
    UserMessage,
    leading_instructions,
    summary_message,
)

CLEARED: Final = "[The result of this call was left out to save room. Call the tool again if it is needed.]"

_SUM_UP: Final = (
    "Sum this conversation up, so that it can be continued from your summary alone: nothing else of it will "
    "be left. Write down what the user wants, in their own words where the wording matters, what was done "
    "and found out, with names, paths, figures and code that will be needed again, what was decided and why, "
    "what went wrong, and what is to be done next. Call no tools. Write the summary only."
)

# A cut by estimate may have to be repeated; each takes away at least a tenth more than was too much.
MOST_CUTS: Final = 4
# Of what would just fit, as much is kept: an estimate by length must not be cut to the token.
_MARGIN: Final = 0.9

Edited = tuple[Turn, tuple[ContextEdited, ...]]


def truncates(turn: Turn) -> bool:
    """Whether ``turn`` may lose its beginning."""
    return bool(turn.context_edits) and any(isinstance(edit, Truncate) for edit in turn.context_edits)


def clears(turn: Turn) -> bool:
    """Whether :func:`cleared` could change ``turn``."""
    edits = turn.context_edits
    return bool(edits) and any(isinstance(edit, ClearThinking | ClearToolUses) for edit in edits)


def compaction(turn: Turn) -> Compact | None:
    """How ``turn`` is to be summed up where it is too long, if it is."""
    if not turn.context_edits:
        return None
    return next((edit for edit in turn.context_edits if isinstance(edit, Compact)), None)


def without_compaction(turn: Turn) -> Turn:
    """``turn`` as it stands."""
    return replace(
        turn, context_edits=tuple(edit for edit in turn.context_edits if not isinstance(edit, Compact))
    )


def summing_up(turn: Turn, instructions: str) -> Turn:
    """A turn that asks for a summary of ``turn``; where even that is too long it is one of its end."""
    wanted = UserMessage(f"{_SUM_UP}\n\n{instructions}" if instructions else _SUM_UP)
    edits = without_compaction(turn).context_edits
    return Turn(
        turn.model,
        (*turn.messages, wanted),
        effort="low",
        show_reasoning=False,
        streamed=False,
        caller=turn.caller,
        request_id=turn.request_id,
        provider=turn.provider,
        weight=turn.weight,
        new_thread=True,
        context_edits=(*edits, Truncate()),
    )


def summed_up(turn: Turn, summary: str) -> Turn:
    """``turn`` with ``summary`` for all that was said but a question at its end."""
    messages = turn.messages
    question = messages[-1:] if messages and isinstance(messages[-1], UserMessage) else ()
    instructions = messages[: leading_instructions(messages)]
    return replace(without_compaction(turn), messages=(*instructions, summary_message(summary), *question))


def cleared(turn: Turn, count: Callable[[Turn], int]) -> Edited:
    """``turn`` without what its edits leave out, and what that was; ``count`` gives the tokens of a turn."""
    told: list[ContextEdited] = []
    before: int | None = None
    for edit in turn.context_edits:
        match edit:
            case ClearThinking():
                messages, lost = _without_thoughts(turn.messages, edit.keep)
            case ClearToolUses():
                before = count(turn) if before is None else before
                messages, lost = _without_results(turn.messages, edit, before)
            case _:
                continue
        if not lost:
            continue
        shorter = replace(turn, messages=messages)
        before = count(turn) if before is None else before
        after = count(shorter)
        if isinstance(edit, ClearToolUses) and before - after < edit.at_least:
            continue
        told.append(
            ContextEdited(
                "clear_thinking" if isinstance(edit, ClearThinking) else "clear_tool_uses",
                lost,
                max(before - after, 0),
            )
        )
        turn, before = shorter, after
    return turn, tuple(told)


def _without_thoughts(messages: Sequence[Message], keep: int) -> tuple[tuple[Message, ...], int]:
    thinking = [i for i, each in enumerate(messages) if isinstance(each, AssistantMessage) and each.reasoning]
    old = frozenset(thinking[: max(len(thinking) - keep, 0)])
    kept = (
        replace(each, reasoning="") if index in old and isinstance(each, AssistantMessage) else each
        for index, each in enumerate(messages)
    )
    return tuple(kept), len(old)


def _without_results(
    messages: Sequence[Message], edit: ClearToolUses, tokens: int
) -> tuple[tuple[Message, ...], int]:
    answered = {each.call_id for each in messages if isinstance(each, ToolResultMessage)}
    calls = [call for each in messages if isinstance(each, AssistantMessage) for call in each.tool_calls]
    if (len(calls) if edit.counts_calls else tokens) <= edit.over:
        return tuple(messages), 0
    old = calls[: max(len(calls) - edit.keep, 0)]
    gone = {call.id for call in old if call.id in answered and call.name not in edit.spared}
    kept = (_without(each, gone, edit.inputs) for each in messages)
    return tuple(kept), len(gone)


def _without(message: Message, gone: set[str], inputs: bool | tuple[str, ...]) -> Message:
    if isinstance(message, ToolResultMessage) and message.call_id in gone:
        return replace(message, text=CLEARED)
    if isinstance(message, AssistantMessage) and inputs:
        calls = (_without_input(call, inputs) if call.id in gone else call for call in message.tool_calls)
        return replace(message, tool_calls=tuple(calls))
    return message


def _without_input(call: ToolCall, inputs: bool | tuple[str, ...]) -> ToolCall:
    if inputs is not True and (not inputs or call.name not in inputs):
        return call
    return replace(call, arguments="" if call.kind == "custom" else "{}")


def without_oldest(turn: Turn, prompt_tokens: int, room: int) -> Turn | None:
    """``turn`` without as many of its oldest messages as it has to lose, or ``None`` where it cannot.

    ``prompt_tokens`` is what the whole prompt was counted to, ``room`` what it may have. Instructions
    stay, and so does everything from the last message of the user on; a tool's result never stands
    without its call.
    """
    sizes = [_size(message) for message in turn.messages]
    total = sum(sizes)
    excess = total * (1 - _MARGIN * room / max(prompt_tokens, 1))
    last = max(
        (index for index, message in enumerate(turn.messages) if isinstance(message, UserMessage)),
        default=len(sizes) - 1,
    )
    kept: list[Message] = []
    dropped = 0.0
    cutting = True
    for index, message in enumerate(turn.messages):
        if isinstance(message, InstructionMessage):
            kept.append(message)
            continue
        cutting = cutting and index < last and (dropped < excess or isinstance(message, ToolResultMessage))
        if cutting:
            dropped += sizes[index]
        else:
            kept.append(message)
    return replace(turn, messages=tuple(kept)) if dropped else None


def _size(message: Message) -> int:
    if isinstance(message, AssistantMessage):
        return len(message.text) + sum(len(call.arguments) for call in message.tool_calls)
    return len(message.text)
