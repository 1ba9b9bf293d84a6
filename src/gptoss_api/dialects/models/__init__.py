"""The list of models, in the shapes of OpenAI's, Anthropic's and Codex' clients."""

from .dialect import ModelsDialect, render_model, render_models

__all__ = ["ModelsDialect", "render_model", "render_models"]
