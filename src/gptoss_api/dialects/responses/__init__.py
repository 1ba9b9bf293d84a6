"""OpenAI's Responses: items in, response objects or their events out."""

from .dialect import CreateResponse, ResponseAction, ResponseRequest, ResponsesDialect
from .objects import response_of_item
from .parse import Parsed
from .stream import ResponseStream
from .truncation import without_oldest

__all__ = [
    "CreateResponse",
    "Parsed",
    "ResponseAction",
    "ResponseRequest",
    "ResponseStream",
    "ResponsesDialect",
    "response_of_item",
    "without_oldest",
]
