"""Every way a request can fail, by its meaning::

    GatewayError
        InvalidRequest
            MissingParameter
            InvalidType
            InvalidValue
                EmptyArray
                ArrayTooLong
                StringTooLong
                TooManyProperties
                IntegerTooSmall
                IntegerTooLarge
                DecimalTooSmall
                DecimalTooLarge
                InvalidToolSchema
            UnsupportedValue
            UnsupportedParameter
            TooManyValues
            RefusedByUpstream
            PromptTooLong
                ContextLengthExceeded
        InvalidApiKey
        PermissionDenied
            HostNotAllowed
            OriginNotAllowed
            AdminKeyRequired
            ModelNotAllowed
        NotFound
            PreviousResponseNotFound
        MethodNotAllowed
        RequestTimeout
        ClientTooSlow
        RequestTooLarge
        UnsupportedEncoding
        ModelNotFound
        RateLimited
            RequestsLimited
            TokensLimited
            ConcurrencyLimited
        Overloaded
        StateUnavailable
        InternalError
        UpstreamLoginRequired
        InsufficientQuota
            BudgetExhausted
        UpstreamRateLimited
        UpstreamUnavailable
        UpstreamTimeout
        UpstreamFailure
            UpstreamEmpty
            UpstreamIncomplete
            UpstreamChallenge
            UpstreamForbidden
            EndpointMissing
            ThreadLost
            UndeclaredToolCalled
            UnparsedByUpstream
            UpstreamSchemaMismatch

What a client API makes of them (status, type, code) is that dialect's own table; OpenAI's is
``dialects/openai_errors.py``. Messages are for the person at the other end: they say what happened and what
mends it, and never carry a secret.
"""

from .limits import NO_ALLOWANCES, Allowances


