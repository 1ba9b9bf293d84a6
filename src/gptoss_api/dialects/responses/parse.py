"""A request for a response, every parameter checked (docs/design/conformance.md, "Responses").

What is asked and what was said before are read separately: earlier items may come from the store, which
a dialect cannot reach.
"""

from collections.abc import Sequence
from typing import Any, Final

from msgspec import Struct

from ...core.catalog import NO_ALIASES, ModelAliases
from ...core.errors import InvalidRequest, InvalidType, UnsupportedParameter
from ...core.turn import Truncate, Turn
from ..fields import Fields, as_objects, unknown_value, wrong_type
from ..parameters import (
    check_options,
    options_of,
    read_include_usage,
    read_metadata,
    read_model,
    read_stop,
)
from .configuration import read_reasoning, read_text, text_object
from .items import item_type
from .tools import Toolbox, read_toolbox

ENCRYPTED: Final = "reasoning.encrypted_content"
LOGPROBS: Final = "message.output_text.logprobs"
_WITH_TOOLS: Final = frozenset({"additional_tools", "tool_search_output"})
_TRUNCATION: Final = ("auto", "disabled")
_INCLUDES: Final = (
    ENCRYPTED,
    LOGPROBS,
    "file_search_call.results",
    "web_search_call.results",
    "web_search_call.action.sources",
    "message.input_image.image_url",
    "computer_call_output.output.image_url",
    "code_interpreter_call.outputs",
)

# What has the same name and meaning for servers of chat completions: OpenAI's own, the sampling of servers
# that people run, and OpenRouter's routing. Whatever else a client says is between it and OpenAI, such as
# Codex' installation and session ids, and is not told to anybody.
_OPTIONS: Final = frozenset(
    {
        "temperature",
        "top_p",
        "presence_penalty",
        "frequency_penalty",
        "logit_bias",
        "seed",
        "service_tier",
        "user",
        "safety_identifier",
        "prompt_cache_key",
        "prompt_cache_retention",
        "top_k",
        "top_a",
        "min_p",
        "typical_p",
        "repetition_penalty",
        "min_tokens",
        "ignore_eos",
        "stop_token_ids",
        "provider",
        "models",
        "route",
        "transforms",
        "plugins",
    }
)
# What the turn itself carries, or what the answer repeats.
_USED: Final = frozenset(
    {
        "model",
        "input",
        "instructions",
        "stream",
        "stream_options",
        "tools",
        "tool_choice",
        "parallel_tool_calls",
        "stop",
        "text",
        "reasoning",
        "max_output_tokens",
        "max_tool_calls",
        "previous_response_id",
        "conversation",
        "background",
        "store",
        "include",
        "truncation",
        "top_logprobs",
        "prompt",
        "metadata",
    }
)


class Parsed(Struct, frozen=True):
    """A request without its conversation.

    ``turn`` has no messages yet. ``items`` are the client's own input items in the order given,
    ``references`` the ids of the stored items that they refer to, ``echo`` the parameters that the answer
    repeats.
    """

    turn: Turn
    items: tuple[Fields, ...]
    instructions: str
    toolbox: Toolbox
    echo: dict[str, Any]
    stream: bool
    background: bool
    store: bool
    previous_response_id: str | None
    include_encrypted: bool
    references: tuple[str, ...]


def read_request(
    body: Fields, *, store_by_default: bool = True, aliases: ModelAliases = NO_ALIASES
) -> Parsed:
    """Checks and translates a whole body.

    Raises:
        InvalidRequest: naming the first parameter that is wrong.
        ModelNotFound: for models that are not offered.
    """
    _refuse_unsupported(body)
    model, provider = read_model(body, aliases)
    stream = body.boolean("stream") or False
    read_include_usage(body, stream)
    items = _input(body)
    kinds = [item.made(item_type) for item in items]
    toolbox = read_toolbox(body, _added_tools(items, kinds))
    background, given = body.boolean("background") or False, body.boolean("store")
    store = store_by_default if given is None else given
    if background and not store:
        raise InvalidRequest(
            "Invalid value for 'background': a response in the background can only be fetched where it is "
            "stored. Set 'store' to true.",
            param="background",
        )
    output_format, verbosity = read_text(body)
    effort, reasoning, without_effect = read_reasoning(body)
    parallel = body.boolean("parallel_tool_calls") is not False
    options = _options(body)
    unknown = [name for name in options if name not in _OPTIONS]
    for name in unknown:
        del options[name]
    if verbosity is not None:
        options["verbosity"] = verbosity
    turn = Turn(
        model=model.id,
        provider=provider,
        messages=(),
        tools=toolbox.tools,
        tool_choice=toolbox.choice,
        parallel_tool_calls=parallel,
        output_format=output_format,
        effort=effort,
        max_tokens=body.integer("max_output_tokens", 1),
        stop=read_stop(body),
        streamed=stream,
        followed=background,
        options=options,
        ignored=(*(f"tools.{kind}" for kind in toolbox.dropped), *without_effect, *unknown),
        context_edits=(Truncate(),) if body.choice("truncation", _TRUNCATION) == "auto" else (),
    )
    return Parsed(
        turn=turn,
        items=items,
        instructions=_instructions(body),
        toolbox=toolbox,
        echo=_echo(body, toolbox, reasoning)
        | {"parallel_tool_calls": parallel, "store": store, "text": text_object(output_format, verbosity)},
        stream=stream,
        background=background,
        store=store,
        previous_response_id=body.string("previous_response_id"),
        include_encrypted=ENCRYPTED in _include(body),
        references=tuple(
            [
                item.required_string("id")
                for item, kind in zip(items, kinds, strict=True)
                if kind == "item_reference"
            ]
        ),
    )


