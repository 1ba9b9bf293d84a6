"""OpenAI's Chat Completions: requests in, completions or chunks out."""

from .dialect import ChatDialect, ChatRequest, ReasoningFields

__all__ = ["ChatDialect", "ChatRequest", "ReasoningFields"]
