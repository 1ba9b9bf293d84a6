"""Reads the body of an answer that is none: bounded in time and size, logged without secrets."""

import asyncio
import logging
from typing import Final

from ..core.errors import GatewayError
from ..core.redaction import Redactor
from .http import HttpResponse
from .refusals import LOGGED_LENGTH

REFUSAL_TIME: Final = 5.0
REFUSAL_SIZE: Final = 64 * 1024

_log = logging.getLogger(__name__)


async def read_refusal(response: HttpResponse, upstream: str, redact: Redactor) -> bytes:
    """What has arrived of the body in a short time; ``upstream`` is the name for the log."""
    body = b""
    try:
        async with asyncio.timeout(REFUSAL_TIME):
            body = await response.read_all(REFUSAL_SIZE)
    except (TimeoutError, GatewayError):
        _log.debug("the refusal's body did not arrive")
    _log.warning(
        "%s answered HTTP %d (%s): %s",
        upstream,
        response.status,
        (response.headers.get("content-type") or "no content type")[:100],
        redact(body.decode("utf-8", "replace"))[:LOGGED_LENGTH],
    )
    return body