def _refuse_unsupported(body: Fields) -> None:
    if body.get("conversation") is not None:
        raise UnsupportedParameter(
            "Unsupported parameter: 'conversation'. Conversation objects are not kept here; continue with "
            "'previous_response_id' or send the items again.",
            param="conversation",
        )
    if body.get("prompt") is not None:
        raise UnsupportedParameter(
            "Unsupported parameter: 'prompt'. Prompt templates are not kept here; send the text as "
            "'instructions' and 'input'.",
            param="prompt",
        )
    if body.integer("top_logprobs", 0, 20):
        raise UnsupportedParameter(
            "Unsupported parameter: 'top_logprobs'. Log probabilities are not available here.",
            param="top_logprobs",
        )


def _input(body: Fields) -> tuple[Fields, ...]:
    value = body.get("input")
    if value is None:
        # Instructions, or an earlier response, may be all there is to answer.
        return ()
    if isinstance(value, str):
        return (Fields({"role": "user", "content": value}, "input"),) if value else ()
    if not isinstance(value, list):
        raise wrong_type("input", "a string or an array of items", value)
    return tuple(as_objects(value, "input"))


def _added_tools(items: Sequence[Fields], kinds: Sequence[str]) -> list[Fields]:
    """Tools that came as items: given by the developer late, or found by a search of the client's."""
    return [
        tool
        for item, kind in zip(items, kinds, strict=True)
        if kind in _WITH_TOOLS
        for tool in item.objects("tools")
    ]


def _instructions(body: Fields) -> str:
    value = body.get("instructions")
    if value is not None and not isinstance(value, str):
        raise InvalidType(
            "Invalid type for 'instructions': expected a string. Send items as 'input'.", param="instructions"
        )
    return value or ""


def _include(body: Fields) -> list[str]:
    values = body.array("include", of="strings") or []
    for index, value in enumerate(values):
        path = f"include[{index}]"
        if not isinstance(value, str):
            raise wrong_type(path, "a string", value)
        if value == LOGPROBS:
            raise UnsupportedParameter(
                f"Unsupported value: '{path}' is '{LOGPROBS}'. Log probabilities are not available here.",
                param="include",
            )
        if value not in _INCLUDES:
            raise unknown_value(path, value, _INCLUDES)
    return values


def _options(body: Fields) -> dict[str, Any]:
    check_options(body)
    return options_of(body, _USED)


def _echo(body: Fields, toolbox: Toolbox, reasoning: dict[str, Any]) -> dict[str, Any]:
    """The parameters as the answer repeats them, those left away with their defaults."""
    temperature, top_p = body.number("temperature", 0, 2), body.number("top_p", 0, 1)
    return {
        "background": body.boolean("background") or False,
        "frequency_penalty": body.number("frequency_penalty", -2, 2) or 0.0,
        "instructions": body.get("instructions"),
        "max_output_tokens": body.integer("max_output_tokens", 1),
        "max_tool_calls": body.integer("max_tool_calls", 1),
        "metadata": read_metadata(body),
        "presence_penalty": body.number("presence_penalty", -2, 2) or 0.0,
        "previous_response_id": body.string("previous_response_id"),
        "prompt_cache_key": body.string("prompt_cache_key"),
        "reasoning": reasoning,
        "safety_identifier": body.string("safety_identifier"),
        # What was asked for is told to the upstream; which tier it served in is not known.
        "service_tier": "default",
        "temperature": 1.0 if temperature is None else temperature,
        "tool_choice": body.get("tool_choice") or "auto",
        "tools": toolbox.echo,
        "top_logprobs": 0,
        "top_p": 1.0 if top_p is None else top_p,
        "truncation": body.choice("truncation", _TRUNCATION) or "disabled",
        "user": body.string("user"),
    }
