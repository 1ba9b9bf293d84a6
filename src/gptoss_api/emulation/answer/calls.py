"""Calls as the parser finds them become calls as the client knows them.

Names are mapped back, escapes are taken off the arguments, custom tools get their text instead of
JSON, and calls that a repair may replace are kept back until it is known.
"""

import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final

from ...core.errors import UpstreamSchemaMismatch
from ...core.events import ToolCallStarted, new_call_id
from ...core.turn import Tool, Turn
from ...text.coercion import Misfit
from ...text.fitting import ArgumentFitter
from ...text.schema import Schema, SchemaRefused, Unchecked, compile_schema
from ...text.schema_places import Places
from ...text.tool_calls import DeclaredTool, ParserConfig
from ..prompt.neutralise import Restorer
from ..prompt.render import Prompt
from ..prompt.tool_section import parameters_of
from .checking import TOO_LONG, Fitter
from .held import HeldCall
from .output import Output

_BEGUN_INPUT: Final = re.compile(r'\s*\{\s*"input"\s*:\s*"((?:[^"\\]++|\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4}))*+)')


def custom_input(written: str) -> str:
    """The text in a custom tool's ``{"input": …}``, or what was written where it is not that."""
    try:
        value = json.loads(written)
    except (ValueError, RecursionError):
        return written
    text = value.get("input") if isinstance(value, dict) else None
    return text if isinstance(text, str) else written


def begun_input(written: str) -> str:
    """The text in a cut ``{"input": …}`` as far as it came, or what was written where that is no object."""
    # Some servers put the object into a list or a string.
    if not written.lstrip(' \t\r\n["').startswith("{"):
        return written
    begun = _BEGUN_INPUT.match(written)
    text: str = json.loads(f'"{begun[1]}"', strict=False) if begun else ""
    # Half of a character may be the last.
    return text.encode(errors="ignore").decode()


class FittedCalls:
    """Calls on their way to ``output``, native and read ones; their arguments are made to fit the ``tools``.

    ``repairs`` is how many values and names were changed, ``notes`` say in whose arguments.
    """

    def __init__(self, tools: Sequence[Tool], output: Output) -> None:
        self.repairs = 0
        self.notes: list[str] = []
        self._output = output
        self._tools = tools
        self._places: dict[str, Places] = {}
        # Of the calls that have not ended, by number.
        self._open: dict[int, tuple[str, ArgumentFitter]] = {}

    def start(self, call: ToolCallStarted) -> None:
        # Of two tools with one name the last counts.
        for tool in reversed(self._tools):
            if tool.name == call.name and tool.kind == "function" and tool.parameters:
                places = self._places.get(tool.name) or Places(tool.parameters)
                self._places[tool.name] = places
                self._open[call.index] = tool.name, ArgumentFitter(places)
                break
        self._output.start(call)

    def arguments(self, index: int, text: str) -> None:
        known = self._open.get(index)
        self._output.arguments(index, text if known is None else known[1].feed(text))

    def finish(self, index: int, *, complete: bool = True) -> None:
        if index in self._open:
            name, fitter = self._open.pop(index)
            self._output.arguments(index, fitter.finish())
            self.count(name, fitter.repairs)
        self._output.finish(index, complete=complete)

    def count(self, name: str, repairs: int) -> None:
        """Takes note of ``repairs`` of arguments that were made to fit the tool ``name``."""
        self.repairs += repairs
        if repairs:
            self.notes.append(f"arguments of {name!r} that did not fit its schema were mended: {repairs}")


class CallWriter:
    """Delivers calls through ``output``, numbered over all attempts of one choice."""

    def __init__(self, turn: Turn, prompt: Prompt, output: FittedCalls) -> None:
        self._prompt = prompt
        self._names = prompt.names.extended(turn.hidden_tools)
        self._output = output
        self._kinds = {prompt.names.shown(tool.name): tool.kind for tool in prompt.tools}
        self._next = 0
        # Of the call being written: its number, what restores its text, and a custom tool's JSON.
        self._index = -1
        self._restorer: Restorer | None = None
        self._custom: list[str] | None = None

    @property
    def begun(self) -> bool:
        return self._next > 0

    def start(self, shown: str) -> None:
        self._index = self._next
        self._next += 1
        kind = self._kinds.get(shown, "function")
        self._custom = [] if kind == "custom" else None
        self._restorer = self._prompt.restorer(json=True)
        name = self._names.client(shown) or shown
        self._output.start(ToolCallStarted(self._index, new_call_id(), name, kind))

    def arguments(self, text: str) -> None:
        if self._custom is not None:
            self._custom.append(text)
            return
        self._output.arguments(self._index, text if self._restorer is None else self._restorer.feed(text))

    def end(self, *, complete: bool = True) -> None:
        rest = "" if self._restorer is None else self._restorer.finish()
        if self._custom is not None:
            rest = self._custom_input("".join(self._custom), complete=complete)
        self._output.arguments(self._index, rest)
        self._output.finish(self._index, complete=complete)

    def whole(self, call: HeldCall, *, complete: bool = True) -> None:
        self.start(call.name)
        for part in call.parts:
            self.arguments(part)
        self.end(complete=complete)

    def _custom_input(self, written: str, *, complete: bool) -> str:
        if self._restorer is not None:
            written = self._restorer.feed(written) + self._restorer.finish()
        return custom_input(written) if complete else begun_input(written)


