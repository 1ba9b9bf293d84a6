"""The Responses API over HTTP, with what it remembers between requests."""

from .background import BackgroundRuns
from .endpoint import ResponsesEndpoint, open_request
from .kept import KeptResponses
from .routes import ResponseRoutes

__all__ = ["BackgroundRuns", "KeptResponses", "ResponseRoutes", "ResponsesEndpoint", "open_request"]
