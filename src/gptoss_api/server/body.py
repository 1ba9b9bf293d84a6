"""Reading a request body: bounded in size and in time."""

import asyncio
import zlib
from typing import Final

from ..core.errors import InvalidRequest, RequestTimeout, RequestTooLarge, UnsupportedEncoding
from ..loop import beside
from .exchange import Exchange
from .intake import Arriving, too_much

# Seconds: a client that pauses longer inside its own body is not coming back, and one that takes longer
# in all is holding the connection for its own sake.
BODY_PAUSE: Final = 30.0
BODY_TIMEOUT: Final = 300.0

# A smaller body is light whatever it holds. In a larger one, an object is as much work as so many characters.
_LIGHT: Final = 32 * 1024
_OBJECT: Final = 200
# What one byte of gzip may become. Source: zlib's technical notes.
_MOST_UNPACKED: Final = 1032
_GZIP: Final = 31


def body_at_hand(exchange: Exchange, limit: int) -> bytes | None:
    """The request body, where it came in one piece with its head, plain, as most do.

    Raises:
        RequestTooLarge: for one of more than ``limit`` bytes.
    """
    if exchange.more_body or "content-encoding" in exchange.record.headers:
        return None
    body = exchange.at_hand()
    if len(body) > limit:
        raise _too_large(limit)
    return body


async def read_body(exchange: Exchange, arriving: Arriving) -> bytes:
    """The whole request body, unpacked, for which ``arriving`` has to have room.

    Raises:
        RequestTooLarge: before reading where ``content-length`` already says so, else while reading or
            unpacking.
        UnsupportedEncoding: for bodies that are compressed otherwise than with gzip.
        InvalidRequest: for what is no whole gzip stream.
        RequestTimeout: when the body stalls.
        Overloaded: when there is no room for it.
        ClientGone: when the client leaves.
    """
    encoding = exchange.record.headers.get("content-encoding", "identity").strip().lower()
    if encoding in ("identity", ""):
        return await _received(exchange, arriving)
    if encoding not in ("gzip", "x-gzip"):
        raise UnsupportedEncoding(
            f"Request bodies with content-encoding '{encoding[:40]}' are not read; send plain JSON or gzip."
        )
    packed = await _received(exchange, arriving)
    limit = arriving.largest
    body = await beside(min(limit, len(packed) * _MOST_UNPACKED), _unpacked, packed, limit)
    arriving.take(len(body))
    return body


async def _received(exchange: Exchange, arriving: Arriving) -> bytes:
    headers = exchange.record.headers
    limit = arriving.largest
    declared = headers.get("content-length", "")
    if declared.isascii() and declared.isdigit() and int(declared[:20]) > limit:
        raise _too_large(limit)
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


def _unpacked(packed: bytes, limit: int) -> bytes:
    """What ``packed``, one gzip stream, becomes; hardly more than ``limit`` bytes are ever made of it."""
    stream = zlib.decompressobj(_GZIP)
    try:
        body = stream.decompress(packed, limit + 1)
    except zlib.error:
        raise InvalidRequest("The request body is not gzip, as its content-encoding says.") from None
    if len(body) > limit:
        raise _too_large(limit)
    if not stream.eof or stream.unused_data:
        raise InvalidRequest("The request body is not one whole gzip stream.")
    return body


def weight_of(body: bytes) -> int:
    """How much work it is to read ``body`` and to make something of it, in characters."""
    return len(body) if len(body) <= _LIGHT else len(body) + _OBJECT * body.count(b"{")


def _too_large(limit: int) -> RequestTooLarge:
    return RequestTooLarge(
        f"The request body is larger than {limit} bytes, the limit of this gateway (GPTOSS_MAX_BODY)."
    )
