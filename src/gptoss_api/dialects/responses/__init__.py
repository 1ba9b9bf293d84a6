"""OpenAI's Responses: items in, response objects or their events out."""

from .dialect import ResponseRequest, ResponsesDialect
from .objects import response_of_item
from .parse import Asked
from .sealing import Sealer
from .stream import ResponseStream
from .truncation import without_oldest

__all__ = [
    "Asked",
    "ResponseRequest",
    "ResponseStream",
    "ResponsesDialect",
    "Sealer",
    "response_of_item",
    "without_oldest",
]
