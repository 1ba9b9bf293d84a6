"""Spans of OpenTelemetry: one of kind SERVER for a request, and one of kind CLIENT for each attempt.

Only this module needs the packages of the extra ``otel``; it is imported where an endpoint is set.
"""

import logging
import os
import threading
import time
import uuid
from collections.abc import Mapping
from contextvars import Token
from types import TracebackType
from typing import Final

from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import OTELResourceDetector, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import Span, SpanKind, StatusCode, Tracer, set_span_in_context
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from .. import __version__
from ..core.accounting import TurnAccount
from ..core.events import Events, Finished, ReasoningDelta, Started, TextDelta, Usage, UsageReported
from ..core.result import Collector
from ..core.servers import is_public
from ..core.tracing import ATTEMPTED, AttemptTrace
from ..core.turn import Turn
from . import genai

SERVICE: Final = "gptoss-api"
# Seconds in which a collector may take what is left when the gateway stops.
LAST_EXPORT: Final = 2.0
# Seconds between two lines of the log about a collector that is away.
TOLD_EVERY: Final = 300.0
# What the conventions know of methods; others are not told, since clients make them up.
_METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH"})

_PROPAGATOR: Final = TraceContextTextMapPropagator()
_NO_HEADERS: Final[Mapping[str, str]] = {}


class SpanTracer:
    """Sends spans by the standard variables, ``content`` too where that is wanted.

    They are sent in groups by a thread of the SDK; where the collector does not take them in time, the oldest
    are dropped. Raises whatever the SDK does for variables that it cannot read.
    """

    def __init__(self, *, content: bool) -> None:
        # Of a collector that is away the SDK would tell with every try.
        logging.getLogger("opentelemetry").setLevel(logging.ERROR)
        logging.getLogger(OTLPSpanExporter.__module__).addFilter(_Seldom())
        self._provider = TracerProvider(resource=_resource(), shutdown_on_exit=False)
        self._provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
        self._tracer = self._provider.get_tracer(SERVICE, __version__)
        self._content = content

    def request(self, method: str, path: str, headers: Mapping[str, str]) -> "RequestSpan":
        """See :class:`gptoss_api.core.tracing.Tracer`."""
        parent = _PROPAGATOR.extract(headers, Context())
        known = method if method in _METHODS else "_OTHER"
        attributes = {
            "http.request.method": known,
            "url.path": path,
            "url.scheme": "http",
            "user_agent.original": headers.get("user-agent", ""),
        }
        span = self._tracer.start_span(known, parent, SpanKind.SERVER, attributes)
        return RequestSpan(self._tracer, span, known, content=self._content)

    def close(self) -> None:
        """See :class:`gptoss_api.core.tracing.Tracer`."""
        # The SDK waits longer for a collector that is away than anybody does for a stopping gateway.
        closing = threading.Thread(target=self._provider.shutdown, name="last-spans", daemon=True)
        closing.start()
        closing.join(LAST_EXPORT)


class _Seldom(logging.Filter):
    """Lets a line through every few minutes."""

    def __init__(self) -> None:
        super().__init__()
        self._next = 0.0

    def filter(self, record: logging.LogRecord) -> bool:
        now = time.monotonic()
        if now < self._next:
            return False
        self._next = now + TOLD_EVERY
        return True


def _resource() -> Resource:
    """Who sends; what the variables say of it goes first."""
    instance = f"{uuid.uuid4()}"
    own = Resource.create(
        {
            "service.name": SERVICE,
            "service.version": __version__,
            "service.instance.id": instance,
            "process.pid": os.getpid(),
        }
    )
    return own.merge(OTELResourceDetector().detect())


