"""The models in the shapes of OpenAI's and Anthropic's lists (docs/design/conformance.md, "Models")."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final

import msgspec

from ...core.catalog import Model
from ...core.errors import GatewayError
from ..base import DialectSettings, Endpoint, ErrorResponse, Headers, ListModels, ShowModel
from ..openai_errors import error_response
from .codex import render_codex_catalog


class ModelsDialect:
    """``GET /v1/models``, which OpenAI's, Anthropic's and Codex' clients share."""

    name: Final = "models"
    package: Final = __package__

    def __init__(self) -> None:
        self.endpoints: Final = (
            Endpoint("GET", "/v1/models", ListModels(_listed)),
            Endpoint("GET", "/v1/models/{id:path}", ShowModel(_shown)),
        )

    @classmethod
    def configured(cls, settings: DialectSettings) -> "ModelsDialect":
        return cls()

    def error(self, error: GatewayError, request_id: str) -> ErrorResponse:
        return error_response(error, request_id)


def _listed(models: Sequence[Model], query: bytes, headers: Headers) -> bytes:
    if b"client_version=" in query:
        return render_codex_catalog(models)
    return render_models(models, anthropic="anthropic-version" in headers)


def _shown(model: Model, headers: Headers) -> bytes:
    return render_model(model, anthropic="anthropic-version" in headers)


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
