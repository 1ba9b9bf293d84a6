"""The clients that ``setup`` and ``launch`` know; one module each."""

from importlib import import_module
from typing import Final

from .client import Client

_MODULES: Final = {
    "codex": "codex",
    "claude-code": "claude_code",
    "opencode": "opencode",
    "qwen-code": "qwen_code",
    "cline": "cline",
    "continue": "continue_dev",
    "aider": "aider",
    "llm": "llm",
    "open-webui": "open_webui",
    "zed": "zed",
    "vscode": "vscode",
}
NAMES: Final = tuple(_MODULES)


def find_client(name: str) -> Client:
    """The client called ``name``, which is one of :data:`NAMES`."""
    client: Client = import_module(f".{_MODULES[name]}", __name__).CLIENT
    return client
