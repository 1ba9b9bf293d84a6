"""Tells a tracer of every request, where there is one."""

from collections.abc import Awaitable, Callable

from ..core.tracing import TRACED, Tracer
from .accounts import account_of
from .app import PROBES
from .edge import Edge
from .exchange import Exchange


def traced(edge: Edge, tracer: Tracer) -> Callable[[Exchange], Awaitable[None]]:
    """``edge.serve`` for requests that are traced, all but those of machines that look for signs of life."""

    async def serve(exchange: Exchange) -> None:
        if exchange.path in PROBES:
            await edge.serve(exchange)
            return
        trace = tracer.request(exchange.method, exchange.path, exchange.record.headers)
        token = TRACED.set(trace)
        try:
            await edge.serve(exchange)
        finally:
            TRACED.reset(token)
            record = exchange.record
            dialect = record.dialect or edge.surface.owner_name(exchange.path)
            trace.end(account_of(record, dialect), edge.routes.template(exchange.path))

    return serve
