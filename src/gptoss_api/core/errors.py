"""Every way a request can fail: HTTP status, OpenAI ``type``/``code``/``param`` and what to do next.

The table is docs/design/conformance.md, "Errors"; dialects shape these errors for their own clients.
Messages are for the person at the other end: they say what happened and what mends it, and
never carry a secret.
"""

from typing import ClassVar


class GatewayError(Exception):
    """A failure with a meaning for the client.

    ``retry_after`` is in seconds. ``should_retry`` set to ``False`` tells SDKs that repeating the
    request cannot help (header ``x-should-retry``). ``retryable`` says whether the gateway itself
    may try again, here or elsewhere, as long as nothing was delivered. ``unreached`` says that there
    was no connection to the upstream that could have told more.
    """

    status: ClassVar[int] = 500
    type: ClassVar[str] = "server_error"
    default_code: ClassVar[str | None] = "internal_error"
    retryable: bool = False
    unreached: bool = False
    should_retry: bool | None = None

    def __init__(
        self,
        message: str,
        *,
        param: str | None = None,
        code: str | None = None,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.param = param
        self.code = code if code is not None else self.default_code
        self.retry_after = retry_after


class InvalidRequest(GatewayError):
    """The request itself is wrong; ``param`` is a path such as ``messages[0].content``."""

    status = 400
    type = "invalid_request_error"
    default_code: ClassVar[str | None] = None


class MissingParameter(InvalidRequest):
    default_code = "missing_required_parameter"


class InvalidType(InvalidRequest):
    default_code = "invalid_type"


class InvalidValue(InvalidRequest):
    default_code = "invalid_value"


class UnsupportedValue(InvalidRequest):
    default_code = "unsupported_value"


class UnsupportedParameter(InvalidRequest):
    default_code = "unsupported_parameter"


class ContextLengthExceeded(InvalidRequest):
    """``prompt_tokens`` is what the prompt has; an estimate where it was counted only up to ``limit``."""

    default_code = "context_length_exceeded"

    def __init__(self, prompt_tokens: int, limit: int, reserved: int = 0, *, counted: bool = True) -> None:
        most = prompt_tokens if counted else limit
        more = "" if counted else "more than "
        asked = (
            f"you requested {more}{most + reserved} tokens "
            f"({more}{most} in the messages, {reserved} for the completion)"
            if reserved
            else f"your messages resulted in {more}{most} tokens"
        )
        super().__init__(
            f"This model's maximum context length is {limit} tokens. However, {asked}. "
            "Please shorten the messages or lower the completion limit.",
            param="messages",
        )
        self.prompt_tokens = prompt_tokens
        self.limit = limit
        self.reserved = reserved


class ModelNotFound(GatewayError):
    status = 404
    type = "invalid_request_error"
    default_code = "model_not_found"


class InvalidApiKey(GatewayError):
    """No key of ours, or a wrong one."""

    status = 401
    type = "invalid_request_error"
    default_code = "invalid_api_key"
    should_retry = False


class UpstreamLoginRequired(GatewayError):
    """The upstream wants a login, or the one it was given has expired."""

    status = 401
    type = "authentication_error"
    default_code = "upstream_login_required"
    should_retry = False


class PermissionDenied(GatewayError):
    status = 403
    type = "permission_error"
    default_code = "permission_denied"
    should_retry = False


class InsufficientQuota(GatewayError):
    status = 429
    type = "insufficient_quota"
    default_code = "insufficient_quota"
    should_retry = False


class UpstreamRateLimited(GatewayError):
    status = 429
    type = "rate_limit_error"
    default_code = "upstream_rate_limited"
    retryable = True


class NotFound(GatewayError):
    status = 404
    type = "invalid_request_error"
    default_code = "not_found"


class MethodNotAllowed(GatewayError):
    status = 405
    type = "invalid_request_error"
    default_code = "method_not_allowed"

    def __init__(self, message: str, *, allow: tuple[str, ...]) -> None:
        super().__init__(message)
        self.allow = allow


class RequestTimeout(GatewayError):
    """The client did not send the whole of its request in time."""

    status = 408
    type = "invalid_request_error"
    default_code = "request_timeout"


class ClientTooSlow(GatewayError):
    """The client did not read its answer in the time that an answer may take."""

    status = 408
    type = "invalid_request_error"
    default_code = "client_too_slow"


class RequestTooLarge(GatewayError):
    status = 413
    type = "invalid_request_error"
    default_code = "request_too_large"


class UnsupportedEncoding(GatewayError):
    """A request body in a content encoding that is not read."""

    status = 415
    type = "invalid_request_error"
    default_code = "unsupported_content_encoding"


class InternalError(GatewayError):
    """A bug of ours. The client learns the request id, never the trace."""


class UpstreamFailure(GatewayError):
    """The upstream broke the turn: an error of its own, or an answer that is no answer."""

    status = 502
    type = "api_error"
    default_code = "upstream_error"
    retryable = True


class UpstreamEmpty(UpstreamFailure):
    default_code = "upstream_empty"


class UpstreamIncomplete(UpstreamFailure):
    default_code = "upstream_incomplete"


class ThreadLost(UpstreamFailure):
    """The upstream no longer knows the conversation; a new one with the whole history mends it."""

    default_code = "upstream_thread_lost"


class UpstreamSchemaMismatch(UpstreamFailure):
    default_code = "upstream_schema_mismatch"
    retryable = False


class Overloaded(GatewayError):
    """Too much is waiting already, or the gateway is shutting down."""

    status = 503
    type = "api_error"
    default_code = "overloaded"


class StateUnavailable(GatewayError):
    """What is kept between requests cannot be reached now."""

    status = 503
    type = "api_error"
    default_code = "state_unavailable"


class UpstreamUnavailable(GatewayError):
    """The upstream cannot be reached at all, or every one of them is resting."""

    status = 503
    type = "api_error"
    default_code = "upstream_unavailable"
    retryable = True


class UpstreamTimeout(GatewayError):
    status = 504
    type = "api_error"
    default_code = "upstream_timeout"
