"""Failures as Anthropic tells them: the HTTP status and the type, and the sentences that clients act on.

The table is docs/design/conformance.md, "Messages".
"""

from typing import Any, Final, Literal, NamedTuple

import msgspec

from ...core import errors
from ...core.errors import GatewayError
from ..base import ErrorResponse, error_headers
from .limit_headers import limit_headers

Type = Literal[
    "invalid_request_error",
    "authentication_error",
    "billing_error",
    "permission_error",
    "not_found_error",
    "request_too_large",
    "rate_limit_error",
    "timeout_error",
    "api_error",
    "overloaded_error",
]


# The parameter whose refusal has a code of its own: on it the SDKs send whole conversations from then on.
THREAD: Final = "thread"
_NO_THREADS: Final = {"error_code": "thread_unsupported_request", "unsupported": [THREAD]}


class AnthropicError(NamedTuple):
    """What Anthropic's API says of one kind of failure, beside its message."""

    status: int
    type: Type


# A kind that is not here is told as the next one above it that is.
ANTHROPIC_ERRORS: Final[dict[type[GatewayError], AnthropicError]] = {
    errors.GatewayError: AnthropicError(500, "api_error"),
    errors.InvalidRequest: AnthropicError(400, "invalid_request_error"),
    errors.InvalidApiKey: AnthropicError(401, "authentication_error"),
    errors.PermissionDenied: AnthropicError(403, "permission_error"),
    errors.NotFound: AnthropicError(404, "not_found_error"),
    errors.MethodNotAllowed: AnthropicError(405, "invalid_request_error"),
    errors.RequestTimeout: AnthropicError(408, "timeout_error"),
    errors.ClientTooSlow: AnthropicError(408, "timeout_error"),
    errors.RequestTooLarge: AnthropicError(413, "request_too_large"),
    errors.UnsupportedEncoding: AnthropicError(415, "invalid_request_error"),
    errors.ModelNotFound: AnthropicError(404, "not_found_error"),
    errors.RateLimited: AnthropicError(429, "rate_limit_error"),
    errors.Overloaded: AnthropicError(529, "overloaded_error"),
    errors.StateUnavailable: AnthropicError(503, "overloaded_error"),
    errors.UpstreamLoginRequired: AnthropicError(401, "authentication_error"),
    errors.InsufficientQuota: AnthropicError(402, "billing_error"),
    errors.UpstreamRateLimited: AnthropicError(429, "rate_limit_error"),
    errors.UpstreamUnavailable: AnthropicError(503, "overloaded_error"),
    errors.UpstreamTimeout: AnthropicError(504, "timeout_error"),
    errors.UpstreamFailure: AnthropicError(502, "api_error"),
}


def anthropic_error(error: GatewayError) -> AnthropicError:
    """What Anthropic says of ``error``."""
    return next(ANTHROPIC_ERRORS[kind] for kind in type(error).__mro__ if kind in ANTHROPIC_ERRORS)


def error_object(error: GatewayError, request_id: str = "") -> dict[str, Any]:
    """The whole body; without a request id where the response's header has it already."""
    said: dict[str, Any] = {"type": anthropic_error(error).type, "message": _message(error)}
    if isinstance(error, errors.UnsupportedParameter) and error.param == THREAD:
        said["details"] = _NO_THREADS
    body: dict[str, Any] = {"type": "error", "error": said}
    if request_id:
        body["request_id"] = request_id
    return body


def error_response(error: GatewayError, request_id: str) -> ErrorResponse:
    """The response to a failed request."""
    body = msgspec.json.encode(error_object(error, request_id))
    headers = error_headers(error)
    if isinstance(error, errors.RateLimited | errors.BudgetExhausted):
        headers += limit_headers(error.allowances)
    return ErrorResponse(anthropic_error(error).status, headers, body)


def _message(error: GatewayError) -> str:
    """Claude Code makes room in a conversation, or says that a model is unknown, by these sentences."""
    match error:
        case errors.ContextLengthExceeded(prompt_tokens=prompt, limit=limit, reserved=reserved):
            # The prompt may fit alone, but not with the room that an answer needs.
            tokens = prompt if prompt > limit else prompt + reserved
            return f"prompt is too long: {tokens} tokens > {limit} maximum"
        case errors.PromptTooLong():
            return f"prompt is too long: {error.message}"
        case errors.ModelNotFound(requested=requested) if requested:
            return f"model: {requested}"
        case _:
            return error.message
