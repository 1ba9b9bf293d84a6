"""A Messages request in neutral form, every parameter checked.

Source: docs/design/conformance.md, "Messages".
"""

import re
from typing import Any, Final

from msgspec import Struct

from ...core.catalog import DEFAULT_MODEL, Model, ModelAliases, find_model, provider_suffix
from ...core.errors import InvalidValue, UnsupportedParameter
from ...core.turn import Effort, InstructionMessage, Message, OutputFormat, Turn
from ...text.schema import SchemaRefused, compile_schema
from ..fields import Fields, too_long, wrong_type
from ..parameters import EFFORTS, MAX_STOP
from .context_edits import read_context_edits
from .conversation import HistoryReader, read_system
from .errors import THREAD
from .tools import read_toolbox

MAX_STOPS: Final = 64
_NO_LIMIT: Final = 2**31
# The characters of a model's name that come back in an answer. Names that mean a model may have any number.
_SHOWN_NAME: Final = 256

# "Perform a web search for the query: …", and how others may ask for one and nothing else.
_SEARCH: Final = re.compile(r"\b(?:web|internet|online)[ -]?search|\bsearch(?:es|ing)?\b", re.I)
_LONGEST_ASKING: Final = 2_000
# Tokens of thinking up to which a budget asks for little effort, and for a medium one.
_LITTLE: Final = 4_096
_MEDIUM: Final = 16_384

# What the turn carries.
_READ: Final = frozenset(
    {
        "model",
        "max_tokens",
        "messages",
        "system",
        "tools",
        "tool_choice",
        "stream",
        "stop_sequences",
        "thinking",
        "output_config",
        "output_format",
        "context_management",
        "mcp_servers",
    }
)
_SAMPLING: Final = (("temperature", 0, 1), ("top_p", 0, 1))
_OPTIONS: Final = ("temperature", "top_p", "top_k")
# What says who asks, how it is billed and what is to be cached: it changes no answer.
_SILENT: Final = frozenset({"metadata", "cache_control", "speed", "service_tier", "diagnostics"})


class Parsed(Struct, frozen=True):
    """What a body asks for. ``model`` is the id that was asked for, as an answer shows it.

    ``only_web_search`` says that it is a search and nothing else.
    """

    turn: Turn
    stream: bool
    model: str
    only_web_search: bool


class _Thinking(Struct, frozen=True):
    """How hard to think, whether it is shown, and whether ``max_tokens`` bounds it, too."""

    effort: Effort | None
    shown: bool
    bounded: bool


def read_request(
    body: Fields, aliases: ModelAliases, reader: HistoryReader, *, counted: bool = False
) -> Parsed:
    """Checks and translates a whole body; one that is only to be ``counted`` needs no ``max_tokens``.

    Raises:
        InvalidRequest: naming the first parameter that is wrong.
        ModelNotFound: for models that are not offered.
    """
    asked, model, provider = _model(body, aliases)
    stream = body.boolean("stream") or False
    max_tokens = body.integer("max_tokens", 0)
    if max_tokens is None and not counted:
        body.required("max_tokens")
    _refuse_unsupported(body)
    system = read_system(body)
    history = reader.read(body)
    toolbox = read_toolbox(body, history)
    thinking = _thinking(body)
    edits = read_context_edits(body)
    head: tuple[Message, ...] = () if system is None else (system,)
    turn = Turn(
        model=model.id,
        messages=(*head, *history.messages),
        tools=toolbox.tools,
        hidden_tools=toolbox.hidden,
        tool_choice=toolbox.choice,
        parallel_tool_calls=toolbox.parallel,
        output_format=_output_format(body),
        effort=thinking.effort,
        show_reasoning=thinking.shown,
        max_tokens=max_tokens,
        bounds_shown=not thinking.bounded,
        stop=_stop_sequences(body),
        wants_stop_sequence=True,
        streamed=stream,
        options=_options(body),
        ignored=(*toolbox.ignored, *_ignored(body), *edits.ignored),
        context_edits=edits.edits,
        provider=provider,
        wants_prompt_tokens=stream,
    )
    return Parsed(turn, stream, asked, toolbox.only_web_search and _asks_for_a_search(turn))


