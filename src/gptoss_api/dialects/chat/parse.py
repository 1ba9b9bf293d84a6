"""A chat completion request in neutral form, every parameter checked (conformance, section 2)."""

from typing import Any, Final

from msgspec import Struct

from ...core.catalog import DEFAULT_MODEL, find_model, provider_suffix
from ...core.errors import InvalidRequest, InvalidValue, UnsupportedParameter, UnsupportedValue
from ...core.turn import Effort, OutputFormat, Turn
from ...text.schema import SchemaRefused, compile_schema
from ..reading import Fields, too_long, unknown_value, wrong_type
from .messages import read_messages
from .tools import read_name, read_toolbox

MAX_CHOICES: Final = 128
MAX_STOPS: Final = 4
MAX_METADATA: Final = 16

EFFORTS: Final[dict[str, Effort]] = {
    "none": "low",
    "minimal": "low",
    "low": "low",
    "medium": "medium",
    "high": "high",
    "xhigh": "high",
    "max": "high",
}

# What the turn itself carries, or what changes nothing; every other parameter is an option.
_NO_OPTIONS: Final = frozenset(
    {
        "model",
        "messages",
        "stream",
        "stream_options",
        "n",
        "max_tokens",
        "max_completion_tokens",
        "stop",
        "tools",
        "tool_choice",
        "parallel_tool_calls",
        "functions",
        "function_call",
        "response_format",
        "reasoning_effort",
        "reasoning",
        "include_reasoning",
        "chat_template_kwargs",
        "modalities",
        "audio",
        "logprobs",
        "top_logprobs",
    }
)
_RANGES: Final = (
    ("temperature", 0, 2),
    ("top_p", 0, 1),
    ("presence_penalty", -2, 2),
    ("frequency_penalty", -2, 2),
)
_CHOICES: Final = (
    ("verbosity", ("low", "medium", "high")),
    ("service_tier", ("auto", "default", "flex", "scale", "priority", "fast")),
)
_STRINGS: Final = ("user", "safety_identifier", "prompt_cache_key")


class Parsed(Struct, frozen=True):
    """What a body asks for: the turn, and how its answer is to be shaped."""

    turn: Turn
    stream: bool
    include_usage: bool
    legacy_functions: bool


def read_request(body: Fields, *, max_n: int) -> Parsed:
    """Checks and translates a whole body. ``max_n`` is our own cap on ``n``.

    Raises:
        InvalidRequest: naming the first parameter that is wrong.
        ModelNotFound: for models that are not offered.
    """
    messages = read_messages(body)
    asked_model = body.string("model") or DEFAULT_MODEL
    model = find_model(asked_model)
    stream = body.boolean("stream") or False
    include_usage = _include_usage(body, stream)
    _refuse_unsupported(body)
    toolbox = read_toolbox(body)
    parallel = body.boolean("parallel_tool_calls")
    extras: dict[str, Any] = {}
    effort, show_reasoning = _reasoning(body, extras)
    turn = Turn(
        model=model.id,
        messages=messages,
        tools=toolbox.tools,
        tool_choice=toolbox.choice,
        parallel_tool_calls=parallel is not False and not toolbox.legacy,
        output_format=_output_format(body),
        effort=effort,
        show_reasoning=show_reasoning,
        max_tokens=_max_tokens(body),
        stop=_stop(body),
        n=_n(body, max_n),
        options=_options(body) | extras,
        provider=provider_suffix(asked_model),
    )
    return Parsed(turn, stream, include_usage, toolbox.legacy)


def _include_usage(body: Fields, stream: bool) -> bool:
    options = body.object("stream_options")
    if options is None:
        return False
    if not stream:
        raise InvalidRequest(
            "The 'stream_options' parameter is only allowed when 'stream' is enabled.",
            param="stream_options",
        )
    options.boolean("include_obfuscation")
    return options.boolean("include_usage") or False


def _refuse_unsupported(body: Fields) -> None:
    if body.boolean("logprobs"):
        raise UnsupportedParameter(
            "Unsupported parameter: 'logprobs'. Log probabilities are not available here.", param="logprobs"
        )
    if body.integer("top_logprobs", 0, 20):
        raise UnsupportedParameter(
            "Unsupported parameter: 'top_logprobs'. Log probabilities are not available here.",
            param="top_logprobs",
        )
    if body.get("audio") is not None:
        raise UnsupportedParameter(
            "Unsupported parameter: 'audio'. gpt-oss models write only text.", param="audio"
        )
    for index, modality in enumerate(body.array("modalities", of="strings") or ()):
        path = f"modalities[{index}]"
        if not isinstance(modality, str):
            raise wrong_type(path, "a string", modality)
        if modality == "audio":
            raise UnsupportedValue(
                "Unsupported value: 'modalities' contains 'audio', but gpt-oss models write only text.",
                param="modalities",
            )
        if modality != "text":
            raise unknown_value(path, modality, ("text",))


