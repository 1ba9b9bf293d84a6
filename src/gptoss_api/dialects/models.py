"""The models in the shapes of OpenAI's and Anthropic's lists (docs/design/conformance.md, "Models")."""

from collections.abc import Sequence
from datetime import UTC, datetime

import msgspec

from ..core.catalog import Model


def render_models(models: Sequence[Model], *, anthropic: bool = False) -> bytes:
    """The body of ``GET /v1/models``; ``anthropic`` for clients that send ``anthropic-version``."""
    if not anthropic:
        return msgspec.json.encode({"object": "list", "data": [_openai(model) for model in models]})
    return msgspec.json.encode(
        {
            "data": [_anthropic(model) for model in models],
            "has_more": False,
            "first_id": models[0].id if models else None,
            "last_id": models[-1].id if models else None,
        }
    )


def render_model(model: Model, *, anthropic: bool = False) -> bytes:
    """The body of ``GET /v1/models/{id}``."""
    return msgspec.json.encode(_anthropic(model) if anthropic else _openai(model))


def _openai(model: Model) -> dict[str, object]:
    return {"id": model.id, "object": "model", "created": model.created, "owned_by": model.owned_by}


def _anthropic(model: Model) -> dict[str, object]:
    created = datetime.fromtimestamp(model.created, UTC)
    return {
        "type": "model",
        "id": model.id,
        "display_name": model.display_name,
        "created_at": created.strftime("%Y-%m-%dT%H:%M:%SZ"),
        "lifecycle": "active",
        "max_input_tokens": model.context_window,
        "max_tokens": model.max_output_tokens,
    }
