"""The embedded demo: a stand-in that shows how clients connect, loudly labelled, no model behind it.

It is what ``auto`` falls to only when no credential and no server is configured; it never stands in
for a real upstream that fails. Same request, same answer: text is acknowledged, results of tools are
repeated, formats are filled with a fitting value. A client runs what it is told to call, so a tool is called
only where the last message is ``demo: call`` with its name, or ``tool_choice`` leaves no other.
"""

import asyncio
import json
import re
from collections.abc import Iterator
from typing import Any, Final, NamedTuple

from ..core.errors import UnsupportedValue, UpstreamSchemaMismatch
from ..core.events import (
    Event,
    Finished,
    FinishReason,
    ReasoningDelta,
    Started,
    TextDelta,
    ToolCallDelta,
    ToolCallFinished,
    ToolCallStarted,
    new_call_id,
)
from ..core.program import command
from ..core.servers import DEMO
from ..core.turn import InstructionMessage, OutputFormat, Tool, ToolResultMessage, Turn, UserMessage
from ..text.schema import Unchecked, compile_schema
from ..text.schema_sample import sample
from .base import BOTH_MODELS, Capabilities, Health, ServedModel, Sink, check_usual

LABEL: Final = "[gptoss-api demo: no model is behind this answer]"
NOTE: Final = "No model is behind this answer."

# The form in which a person asks for a call; the whole message is that and the tool's name.
CALL: Final = "demo: call"
_CALL: Final = re.compile(rf"{CALL} (\S+)")

# Seconds between pieces: slow enough to see the stream move, fast enough for tests.
PACE: Final = 0.003

_WORDS: Final = re.compile(r"\S+\s*|\s+")


class Connect(NamedTuple):
    """How somebody connects a real upstream: the ``command`` to type, and what to do ``then``."""

    command: str
    then: str


class DemoUpstream:
    """Answers every turn itself; one that ``makes_room`` does so only until there is a login."""

    name = DEMO
    reached = True
    capabilities = Capabilities(history=True, tools=True, json_object=True, json_schema=True, verbatim=True)

    def __init__(self, *, makes_room: bool = False) -> None:
        self._connect = Connect(
            f"{command()} login",
            "this gateway answers from there as soon as that is done"
            if makes_room
            else "then start this gateway again, without GPTOSS_UPSTREAM=demo",
        )

    async def answer(self, turn: Turn, sink: Sink) -> None:
        """See :class:`gptoss_api.upstreams.base.Upstream`.

        Raises:
            ModelNotFound: for a model that few have.
            UnsupportedValue: for a choice among tools that only a model could make.
            UpstreamSchemaMismatch: for a form that none of its values fits.
        """
        check_usual(turn.model, "The demo")
        for event in _answer(turn, _tool_to_call(turn), self._connect):
            await sink.flow.free()
            if not sink.feed([event]):
                return
            if isinstance(event, TextDelta | ReasoningDelta):
                await asyncio.sleep(PACE)

    async def health(self) -> Health:
        told, then = self._connect
        return Health(
            True,
            f"No model is behind the demo. To connect gpt-oss.com, run in another terminal: {told} ({then})",
        )

    async def look(self, patience: float) -> None:
        """It is always there."""

    async def models(self) -> tuple[ServedModel, ...]:
        """Both, as any client expects."""
        return BOTH_MODELS

    async def close(self) -> None:
        """Holds nothing."""


def _answer(turn: Turn, tool: Tool | None, connect: Connect) -> Iterator[Event]:
    yield Started(upstream=DEMO, model=turn.model)
    if turn.show_reasoning:
        for word in _words(f"{LABEL} The demo does not think. It was asked for {turn.model} and says so."):
            yield ReasoningDelta(word)
    reason: FinishReason = "stop"
    if tool is not None:
        yield from _call(tool)
        reason = "stop" if turn.tool_choice.mode == "named" else "tool_calls"
    else:
        text = _text(turn, connect) if turn.output_format.kind == "text" else _value(turn.output_format)
        for word in _words(text):
            yield TextDelta(word)
    yield Finished(reason, notes=(NOTE,))


