"""OpenAI's Responses: items in, response objects or their events out."""

from .dialect import CreateResponse, ResponseRequest, ResponsesDialect, StoredResponse
from .objects import response_of_item
from .parse import Asked
from .stream import ResponseStream
from .truncation import without_oldest

__all__ = [
    "Asked",
    "CreateResponse",
    "ResponseRequest",
    "ResponseStream",
    "ResponsesDialect",
    "StoredResponse",
    "response_of_item",
    "without_oldest",
]
