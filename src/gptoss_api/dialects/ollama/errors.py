"""Failures as Ollama tells them: a status and one string.

The table is docs/design/conformance.md, "Ollama".
"""

from typing import Final

import msgspec

from ...core import errors
from ...core.errors import GatewayError
from ..base import ErrorResponse, error_headers
from ..limit_headers import limit_headers
from ..openai_errors import openai_error

# Where Ollama's servers say another status than OpenAI's.
_STATUSES: Final[dict[type[GatewayError], int]] = {errors.UpstreamUnavailable: 502}


def error_object(error: GatewayError) -> dict[str, str]:
    """The whole body, and the last line of a stream that broke."""
    return {"error": _message(error)}


def error_response(error: GatewayError, request_id: str) -> ErrorResponse:
    """The response to a failed request."""
    status = _STATUSES.get(type(error)) or openai_error(error).status
    headers = error_headers(error)
    if isinstance(error, errors.RateLimited | errors.BudgetExhausted):
        headers += limit_headers(error.allowances)
    return ErrorResponse(status, headers, msgspec.json.encode(error_object(error)))


def _message(error: GatewayError) -> str:
    """Clients show the string, and some look for these words in it."""
    match error:
        case errors.ContextLengthExceeded(prompt_tokens=prompt, limit=limit, reserved=reserved):
            # The prompt may fit alone, but not with the room that an answer needs.
            tokens = prompt if prompt > limit else prompt + reserved
            return f"the prompt is too long: {tokens} tokens, the model's limit is {limit}"
        case errors.ModelNotFound(requested=requested) if requested:
            return f"model '{requested}' not found"
        case errors.Overloaded():
            return f"server busy, please try again.  {error.message}"
        case errors.InvalidValue(param=str(param)) if param not in error.message:
            # There is no other place to say it.
            return f"{error.message} (in {param})"
        case _:
            return error.message
