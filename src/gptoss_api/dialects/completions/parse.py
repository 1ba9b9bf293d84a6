"""A text completion request in neutral form, every parameter checked.

Source: docs/design/conformance.md, "Text completions".
"""

from typing import Any, Final

from msgspec import Struct
from msgspec.structs import replace

from ...core.catalog import NO_ALIASES, ModelAliases
from ...core.errors import ArrayTooLong, InvalidValue, UnsupportedParameter, UnsupportedValue
from ...core.turn import Turn, UserMessage
from ..fields import Fields, wrong_type
from ..parameters import (
    EFFORTS,
    MAX_CHOICES,
    check_options,
    options_of,
    read_include_usage,
    read_model,
    read_n,
    read_stop,
    take_responses_only,
)

_NO_OPTIONS: Final = frozenset(
    {
        "model",
        "prompt",
        "stream",
        "stream_options",
        "n",
        "best_of",
        "echo",
        "suffix",
        "logprobs",
        "max_tokens",
        "stop",
        "reasoning_effort",
    }
)


class Parsed(Struct, frozen=True):
    """What a body asks for: a turn for each prompt, and how the texts are to be shaped.

    ``echoed`` holds the prompts where they are to stand before their texts.
    """

    turns: tuple[Turn, ...]
    echoed: tuple[str, ...]
    stream: bool
    include_usage: bool


def read_request(body: Fields, *, max_n: int, aliases: ModelAliases = NO_ALIASES) -> Parsed:
    """Checks and translates a whole body. ``max_n`` is our own cap on ``n``.

    Each prompt becomes a user message of its own turn, as it is. Without ``max_tokens`` an answer ends
    where the model ends it: OpenAI's default of 16 tokens belongs to models that never stopped.

    Raises:
        InvalidRequest: naming the first parameter that is wrong.
        ModelNotFound: for models that are not offered.
    """
    prompts = _prompts(body)
    model, provider = read_model(body, aliases)
    stream = body.boolean("stream") or False
    include_usage = read_include_usage(body, stream)
    n = read_n(body, max_n)
    _refuse_unsupported(body, n)
    if len(prompts) * n > MAX_CHOICES:
        raise ArrayTooLong(
            f"Invalid 'prompt': {len(prompts)} prompts with n = {n} make {len(prompts) * n} completions, "
            f"but a request may have at most {MAX_CHOICES}.",
            param="prompt",
        )
    check_options(body)
    effort = body.choice("reasoning_effort", tuple(EFFORTS))
    options = options_of(body, _NO_OPTIONS)
    ignored = take_responses_only(options)
    turn = Turn(
        model=model.id,
        provider=provider,
        messages=(),
        effort=None if effort is None else EFFORTS[effort],
        show_reasoning=False,
        max_tokens=body.integer("max_tokens", 1),
        stop=read_stop(body),
        n=n,
        streamed=stream,
        options=options,
        ignored=ignored,
    )
    return Parsed(
        turns=tuple([_asking(turn, prompt) for prompt in prompts]),
        echoed=tuple(prompts) if body.boolean("echo") else (),
        stream=stream,
        include_usage=include_usage,
    )


def _asking(turn: Turn, prompt: str) -> Turn:
    return replace(turn, messages=(UserMessage(prompt),))


def _prompts(body: Fields) -> list[str]:
    prompt = body.required("prompt")
    if isinstance(prompt, str):
        _need_text(prompt, "prompt")
        return [prompt]
    if not isinstance(prompt, list):
        raise wrong_type("prompt", "a string or an array of strings", prompt)
    prompts = body.required_array("prompt", of="strings", least=1)
    for index, text in enumerate(prompts):
        if not isinstance(text, str):
            _refuse_prompt(text, index)
        _need_text(text, f"prompt[{index}]")
    return prompts


def _need_text(prompt: str, path: str) -> None:
    if not prompt.strip():
        raise InvalidValue(
            f"Invalid '{path}': it has no text. A chat model has nothing to begin with.", param=path
        )


def _refuse_prompt(value: Any, index: int) -> None:
    path = f"prompt[{index}]"
    if isinstance(value, int | list) and not isinstance(value, bool):
        raise UnsupportedValue(
            f"Unsupported value: '{path}' holds token ids. Which tokenizer they belong to cannot be known "
            "here; send the prompt as text.",
            param="prompt",
        )
    raise wrong_type(path, "a string", value)


def _refuse_unsupported(body: Fields, n: int) -> None:
    if body.string("suffix"):
        raise UnsupportedParameter(
            "Unsupported parameter: 'suffix'. gpt-oss models do not fill in the middle of a text.",
            param="suffix",
        )
    # Some clients say false where the reference has a number.
    if body.get("logprobs") is not False and body.integer("logprobs", 0, 5) is not None:
        raise UnsupportedParameter(
            "Unsupported parameter: 'logprobs'. Log probabilities are not available here.", param="logprobs"
        )
    best_of = body.integer("best_of", 1, 20)
    if best_of is not None and best_of != n:
        raise UnsupportedParameter(
            f"Unsupported parameter: 'best_of'. The best of {best_of} completions cannot be told without log "
            "probabilities; leave it away or set it to the value of 'n'.",
            param="best_of",
        )
