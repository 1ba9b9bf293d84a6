"""Chats and texts asked of Ollama in neutral form, every parameter checked.

Source: docs/design/conformance.md, "Ollama".
"""

import re
from collections.abc import Collection, Sequence
from typing import Any, Final, Literal

from msgspec import Struct

from ...core.catalog import ModelAliases
from ...core.errors import InvalidType, InvalidValue, UnsupportedParameter, UnsupportedValue
from ...core.turn import Effort, InstructionMessage, Message, OutputFormat, Tool, Truncate, Turn, UserMessage
from ...text.schema import SchemaRefused, compile_schema
from ..fields import Fields, made_of, made_of_all, too_long, wrong_type
from ..json_body import described
from ..parameters import MAX_STOP, read_name, read_parameters
from .conversation import read_messages, refuse_images
from .models import Asked, meant_by
from .models import read_name as read_model_name

MAX_TOOLS: Final = 1_024
MAX_STOPS: Final = 64
# The characters of a model's name that come back in an answer.
_SHOWN_NAME: Final = 256

_LEVELS: Final[dict[str, Effort]] = {"low": "low", "medium": "medium", "high": "high", "max": "high"}
# Go's durations, of which clients take their keep_alive.
_DURATION: Final = re.compile(r"[+-]?(?:0|(?:(?:\d+\.?\d*|\.\d+)(?:ns|us|µs|μs|ms|s|m|h))+)")

Kind = Literal["integer", "float", "boolean", "string", "array"]
# What goes on to the upstream, under the same names.
_SAMPLING: Final[dict[str, Kind]] = {
    "temperature": "float",
    "top_p": "float",
    "top_k": "integer",
    "min_p": "float",
    "seed": "integer",
    "presence_penalty": "float",
    "frequency_penalty": "float",
}
# What says how a machine runs a model, or cuts the prompt that clients send with numbers they do not know.
_SILENT: Final[dict[str, Kind]] = {
    "num_ctx": "integer",
    "num_keep": "integer",
    "num_batch": "integer",
    "num_gpu": "integer",
    "main_gpu": "integer",
    "num_thread": "integer",
    "numa": "boolean",
    "low_vram": "boolean",
    "f16_kv": "boolean",
    "vocab_only": "boolean",
    "use_mmap": "boolean",
    "use_mlock": "boolean",
    "mirostat": "integer",
    "mirostat_tau": "float",
    "mirostat_eta": "float",
    "tfs_z": "float",
}
_WITHOUT_EFFECT: Final[dict[str, Kind]] = {
    "repeat_penalty": "float",
    "repeat_last_n": "integer",
    "typical_p": "float",
    "penalize_newline": "boolean",
}

_COMMON: Final = frozenset(
    {
        "model",
        "name",
        "stream",
        "think",
        "format",
        "options",
        "keep_alive",
        "truncate",
        "shift",
        "logprobs",
        "top_logprobs",
        "images",
        "_debug_render_only",
    }
)
_OF_CHATS: Final = _COMMON | {"messages", "tools"}
_OF_TEXTS: Final = _COMMON | {"prompt", "system", "suffix", "raw", "context"}


class Parsed(Struct, frozen=True):
    """What a body asks for; ``name`` is the model as it was asked for and is shown, ``model`` its id.

    Without a turn it asks whether the model is there (``unload``: says that it is not needed).
    """

    name: str
    model: str
    stream: bool
    turn: Turn | None = None
    unload: bool = False


def read_chat(body: Fields, aliases: ModelAliases) -> Parsed:
    """Checks and translates the body of a chat.

    Raises:
        InvalidRequest: naming the first parameter that is wrong.
        ModelNotFound: for models that are not offered.
    """
    messages = read_messages(body)
    tools = made_of_all(body.array("tools", most=MAX_TOOLS) or (), _tools)
    return _parsed(body, aliases, messages, tools, _OF_CHATS)


def read_text(body: Fields, aliases: ModelAliases) -> Parsed:
    """Checks and translates the body of ``/api/generate``; raises like :func:`read_chat`."""
    name = read_model_name(body)
    prompt, system = body.string("prompt") or "", body.string("system") or ""
    template, context = body.string("template") or "", body.array("context", of="integers")
    if body.string("suffix"):
        raise UnsupportedParameter(f'"{name[:_SHOWN_NAME]}" does not support insert', param="suffix")
    if body.boolean("raw") and (template or system or context):
        raise InvalidValue("raw mode does not support template, system, or context", param="raw")
    if context:
        raise UnsupportedParameter("context is not supported: use /api/chat", param="context")
    refuse_images(body)
    messages: tuple[Message, ...] = ()
    if prompt:
        head = (InstructionMessage(system),) if system else ()
        messages = (*head, UserMessage(prompt))
    return _parsed(body, aliases, messages, (), _OF_TEXTS)


def _parsed(
    body: Fields,
    aliases: ModelAliases,
    messages: tuple[Message, ...],
    tools: tuple[Tool, ...],
    read: Collection[str],
) -> Parsed:
    name = read_model_name(body)
    asked = meant_by(name, aliases)
    stream = body.boolean("stream") is not False
    unload = _keep_alive(body)
    effort, shown = _thinking(body, asked)
    _refuse_unsupported(body)
    options = _Options(body)
    form = _output_format(body)
    # Ollama's servers do so unless they are told not to, without a word.
    edits = (Truncate(),) if body.boolean("truncate") else ()
    body.boolean("shift")
    shown_name = name[:_SHOWN_NAME]
    if not messages:
        return Parsed(shown_name, asked.model.id, stream, unload=unload)
    unread = (member for member, value in body.members.items() if value is not None and member not in read)
    turn = Turn(
        model=asked.model.id,
        messages=messages,
        tools=tools,
        output_format=form,
        effort=effort,
        show_reasoning=shown,
        max_tokens=options.max_tokens,
        stop=options.stop,
        streamed=stream,
        options=options.sampling,
        ignored=(*(member for member in unread if body.get(member) != ""), *options.ignored),
        provider=asked.provider,
        context_edits=edits,
    )
    return Parsed(shown_name, asked.model.id, stream, turn)


