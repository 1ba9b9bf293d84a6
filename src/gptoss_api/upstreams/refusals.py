"""The words of an upstream that answered with something other than an answer.

Refusals arrive as JSON in many shapes, as web pages and as plain text. They are quoted briefly, on one line
and without anything that looks like a secret.
"""

import re
from collections.abc import Mapping
from typing import Any, Final

import msgspec

from ..core.errors import (
    GatewayError,
    RequestTooLarge,
    UpstreamRateLimited,
    UpstreamTimeout,
    UpstreamUnavailable,
)

EXCERPT_LENGTH: Final = 200
LOGGED_LENGTH: Final = 500

# 529 is Anthropic's and others' "overloaded", 521 to 524 are Cloudflare's for a server behind it.
_TIMEOUTS: Final = frozenset({408, 504, 524})
_UNAVAILABLE: Final = frozenset({503, 521, 522, 523, 529})

_HTML: Final = re.compile(r"\s*(?:<!doctype|<html|<head|<\?xml)", re.I)
_TITLE: Final = re.compile(r"<title[^>]*>(.*?)</title>", re.I | re.S)
_NAMED_SECRET: Final = re.compile(
    r"\b(set-cookie|cookie|authorization|session|user_id|access_token|token)\b"
    r"([\"']?\s*[=:]\s*[\"']?)(?:bearer\s+)?[^\s;,\"'<>&]+",
    re.I,
)
_BARE_SECRET: Final = re.compile(
    r"\b(?:hf_|gsk_|sk-|csk-|tgp_)[\w-]{8,}|\beyJ[\w.+/=-]{16,}|\bbearer\s+\S+", re.I
)


def redact(text: str, secrets: tuple[str, ...] = ()) -> str:
    """``text`` without ``secrets`` and without anything that looks like a cookie or a token."""
    for secret in secrets:
        # Shorter ones are no credentials, and would blot out ordinary words.
        if len(secret) >= 6:
            text = text.replace(secret, "***")
    return _BARE_SECRET.sub("***", _NAMED_SECRET.sub(r"\1\2***", text))


def excerpt(text: str, length: int = EXCERPT_LENGTH) -> str:
    """At most ``length`` characters of an upstream's words on one line, fit to be shown to a client."""
    line = "".join(char if char.isprintable() else " " for char in redact(text[: 4 * length]))
    line = " ".join(line.split())
    return line if len(line) <= length else line[: length - 1] + "…"


def failure_of_status(
    status: int, upstream: str, said: str, *, retry_after: float | None = None
) -> GatewayError | None:
    """The failure that an HTTP status names by itself, whoever sent it; ``None`` for every other status.

    ``said`` ends the message with the upstream's words. ``retry_after`` is in seconds.
    """
    if status == 429:
        return UpstreamRateLimited(f"{upstream} is limiting requests{said}", retry_after=retry_after)
    if status == 413:
        return RequestTooLarge(f"The request is too large for {upstream}{said}")
    if status in _TIMEOUTS:
        return UpstreamTimeout(f"{upstream} did not answer in time{said}")
    if status in _UNAVAILABLE:
        return UpstreamUnavailable(f"{upstream} is not available{said}", retry_after=retry_after)
    return None


def is_web_page(content_type: str, text: str) -> bool:
    return "html" in content_type or _HTML.match(text) is not None


def message_in(value: Any) -> str:
    """The words in an error object, wherever it keeps them."""
    for _ in range(4):
        if not isinstance(value, Mapping):
            break
        value = next(
            (value[key] for key in ("message", "error", "detail", "msg", "title") if value.get(key)), ""
        )
        if isinstance(value, list) and value:
            # FastAPI's list of validation errors.
            value = value[0]
    return value if isinstance(value, str) else ""


def message_in_json(text: str) -> str:
    try:
        return message_in(msgspec.json.decode(text)) or text
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return text


def page_title(text: str) -> str:
    title = _TITLE.search(text)
    return title[1] if title else ""
