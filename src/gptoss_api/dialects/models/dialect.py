"""The models in the shapes of OpenAI's and Anthropic's lists (docs/design/conformance.md, "Models")."""

from collections.abc import Sequence
from typing import Final

import msgspec

from ...core.catalog import NO_ALIASES, Model, ModelAliases
from ...core.errors import GatewayError
from .. import messages
from ..base import DialectSettings, Endpoint, ErrorResponse, Headers, ListModels, ShowModel
from ..openai_errors import error_response
from .codex import render_codex_catalog


class ModelsDialect:
    """``GET /v1/models``, which OpenAI's, Anthropic's and Codex' clients share.

    Those of Anthropic's API send ``anthropic-version``.
    """

    name: Final = "models"
    package: Final = __package__

    def __init__(self, aliases: ModelAliases = NO_ALIASES) -> None:
        known = aliases.with_usual(messages.CLAUDE_ALIASES)
        self.endpoints: Final = (
            Endpoint("GET", "/v1/models", ListModels(_listed)),
            Endpoint("GET", "/v1/models/{id:path}", ShowModel(_shown, known)),
        )

    @classmethod
    def configured(cls, settings: DialectSettings) -> "ModelsDialect":
        return cls(settings.aliases)

    def error(self, error: GatewayError, request_id: str, headers: Headers) -> ErrorResponse:
        told = messages.error_response if _is_anthropic(headers) else error_response
        return told(error, request_id)


def _is_anthropic(headers: Headers) -> bool:
    return "anthropic-version" in headers


def _listed(models: Sequence[Model], query: bytes, headers: Headers) -> bytes:
    if b"client_version=" in query:
        return render_codex_catalog(models)
    return messages.render_models(models) if _is_anthropic(headers) else render_models(models)


def _shown(model: Model, headers: Headers) -> bytes:
    return messages.render_model(model) if _is_anthropic(headers) else render_model(model)


def render_models(models: Sequence[Model]) -> bytes:
    """The body of ``GET /v1/models`` in OpenAI's shape."""
    return msgspec.json.encode({"object": "list", "data": [_model(model) for model in models]})


def render_model(model: Model) -> bytes:
    """The body of ``GET /v1/models/{id}`` in OpenAI's shape."""
    return msgspec.json.encode(_model(model))


def _model(model: Model) -> dict[str, object]:
    return {"id": model.id, "object": "model", "created": model.created, "owned_by": model.owned_by}
