"""Failures as OpenAI tells them: the HTTP status, and the members of the error object.

The table is docs/design/conformance.md, "Errors".
"""

from typing import Final, Literal, NamedTuple

import msgspec

from ..core import errors
from ..core.errors import GatewayError
from .base import ErrorResponse, error_headers
from .limit_headers import limit_headers

Type = Literal[
    "invalid_request_error",
    "authentication_error",
    "permission_error",
    "insufficient_quota",
    "rate_limit_error",
    "requests",
    "tokens",
    "api_error",
    "server_error",
]


class OpenAIError(NamedTuple):
    """What OpenAI's API says of one kind of failure, beside its message."""

    status: int
    type: Type
    code: str | None


_BAD: Final[Type] = "invalid_request_error"
_UPSTREAM: Final[Type] = "api_error"

OPENAI_ERRORS: Final[dict[type[GatewayError], OpenAIError]] = {
    errors.GatewayError: OpenAIError(500, "server_error", "internal_error"),
    errors.InvalidRequest: OpenAIError(400, _BAD, None),
    errors.MissingParameter: OpenAIError(400, _BAD, "missing_required_parameter"),
    errors.InvalidType: OpenAIError(400, _BAD, "invalid_type"),
    errors.InvalidValue: OpenAIError(400, _BAD, "invalid_value"),
    errors.EmptyArray: OpenAIError(400, _BAD, "empty_array"),
    errors.ArrayTooLong: OpenAIError(400, _BAD, "array_above_max_length"),
    errors.StringTooLong: OpenAIError(400, _BAD, "string_above_max_length"),
    errors.TooManyProperties: OpenAIError(400, _BAD, "object_above_max_properties"),
    errors.IntegerTooSmall: OpenAIError(400, _BAD, "integer_below_min_value"),
    errors.IntegerTooLarge: OpenAIError(400, _BAD, "integer_above_max_value"),
    errors.DecimalTooSmall: OpenAIError(400, _BAD, "decimal_below_min_value"),
    errors.DecimalTooLarge: OpenAIError(400, _BAD, "decimal_above_max_value"),
    errors.InvalidToolSchema: OpenAIError(400, _BAD, "invalid_function_parameters"),
    errors.UnsupportedValue: OpenAIError(400, _BAD, "unsupported_value"),
    errors.UnsupportedParameter: OpenAIError(400, _BAD, "unsupported_parameter"),
    errors.TooManyValues: OpenAIError(400, _BAD, "too_many_values"),
    errors.RefusedByUpstream: OpenAIError(400, _BAD, None),
    errors.PromptTooLong: OpenAIError(400, _BAD, "context_length_exceeded"),
    errors.ContextLengthExceeded: OpenAIError(400, _BAD, "context_length_exceeded"),
    errors.InvalidApiKey: OpenAIError(401, _BAD, "invalid_api_key"),
    errors.PermissionDenied: OpenAIError(403, "permission_error", "permission_denied"),
    errors.HostNotAllowed: OpenAIError(403, "permission_error", "host_not_allowed"),
    errors.OriginNotAllowed: OpenAIError(403, "permission_error", "origin_not_allowed"),
    errors.AdminKeyRequired: OpenAIError(403, "permission_error", "admin_key_required"),
    errors.ModelNotAllowed: OpenAIError(403, "permission_error", "model_not_allowed"),
    errors.NotFound: OpenAIError(404, _BAD, "not_found"),
    errors.PreviousResponseNotFound: OpenAIError(404, _BAD, "previous_response_not_found"),
    errors.MethodNotAllowed: OpenAIError(405, _BAD, "method_not_allowed"),
    errors.RequestTimeout: OpenAIError(408, _BAD, "request_timeout"),
    errors.ClientTooSlow: OpenAIError(408, _BAD, "client_too_slow"),
    errors.RequestTooLarge: OpenAIError(413, _BAD, "request_too_large"),
    errors.UnsupportedEncoding: OpenAIError(415, _BAD, "unsupported_content_encoding"),
    errors.ModelNotFound: OpenAIError(404, _BAD, "model_not_found"),
    errors.RateLimited: OpenAIError(429, "rate_limit_error", "rate_limit_exceeded"),
    errors.RequestsLimited: OpenAIError(429, "requests", "rate_limit_exceeded"),
    errors.TokensLimited: OpenAIError(429, "tokens", "rate_limit_exceeded"),
    errors.ConcurrencyLimited: OpenAIError(429, "requests", "concurrency_limit_exceeded"),
    errors.Overloaded: OpenAIError(503, _UPSTREAM, "overloaded"),
    errors.StateUnavailable: OpenAIError(503, _UPSTREAM, "state_unavailable"),
    errors.InternalError: OpenAIError(500, "server_error", "internal_error"),
    errors.UpstreamLoginRequired: OpenAIError(401, "authentication_error", "upstream_login_required"),
    errors.InsufficientQuota: OpenAIError(429, "insufficient_quota", "insufficient_quota"),
    errors.BudgetExhausted: OpenAIError(429, "insufficient_quota", "insufficient_quota"),
    errors.UpstreamRateLimited: OpenAIError(429, "rate_limit_error", "upstream_rate_limited"),
    errors.UpstreamUnavailable: OpenAIError(503, _UPSTREAM, "upstream_unavailable"),
    errors.UpstreamTimeout: OpenAIError(504, _UPSTREAM, "upstream_timeout"),
    errors.UpstreamFailure: OpenAIError(502, _UPSTREAM, "upstream_error"),
    errors.UpstreamEmpty: OpenAIError(502, _UPSTREAM, "upstream_empty"),
    errors.UpstreamIncomplete: OpenAIError(502, _UPSTREAM, "upstream_incomplete"),
    errors.UpstreamChallenge: OpenAIError(502, _UPSTREAM, "upstream_challenge"),
    errors.UpstreamForbidden: OpenAIError(502, _UPSTREAM, "upstream_forbidden"),
    errors.EndpointMissing: OpenAIError(502, _UPSTREAM, "upstream_error"),
    errors.ThreadLost: OpenAIError(502, _UPSTREAM, "upstream_thread_lost"),
    errors.UndeclaredToolCalled: OpenAIError(502, _UPSTREAM, "upstream_undeclared_tool"),
    errors.UnparsedByUpstream: OpenAIError(502, _UPSTREAM, "upstream_parse_failed"),
    errors.UpstreamSchemaMismatch: OpenAIError(502, _UPSTREAM, "upstream_schema_mismatch"),
}


def openai_error(error: GatewayError) -> OpenAIError:
    """What OpenAI says of ``error``; a server's own code for a refused request is passed on."""
    found = next(OPENAI_ERRORS[kind] for kind in type(error).__mro__ if kind in OPENAI_ERRORS)
    if isinstance(error, errors.RefusedByUpstream):
        return found._replace(code=error.upstream_code)
    return found


def error_object(error: GatewayError) -> dict[str, str | None]:
    """``message``, ``type``, ``param`` and ``code``: all four always, as the SDKs expect them."""
    _, kind, code = openai_error(error)
    return {"message": error.message, "type": kind, "param": error.param, "code": code}


def error_response(error: GatewayError, request_id: str) -> ErrorResponse:
    """The response to a failed request. OpenAI names the request in the header ``x-request-id`` alone."""
    body = msgspec.json.encode({"error": error_object(error)})
    headers = error_headers(error)
    if isinstance(error, errors.RateLimited | errors.BudgetExhausted):
        headers += limit_headers(error.allowances)
    return ErrorResponse(openai_error(error).status, headers, body)
