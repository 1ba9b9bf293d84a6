"""A turn for an upstream that takes whole conversations and calls tools itself.

Its format knows functions only, and some names mean tools of the model's own to it: custom tools become
functions with one string, and such names get an alias (docs/design/emulation.md, "Tool names"). A strict
server wants every call to have an id of its own and its result right behind it: a history that clients
trimmed, merged or numbered otherwise is made so.
"""

import json
from collections.abc import Sequence

from msgspec.structs import replace

from ...core.events import new_call_id
from ...core.turn import AssistantMessage, Message, Tool, ToolCall, ToolResultMessage, Turn
from .names import NameMap
from .tool_section import offered_tools, parameters_of
from .transcript import NO_RESULT, UNKNOWN, pair, result_text


def native_turn(turn: Turn) -> Turn:
    """``turn`` with its tools, its choice and the calls in its history as the upstream knows them.

    Its thoughts are wanted in any case: they count, and may lead to calls whose results follow.
    """
    names = _names(turn)
    choice = turn.tool_choice
    return replace(
        turn,
        messages=tuple(_message(message, names) for message in _made_whole(turn.messages)),
        tools=tuple(_tool(tool, names) for tool in offered_tools(turn)),
        tool_choice=replace(choice, names=tuple(names.shown(name) for name in choice.names)),
        show_reasoning=True,
    )


def _names(turn: Turn) -> NameMap:
    return NameMap.of(tool.name for tool in turn.tools)


def _made_whole(messages: Sequence[Message]) -> Sequence[Message]:
    """``messages`` with an id of its own for every call, and its results right behind it; none is missing."""
    if _is_whole(messages):
        return messages
    pairing = pair(messages)
    taken: set[str] = set()
    out: list[Message] = []
    for index, message in enumerate(messages):
        if isinstance(message, AssistantMessage) and message.tool_calls:
            calls: list[ToolCall] = []
            results: list[ToolResultMessage] = []
            for paired in pairing.calls[index]:
                call = paired.call
                if not call.id or call.id in taken:
                    call = replace(call, id=new_call_id())
                taken.add(call.id)
                calls.append(call)
                given = [result for _, result in paired.results]
                results += (
                    replace(result, call_id=call.id)
                    for result in given or [ToolResultMessage(NO_RESULT, name=call.name)]
                )
            out += (replace(message, tool_calls=tuple(calls)), *results)
        elif isinstance(message, ToolResultMessage) and index in pairing.orphans:
            # Its call was trimmed away. As a user's words it would weigh more than a tool's output.
            lost = ToolCall(new_call_id(), message.name or UNKNOWN, "{}")
            out += (AssistantMessage(tool_calls=(lost,)), replace(message, call_id=lost.id))
        elif not isinstance(message, ToolResultMessage):
            out.append(message)
    return out


def _is_whole(messages: Sequence[Message]) -> bool:
    declared: set[str | None] = {""}
    # The ids of the calls just before, and those of them without a result.
    latest: set[str | None] = set()
    unanswered: set[str | None] = set()
    for message in messages:
        if isinstance(message, ToolResultMessage):
            if message.call_id not in latest:
                return False
            unanswered.discard(message.call_id)
            continue
        if unanswered:
            return False
        latest = set()
        if isinstance(message, AssistantMessage):
            for call in message.tool_calls:
                if call.id in declared:
                    return False
                declared.add(call.id)
                latest.add(call.id)
            unanswered = set(latest)
    return not unanswered


def _tool(tool: Tool, names: NameMap) -> Tool:
    return replace(
        tool,
        name=names.shown(tool.name),
        parameters=parameters_of(tool),
        strict=tool.strict and tool.kind == "function",
        kind="function",
        grammar=None,
    )


def _message(message: Message, names: NameMap) -> Message:
    match message:
        case AssistantMessage() if message.tool_calls:
            return replace(message, tool_calls=tuple(_call(call, names) for call in message.tool_calls))
        case ToolResultMessage() if message.name or message.is_error:
            name = names.shown(message.name) if message.name else None
            return replace(message, text=result_text(message), name=name, is_error=False)
        case _:
            return message


def _call(call: ToolCall, names: NameMap) -> ToolCall:
    arguments = call.arguments
    if call.kind == "custom":
        arguments = json.dumps({"input": arguments}, ensure_ascii=False)
    return ToolCall(call.id, names.shown(call.name), arguments)
