"""The address of a gateway as a person gives it: from a client, from a page, or with a path too many."""

import re
from typing import Final
from urllib.parse import SplitResult, urlsplit, urlunsplit

# What stands behind the address of a gateway: its API, the endpoints that are known best, and its pages.
_ENDPOINT: Final = re.compile(
    r"(?:/v1)+(?:/(?:chat/completions|completions|responses|messages|models|embeddings|usage|status))?/*\Z"
    r"|/chat/completions/*\Z"
    r"|/api(?:/(?:chat|generate|tags|hello))?/*\Z"
    r"|/(?:ui(?:/.*)?|docs|healthz?|readyz|metrics|openapi\.json)/*\Z"
)
_BARE: Final = re.compile(r"(?:[A-Za-z0-9.-]+|\[[0-9a-fA-F:.]+\])(?::[0-9]+)?(?:/[^\s]*)?")


class NoAddress(ValueError):
    """What is no address of a gateway, with what to give instead."""


def gateway_address(text: str, named: str) -> str:
    """The address in ``text`` without the ``/v1`` that clients are given, or what else stands behind it.

    Raises:
        NoAddress: for what is no such address, by the name of the option or the variable that gave it; a
            password is not repeated.
    """
    given = text.strip()
    try:
        parts = urlsplit(given)
        is_address = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        is_address = False
    if not is_address or not given.isprintable() or " " in given:
        meant = f"; did you mean http://{given}?" if _BARE.fullmatch(given) else "."
        raise NoAddress(f"{named} is an address such as http://127.0.0.1:8000/v1{meant}")
    if "@" in parts.netloc:
        raise NoAddress(f"{named} holds no password; the API key is GPTOSS_API_KEY.")
    path = _ENDPOINT.sub("", parts.path).rstrip("/")
    # Those of a page are of no matter.
    if parts.query and not parts.path.startswith(f"{path}/ui"):
        raise NoAddress(f"{named} has a question mark; give {_shown(parts, path)}/v1.")
    if "/v1/" in f"{path}/":
        raise NoAddress(f"{named} goes on behind /v1; give {_shown(parts, path.partition('/v1')[0])}/v1.")
    return _shown(parts, path)


def _shown(parts: SplitResult, path: str) -> str:
    return urlunsplit((parts.scheme, parts.netloc, path, "", ""))
