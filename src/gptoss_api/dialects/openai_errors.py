"""Failures in OpenAI's shape: the body of a response, or the last event of a stream."""

import msgspec

from ..core.errors import GatewayError


def error_object(error: GatewayError) -> dict[str, str | None]:
    """``message``, ``type``, ``param`` and ``code``: all four always, as the SDKs expect them."""
    return {"message": error.message, "type": error.type, "param": error.param, "code": error.code}


def error_body(error: GatewayError, request_id: str) -> bytes:
    """The body of a failed response. OpenAI names the request in the header ``x-request-id`` alone."""
    return msgspec.json.encode({"error": error_object(error)})
