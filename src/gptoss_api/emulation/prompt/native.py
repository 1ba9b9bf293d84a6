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
    choice = turn.tool_choice
    if not turn.tools and not choice.names and not _calls_tools(turn.messages):
        return turn if turn.show_reasoning else replace(turn, show_reasoning=True)
    names = _names(turn)
    return replace(
        turn,
        messages=tuple([_message(message, names) for message in _made_whole(turn.messages)]),
        tools=tuple([_tool(tool, names) for tool in offered_tools(turn)]),
        tool_choice=replace(choice, names=tuple([names.shown(name) for name in choice.names])),
        show_reasoning=True,
    )


def _calls_tools(messages: Sequence[Message]) -> bool:
    for message in messages:
        if isinstance(message, ToolResultMessage) or (
            isinstance(message, AssistantMessage) and message.tool_calls
        ):
            return True
    return False


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
    shown = names.shown(tool.name)
    if shown == tool.name and tool.kind == "function" and tool.grammar is None:
        return tool
    return replace(
        tool,
        name=shown,
        parameters=parameters_of(tool),
        strict=tool.strict and tool.kind == "function",
        kind="function",
        grammar=None,
    )


def _message(message: Message, names: NameMap) -> Message:
    if isinstance(message, AssistantMessage):
        if not message.tool_calls:
            return message
        calls = tuple([_call(call, names) for call in message.tool_calls])
        return message if calls == message.tool_calls else replace(message, tool_calls=calls)
    if isinstance(message, ToolResultMessage) and (message.name or message.is_error):
        name = names.shown(message.name) if message.name else None
        if name == message.name and not message.is_error:
            return message
        return replace(message, text=result_text(message), name=name, is_error=False)
    return message


def _call(call: ToolCall, names: NameMap) -> ToolCall:
    name = names.shown(call.name)
    if call.kind != "custom":
        return call if name == call.name else replace(call, name=name)
    arguments = json.dumps({"input": call.arguments}, ensure_ascii=False)
    return ToolCall(call.id, name, arguments)
