"""What is particular about each server of gpt-oss that speaks Chat Completions: one small table each.

Source: docs/design/servers.md, "Comparison". Everything not said here is the same for all: chains of
thought are read under every name they have, calls and usage in every form, errors in every shape.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final, Literal

from msgspec import Struct

from ...core.kinds import ServerKind
from ...core.turn import Effort

EffortForm = Literal["reasoning_effort", "reasoning.effort", "chat_template_kwargs"]

_OPENAI_NAMES: Final = MappingProxyType(
    {"gpt-oss-120b": "openai/gpt-oss-120b", "gpt-oss-20b": "openai/gpt-oss-20b"}
)
_PLAIN_NAMES: Final = MappingProxyType({"gpt-oss-120b": "gpt-oss-120b", "gpt-oss-20b": "gpt-oss-20b"})
_EVERY_CHOICE: Final = frozenset({"auto", "required", "named"})
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
    """One kind of server.

    ``url`` is where it usually is, up to ``/v1``; ``key_env`` the variables a key is looked for in and
    ``key_step`` what mends a missing one. ``models`` gives the server's names of the canonical models,
    ``lists_models`` says that its own list may be asked for others.

    ``reasoning_in`` is the field in which it takes earlier chains of thought, ``effort`` where it takes the
    effort, ``length`` how it calls the completion limit. ``thought_or_text`` servers fail on a call that has
    both a thought and text before it; ``late_instructions`` servers read instructions that are not first.

    ``tool_choice`` holds the choices that it honours; ``tools``, ``json_object``, ``json_schema`` and
    ``stop`` are what need not be emulated. ``unsupported`` options are never sent. ``stream_usage`` servers
    must be asked for usage.
    """

    kind: ServerKind
    title: str
    url: str = ""
    key_env: tuple[str, ...] = ()
    key_step: str = ""
    models: MappingProxyType[str, str] = _OPENAI_NAMES
    lists_models: bool = True
    reasoning_in: Literal["reasoning", "reasoning_content", "none"] = "none"
    effort: tuple[EffortForm, ...] = ("reasoning_effort",)
    default_effort: Effort | None = None
    length: Literal["max_tokens", "max_completion_tokens"] = "max_tokens"
    thought_or_text: bool = False
    late_instructions: bool = True
    tools: bool = True
    tool_choice: frozenset[str] = _EVERY_CHOICE
    json_object: bool = True
    json_schema: bool = True
    stop: bool = True
    stream_usage: bool = True
    unsupported: frozenset[str] = _PLATFORM_ONLY

    @property
    def local(self) -> bool:
        """Whether it is a server that people run themselves."""
        return not self.key_env


HUGGINGFACE: Final = Profile(
    kind="huggingface",
    title="Hugging Face",
    url="https://router.huggingface.co/v1",
    key_env=("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"),
    key_step="Set HF_TOKEN to a token that may make calls to Inference Providers "
    "(https://huggingface.co/settings/tokens), or run `hf auth login`.",
    # The router passes everything on; the field that no provider rejects unknown is tried first.
    reasoning_in="reasoning",
    json_schema=False,
    json_object=False,
)
OLLAMA: Final = Profile(
    kind="ollama",
    title="Ollama",
    url="http://127.0.0.1:11434/v1",
    models=MappingProxyType({"gpt-oss-120b": "gpt-oss:120b", "gpt-oss-20b": "gpt-oss:20b"}),
    reasoning_in="reasoning",
    late_instructions=False,
    # It does not decode tool_choice, and formats were broken for gpt-oss (ollama#11691, #8063).
    tool_choice=frozenset({"auto"}),
    json_object=False,
    json_schema=False,
)
LLAMACPP: Final = Profile(
    kind="llamacpp",
    title="llama.cpp",
    url="http://127.0.0.1:8080/v1",
    models=_PLAIN_NAMES,
    reasoning_in="reasoning_content",
    # Older builds read only the template's argument, newer ones both.
    effort=("reasoning_effort", "chat_template_kwargs"),
    length="max_completion_tokens",
    thought_or_text=True,
    late_instructions=False,
)
VLLM: Final = Profile(
    kind="vllm",
    title="vLLM",
    url="http://127.0.0.1:8000/v1",
    reasoning_in="reasoning",
    length="max_completion_tokens",
    # required is ignored or answered 501 by several versions (vllm#44216, #53626).
    tool_choice=frozenset({"auto"}),
)
LMSTUDIO: Final = Profile(
    kind="lmstudio",
    title="LM Studio",
    url="http://127.0.0.1:1234/v1",
    effort=("reasoning_effort", "reasoning.effort"),
    thought_or_text=True,
    late_instructions=False,
    tool_choice=frozenset({"auto"}),
    json_object=False,
)
SGLANG: Final = Profile(
    kind="sglang",
    title="SGLang",
    url="http://127.0.0.1:30000/v1",
    reasoning_in="reasoning_content",
    length="max_completion_tokens",
    tool_choice=frozenset({"auto"}),
)
GROQ: Final = Profile(
    kind="groq",
    title="Groq",
    url="https://api.groq.com/openai/v1",
    key_env=("GROQ_API_KEY",),
    key_step="Set GROQ_API_KEY to a key from https://console.groq.com/keys.",
    reasoning_in="reasoning",
    length="max_completion_tokens",
    unsupported=_PLATFORM_ONLY | {"logit_bias"},
)
OPENROUTER: Final = Profile(
    kind="openrouter",
    title="OpenRouter",
    url="https://openrouter.ai/api/v1",
    key_env=("OPENROUTER_API_KEY",),
    key_step="Set OPENROUTER_API_KEY to a key from https://openrouter.ai/settings/keys.",
    reasoning_in="reasoning",
    effort=("reasoning.effort",),
)
CEREBRAS: Final = Profile(
    kind="cerebras",
    title="Cerebras",
    url="https://api.cerebras.ai/v1",
    key_env=("CEREBRAS_API_KEY",),
    key_step="Set CEREBRAS_API_KEY to a key from https://cloud.cerebras.ai.",
    models=_PLAIN_NAMES,
    reasoning_in="reasoning",
    length="max_completion_tokens",
    unsupported=_PLATFORM_ONLY
    | {"presence_penalty", "frequency_penalty", "logit_bias", "parallel_tool_calls", "min_tokens"},
)
TOGETHER: Final = Profile(
    kind="together",
    title="Together",
    url="https://api.together.xyz/v1",
    key_env=("TOGETHER_API_KEY",),
    key_step="Set TOGETHER_API_KEY to a key from https://api.together.ai/settings/api-keys.",
    json_object=False,
)
CLOUDFLARE: Final = Profile(
    kind="cloudflare",
    title="Cloudflare Workers AI",
    key_env=("CLOUDFLARE_API_TOKEN",),
    key_step="Set CLOUDFLARE_API_TOKEN to a token with the permission Workers AI.",
    models=MappingProxyType(
        {"gpt-oss-120b": "@cf/openai/gpt-oss-120b", "gpt-oss-20b": "@cf/openai/gpt-oss-20b"}
    ),
    lists_models=False,
    effort=("reasoning.effort",),
    tool_choice=frozenset({"auto"}),
    json_object=False,
    json_schema=False,
)
GENERIC: Final = Profile(
    kind="generic",
    title="The server",
    reasoning_in="none",
    tool_choice=frozenset({"auto"}),
    json_object=False,
    json_schema=False,
)

PROFILES: Final[Mapping[str, Profile]] = MappingProxyType(
    {
        profile.kind: profile
        for profile in (
            HUGGINGFACE,
            OLLAMA,
            LLAMACPP,
            VLLM,
            LMSTUDIO,
            SGLANG,
            GROQ,
            OPENROUTER,
            CEREBRAS,
            TOGETHER,
            CLOUDFLARE,
            GENERIC,
        )
    }
)
