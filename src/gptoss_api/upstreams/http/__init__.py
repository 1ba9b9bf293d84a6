"""The HTTP/1.1 client towards upstreams: a thin layer of asyncio protocol over ``httptools``.

It exists because streaming is the hot path: one read from the network costs one parser call and
one wake-up here, with no task, queue or timer for each chunk.
"""

from .client import HttpClient
from .head import ResponseHeaders, parse_address
from .response import HttpResponse

__all__ = ["HttpClient", "HttpResponse", "ResponseHeaders", "parse_address"]
