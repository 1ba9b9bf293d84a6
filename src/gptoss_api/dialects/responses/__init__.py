"""OpenAI's Responses: items in, response objects or their events out."""

from .compaction import CompactionRequest
from .dialect import (
    CompactConversation,
    CountInput,
    CreateResponse,
    ResponseAction,
    ResponseRequest,
    ResponsesDialect,
)
from .objects import response_of_item
from .parse import Parsed
from .stream import ResponseStream, error_event

__all__ = [
    "CompactConversation",
    "CompactionRequest",
    "CountInput",
    "CreateResponse",
    "Parsed",
    "ResponseAction",
    "ResponseRequest",
    "ResponseStream",
    "ResponsesDialect",
    "error_event",
    "response_of_item",
]
