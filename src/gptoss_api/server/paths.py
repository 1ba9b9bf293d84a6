"""Which route a path means, for clients with almost the right base URL."""

import re
from typing import Final

# First path segments of the API: clients with a base URL that lacks "/v1" find it all the same.
_API_SEGMENTS: Final = frozenset({"chat", "models", "completions", "responses", "messages", "embeddings"})
_SLASHES: Final = re.compile("//+")


def canonical_path(path: str) -> str:
    """The route a path means: single slashes, none at the end, one ``/v1`` before the API's own names."""
    path = _SLASHES.sub("/", "/" + path.strip("/"))
    while path.startswith("/v1/v1/"):
        path = path[3:]
    if path[1:].split("/", 1)[0] in _API_SEGMENTS:
        path = "/v1" + path
    return path


def is_api(path: str) -> bool:
    """Whether a canonical path belongs to the API, which keys protect, or to the gateway's own pages."""
    return path.startswith("/v1/") or path == "/v1"