class CallReading:
    """How calls are read from the text of one choice; ``writer`` is there once :meth:`config` was asked for.

    Most answers have nothing that must be read. Nothing here leads back to who asks: a circle would keep the
    whole conversation until the garbage collector comes.
    """

    def __init__(self, turn: Turn, prompt: Prompt, output: FittedCalls) -> None:
        self._turn = turn
        self._prompt = prompt
        self._output = output
        self._config: ParserConfig | None = None
        self._mender: Mender
        self.writer: CallWriter

    def config(self) -> ParserConfig:
        if self._config is None:
            self._mender = Mender(shown_tools(self._turn, self._prompt))
            self._config = parser_config(self._turn, self._prompt, self._mender)
            self.writer = CallWriter(self._turn, self._prompt, self._output)
        return self._config

    @property
    def begun(self) -> bool:
        """Whether a call is on its way to the client."""
        return self._config is not None and self.writer.begun

    @property
    def mended(self) -> Iterable[tuple[str, int]]:
        """The tools whose arguments were changed, and how many changes each took."""
        return () if self._config is None else self._mender.mended.values()


def strict_weight(tools: Iterable[Tool]) -> float:
    """The largest weight of the schemas that calls of the strict ``tools`` have to fit."""
    schemas = [_schema_of(tool) for tool in tools]
    return max((schema.weight for schema in schemas if schema is not None), default=0)


def parser_config(turn: Turn, prompt: Prompt, mend: Callable[[str, Any], Any]) -> ParserConfig:
    """How the answer to ``prompt`` is read; ``mend`` makes the arguments of whole calls fit."""
    tools = shown_tools(turn, prompt)
    choice = turn.tool_choice
    return ParserConfig(
        key=prompt.key,
        tools={
            # A custom tool's text is JSON to the model: only the whole of it can be delivered.
            shown: DeclaredTool(parameters_of(tool), tool.strict or tool.kind == "custom", tool.kind)
            for shown, tool in tools.items()
        },
        clients={name: shown for shown, tool in tools.items() if (name := tool.name) != shown},
        mode=choice.mode,
        names=tuple(prompt.names.shown(name) for name in choice.names),
        parallel=turn.parallel_tool_calls,
        client_text=lambda: "\n".join(message.text for message in turn.messages),
        mend=mend,
        clean_leaks=not prompt.client_has_control_tokens,
        # A token limit has to see the arguments while they come.
        live=turn.streamed or turn.max_tokens is not None,
    )


def shown_tools(turn: Turn, prompt: Prompt) -> dict[str, Tool]:
    """The tools that may be called, by the names that the model knows."""
    names = prompt.names.extended(turn.hidden_tools)
    hidden = (Tool(name) for name in turn.hidden_tools)
    return {names.shown(tool.name): tool for tool in (*hidden, *prompt.tools)}


class Mender:
    """Makes valid arguments of what a model wrote, by the schemas of the ``tools``.

    ``mended`` are, by the arguments that were changed, the tool's name and how many changes it took.
    """

    def __init__(self, tools: Mapping[str, Tool]) -> None:
        self.mended: dict[str, tuple[str, int]] = {}
        self._tools = tools
        self._binding, self._loose = Fitter(), Fitter(loose=True)

    def __call__(self, shown: str, value: Any) -> Any:
        """Arguments of the tool that is ``shown`` so.

        Raises:
            ValueError: where nothing fits.
            UpstreamSchemaMismatch: where it would take too long to hold a strict tool to its schema.
        """
        tool = self._tools[shown]
        schema = _schema_of(tool)
        if schema is None:
            return value
        try:
            given, repairs = _fitted(tool, value)
            fitting = (self._binding if tool.strict else self._loose).fit(schema, given)
        except Misfit as misfit:
            raise ValueError("; ".join(misfit.complaints)) from None
        except Unchecked:
            if not tool.strict:
                raise ValueError("the arguments take too long to check") from None
            raise UpstreamSchemaMismatch(
                f"The arguments of '{tool.name}' may or may not fit: {TOO_LONG}, or leave out 'strict'."
            ) from None
        repairs += fitting is not given
        if repairs:
            self.mended[json.dumps(fitting, ensure_ascii=False)] = tool.name, repairs
        return fitting


def _fitted(tool: Tool, value: Any) -> tuple[Any, int]:
    """``value`` as it would have been streamed, and how many repairs that takes."""
    fitter = ArgumentFitter(Places(tool.parameters or _ANY_OBJECT))
    text = fitter.feed(json.dumps(value, ensure_ascii=False)) + fitter.finish()
    return (json.loads(text), fitter.repairs) if fitter.repairs else (value, 0)


# Arguments of a tool without described parameters still have to be an object.
_ANY_OBJECT: Final[dict[str, Any]] = {"type": "object"}


def _schema_of(tool: Tool) -> Schema | None:
    try:
        return compile_schema(parameters_of(tool) or _ANY_OBJECT)
    except SchemaRefused:
        # A schema that cannot be compiled binds nobody; a strict one was refused at intake.
        return None
