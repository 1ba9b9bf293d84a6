"""Anthropic's Messages: requests in, messages or their events out."""

from .dialect import MessagesDialect, MessagesRequest
from .errors import error_response
from .models import CLAUDE_ALIASES, render_model, render_models

__all__ = [
    "CLAUDE_ALIASES",
    "MessagesDialect",
    "MessagesRequest",
    "error_response",
    "render_model",
    "render_models",
]
