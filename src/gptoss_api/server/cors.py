"""Cross-origin requests: what pages of other origins may send and read.

Source: docs/design/conformance.md, "HTTP".
"""

import re
from collections.abc import Mapping
from typing import Final

from ..access import OriginPolicy
from ..access.origins import ANY

RawHeader = tuple[bytes, bytes]

# What pages may do by the answer's head: the origin that may read it, or none, and the lines that say so.
Allowed = tuple[str | None, bytes]

METHODS: Final = b"GET, HEAD, POST, DELETE, OPTIONS"

# What a browser client may send: the headers of the OpenAI and Anthropic SDKs, of routers, and ours.
_REQUEST_HEADERS: Final = (
    "authorization",
    "content-type",
    "x-api-key",
    "api-key",
    "x-request-id",
    "accept",
    "user-agent",
    "idempotency-key",
    "x-session-id",
    "http-referer",
    "x-title",
)
_REQUEST_HEADER_FAMILY: Final = re.compile(r"(?:anthropic|openai|x-stainless|x-gptoss)-[a-z0-9-]+")

# Named one by one: browsers take a wildcard literally when a request carries credentials.
_EXPOSED: Final = (
    "x-request-id",
    "request-id",
    "retry-after",
    "x-should-retry",
    "x-gptoss-upstream",
    "x-gptoss-model",
    "x-gptoss-thread",
    "x-gptoss-emulated",
    "x-gptoss-ignored",
    "x-gptoss-repairs",
    "x-gptoss-not-stored",
    "x-gptoss-context",
    "x-gptoss-repeat",
)
# What keys with limits are told besides, in each API's own words.
EXPOSED_LIMITS: Final = b"access-control-expose-headers: %b\r\n" % (
    ", ".join(
        [
            "retry-after-ms",
            *(
                name
                for what in ("requests", "tokens")
                for part in ("limit", "remaining", "reset")
                for name in (f"x-ratelimit-{part}-{what}", f"anthropic-ratelimit-{what}-{part}")
            ),
        ]
    ).encode(),
)
_MAX_AGE: Final = 86_400


class Cors:
    """The headers that tell browsers what pages of an origin may do.

    ``unasked`` is what a request gets that comes from no page. Where every origin is allowed all answers are
    the same, so that any cache may keep them.
    """

    def __init__(self, origins: OriginPolicy) -> None:
        self._origins = origins
        self._vary = b"vary: origin\r\n" if origins.varies else b""
        self._expose = b"access-control-expose-headers: %b\r\n" % ", ".join(_EXPOSED).encode()
        self.unasked: Final = self._answer(None if origins.varies else ANY)

    def allow(self, origin: str) -> Allowed:
        """What the page of ``origin`` may do. The name is as it came: without control characters."""
        return self._answer(self._origins.allow(origin))

    def _answer(self, allowed: str | None) -> Allowed:
        if allowed is None:
            return None, self._vary
        allow = b"access-control-allow-origin: %b\r\n" % allowed.encode("latin-1")
        return allowed, b"".join((allow, self._expose, self._vary))


def options_headers(headers: Mapping[str, str], allowed: str | None) -> list[RawHeader]:
    """For the answer to ``OPTIONS``, a browser's preflight or not."""
    if allowed is None:
        return [(b"allow", METHODS)]
    asked = headers.get("access-control-request-headers", "").lower().replace(" ", "").split(",")
    families = [name for name in asked if _REQUEST_HEADER_FAMILY.fullmatch(name)]
    answer = [
        (b"allow", METHODS),
        (b"access-control-allow-methods", METHODS),
        (b"access-control-allow-headers", ", ".join((*_REQUEST_HEADERS, *families)).encode()),
        (b"access-control-max-age", b"%d" % _MAX_AGE),
    ]
    if headers.get("access-control-request-private-network") == "true":
        # A public page may reach this machine only because its origin was allowed by name or needs a key.
        answer.append((b"access-control-allow-private-network", b"true"))
    return answer
