"""Whether traces are sent anywhere, by OpenTelemetry's own variables."""

import logging
import sys
from collections.abc import Mapping
from typing import Final
from urllib.parse import unquote

from ..core.tracing import Tracer

ENDPOINTS: Final = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
PROTOCOLS: Final = ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")
HEADERS: Final = ("OTEL_EXPORTER_OTLP_TRACES_HEADERS", "OTEL_EXPORTER_OTLP_HEADERS")
DISABLED: Final = "OTEL_SDK_DISABLED"
EXPORTER: Final = "OTEL_TRACES_EXPORTER"
CAPTURE_CONTENT: Final = "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT"

# The one that the extra holds.
PROTOCOL: Final = "http/protobuf"
# Both the older switch and the newer choice of where content goes; here it goes on spans.
_CAPTURES: Final = frozenset({"true", "span_only", "span_and_event"})

_log = logging.getLogger(__name__)


def find_tracer(environ: Mapping[str, str]) -> Tracer | None:
    """What sends spans to the endpoint that ``environ`` names; ``None`` without one.

    Whatever is wrong with it is logged: it is no reason not to serve.
    """
    if not _first(environ, ENDPOINTS) or _said(environ, DISABLED) == "true":
        return None
    if (exporter := _said(environ, EXPORTER)) == "none":
        return None
    protocol = _first(environ, PROTOCOLS) or PROTOCOL
    if exporter not in ("", "otlp") or protocol != PROTOCOL:
        _log.warning("no traces are sent: they can only be by OTLP over %s", PROTOCOL)
        return None
    try:
        from .spans import SpanTracer
    except ImportError:
        _log.warning(
            "an endpoint for traces is set, but they need other packages: "
            "%s -m pip install opentelemetry-sdk opentelemetry-exporter-otlp-proto-http",
            sys.executable,
        )
        return None
    try:
        return SpanTracer(content=_said(environ, CAPTURE_CONTENT) in _CAPTURES)
    except Exception as error:
        # Its words may repeat a variable, such as one with the collector's key.
        _log.warning("no traces are sent: an OTEL_ variable is not usable (%s)", type(error).__name__)
        return None


def secrets_of(environ: Mapping[str, str]) -> tuple[str, ...]:
    """The keys of collectors, which are headers, as they are written and as they are meant."""
    given = ",".join(environ.get(name, "") for name in HEADERS)
    values = (value for pair in given.split(",") if (value := pair.partition("=")[2].strip()))
    return tuple(form for value in values for form in {value, unquote(value)})


def _said(environ: Mapping[str, str], name: str) -> str:
    return environ.get(name, "").strip().lower()


def _first(environ: Mapping[str, str], names: tuple[str, ...]) -> str:
    return next((said for name in names if (said := _said(environ, name))), "")
