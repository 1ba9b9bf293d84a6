"""Reading a request body: bounded in size and in time."""

import asyncio
from typing import Final

from ..core.errors import RequestTimeout, RequestTooLarge, UnsupportedEncoding
from .exchange import Exchange
from .intake import Arriving, too_much

# Seconds: a client that pauses longer inside its own body is not coming back, and one that takes longer
# in all is holding the connection for its own sake.
BODY_PAUSE: Final = 30.0
BODY_TIMEOUT: Final = 300.0

# A smaller body is light whatever it holds. In a larger one, an object is as much work as so many characters.
_LIGHT: Final = 32 * 1024
_OBJECT: Final = 200


async def read_body(exchange: Exchange, arriving: Arriving) -> bytes:
    """The whole request body, for which ``arriving`` has to have room.

    Raises:
        RequestTooLarge: before reading where ``content-length`` already says so, else while reading.
        UnsupportedEncoding: for compressed bodies; a small one could unpack to any size.
        RequestTimeout: when the body stalls.
        Overloaded: when there is no room for it.
        ClientGone: when the client leaves.
    """
    headers = exchange.record.headers
    encoding = headers.get("content-encoding", "identity").strip().lower()
    if encoding not in ("identity", ""):
        raise UnsupportedEncoding(
            f"Request bodies with content-encoding '{encoding[:40]}' are not read; send plain JSON."
        )
    limit = arriving.largest
    declared = headers.get("content-length", "")
    if declared.isascii() and declared.isdigit() and int(declared[:20]) > limit:
        raise _too_large(limit)
    if not exchange.more_body:
        # It came in one piece with its head, as most do.
        body = await exchange.part()
        if len(body) > limit:
            raise _too_large(limit)
        return body
    parts: list[bytes] = []
    size = 0
    loop = asyncio.get_running_loop()
    arriving.since = loop.time()
    latest = arriving.since + BODY_TIMEOUT
    try:
        async with asyncio.timeout(BODY_PAUSE) as arriving.deadline:
            while True:
                part = await exchange.part()
                size += len(part)
                if size > limit:
                    raise _too_large(limit)
                last = not exchange.more_body
                if last and not parts:
                    return part
                arriving.take(len(part))
                parts.append(part)
                if last:
                    return b"".join(parts)
                arriving.deadline.reschedule(min(loop.time() + BODY_PAUSE, latest))
    except TimeoutError:
        if arriving.given_up:
            raise too_much() from None
        raise RequestTimeout(
            f"The request body stopped arriving, or took more than {BODY_TIMEOUT:.0f} seconds."
        ) from None
    finally:
        arriving.deadline = None


def weight_of(body: bytes) -> int:
    """How much work it is to read ``body`` and to make something of it, in characters."""
    return len(body) if len(body) <= _LIGHT else len(body) + _OBJECT * body.count(b"{")


def _too_large(limit: int) -> RequestTooLarge:
    return RequestTooLarge(
        f"The request body is larger than {limit} bytes, the limit of this gateway (GPTOSS_MAX_BODY)."
    )