def _tool_to_call(turn: Turn) -> Tool | None:
    """The tool that the last message or the choice asks for by its name."""
    choice = turn.tool_choice
    if choice.mode == "none":
        return None
    offered = _offered(turn)
    asked = _asked_for(turn)
    found = next((tool for tool in offered if tool.name == asked), None)
    if found is not None or choice.mode == "auto":
        return found
    if len(offered) == 1:
        return offered[0]
    raise UnsupportedValue(
        f"Unsupported value: 'tool_choice' demands a call of one of {len(offered)} tools, and the demo has "
        f"no model that could choose. Name one tool in 'tool_choice', or send '{CALL} NAME' as the last "
        "message.",
        param="tool_choice",
    )


def _offered(turn: Turn) -> list[Tool]:
    names = turn.tool_choice.names
    return [tool for tool in turn.tools if not names or tool.name in names]


def _asked_for(turn: Turn) -> str | None:
    """The name in a last message of the form ``demo: call NAME``."""
    last = turn.messages[-1] if turn.messages else None
    form = _CALL.fullmatch(last.text.strip()) if isinstance(last, UserMessage) else None
    return form[1] if form is not None else None


def _call(tool: Tool) -> Iterator[Event]:
    for word in _words(f"{LABEL} The demo calls {tool.name}."):
        yield TextDelta(word)
    yield ToolCallStarted(0, new_call_id(), tool.name, tool.kind)
    if tool.kind == "custom":
        arguments = "demo"
    else:
        schema = tool.parameters or {"type": "object"}
        value = _fitting(schema, f"the parameters of {tool.name}") if tool.strict else sample(schema)
        arguments = json.dumps(value if isinstance(value, dict) else {}, ensure_ascii=False)
    for start in range(0, len(arguments), 16):
        yield ToolCallDelta(0, arguments[start : start + 16])
    yield ToolCallFinished(0)


def _text(turn: Turn, connect: Connect) -> str:
    said = [message for message in turn.messages if not isinstance(message, InstructionMessage)]
    last = said[-1] if said else None
    if isinstance(last, ToolResultMessage):
        return f"{LABEL}\n\nThe tool {last.name or 'that was called'} returned:\n\n> {_excerpt(last.text)}\n"
    asked = next((message.text for message in reversed(said) if isinstance(message, UserMessage)), "")
    return (
        f"{LABEL}\n\nYour request reached gptoss-api, and this answer takes the path of a real one. "
        f"It asked {turn.model} with {_counted(len(turn.messages), 'message')}; the last user message was:"
        f"\n\n> {_excerpt(asked)}\n\n{_on_tools(turn)}To connect the real models, run in another terminal:"
        f"\n\n    {connect.command}\n\n{connect.then[0].upper()}{connect.then[1:]}.\n"
    )


def _on_tools(turn: Turn) -> str:
    """How to see a call, where there are tools."""
    if turn.tool_choice.mode == "none" or not (offered := _offered(turn)):
        return ""
    missing = _asked_for(turn)
    unknown = "" if missing is None else f"No tool on offer is named {_excerpt(missing)}. "
    count = f"{_counted(len(offered), 'tool')} {'is' if len(offered) == 1 else 'are'}"
    names = _excerpt(", ".join(tool.name for tool in offered))
    return (
        f"{unknown}{count} on offer: {names}. The demo calls none unasked. To see a call, "
        f"send as the whole message:\n\n    {CALL} {offered[0].name}\n\n"
    )


def _value(form: OutputFormat) -> str:
    if form.schema is None:
        return json.dumps({"demo": True, "message": LABEL}, ensure_ascii=False)
    return json.dumps(_fitting(form.schema, "the response format"), ensure_ascii=False)


def _fitting(schema: dict[str, Any], what: str) -> Any:
    """Raises: UpstreamSchemaMismatch, as for a model that finds no value either."""
    value = sample(schema)
    try:
        if not (wrong := compile_schema(schema).complaints(value, 1)):
            return value
        why = wrong[0]
    except Unchecked as unchecked:
        why = str(unchecked)
    raise UpstreamSchemaMismatch(
        f"The demo has no model and found no value that fits {what}, which may be because there is none: "
        f"{_excerpt(why)}."
    )


def _counted(number: int, name: str) -> str:
    return f"{number} {name}" if number == 1 else f"{number} {name}s"


def _words(text: str) -> list[str]:
    return _WORDS.findall(text)


def _excerpt(text: str) -> str:
    # Some agents read their calls from tags in the text: what is repeated to them must not become one.
    line = " ".join(text.replace("<", "‹").split())
    return line if len(line) <= 200 else line[:199] + "…"
