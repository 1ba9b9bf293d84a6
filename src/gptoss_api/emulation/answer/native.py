"""The answer of an upstream that calls tools itself, in the client's terms.

Names and kinds of tools are those that the client gave them. What leaks of Harmony is repaired; the same goes
for every answer whose text nobody else reads for calls.
"""

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, Final

from msgspec.structs import replace

from ...core.events import (
    Event,
    Finished,
    ReasoningDelta,
    TextDelta,
    ToolCallDelta,
    ToolCallFinished,
    ToolCallStarted,
)
from ...core.turn import Tool, Turn
from ...text.harmony import HarmonyRepair, PlainText, mentions_tokens
from ...text.tool_calls import DeclaredTool
from ..prompt.names import NameMap
from ..prompt.tool_section import offered_tools, parameters_of
from .calls import begun_input, custom_input

_NOTHING: Final[Mapping[str, Any]] = MappingProxyType({})


class NativeAnswer:
    """Reads one upstream turn's answer to ``turn``; ``offers_tools`` says that the upstream got the tools.

    ``plain`` is that of :class:`HarmonyRepair`.
    """

    def __init__(self, turn: Turn, *, offers_tools: bool, plain: PlainText | None = None) -> None:
        self._tools: dict[str, Tool] = {}
        if offers_tools and (tools := offered_tools(turn)):
            names = NameMap.of(tool.name for tool in turn.tools).extended(turn.hidden_tools)
            known = (*map(Tool, turn.hidden_tools), *tools)
            self._tools = {names.shown(tool.name): tool for tool in known}
        self._named = turn.tool_choice.mode == "named"
        declared: Mapping[str, DeclaredTool] = _NOTHING
        clients: Mapping[str, str] = _NOTHING
        if self._tools:
            declared = {
                shown: DeclaredTool(parameters_of(tool), tool.strict, tool.kind)
                for shown, tool in self._tools.items()
            }
            # Instructions speak of a tool as the client names it.
            clients = {name: shown for shown, tool in self._tools.items() if (name := tool.name) != shown}
        self._repair = HarmonyRepair(
            declared,
            clients=clients,
            clean=not mentions_tokens(_texts(turn)),
            parallel=turn.parallel_tool_calls,
            plain=plain,
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
                read = custom_input if event.complete else begun_input
                text = read("".join(self._custom.pop(index)))
                return (ToolCallDelta(index, text), event)
            case Finished("tool_calls") if self._named:
                # OpenAI ends a turn that had to call one named function with "stop".
                return (replace(event, reason="stop"),)
            case _:
                return (event,)


def _texts(turn: Turn) -> Sequence[str]:
    texts = [message.text for message in turn.messages]
    return [*texts, *[tool.description for tool in turn.tools]] if turn.tools else texts
