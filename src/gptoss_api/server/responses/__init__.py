"""The Responses API over HTTP, with what it remembers between requests."""

from .background import BackgroundRuns
from .conversation import read_with_history
from .endpoint import ResponsesEndpoint, answer_request
from .routes import ResponseRoutes
from .stored import StoredResponses

__all__ = [
    "BackgroundRuns",
    "ResponseRoutes",
    "ResponsesEndpoint",
    "StoredResponses",
    "answer_request",
    "read_with_history",
]
