"""Failures in Anthropic's shape."""

import json
from typing import Any

import pytest
from anthropic.types import ErrorResponse

from gptoss_api.core import errors
from gptoss_api.core.errors import ContextLengthExceeded, GatewayError
from gptoss_api.dialects.messages import error_response
from gptoss_api.dialects.messages.errors import anthropic_error
from gptoss_api.dialects.openai_errors import OPENAI_ERRORS
from tests.dialects.strict import strictly


def said(error: GatewayError) -> tuple[int, dict[str, Any], dict[bytes, bytes]]:
    status, headers, body = error_response(error, "req_1")
    told = json.loads(body)
    strictly(ErrorResponse, told)
    assert told["request_id"] == "req_1"
    return status, told["error"], dict(headers)


@pytest.mark.parametrize(
    ("error", "status", "kind"),
    [
        (errors.InvalidValue("x"), 400, "invalid_request_error"),
        (errors.InvalidApiKey("x"), 401, "authentication_error"),
        (errors.UpstreamLoginRequired("x"), 401, "authentication_error"),
        (errors.InsufficientQuota("x"), 402, "billing_error"),
        (errors.HostNotAllowed("x"), 403, "permission_error"),
        (errors.NotFound("x"), 404, "not_found_error"),
        (errors.MethodNotAllowed("x", allow=("POST",)), 405, "invalid_request_error"),
        (errors.UpstreamRateLimited("x"), 429, "rate_limit_error"),
        (errors.InternalError("x"), 500, "api_error"),
        (errors.UpstreamIncomplete("x"), 502, "api_error"),
        (errors.UpstreamUnavailable("x"), 503, "overloaded_error"),
        (errors.Overloaded("x"), 529, "overloaded_error"),
    ],
)
def test_statuses_and_types(error: GatewayError, status: int, kind: str) -> None:
    told, body, headers = said(error)
    assert (told, body) == (status, {"type": kind, "message": "x"})
    hopeless = status in (401, 402, 403)
    assert headers.get(b"x-should-retry") == (b"false" if hopeless else None)


def test_every_failure_has_a_place_in_the_table() -> None:
    for kind in OPENAI_ERRORS:
        told = anthropic_error(kind.__new__(kind))
        assert 400 <= told.status < 600
        # Only what is broken, or not known, is told as that.
        assert (told.status == 500) == (kind in (errors.GatewayError, errors.InternalError))


def test_types_that_the_sdk_does_not_know() -> None:
    for kind in (errors.RequestTooLarge, errors.UpstreamTimeout, errors.RequestTimeout):
        status, _, body = error_response(kind("x"), "req_1")
        assert (status, json.loads(body)["error"]["type"]) in (
            (413, "request_too_large"),
            (504, "timeout_error"),
            (408, "timeout_error"),
        )


@pytest.mark.parametrize(
    "error", [ContextLengthExceeded(140_000, 131_072, 8_192), ContextLengthExceeded(125_000, 131_072, 8_192)]
)
def test_a_prompt_that_is_too_long_is_told_in_the_sentence_that_makes_claude_code_compact(
    error: GatewayError,
) -> None:
    status, body, _ = said(error)
    tokens = 140_000 if "140000" in body["message"] else 133_192
    assert (status, body["type"]) == (400, "invalid_request_error")
    assert body["message"] == f"prompt is too long: {tokens} tokens > 131072 maximum"
    _, body, _ = said(errors.PromptTooLong("the server says so"))
    assert body["message"].startswith("prompt is too long: ")


def test_a_model_that_is_not_there_is_named() -> None:
    _, body, _ = said(errors.ModelNotFound("The model 'gpt-9' does not exist here.", requested="gpt-9"))
    assert body["message"] == "model: gpt-9"


def test_when_to_come_back_is_told() -> None:
    _, _, headers = said(errors.UpstreamRateLimited("Slow down.", retry_after=6.2))
    assert headers[b"retry-after"] == b"7"