def _reasoning(body: Fields, extras: dict[str, Any]) -> tuple[Effort | None, bool]:
    """How hard to think and whether to show it, from every place clients say so.

    OpenAI's ``reasoning_effort`` wins over OpenRouter's ``reasoning`` object and vLLM's
    ``chat_template_kwargs``. Members of those that mean nothing here go to ``extras``.
    """
    levels = tuple(EFFORTS)
    effort = body.choice("reasoning_effort", levels)
    shown = body.boolean("include_reasoning") is not False
    if (reasoning := body.object("reasoning")) is not None:
        effort = effort or reasoning.choice("effort", levels)
        if reasoning.boolean("enabled") is False:
            effort = effort or "none"
        shown = shown and not reasoning.boolean("exclude")
        _leave(reasoning, ("effort", "enabled", "exclude"), extras)
    if (kwargs := body.object("chat_template_kwargs")) is not None:
        effort = effort or kwargs.choice("reasoning_effort", levels)
        _leave(kwargs, ("reasoning_effort",), extras)
    return (None if effort is None else EFFORTS[effort]), shown


def _leave(fields: Fields, used: tuple[str, ...], extras: dict[str, Any]) -> None:
    for name, value in fields.members.items():
        if name not in used and value is not None:
            extras[fields.at(name)] = value


def _output_format(body: Fields) -> OutputFormat:
    form = body.object("response_format")
    if form is None:
        return OutputFormat()
    match form.required_choice("type", ("text", "json_object", "json_schema")):
        case "text":
            return OutputFormat()
        case "json_object":
            return OutputFormat("json_object")
        case _:
            wanted = form.required_object("json_schema")
    name = read_name(wanted)
    schema = wanted.mapping("schema")
    if schema is not None:
        try:
            compile_schema(schema)
        except SchemaRefused as refused:
            raise InvalidValue(
                f"Invalid schema for response_format '{name}': {refused}.", param=wanted.at("schema")
            ) from None
    return OutputFormat(
        "json_schema",
        name=name,
        schema=schema,
        strict=wanted.boolean("strict") or False,
        description=wanted.string("description") or "",
    )


def _max_tokens(body: Fields) -> int | None:
    older = body.integer("max_tokens", 1)
    return body.integer("max_completion_tokens", 1) or older


def _n(body: Fields, most: int) -> int:
    n = body.integer("n", 1, MAX_CHOICES) or 1
    if n > most:
        raise InvalidValue(
            f"Invalid 'n': integer above maximum value. This gateway gives at most {most} "
            f"choices, but {n} were asked for.",
            param="n",
            code="integer_above_max_value",
        )
    return n


def _stop(body: Fields) -> tuple[str, ...]:
    stop = body.get("stop")
    if stop is None:
        return ()
    if isinstance(stop, str):
        stops = [stop]
    elif isinstance(stop, list):
        stops = body.required_array("stop", of="strings", most=MAX_STOPS)
    else:
        raise wrong_type("stop", "a string or an array of strings", stop)
    for index, text in enumerate(stops):
        if not isinstance(text, str):
            raise wrong_type(f"stop[{index}]", "a string", text)
    # An empty string would stop every answer before it begins.
    return tuple(text for text in stops if text)


def _options(body: Fields) -> dict[str, Any]:
    """Every parameter that is neither part of the turn nor neutral, its value checked where it is known."""
    for name, low, high in _RANGES:
        body.number(name, low, high)
    for name, choices in _CHOICES:
        body.choice(name, choices)
    for name in _STRINGS:
        body.string(name)
    body.integer("seed")
    body.object("prediction")
    _check_logit_bias(body)
    _check_metadata(body)
    options = {
        name: value for name, value in body.members.items() if value is not None and name not in _NO_OPTIONS
    }
    if not body.boolean("store"):
        options.pop("store", None)
    if not options.get("metadata"):
        options.pop("metadata", None)
    return options


def _check_logit_bias(body: Fields) -> None:
    if (bias := body.object("logit_bias")) is not None:
        for token in bias.members:
            bias.number(token, -100, 100)


def _check_metadata(body: Fields) -> None:
    metadata = body.object("metadata")
    if metadata is None:
        return
    if len(metadata.members) > MAX_METADATA:
        raise InvalidValue(
            f"Invalid 'metadata': too many properties. Expected an object with at most {MAX_METADATA} "
            f"properties, but got an object with {len(metadata.members)} properties instead.",
            param="metadata",
            code="object_above_max_properties",
        )
    for key in metadata.members:
        if len(key) > 64:
            raise too_long("metadata", key, 64)
        value = metadata.required_string(key)
        if len(value) > 512:
            raise too_long(metadata.at(key), value, 512)
