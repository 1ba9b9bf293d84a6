"""Tools for an upstream that calls them itself, and its answers read back.

Its format knows functions only, and some names mean tools of the model's own to it: custom tools become
functions with one string, and such names get an alias (docs/design/emulation.md, "Tool names"). A strict
server wants every result to answer a call before it by an id of that call's own: a history that clients
trimmed, merged or numbered otherwise is made so. What leaks of Harmony is repaired on the way back; the same
goes for every answer whose text nobody else reads for calls.
"""

import json
from collections.abc import Sequence

from msgspec.structs import replace

from ..core.events import (
    Event,
    Finished,
    ReasoningDelta,
    TextDelta,
    ToolCallDelta,
    ToolCallFinished,
    ToolCallStarted,
    new_call_id,
)
from ..core.turn import AssistantMessage, Message, Tool, ToolCall, ToolResultMessage, Turn
from ..text.harmony import HarmonyRepair, mentions_tokens
from ..text.tool_calls import DeclaredTool
from .calls import custom_input
from .names import NameMap
from .tool_section import offered_tools, parameters_of
from .transcript import UNKNOWN, pair, result_text


def native_turn(turn: Turn) -> Turn:
    """``turn`` with its tools, its choice and the calls in its history as the upstream knows them."""
    names = _names(turn)
    choice = turn.tool_choice
    return replace(
        turn,
        messages=tuple(_message(message, names) for message in _with_declared_ids(turn.messages)),
        tools=tuple(_tool(tool, names) for tool in offered_tools(turn)),
        tool_choice=replace(choice, names=tuple(names.shown(name) for name in choice.names)),
    )


class NativeReading:
    """Reads one upstream turn's answer to ``turn``; ``offers_tools`` says that the upstream got the tools."""

    def __init__(self, turn: Turn, *, offers_tools: bool) -> None:
        names = _names(turn)
        tools = offered_tools(turn) if offers_tools else ()
        self._tools = {names.shown(tool.name): tool for tool in tools}
        self._named = turn.tool_choice.mode == "named"
        self._repair = HarmonyRepair(
            {
                shown: DeclaredTool(parameters_of(tool), tool.strict, tool.kind)
                for shown, tool in self._tools.items()
            },
            clean=not mentions_tokens(_texts(turn)),
            parallel=turn.parallel_tool_calls,
        )
        # The JSON of custom tools' calls, by number.
        self._custom: dict[int, list[str]] = {}

    def feed(self, batch: Sequence[Event]) -> Sequence[Event]:
        """What ``batch`` says in the client's terms.

        Raises:
            UpstreamFailure: at the end of an answer that is nothing but a call nobody offered.
        """
        events = self._repair.feed(batch)
        return events if not self._tools else [said for event in events for said in self._restored(event)]

    @property
    def changed(self) -> bool:
        """Whether the client gets something else than what the model wrote; asked at the end."""
        return self._repair.changed

    def flush(self) -> Sequence[Event]:
        """What is held back of an answer that broke off."""
        return [event for event in self._repair.flush() if isinstance(event, TextDelta | ReasoningDelta)]

    def _restored(self, event: Event) -> Sequence[Event]:
        match event:
            case ToolCallStarted(index, _, shown):
                tool = self._tools[shown]
                if tool.kind == "custom":
                    self._custom[index] = []
                return (replace(event, name=tool.name, kind=tool.kind),)
            case ToolCallDelta(index, arguments) if index in self._custom:
                self._custom[index].append(arguments)
                return ()
            case ToolCallFinished(index) if index in self._custom:
                text = custom_input("".join(self._custom.pop(index)))
                return (ToolCallDelta(index, text), event)
            case Finished("tool_calls") if self._named:
                # OpenAI ends a turn that had to call one named function with "stop".
                return (replace(event, reason="stop"),)
            case _:
                return (event,)


def _names(turn: Turn) -> NameMap:
    return NameMap.of(tool.name for tool in turn.tools)


def _with_declared_ids(messages: Sequence[Message]) -> Sequence[Message]:
    """``messages`` with an id of its own for every call, and for every result that of the call it answers."""
    if _ids_are_sound(messages):
        return messages
    pairing = pair(messages)
    taken: set[str] = set()
    answered: dict[int, str] = {}
    out: list[Message] = []
    for index, message in enumerate(messages):
        if isinstance(message, AssistantMessage) and message.tool_calls:
            calls: list[ToolCall] = []
            for paired in pairing.calls[index]:
                call = paired.call
                if not call.id or call.id in taken:
                    call = replace(call, id=new_call_id())
                taken.add(call.id)
                answered.update((place, call.id) for place, _ in paired.results)
                calls.append(call)
            out.append(replace(message, tool_calls=tuple(calls)))
        elif isinstance(message, ToolResultMessage) and index in pairing.orphans:
            # Its call was trimmed away. As a user's words it would weigh more than a tool's output.
            lost = ToolCall(new_call_id(), message.name or UNKNOWN, "{}")
            out += (AssistantMessage(tool_calls=(lost,)), replace(message, call_id=lost.id))
        elif isinstance(message, ToolResultMessage):
            out.append(replace(message, call_id=answered[index]))
        else:
            out.append(message)
    return out


def _ids_are_sound(messages: Sequence[Message]) -> bool:
    declared: set[str | None] = {""}
    for message in messages:
        if isinstance(message, AssistantMessage):
            for call in message.tool_calls:
                if call.id in declared:
                    return False
                declared.add(call.id)
        elif isinstance(message, ToolResultMessage) and (
            not message.call_id or message.call_id not in declared
        ):
            return False
    return True


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


def _texts(turn: Turn) -> Sequence[str]:
    return [
        *(message.text for message in turn.messages),
        *(tool.description for tool in turn.tools),
    ]
