"""The Responses API over HTTP, with what it remembers between requests."""

from .background import BackgroundRuns
from .conversation import read_with_history
from .endpoint import ResponsesEndpoint, open_request
from .routes import ResponseRoutes
from .stored import StoredResponses

__all__ = [
    "BackgroundRuns",
    "ResponseRoutes",
    "ResponsesEndpoint",
    "StoredResponses",
    "open_request",
    "read_with_history",
]
