"""Which route a path means, for clients with almost the right base URL."""

import re
from typing import Final

# First path segments of the API: clients with a base URL that lacks "/v1" find it all the same.
_API_SEGMENTS: Final = frozenset({"chat", "models", "completions", "responses", "messages", "embeddings"})
# The gateway's own pages. What a stranger sees there is decided by each of them.
_OPEN: Final = frozenset({"/", "/healthz", "/readyz", "/openapi.json", "/docs"})
_SLASHES: Final = re.compile("//+")


def canonical_path(path: str) -> str:
    """The route a path means: single slashes, none at the end, one ``/v1`` before the API's own names."""
    path = _SLASHES.sub("/", "/" + path.strip("/"))
    while path.startswith("/v1/v1/"):
        path = path[3:]
    if path[1:].split("/", 1)[0] in _API_SEGMENTS:
        path = "/v1" + path
    return path


def is_open(path: str) -> bool:
    """Whether a canonical path is for everybody; every other one, also one that is not there, needs a key."""
    return path in _OPEN
