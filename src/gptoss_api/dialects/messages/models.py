"""The models in the shape of Anthropic's list."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final

import msgspec
from msgspec.structs import replace

from ...core.catalog import DEFAULT_MODEL, MODELS, Model

# Claude Code offers no model whose id names neither Claude nor Anthropic.
_PREFIX: Final = "claude-"
# What is meant by ids of Anthropic's own: clients ask with them for the small model that they know, or for
# any other.
CLAUDE_ALIASES: Final = {
    f"{_PREFIX}gpt-oss-120b*": "gpt-oss-120b",
    f"{_PREFIX}gpt-oss-20b*": "gpt-oss-20b",
    f"{_PREFIX}*haiku*": "gpt-oss-20b",
    f"{_PREFIX}*": DEFAULT_MODEL,
}

_CANONICAL: Final = frozenset(model.id for model in MODELS)


def render_models(models: Sequence[Model]) -> bytes:
    """The body of ``GET /v1/models``: every model, and the canonical ones also as ``claude-gpt-oss-…``."""
    twins = [replace(model, id=_PREFIX + model.id) for model in models if model.id in _CANONICAL]
    listed = [*models, *twins]
    return msgspec.json.encode(
        {
            "data": [_model(model) for model in listed],
            "has_more": False,
            "first_id": listed[0].id if listed else None,
            "last_id": listed[-1].id if listed else None,
        }
    )


def render_model(model: Model) -> bytes:
    """The body of ``GET /v1/models/{id}``."""
    return msgspec.json.encode(_model(model))


def _model(model: Model) -> dict[str, object]:
    created = datetime.fromtimestamp(model.created, UTC)
    return {
        "type": "model",
        "id": model.id,
        "display_name": model.display_name,
        "created_at": created.strftime("%Y-%m-%dT%H:%M:%SZ"),
        "max_input_tokens": model.context_window,
        "max_tokens": model.max_output_tokens,
        "lifecycle": "active",
        "deprecated_at": None,
        "retires_at": None,
        "line": None,
        "capabilities": None,
    }
