"""The kinds of places that serve gpt-oss, by the names users give them."""

from typing import Final, Literal, get_args

ServerKind = Literal[
    "huggingface",
    "ollama",
    "llamacpp",
    "vllm",
    "lmstudio",
    "sglang",
    "groq",
    "openrouter",
    "cerebras",
    "together",
    "cloudflare",
    "generic",
]

# Those that speak OpenAI's Chat Completions, and the website, which speaks ChatKit.
SERVER_KINDS: Final[tuple[ServerKind, ...]] = get_args(ServerKind)
SITE: Final = "gpt-oss.com"
DEMO: Final = "demo"
AUTO: Final = "auto"
