"""The one table of the places that serve gpt-oss: a row for each kind, by the name users give it.

What is chosen, recognised, looked for, keyed and documented follows from it. What is particular about a
kind's protocol stands in its profile (``upstreams/openai_compatible/profiles.py``).
"""

from typing import Final
from urllib.parse import urlsplit

from msgspec import Struct

AUTO: Final = "auto"
DEMO: Final = "demo"
SITE: Final = "gpt-oss.com"


class ServerKind(Struct, frozen=True):
    """One kind of server, as the table knows it.

    ``title`` is what messages call it. ``url`` is where it usually is, up to ``/v1``; "" where every user's
    has an address of its own, which then has to be given. An address with one of ``hosts`` is of this kind;
    one that begins with a dot stands for every name that ends so.

    ``port`` is where it listens on the user's own machine, 0 for servers elsewhere; with ``port_is_telling``
    an address with that port is of this kind, whatever its host.

    A key is looked for in ``key_variables``, empty for servers that ask for none; ``key_step`` is what mends
    a missing one. ``auto`` takes a server that has ``taken_for_key`` if its key is found, and warns under
    that name that its owner pays; others with keys it does not take by itself.

    ``protocol`` is what it speaks, one of those that ``gateway/building.py`` can make an upstream for.
    """

    name: str
    title: str
    url: str = ""
    hosts: tuple[str, ...] = ()
    port: int = 0
    port_is_telling: bool = False
    key_variables: tuple[str, ...] = ()
    key_step: str = ""
    taken_for_key: str = ""
    protocol: str = "chat_completions"

    def is_at(self, host: str) -> bool:
        """Whether the name of a ``host`` is one of this kind's."""
        return any(host.endswith(known) if known[0] == "." else host == known for known in self.hosts)

    @property
    def needs_address(self) -> bool:
        return not self.url

    @property
    def is_anywhere(self) -> bool:
        """Whether nothing is known of its place, so that users tell several apart by names of their own."""
        return self.needs_address and not self.hosts

    @property
    def needs_key(self) -> bool:
        """Whether it refuses turns without a key; those that do not are run by their users."""
        return bool(self.key_variables)


def _local(name: str, title: str, port: int, *, port_is_telling: bool = False) -> ServerKind:
    """A server that people run themselves, on the port that it uses unless told otherwise."""
    url = f"http://127.0.0.1:{port}/v1"
    return ServerKind(name, title, url, port=port, port_is_telling=port_is_telling)


# In the order in which ``auto`` looks for them.
_ROWS: Final = (
    ServerKind(SITE, SITE, "https://api.gpt-oss.com/chatkit", protocol="chatkit"),
    ServerKind(
        "huggingface",
        "Hugging Face",
        "https://router.huggingface.co/v1",
        hosts=("router.huggingface.co",),
        key_variables=("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"),
        key_step="Set HF_TOKEN to a token that may make calls to Inference Providers "
        "(https://huggingface.co/settings/tokens), or run `hf auth login`.",
        taken_for_key="the Hugging Face router",
    ),
    _local("ollama", "Ollama", 11434, port_is_telling=True),
    _local("lmstudio", "LM Studio", 1234, port_is_telling=True),
    # Of these two anything may be at the port.
    _local("llamacpp", "llama.cpp", 8080),
    _local("vllm", "vLLM", 8000),
    _local("sglang", "SGLang", 30000, port_is_telling=True),
    ServerKind(
        "groq",
        "Groq",
        "https://api.groq.com/openai/v1",
        hosts=("api.groq.com",),
        key_variables=("GROQ_API_KEY",),
        key_step="Set GROQ_API_KEY to a key from https://console.groq.com/keys.",
    ),
    ServerKind(
        "openrouter",
        "OpenRouter",
        "https://openrouter.ai/api/v1",
        hosts=("openrouter.ai",),
        key_variables=("OPENROUTER_API_KEY",),
        key_step="Set OPENROUTER_API_KEY to a key from https://openrouter.ai/settings/keys.",
    ),
    ServerKind(
        "cerebras",
        "Cerebras",
        "https://api.cerebras.ai/v1",
        hosts=("api.cerebras.ai",),
        key_variables=("CEREBRAS_API_KEY",),
        key_step="Set CEREBRAS_API_KEY to a key from https://cloud.cerebras.ai.",
    ),
    ServerKind(
        "together",
        "Together",
        "https://api.together.xyz/v1",
        hosts=("api.together.xyz", "api.together.ai"),
        key_variables=("TOGETHER_API_KEY",),
        key_step="Set TOGETHER_API_KEY to a key from https://api.together.ai/settings/api-keys.",
    ),
    ServerKind(
        "cloudflare",
        "Cloudflare Workers AI",
        hosts=("api.cloudflare.com",),
        key_variables=("CLOUDFLARE_API_TOKEN",),
        key_step="Set CLOUDFLARE_API_TOKEN to a token with the permission Workers AI.",
    ),
    ServerKind(
        "azure",
        "Azure",
        hosts=(".openai.azure.com", ".services.ai.azure.com"),
        key_variables=("AZURE_OPENAI_API_KEY",),
        key_step="Set AZURE_OPENAI_API_KEY to a key of the resource that has the deployment.",
    ),
    ServerKind(
        "watsonx",
        "watsonx.ai",
        hosts=(".ml.cloud.ibm.com",),
        key_variables=("WATSONX_AI_BEARER_TOKEN",),
        key_step="Set WATSONX_AI_BEARER_TOKEN to a bearer token of IBM Cloud that has not expired.",
    ),
    ServerKind("responses", "A server of the Responses API", protocol="responses"),
    ServerKind("generic", "The server"),
)

SERVER_KINDS: Final = {kind.name: kind for kind in _ROWS}
# What an address is that tells nothing by itself.
GENERIC: Final = SERVER_KINDS["generic"]


def is_public(host: str) -> bool:
    """Whether somebody's service for everyone is at ``host``; other addresses are their users' own."""
    of_site = host == SITE or host.endswith(f".{SITE}")
    return of_site or any(
        kind.is_at(host) or (not kind.port and urlsplit(kind.url).hostname == host)
        for kind in SERVER_KINDS.values()
    )
