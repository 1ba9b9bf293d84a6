"""The words of an upstream that answered with something other than an answer.

Refusals arrive as JSON in many shapes, as web pages and as plain text. They are quoted briefly, on one line
and without anything that looks like a secret.
"""

import re
from collections.abc import Mapping
from typing import Any, Final

from ..core.errors import (
    GatewayError,
    RefusedByUpstream,
    RequestTooLarge,
    UpstreamRateLimited,
    UpstreamTimeout,
    UpstreamUnavailable,
)
from ..core.redaction import Redactor
from ..text.loose_json import Unreadable, decode_loosely

EXCERPT_LENGTH: Final = 200

# In seconds. Nobody is sent away for longer: beyond it a clock is wrong, or it is no wait but a refusal.
LONGEST_WAIT: Final = 3600.0

# 529 is Anthropic's and others' "overloaded", 521 to 524 are Cloudflare's for a server behind it.
_TIMEOUTS: Final = frozenset({408, 504, 524})
_UNAVAILABLE: Final = frozenset({503, 521, 522, 523, 529})

_HTML: Final = re.compile(r"\s*(?:<!doctype|<html|<head|<\?xml)", re.I)
_TITLE: Final = re.compile(r"<title[^<>]*>([^<]*)</title>", re.I)
# Of what an upstream says. A secret that is cut would not be known for one, so more is read than is shown.
_READ: Final = 16 * 1024
_LONGEST_SECRET: Final = 4 * 1024

_NUMBER: Final = r"[0-9]{1,9}(?:\.[0-9]{1,9})?"
_WAIT: Final = re.compile(
    rf"\b(?:try again|retry(?:ing)?|wait)(?: again)?(?: in| after| for)?:? "
    rf"(?:(?P<h>{_NUMBER}) ?h(?:ours?)?(?![a-z]),? ?)?"
    rf"(?:(?P<m>{_NUMBER}) ?m(?:in(?:utes?)?)?(?![a-z]),? ?)?"
    rf"(?:(?P<ms>{_NUMBER}) ?(?:ms|milliseconds?)\b|(?P<s>{_NUMBER}) ?s(?:ec(?:onds?)?)?\b)?",
    re.I,
)

# Knows what secrets look like, but none by itself.
LOOKS: Final = Redactor()


def beginning(text: str, redact: Redactor) -> str:
    """As much of an upstream's words as is looked at, in short time, without the secrets ``redact`` knows."""
    if len(text) <= _READ:
        return redact(text)
    # What the cut left of a secret is no longer known for one.
    return redact(text[:_READ])[:-_LONGEST_SECRET]


def excerpt(text: str, length: int = EXCERPT_LENGTH) -> str:
    """At most ``length`` characters of an upstream's words on one line, without what looks like a secret."""
    line = "".join(char if char.isprintable() else " " for char in beginning(text, LOOKS))
    line = " ".join(line.split())
    return line if len(line) <= length else line[: length - 1] + "…"


def without_secrets(failure: GatewayError, redact: Redactor) -> GatewayError:
    """``failure`` without what its upstream repeated of the secrets that ``redact`` knows."""
    failure.message = redact(failure.message)
    failure.param = None if failure.param is None else redact(failure.param)
    if isinstance(failure, RefusedByUpstream) and failure.upstream_code is not None:
        failure.upstream_code = redact(failure.upstream_code)
    return failure


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


def wait_in_words(message: str) -> float | None:
    """The seconds of "Please try again in 6m1.5s", at most ``LONGEST_WAIT``; ``None`` if it does not say."""
    for found in _WAIT.finditer(message):
        parts = {name: float(number) for name, number in found.groupdict().items() if number}
        if parts:
            seconds = parts.get("h", 0.0) * 3600 + parts.get("m", 0.0) * 60 + parts.get("s", 0.0)
            return min(seconds + parts.get("ms", 0.0) / 1000, LONGEST_WAIT)
    return None


def is_web_page(content_type: str, text: str) -> bool:
    return "html" in content_type or _HTML.match(text) is not None


def message_in(value: Any) -> str:
    """The words in an error object, wherever it keeps them."""
    for _ in range(4):
        if isinstance(value, list) and value:
            # FastAPI's list of validation errors, or an error wrapped in an array.
            value = value[0]
        if not isinstance(value, Mapping):
            break
        value = next(
            (value[key] for key in ("message", "error", "detail", "msg", "title") if value.get(key)), ""
        )
    return value if isinstance(value, str) else ""


def message_in_json(text: str) -> str:
    try:
        return message_in(decode_loosely(text.encode("utf-8", "replace"))) or text
    except Unreadable:
        return text


def page_title(text: str) -> str:
    title = _TITLE.search(text)
    return title[1] if title else ""
