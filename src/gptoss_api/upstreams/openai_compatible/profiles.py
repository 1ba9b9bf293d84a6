"""How the kinds of servers that speak Chat Completions differ in that protocol: a profile for each that does.

Source: docs/design/servers.md, "Comparison". Everything not said here is the same for all: chains of
thought are read under every name they have, calls and usage in every form, errors in every shape. Where a
server is, and what it is called, stands in :mod:`gptoss_api.core.servers`.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final, Literal

from msgspec import Struct

from ...core.servers import SERVER_KINDS
from ...core.turn import Effort

EffortForm = Literal["reasoning_effort", "reasoning.effort", "chat_template_kwargs"]

_OPENAI_NAMES: Final = MappingProxyType(
    {"gpt-oss-120b": "openai/gpt-oss-120b", "gpt-oss-20b": "openai/gpt-oss-20b"}
)
_PLAIN_NAMES: Final = MappingProxyType({"gpt-oss-120b": "gpt-oss-120b", "gpt-oss-20b": "gpt-oss-20b"})
_EVERY_CHOICE: Final = frozenset({"auto", "required", "named"})
_ONLY_AUTO: Final = frozenset({"auto"})
# What only OpenAI's own platform understands; strict servers answer 400 to it.
_PLATFORM_ONLY: Final = frozenset(
    {
        "store",
        "metadata",
        "service_tier",
        "prediction",
        "safety_identifier",
        "prompt_cache_key",
        "prompt_cache_retention",
        "prompt_cache_options",
        "moderation",
        "verbosity",
        "web_search_options",
    }
)


class Profile(Struct, frozen=True):
    """The habits of one kind of server; the defaults are what is safe with one that nobody knows.

    ``models`` gives the server's names of the canonical models, ``lists_models`` says that its own list may
    be asked for others. ``takes_provider`` servers are told with the model's name who shall serve it.

    ``reasoning_in`` is the field in which it takes earlier chains of thought, ``effort`` where it takes the
    effort, ``length`` how it calls the completion limit. ``thought_or_text`` servers fail on a call that has
    both a thought and text before it; ``late_instructions`` servers read instructions that are not first.
    ``by_template`` servers render conversations with the chat template that the models come with, which reads
    the first call of a message only, calls every result by its name, and fails on tools without a
    description and calls without content.

    ``tool_choice`` holds the choices that it honours; ``tools``, ``json_object``, ``json_schema`` and
    ``stop`` are what need not be emulated. Servers with ``logprobs`` tell them in OpenAI's form.
    ``unsupported`` options are never sent. ``stream_usage`` servers
    must be asked for usage.
    """

    models: MappingProxyType[str, str] = _OPENAI_NAMES
    lists_models: bool = True
    takes_provider: bool = False
    reasoning_in: Literal["reasoning", "reasoning_content", "none"] = "none"
    effort: tuple[EffortForm, ...] = ("reasoning_effort",)
    default_effort: Effort | None = None
    length: Literal["max_tokens", "max_completion_tokens"] = "max_tokens"
    thought_or_text: bool = False
    late_instructions: bool = True
    by_template: bool = False
    tools: bool = True
    tool_choice: frozenset[str] = _ONLY_AUTO
    json_object: bool = False
    json_schema: bool = False
    stop: bool = True
    logprobs: bool = False
    stream_usage: bool = True
    unsupported: frozenset[str] = _PLATFORM_ONLY


_PARTICULAR: Final[Mapping[str, Profile]] = {
    "huggingface": Profile(
        takes_provider=True,
        # The router passes everything on; the field that no provider rejects unknown is tried first.
        reasoning_in="reasoning",
        tool_choice=_EVERY_CHOICE,
    ),
    "ollama": Profile(
        models=MappingProxyType({"gpt-oss-120b": "gpt-oss:120b", "gpt-oss-20b": "gpt-oss:20b"}),
        reasoning_in="reasoning",
        late_instructions=False,
        # It does not decode tool_choice, and formats were broken for gpt-oss (ollama#11691, #8063).
    ),
    "llamacpp": Profile(
        models=_PLAIN_NAMES,
        reasoning_in="reasoning_content",
        # Older builds read only the template's argument, newer ones both.
        effort=("reasoning_effort", "chat_template_kwargs"),
        length="max_completion_tokens",
        thought_or_text=True,
        late_instructions=False,
        by_template=True,
        tool_choice=_EVERY_CHOICE,
        json_object=True,
        json_schema=True,
        logprobs=True,
    ),
    "vllm": Profile(
        reasoning_in="reasoning",
        length="max_completion_tokens",
        # required is ignored or answered 501 by several versions (vllm#44216, #53626).
        tool_choice=_ONLY_AUTO,
        json_object=True,
        json_schema=True,
        logprobs=True,
    ),
    "lmstudio": Profile(
        effort=("reasoning_effort", "reasoning.effort"),
        thought_or_text=True,
        late_instructions=False,
        by_template=True,
        json_schema=True,
    ),
    "sglang": Profile(
        reasoning_in="reasoning_content",
        late_instructions=False,
        by_template=True,
        length="max_completion_tokens",
        json_object=True,
        json_schema=True,
        logprobs=True,
    ),
    "groq": Profile(
        reasoning_in="reasoning",
        length="max_completion_tokens",
        tool_choice=_EVERY_CHOICE,
        json_object=True,
        json_schema=True,
        unsupported=_PLATFORM_ONLY | {"logit_bias"},
    ),
    "openrouter": Profile(
        reasoning_in="reasoning",
        effort=("reasoning.effort",),
        tool_choice=_EVERY_CHOICE,
        json_object=True,
        json_schema=True,
    ),
    "cerebras": Profile(
        models=_PLAIN_NAMES,
        reasoning_in="reasoning",
        length="max_completion_tokens",
        tool_choice=_EVERY_CHOICE,
        json_object=True,
        json_schema=True,
        unsupported=_PLATFORM_ONLY
        | {"presence_penalty", "frequency_penalty", "logit_bias", "parallel_tool_calls", "min_tokens"},
    ),
    "together": Profile(tool_choice=_EVERY_CHOICE, json_schema=True),
    "cloudflare": Profile(
        models=MappingProxyType(
            {"gpt-oss-120b": "@cf/openai/gpt-oss-120b", "gpt-oss-20b": "@cf/openai/gpt-oss-20b"}
        ),
        lists_models=False,
        effort=("reasoning.effort",),
    ),
    # Its models are called as their deployments, usually by the model's own name; it takes no choice but auto
    # and none (hindsight#1219).
    "azure": Profile(models=_PLAIN_NAMES, lists_models=False, tool_choice=_ONLY_AUTO),
    # Of its gateway nothing is known but that it speaks Chat Completions.
    "watsonx": Profile(),
    # Whatever is at an address: most render by the template. A thought that it refuses is left out later.
    "generic": Profile(
        reasoning_in="reasoning_content",
        thought_or_text=True,
        late_instructions=False,
        by_template=True,
    ),
}

PROFILES: Final[Mapping[str, Profile]] = MappingProxyType(
    {
        kind.name: _PARTICULAR.get(kind.name, Profile())
        for kind in SERVER_KINDS.values()
        if kind.protocol == "chat_completions"
    }
)
