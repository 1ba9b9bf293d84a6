"""Ollama's API: its chats and texts, and the models as its clients know them."""

from .dialect import OllamaDialect

__all__ = ["OllamaDialect"]
