"""The parameters that OpenAI's three text APIs share, each read and checked in one place."""

import re
from functools import lru_cache
from typing import Any, Final

from ..core.catalog import DEFAULT_MODEL, NO_ALIASES, Model, ModelAliases, find_model, provider_suffix
from ..core.errors import (
    IntegerTooLarge,
    InvalidRequest,
    InvalidToolSchema,
    InvalidValue,
    TooManyProperties,
    UnsupportedValue,
)
from ..core.turn import Effort, OutputFormat
from ..text.schema import SchemaRefused, SchemaTooLarge, compile_schema
from ..text.schema_objects import mend_empty_objects
from .fields import Fields, too_long, wrong_type

MAX_CHOICES: Final = 128
MAX_STOPS: Final = 4
# Characters. Every piece of an answer is compared with all beginnings of a stop string.
MAX_STOP: Final = 1_000
MAX_METADATA: Final = 16
# Characters. What a longer name of a model means is not remembered: there is no end to them.
_USUAL_NAME: Final = 128

# Content parts of what gpt-oss models cannot read, as chat completions and responses call them.
MEDIA_PARTS: Final = frozenset(
    {
        "audio_url",
        "computer_screenshot",
        "file",
        "image",
        "image_url",
        "input_audio",
        "input_file",
        "input_image",
        "input_video",
        "video_url",
    }
)

EFFORTS: Final[dict[str, Effort]] = {
    "none": "low",
    "minimal": "low",
    "low": "low",
    "medium": "medium",
    "high": "high",
    "xhigh": "high",
    "max": "high",
}

_NAME: Final = re.compile(r"[A-Za-z0-9_-]+")
# MCP servers name tools in many ways (docs/design/emulation.md, "Tool names").
_TOOL_NAME: Final = re.compile(r"(?:[A-Za-z0-9_./:@-]|[^\x00-\x7f\s])+")
_NAME_LENGTH: Final = 64
_TOOL_NAME_LENGTH: Final = 128
_RANGES: Final = (
    ("temperature", 0, 2),
    ("top_p", 0, 1),
    ("presence_penalty", -2, 2),
    ("frequency_penalty", -2, 2),
)
_TIERS: Final = ("auto", "default", "flex", "scale", "priority", "fast", "ultrafast")
_STRINGS: Final = ("user", "safety_identifier", "prompt_cache_key")
# What only the Responses API has: no server of chat completions knows it, and some of it says who asks.
_RESPONSES_ONLY: Final = frozenset(
    {
        "background",
        "client_metadata",
        "context_management",
        "conversation",
        "include",
        "max_tool_calls",
        "previous_response_id",
        "reasoning.context",
        "reasoning.generate_summary",
        "reasoning.summary",
        "truncation",
    }
)


def media_note(kind: str) -> str:
    """What stands for a part of ``MEDIA_PARTS`` that comes again with every later request.

    A refusal would end the conversation for good.
    """
    return f"[{kind} left out: this model reads only text]"


def refused_media(part: Fields, kind: str, text_type: str) -> UnsupportedValue:
    """For such a part in what the user says now; ``text_type`` is what parts of text are called."""
    return UnsupportedValue(
        f"Unsupported value: '{part.at('type')}' is '{kind}', but gpt-oss models read only text. "
        f"Send content parts of type '{text_type}'.",
        param=part.at("type"),
    )


def read_model(body: Fields, aliases: ModelAliases = NO_ALIASES) -> tuple[Model, str]:
    """The model asked for, or the default one, and the provider named behind it (``gpt-oss-20b:groq``)."""
    asked = body.string("model") or DEFAULT_MODEL
    if len(asked) > _USUAL_NAME:
        return _meant_by(asked, aliases)
    return _remembered(asked, aliases)


def _meant_by(asked: str, aliases: ModelAliases) -> tuple[Model, str]:
    name = aliases.resolve(asked)
    return find_model(name), provider_suffix(name)


_remembered: Final = lru_cache(maxsize=256)(_meant_by)


def read_name(fields: Fields) -> str:
    """A tool's ``name``: more than OpenAI allows, as every upstream is shown an alias where it needs one."""
    name = _bounded(fields, _TOOL_NAME_LENGTH)
    if not _TOOL_NAME.fullmatch(name) or not name.isprintable():
        path = fields.at("name")
        raise InvalidValue(
            f"Invalid '{path}': string does not match pattern. Expected at least one character, of letters, "
            "digits and any of '_-./:@'.",
            param=path,
        )
    return name