class GatewayError(Exception):
    """A failure with a meaning for the client.

    ``param`` says where in the request the fault is, as a path such as ``messages[0].content``.
    ``retry_after`` is in seconds. ``should_retry`` set to ``False`` says that repeating the request cannot
    help. ``retryable`` says whether the gateway itself may try again, here or elsewhere, as long as nothing
    was delivered. ``repeated`` says that the turn was asked more than once already. ``unreached`` says that
    there was no connection to the upstream that could have told more.
    """

    retryable: bool = False
    repeated: bool = False
    unreached: bool = False
    should_retry: bool | None = None

    def __init__(self, message: str, *, param: str | None = None, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.param = param
        self.retry_after = retry_after


class InvalidRequest(GatewayError):
    """The request itself is wrong."""


class MissingParameter(InvalidRequest):
    """Something that has to be there is not."""


class InvalidType(InvalidRequest):
    """A value of another JSON type than is wanted."""


class InvalidValue(InvalidRequest):
    """A value of the right type that cannot be."""


class EmptyArray(InvalidValue):
    """An array that needs at least one item."""


class ArrayTooLong(InvalidValue):
    """An array of more items than are taken."""


class StringTooLong(InvalidValue):
    """A string of more characters than are taken."""


class TooManyProperties(InvalidValue):
    """An object of more members than are taken."""


class IntegerTooSmall(InvalidValue):
    """A whole number below the least."""


class IntegerTooLarge(InvalidValue):
    """A whole number above the most."""


class DecimalTooSmall(InvalidValue):
    """A number below the least."""


class DecimalTooLarge(InvalidValue):
    """A number above the most."""


class InvalidToolSchema(InvalidValue):
    """The schema of a strict tool's arguments is none."""


class UnsupportedValue(InvalidRequest):
    """A value of the client API that has no meaning here."""


class UnsupportedParameter(InvalidRequest):
    """A parameter of the client API that has no meaning here."""


class TooManyValues(InvalidRequest):
    """A body of more members and items than are read."""


class RefusedByUpstream(InvalidRequest):
    """A server refused the request as wrong; ``upstream_code`` is its own word for why, where it has one."""

    def __init__(self, message: str, *, param: str | None = None, upstream_code: str | None = None) -> None:
        super().__init__(message, param=param)
        self.upstream_code = upstream_code


class PromptTooLong(InvalidRequest):
    """The messages do not fit the model's context."""


class ContextLengthExceeded(PromptTooLong):
    """``prompt_tokens`` is what the prompt has; an estimate where it was counted only up to ``limit``."""

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


class InvalidApiKey(GatewayError):
    """No key of ours, or a wrong one."""

    should_retry = False


class PermissionDenied(GatewayError):
    """Who asks may not have this."""

    should_retry = False


class HostNotAllowed(PermissionDenied):
    """The request asks for a host name that the gateway does not answer to."""


class OriginNotAllowed(PermissionDenied):
    """The request comes from a web page that may not use the gateway."""


class AdminKeyRequired(PermissionDenied):
    """The key that was sent is none of those that administer the gateway."""


class ModelNotAllowed(PermissionDenied):
    """The key that was sent may not use this model."""


class NotFound(GatewayError):
    """There is nothing at this path, or nothing with this id that the caller may see."""


class PreviousResponseNotFound(NotFound):
    """The response that a request continues, or one before it, is not stored."""


class MethodNotAllowed(GatewayError):
    """The path is there, but for the methods in ``allow`` only."""

    def __init__(self, message: str, *, allow: tuple[str, ...]) -> None:
        super().__init__(message)
        self.allow = allow


class RequestTimeout(GatewayError):
    """The client did not send the whole of its request in time."""


class ClientTooSlow(GatewayError):
    """The client did not read its answer in the time that an answer may take."""


class RequestTooLarge(GatewayError):
    """More bytes than the gateway or the upstream reads."""


class UnsupportedEncoding(GatewayError):
    """A request body in a content encoding that is not read."""


class ModelNotFound(GatewayError):
    """A model that is not one of these, or that no upstream serves; ``requested`` is its name where known."""

    def __init__(self, message: str, *, param: str | None = None, requested: str = "") -> None:
        super().__init__(message, param=param)
        self.requested = requested


class RateLimited(GatewayError):
    """The key that was sent has used up one of its limits for now; ``allowances`` are how it stands."""

    allowances: Allowances = NO_ALLOWANCES


class RequestsLimited(RateLimited):
    """Too many requests in a minute."""


class TokensLimited(RateLimited):
    """Too many tokens in a minute, or what is left of a budget is reserved."""


class ConcurrencyLimited(RateLimited):
    """Too many requests at the same time."""


class Overloaded(GatewayError):
    """Too much is waiting already, or the gateway is shutting down."""


class StateUnavailable(GatewayError):
    """What is kept between requests cannot be reached now."""


class InternalError(GatewayError):
    """A bug of ours. The client learns the request id, never the trace."""


class UpstreamLoginRequired(GatewayError):
    """The upstream wants a login, or the one it was given has expired."""

    should_retry = False


class InsufficientQuota(GatewayError):
    """The account at the upstream has nothing left."""

    should_retry = False


class BudgetExhausted(InsufficientQuota):
    """The key that was sent has used up its budget; ``allowances`` are how it stands."""

    allowances: Allowances = NO_ALLOWANCES


class UpstreamRateLimited(GatewayError):
    """The upstream takes no more requests for now."""

    retryable = True


class UpstreamUnavailable(GatewayError):
    """The upstream cannot be reached at all, or every one of them is resting."""

    retryable = True


class UpstreamTimeout(GatewayError):
    """The upstream took longer than it may."""


class UpstreamFailure(GatewayError):
    """The upstream broke the turn: an error of its own, or an answer that is no answer."""

    retryable = True


class UpstreamEmpty(UpstreamFailure):
    """An answer without anything in it."""


class UpstreamIncomplete(UpstreamFailure):
    """An answer that broke off."""


class UpstreamChallenge(UpstreamFailure):
    """The upstream wants to see a browser."""

    retryable = False


class UpstreamForbidden(UpstreamFailure):
    """The upstream refuses to answer and does not say what would change that."""

    retryable = False
    should_retry = False


class EndpointMissing(UpstreamFailure):
    """The upstream has nothing at the path that its protocol wants."""


class ThreadLost(UpstreamFailure):
    """The upstream no longer knows the conversation; a new one with the whole history mends it."""


class UndeclaredToolCalled(UpstreamFailure):
    """The model called a tool that the request does not have, and said nothing else."""


class UnparsedByUpstream(UpstreamFailure):
    """The upstream could not read what the model wrote."""


class UpstreamSchemaMismatch(UpstreamFailure):
    """The answer does not have the form that was asked for, and could not be mended."""

    retryable = False
