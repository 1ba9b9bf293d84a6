"""What a failure means for the choice of an upstream."""

from msgspec import Struct

from ..core.errors import (
    GatewayError,
    InsufficientQuota,
    InternalError,
    InvalidRequest,
    ModelNotFound,
    Overloaded,
    PermissionDenied,
    PromptTooLong,
    RequestTooLarge,
    UndeclaredToolCalled,
    UnparsedByUpstream,
    UpstreamFailure,
    UpstreamLoginRequired,
    UpstreamRateLimited,
    UpstreamSchemaMismatch,
    UpstreamTimeout,
    UpstreamUnavailable,
)


class Judgement(Struct, frozen=True):
    """``elsewhere``: another upstream may answer. ``counts``: the breaker hears of it. ``lasting``: it will
    not pass by itself soon."""

    elsewhere: bool
    counts: bool = False
    lasting: bool = False


def judge(failure: GatewayError) -> Judgement:
    """What follows from a failure before the first byte."""
    match failure:
        case InvalidRequest():
            # A shorter window is the upstream's own; everything else is wrong everywhere.
            return Judgement(elsewhere=isinstance(failure, PromptTooLong))
        case InternalError():
            return Judgement(elsewhere=False)
        case ModelNotFound() | RequestTooLarge() | Overloaded() | UpstreamSchemaMismatch():
            return Judgement(elsewhere=True)
        case UpstreamLoginRequired() | InsufficientQuota() | PermissionDenied():
            return Judgement(elsewhere=True, counts=True, lasting=True)
        case UndeclaredToolCalled() | UnparsedByUpstream():
            # The model's doing, not that of the server it runs on.
            return Judgement(elsewhere=True)
        case UpstreamFailure() | UpstreamRateLimited() | UpstreamUnavailable() | UpstreamTimeout():
            return Judgement(elsewhere=True, counts=True)
        case _:
            return Judgement(elsewhere=False)


def most_telling(failures: list[GatewayError]) -> GatewayError:
    """The failure a client is told where every upstream failed.

    The first, unless it only says that an upstream has other models or is full.
    """
    for failure in failures:
        if not isinstance(failure, ModelNotFound | Overloaded):
            return failure
    return failures[0]
