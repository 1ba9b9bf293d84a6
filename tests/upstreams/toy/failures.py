"""What the refusals of a toy mean: a status, and words in JSON."""

from gptoss_api.core.errors import GatewayError, InvalidRequest, UpstreamFailure
from gptoss_api.core.redaction import Redactor
from gptoss_api.upstreams.refusals import excerpt, failure_of_status, message_in_json


def failure_of_response(
    status: int, body: bytes, *, retry_after: float | None, redact: Redactor
) -> GatewayError:
    said = excerpt(redact(message_in_json(body.decode("utf-8", "replace"))))
    named = failure_of_status(status, "The toy", f" (HTTP {status}: {said}).", retry_after=retry_after)
    if named is not None:
        return named
    if 400 <= status < 500:
        return InvalidRequest(f"The toy refused the request: {said}")
    return UpstreamFailure(f"The toy failed (HTTP {status}: {said}).")