def _model(body: Fields, aliases: ModelAliases) -> tuple[str, Model, str]:
    asked = body.string("model") or DEFAULT_MODEL
    # How Claude Code asks for a window of a million tokens.
    name = aliases.resolve(asked.removesuffix("[1m]"))
    return asked[:_SHOWN_NAME], find_model(name), provider_suffix(name)


def _refuse_unsupported(body: Fields) -> None:
    if body.get("thread") is not None:
        # To leave it out would answer the end of a conversation as if it were the whole.
        raise UnsupportedParameter(
            "'thread' cannot be used here: this gateway keeps no conversations for clients. Send the whole "
            "conversation in 'messages', without 'thread'.",
            param=THREAD,
        )
    if body.array("mcp_servers"):
        raise UnsupportedParameter(
            "'mcp_servers' cannot be used here: this gateway connects to no MCP servers. Let the client do "
            "it, and send their tools in 'tools'.",
            param="mcp_servers",
        )


def _asks_for_a_search(turn: Turn) -> bool:
    """Whether a search is all that is wanted, as Claude Code asks for one in a request of its own."""
    said = [message for message in turn.messages if not isinstance(message, InstructionMessage)]
    return len(said) == 1 and _SEARCH.search(said[0].text[:_LONGEST_ASKING]) is not None


def _thinking(body: Fields) -> _Thinking:
    """Every type but ``disabled`` is taken as ``adaptive``: new models bring new ones."""
    config = body.object("output_config")
    level = None if config is None else config.string("effort")
    # An effort that is not known yet is more than those that are.
    effort = None if level is None else EFFORTS.get(level, "high")
    thinking = body.object("thinking")
    if thinking is None:
        return _Thinking(effort, shown=False, bounded=False)
    kind = thinking.required_string("type")
    if kind == "disabled":
        return _Thinking(effort or "low", shown=False, bounded=False)
    budget = thinking.integer("budget_tokens", 0)
    if effort is None and budget is not None:
        effort = "low" if budget < _LITTLE else "medium" if budget < _MEDIUM else "high"
    return _Thinking(effort, shown=thinking.get("display") != "omitted", bounded=True)


def _output_format(body: Fields) -> OutputFormat:
    config = body.object("output_config")
    form = None if config is None else config.object("format")
    # Its older place.
    form = form or body.object("output_format")
    if form is None:
        return OutputFormat()
    form.required_choice("type", ("json_schema",))
    schema = form.required_object("schema").members
    try:
        compile_schema(schema)
    except SchemaRefused as refused:
        path = form.at("schema")
        raise InvalidValue(f"Invalid schema in '{path}': {refused}.", param=path) from None
    return OutputFormat("json_schema", name="answer", schema=schema, strict=True)


def _stop_sequences(body: Fields) -> tuple[str, ...]:
    stops = body.array("stop_sequences", of="strings", most=MAX_STOPS) or []
    for index, text in enumerate(stops):
        path = f"stop_sequences[{index}]"
        if not isinstance(text, str):
            raise wrong_type(path, "a string", text)
        if len(text) > MAX_STOP:
            raise too_long(path, text, MAX_STOP)
    # An empty string would stop every answer before it begins.
    return tuple(text for text in stops if text)


def _options(body: Fields) -> dict[str, Any]:
    for name, low, high in _SAMPLING:
        body.number(name, low, high)
    body.integer("top_k", 0, _NO_LIMIT)
    return {name: value for name in _OPTIONS if (value := body.get(name)) is not None}


def _ignored(body: Fields) -> list[str]:
    """The names of what has no effect."""
    return [
        name
        for name, value in body.members.items()
        if value is not None and name not in _READ and name not in _OPTIONS and name not in _SILENT
    ]