class RequestSpan:
    """See :class:`gptoss_api.core.tracing.RequestTrace`."""

    def __init__(self, tracer: Tracer, span: Span, method: str, *, content: bool) -> None:
        self._tracer = tracer
        self._span = span
        self._method = method
        self._content = content
        # Given to attempts as it is: some outlive the task, and the request, that began them.
        self._context = set_span_in_context(span, Context())

    def attempt(self, provider: str, turn: Turn) -> AttemptTrace:
        span = self._tracer.start_span(
            f"{genai.CHAT} {turn.model}",
            self._context,
            SpanKind.CLIENT,
            genai.request_attributes(provider, turn),
        )
        if self._content:
            span.set_attributes(genai.content_attributes(turn))
        return AttemptSpan(span, Collector() if self._content else None)

    def end(self, account: TurnAccount, route: str) -> None:
        span = self._span
        if route:
            span.update_name(f"{self._method} {route}")
            span.set_attribute("http.route", route)
        span.set_attributes(
            {
                "http.response.status_code": account.status,
                "gptoss.request_id": account.request_id,
                "gptoss.outcome": account.outcome,
                "gptoss.dialect": account.dialect,
                "gptoss.key.id": account.key,
            }
        )
        if account.model:
            span.set_attributes(_answer_attributes(account))
        if account.status >= 500 or (account.failed and account.status == 200):
            span.set_attribute("error.type", account.outcome)
            span.set_status(StatusCode.ERROR)
        span.end()


def _answer_attributes(account: TurnAccount) -> dict[str, str | int]:
    # Under names of our own: under those of the conventions tools would add them to the attempts'.
    return {
        "gptoss.model": account.model,
        "gptoss.upstream": account.upstream,
        "gptoss.thread": account.thread,
        "gptoss.repairs": account.repairs,
        "gptoss.usage.input_tokens": account.prompt,
        "gptoss.usage.cached_tokens": account.cached,
        "gptoss.usage.output_tokens": account.completion,
        "gptoss.usage.reasoning_tokens": account.reasoning,
    }


class AttemptSpan:
    """See :class:`gptoss_api.core.tracing.AttemptTrace`; ``collector`` is there where content is sent."""

    def __init__(self, span: Span, collector: Collector | None) -> None:
        self._span = span
        self._collector = collector
        self._began = time.perf_counter()
        self._first: float | None = None
        self._streamed = True
        self._reasons: list[str] = []
        self._token: Token[AttemptTrace | None]

    def __enter__(self) -> "AttemptSpan":
        self._token = ATTEMPTED.set(self)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        ATTEMPTED.reset(self._token)
        span = self._span
        if self._reasons:
            span.set_attribute(genai.FINISH_REASONS, self._reasons)
        if self._collector is not None and self._first is not None:
            span.set_attribute(genai.OUTPUT, genai.answered(self._collector.choices))
        if kind is not None:
            # Its message may hold what the upstream said, which is content.
            span.set_attribute("error.type", kind.__name__)
            if issubclass(kind, Exception):
                span.set_status(StatusCode.ERROR)
        span.end()

    def addressed(self, host: str, port: int, *, streamed: bool) -> Mapping[str, str]:
        span = self._span
        self._streamed = streamed
        span.set_attributes({"server.address": host, "server.port": port, genai.REQUEST_STREAM: streamed})
        if is_public(host):
            return _NO_HEADERS
        carrier: dict[str, str] = {}
        _PROPAGATOR.inject(carrier, set_span_in_context(span, Context()))
        return carrier

    def observe(self, events: Events) -> None:
        span = self._span
        for event in events:
            # The commonest first: this runs for every token.
            if type(event) is TextDelta or type(event) is ReasoningDelta:
                continue
            if type(event) is Started:
                span.set_attribute(genai.RESPONSE_MODEL, event.model)
            elif type(event) is Finished:
                self._reasons.append(event.reason)
            elif type(event) is UsageReported:
                span.set_attributes(_usage_attributes(event.usage))
        if self._first is None:
            self._first = time.perf_counter()
            if self._streamed:
                span.set_attribute(genai.FIRST_CHUNK, self._first - self._began)
        if self._collector is not None:
            self._collector.feed(events)


def _usage_attributes(usage: Usage) -> dict[str, int]:
    return {
        genai.INPUT_TOKENS: usage.prompt_tokens,
        genai.OUTPUT_TOKENS: usage.completion_tokens,
        genai.CACHED_TOKENS: usage.cached_tokens,
        genai.REASONING_TOKENS: usage.reasoning_tokens,
    }
