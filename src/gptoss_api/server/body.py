"""Reading a request body: bounded in size and in time."""

import asyncio
from collections.abc import Mapping
from typing import Final

from starlette.types import Receive

from ..core.errors import RequestTimeout, RequestTooLarge, UnsupportedEncoding

# Seconds: a client that pauses longer inside its own body is not coming back, and one that takes longer
# in all is holding the connection for its own sake.
BODY_PAUSE: Final = 30.0
BODY_TIMEOUT: Final = 300.0

# A smaller body is light whatever it holds. In a larger one, an object is as much work as so many characters.
_LIGHT: Final = 32 * 1024
_OBJECT: Final = 200


class ClientGone(Exception):
    """The client closed the connection before its request was complete."""


async def read_body(receive: Receive, headers: Mapping[str, str], limit: int) -> bytes:
    """The whole request body, at most ``limit`` bytes.

    Raises:
        RequestTooLarge: before reading where ``content-length`` already says so, else while reading.
        UnsupportedEncoding: for compressed bodies; a small one could unpack to any size.
        RequestTimeout: when the body stalls.
        ClientGone: when the client leaves.
    """
    encoding = headers.get("content-encoding", "identity").strip().lower()
    if encoding not in ("identity", ""):
        raise UnsupportedEncoding(
            f"Request bodies with content-encoding '{encoding[:40]}' are not read; send plain JSON."
        )
    declared = headers.get("content-length", "")
    if declared.isascii() and declared.isdigit() and int(declared[:20]) > limit:
        raise _too_large(limit)
    parts: list[bytes] = []
    size = 0
    loop = asyncio.get_running_loop()
    latest = loop.time() + BODY_TIMEOUT
    try:
        async with asyncio.timeout(BODY_PAUSE) as deadline:
            while True:
                message = await receive()
                if message["type"] == "http.disconnect":
                    raise ClientGone
                part: bytes = message.get("body", b"")
                size += len(part)
                if size > limit:
                    raise _too_large(limit)
                if not message.get("more_body", False):
                    return b"".join((*parts, part)) if parts else part
                parts.append(part)
                deadline.reschedule(min(loop.time() + BODY_PAUSE, latest))
    except TimeoutError:
        raise RequestTimeout(
            f"The request body stopped arriving, or took more than {BODY_TIMEOUT:.0f} seconds."
        ) from None


def weight_of(body: bytes) -> int:
    """How much work it is to read ``body`` and to make something of it, in characters."""
    return len(body) if len(body) <= _LIGHT else len(body) + _OBJECT * body.count(b"{")


def _too_large(limit: int) -> RequestTooLarge:
    return RequestTooLarge(
        f"The request body is larger than {limit} bytes, the limit of this gateway (GPTOSS_MAX_BODY)."
    )