def _tools(values: Sequence[Any]) -> tuple[Tool, ...]:
    by_name: dict[str, Tool] = {}
    for index, item in enumerate(values):
        tool = made_of(item, "tools", index, _tool)
        # A repeated definition is harmless, a contradicting one is not.
        if by_name.setdefault(tool.name, tool) != tool:
            path = f"tools[{index}].function.name"
            raise InvalidValue(f"'{path}': another tool is already named '{tool.name}'", param=path)
    return tuple(by_name.values())


def _tool(item: Fields) -> Tool:
    item.choice("type", ("function",))
    function = item.required_object("function")
    name = read_name(function)
    return Tool(name, function.string("description") or "", read_parameters(function, name, strict=False))


def _thinking(body: Fields, asked: Asked) -> tuple[Effort | None, bool]:
    """How hard to think and whether to show it. A name that ends with an effort is for clients that know
    only whether a model thinks."""
    think = body.get("think")
    match think:
        case None:
            return asked.effort, True
        case True:
            return asked.effort or "medium", True
        case False:
            return asked.effort or "low", False
        case str() if think in _LEVELS:
            return _LEVELS[think], True
        case str():
            raise InvalidValue(
                f'invalid think value: "{think[:100]}" '
                '(must be "high", "medium", "low", "max", true, or false)',
                param="think",
            )
        case _:
            raise wrong_type("think", "a boolean or a string", think)


def _output_format(body: Fields) -> OutputFormat:
    form = body.get("format")
    match form:
        case None | "":
            return OutputFormat()
        case "json":
            return OutputFormat("json_object")
        case dict():
            try:
                compile_schema(form)
            except SchemaRefused as refused:
                raise InvalidValue(f"invalid schema in format: {refused}", param="format") from None
            return OutputFormat("json_schema", name="answer", schema=form, strict=True)
        case str():
            raise InvalidValue(
                f'invalid format: "{form[:100]}" (must be "json" or a JSON schema)', param="format"
            )
        case _:
            raise wrong_type("format", '"json" or an object', form)


def _keep_alive(body: Fields) -> bool:
    """Whether the model is not needed any longer; how long it is kept is nothing to a gateway."""
    value = body.get("keep_alive")
    if value is None:
        return False
    if isinstance(value, str):
        if not _DURATION.fullmatch(value):
            raise InvalidValue(f'invalid keep_alive: "{value[:100]}" is no duration', param="keep_alive")
        return not value.strip("+-0nuµμmsh.")
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise wrong_type("keep_alive", "a number of seconds or a duration", value)
    return value == 0


def _refuse_unsupported(body: Fields) -> None:
    for name, asked in (
        ("logprobs", body.boolean("logprobs")),
        ("top_logprobs", body.integer("top_logprobs", 0, 20)),
    ):
        if asked:
            raise UnsupportedParameter(f"{name}: log probabilities are not available here", param=name)


class _Options:
    """The members of ``options``; those that are null are as if they were not there."""

    def __init__(self, body: Fields) -> None:
        options = body.object("options") or Fields({}, "options")
        self.sampling: dict[str, Any] = {}
        ignored = []
        for name, value in options.members.items():
            if value is None or name in ("num_predict", "stop"):
                continue
            kind = _SAMPLING.get(name) or _SILENT.get(name) or _WITHOUT_EFFECT.get(name)
            checked = value if kind is None else _of_kind(name, value, kind)
            if name in _SAMPLING:
                self.sampling[name] = checked
            elif name not in _SILENT:
                ignored.append(options.at(name))
        self.ignored = tuple(ignored)
        limit = _of_kind("num_predict", options.get("num_predict") or 0, "integer")
        # Ollama's -1 and -2 mean that there is no limit.
        self.max_tokens: int | None = limit if limit > 0 else None
        self.stop = _stop(options)


def _stop(options: Fields) -> tuple[str, ...]:
    stop = options.get("stop")
    if stop is None:
        return ()
    stops = [stop] if isinstance(stop, str) else _of_kind("stop", stop, "array")
    if len(stops) > MAX_STOPS:
        raise UnsupportedValue(f'option "stop" may have at most {MAX_STOPS} strings', param="options.stop")
    for text in stops:
        if not isinstance(text, str):
            raise _no_kind("stop", text, "array of strings")
        if len(text) > MAX_STOP:
            raise too_long("options.stop", text, MAX_STOP)
    # An empty string would stop every answer before it begins.
    return tuple(text for text in stops if text)


def _of_kind(name: str, value: Any, kind: Kind) -> Any:
    """``value`` as it is meant; JSON has only one kind of number."""
    if isinstance(value, bool):
        right = kind == "boolean"
    elif isinstance(value, int | float):
        right = kind == "float" or (kind == "integer" and value == int(value))
    else:
        right = isinstance(value, list) and kind == "array"
    if not right:
        raise _no_kind(name, value, kind)
    return int(value) if kind == "integer" else value


def _no_kind(name: str, value: Any, kind: str) -> InvalidType:
    return InvalidType(
        f'option "{name}" must be of type {kind}, but it is {described(value)}', param=f"options.{name}"
    )
