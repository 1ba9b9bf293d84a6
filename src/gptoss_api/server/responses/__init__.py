"""The Responses API over HTTP, with what it remembers between requests."""

from .endpoint import ResponsesEndpoint
from .kept import KeptResponses
from .routes import ResponseRoutes

__all__ = ["KeptResponses", "ResponseRoutes", "ResponsesEndpoint"]
