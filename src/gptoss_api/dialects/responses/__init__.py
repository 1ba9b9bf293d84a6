"""OpenAI's Responses: items in, response objects or their events out."""

from .dialect import ResponseRequest, ResponsesDialect
from .sealing import Sealer
from .stream import ResponseStream

__all__ = ["ResponseRequest", "ResponseStream", "ResponsesDialect", "Sealer"]
