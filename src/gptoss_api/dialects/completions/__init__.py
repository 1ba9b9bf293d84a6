"""OpenAI's legacy text completions: prompts in, texts out."""

from .dialect import CompletionRequest, CompletionsDialect

__all__ = ["CompletionRequest", "CompletionsDialect"]
