"""OpenAI's Chat Completions: requests in, completions or chunks out."""

from .dialect import ChatDialect, ChatRequest

__all__ = ["ChatDialect", "ChatRequest"]