def _bounded(fields: Fields, longest: int) -> str:
    name = fields.required_string("name")
    if len(name) > longest:
        raise too_long(fields.at("name"), name, longest)
    return name


def read_parameters(
    function: Fields, name: str, *, strict: bool, member: str = "parameters"
) -> dict[str, Any] | None:
    """The schema of a function's arguments in ``member``; only those of strict tools are held to it."""
    parameters = _schema(function, member)
    if strict and parameters is not None:
        try:
            compile_schema(parameters)
        except SchemaRefused as refused:
            said, param = f"Invalid schema for function '{name}': {refused}.", function.at(member)
            if isinstance(refused, SchemaTooLarge):
                raise InvalidValue(said, param=param) from None
            raise InvalidToolSchema(said, param=param) from None
    return parameters


def _schema(fields: Fields, member: str) -> dict[str, Any] | None:
    if fields.get(member) == []:
        return {}
    schema = fields.mapping(member)
    if schema is not None:
        mend_empty_objects(schema)
    return schema


def read_json_schema(fields: Fields, parameter: str) -> OutputFormat:
    """The ``json_schema`` form of an answer; ``parameter`` names it in messages."""
    name = _bounded(fields, _NAME_LENGTH)
    if not _NAME.fullmatch(name):
        path = fields.at("name")
        raise InvalidValue(
            f"Invalid '{path}': string does not match pattern. "
            f"Expected a string that matches the pattern '^{_NAME.pattern}$'.",
            param=path,
        )
    schema = _schema(fields, "schema")
    if schema is not None:
        try:
            compile_schema(schema)
        except SchemaRefused as refused:
            raise InvalidValue(
                f"Invalid schema for {parameter} '{name}': {refused}.", param=fields.at("schema")
            ) from None
    return OutputFormat(
        "json_schema",
        name=name,
        schema=schema,
        strict=fields.boolean("strict") or False,
        description=fields.string("description") or "",
    )


def read_include_usage(body: Fields, stream: bool) -> bool:
    """``stream_options.include_usage``; the options belong to streams alone."""
    if body.members.get("stream_options") is None:
        return False
    options = body.required_object("stream_options")
    if not stream:
        raise InvalidRequest(
            "The 'stream_options' parameter is only allowed when 'stream' is enabled.",
            param="stream_options",
        )
    options.boolean("include_obfuscation")
    return options.boolean("include_usage") or False


def read_n(body: Fields, most: int) -> int:
    n = body.integer("n", 1, MAX_CHOICES) or 1
    if n > most:
        raise IntegerTooLarge(
            f"Invalid 'n': integer above maximum value. This gateway gives at most {most} "
            f"choices, but {n} were asked for.",
            param="n",
        )
    return n


def read_stop(body: Fields) -> tuple[str, ...]:
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
        if len(text) > MAX_STOP:
            raise too_long(f"stop[{index}]" if isinstance(stop, list) else "stop", text, MAX_STOP)
    # An empty string would stop every answer before it begins.
    return tuple(text for text in stops if text)


def check_options(body: Fields) -> None:
    """Checks what the turn passes on as options: sampling, service tier, identifiers."""
    for name, low, high in _RANGES:
        body.number(name, low, high)
    body.choice("service_tier", _TIERS)
    for name in _STRINGS:
        body.string(name)
    body.integer("seed")
    if (bias := body.object("logit_bias")) is not None:
        for token in bias.members:
            bias.number(token, -100, 100)


def read_metadata(body: Fields) -> dict[str, str]:
    """``metadata``: at most 16 pairs of short strings; empty where there is none."""
    metadata = body.object("metadata")
    if metadata is None:
        return {}
    if len(metadata.members) > MAX_METADATA:
        raise TooManyProperties(
            f"Invalid 'metadata': too many properties. Expected an object with at most {MAX_METADATA} "
            f"properties, but got an object with {len(metadata.members)} properties instead.",
            param="metadata",
        )
    for key in metadata.members:
        if len(key) > 64:
            raise too_long("metadata", key, 64)
        value = metadata.required_string(key)
        if len(value) > 512:
            raise too_long(metadata.at(key), value, 512)
    return metadata.members


def options_of(body: Fields, used: frozenset[str]) -> dict[str, Any]:
    """Every parameter that is not in ``used``, the client's vendor extras among them."""
    return {name: value for name, value in body.members.items() if value is not None and name not in used}


def take_responses_only(options: dict[str, Any]) -> tuple[str, ...]:
    """Takes out of ``options`` what only the Responses API has; the names."""
    taken = tuple(name for name in options if name in _RESPONSES_ONLY)
    for name in taken:
        del options[name]
    return taken
