"""The Responses API over HTTP, with what it remembers between requests."""

from .background import BackgroundRuns, Ended
from .conversation import read_with_history
from .endpoint import CompactionEndpoint, ResponsesEndpoint, answer_request
from .routes import ResponseRoutes
from .stored import StoredResponses
from .websocket import WebSocketEndpoint

__all__ = [
    "BackgroundRuns",
    "CompactionEndpoint",
    "Ended",
    "ResponseRoutes",
    "ResponsesEndpoint",
    "StoredResponses",
    "WebSocketEndpoint",
    "answer_request",
    "read_with_history",
]
