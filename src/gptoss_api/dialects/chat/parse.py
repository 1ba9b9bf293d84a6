"""A chat completion request in neutral form, every parameter checked.

Source: docs/design/conformance.md, "Chat completions".
"""

from typing import Any, Final

from msgspec import Struct

from ...core.catalog import NO_ALIASES, ModelAliases
from ...core.errors import InvalidRequest, UnsupportedParameter, UnsupportedValue
from ...core.turn import Effort, OutputFormat, Turn
from ..fields import Fields, unknown_value, wrong_type
from ..parameters import (
    EFFORTS,
    check_options,
    options_of,
    read_include_usage,
    read_json_schema,
    read_metadata,
    read_model,
    read_n,
    read_stop,
    take_responses_only,
)
from .messages import read_messages
from .tools import Toolbox, read_toolbox

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

_USUAL: Final = frozenset({"model", "messages", "stream", "stream_options"})
_ABOUT_MEDIA: Final = frozenset({"audio", "modalities"})
_ABOUT_REASONING: Final = frozenset(
    {"reasoning_effort", "include_reasoning", "reasoning", "chat_template_kwargs"}
)
_ABOUT_LOGPROBS: Final = frozenset({"logprobs", "top_logprobs"})
_ABOUT_TOOLS: Final = frozenset({"tools", "tool_choice", "functions", "function_call"})
_NO_TOOLS: Final = Toolbox()


class Parsed(Struct, frozen=True):
    """What a body asks for: the turn, and how its answer is to be shaped."""

    turn: Turn
    stream: bool
    include_usage: bool
    legacy_functions: bool


def read_request(body: Fields, *, max_n: int, aliases: ModelAliases = NO_ALIASES) -> Parsed:
    """Checks and translates a whole body. ``max_n`` is our own cap on ``n``.

    Raises:
        InvalidRequest: naming the first parameter that is wrong.
        ModelNotFound: for models that are not offered.
    """
    messages, left_out = read_messages(body)
    model, provider = read_model(body, aliases)
    stream = body.boolean("stream") or False
    include_usage = read_include_usage(body, stream)
    unread = tuple([f"messages.{kind}" for kind in left_out]) if left_out else ()
    # Most requests set little: what none of them names need not be looked for member by member.
    if body.members.keys() <= _USUAL:
        turn = Turn(model=model.id, messages=messages, streamed=stream, ignored=unread, provider=provider)
        return Parsed(turn, stream, include_usage, legacy_functions=False)
    _refuse_unsupported(body)
    toolbox = _NO_TOOLS if _ABOUT_TOOLS.isdisjoint(body.members) else read_toolbox(body)
    parallel = body.boolean("parallel_tool_calls")
    extras: dict[str, Any] = {}
    effort, show_reasoning = _reasoning(body, extras)
    options = _options(body) | extras if extras else _options(body)
    ignored = take_responses_only(options) if options else ()
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
        stop=read_stop(body),
        top_logprobs=_top_logprobs(body),
        n=read_n(body, max_n),
        streamed=stream,
        options=options,
        ignored=(*ignored, *unread),
        provider=provider,
    )
    return Parsed(turn, stream, include_usage, toolbox.legacy)


def _top_logprobs(body: Fields) -> int | None:
    if _ABOUT_LOGPROBS.isdisjoint(body.members):
        return None
    wanted, most = body.boolean("logprobs"), body.integer("top_logprobs", 0, 20)
    if most and not wanted:
        raise InvalidRequest(
            "Invalid value for 'top_logprobs': it is only allowed when 'logprobs' is true.",
            param="top_logprobs",
        )
    return (most or 0) if wanted else None


def _refuse_unsupported(body: Fields) -> None:
    if _ABOUT_MEDIA.isdisjoint(body.members):
        return
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
    if _ABOUT_REASONING.isdisjoint(body.members):
        return None, True
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
            return read_json_schema(form.required_object("json_schema"), "response_format")


def _max_tokens(body: Fields) -> int | None:
    older = body.integer("max_tokens", 1)
    return body.integer("max_completion_tokens", 1) or older


def _options(body: Fields) -> dict[str, Any]:
    """Every parameter that is neither part of the turn nor neutral, its value checked where it is known."""
    options = options_of(body, _NO_OPTIONS)
    if not options:
        return options
    check_options(body)
    body.choice("verbosity", ("low", "medium", "high"))
    body.object("prediction")
    if not body.boolean("store"):
        options.pop("store", None)
    if not read_metadata(body):
        options.pop("metadata", None)
    return options
