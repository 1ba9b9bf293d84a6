"""The spans that a gateway sends, as a collector receives them."""

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span as SentSpan
from opentelemetry.proto.trace.v1.trace_pb2 import Status
from opentelemetry.semconv._incubating.attributes import gen_ai_attributes
from opentelemetry.semconv.attributes import (
    error_attributes,
    http_attributes,
    server_attributes,
    url_attributes,
)

from tests.backends.server import Backend, backend_thread, json_reply
from tests.conftest import RunningGateway, StartGateway, free_port, running_gateway
from tests.server.talking import CHAT, ask, connect, request_bytes
from tests.simulator import Simulator
from tests.upstreams.chatkit.scripted import Reply

WORDS = "the-words-that-nobody-keeps"
TRACE, PARENT = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
BODY: dict[str, Any] = {
    "model": "gpt-oss-20b",
    "messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": WORDS}],
    "temperature": 0.5,
    "max_tokens": 99,
}
QUICKLY = {"OTEL_BSP_SCHEDULE_DELAY": "50", "OTEL_EXPORTER_OTLP_HEADERS": "x-collector-key=collector-secret"}
PATIENCE = 10.0


class Sent:
    """One span, its values as Python's."""

    def __init__(self, span: SentSpan, resource: dict[str, Any]) -> None:
        self.name, self.kind = span.name, SentSpan.SpanKind.Name(span.kind)
        self.trace, self.id, self.parent = (
            part.hex() for part in (span.trace_id, span.span_id, span.parent_span_id)
        )
        self.attributes = {each.key: value_of(each.value) for each in span.attributes}
        self.failed = span.status.code == Status.STATUS_CODE_ERROR
        self.resource = resource
        self.raw = span.SerializeToString()


def value_of(value: AnyValue) -> Any:
    kind = value.WhichOneof("value")
    assert kind is not None
    return (
        [value_of(each) for each in value.array_value.values]
        if kind == "array_value"
        else getattr(value, kind)
    )


class Collector:
    """Takes spans over OTLP/HTTP."""

    def __init__(self) -> None:
        self.spans: list[Sent] = []
        self.keys: set[str | None] = set()

    def of_trace(self, trace: str, count: int) -> list[Sent]:
        """The spans of a trace, once there are as many."""
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            found = [span for span in self.spans if span.trace == trace]
            if len(found) >= count:
                return found
            time.sleep(0.02)
        raise AssertionError(f"only {len(found)} of {count} spans came")

    @contextmanager
    def running(self) -> Iterator[str]:
        """Its address."""

        class Handler(BaseHTTPRequestHandler):
            def do_POST(handler) -> None:  # noqa: N805
                body = handler.rfile.read(int(handler.headers["content-length"]))
                self.keys.add(handler.headers["x-collector-key"])
                if handler.path == "/v1/traces":
                    for group in ExportTraceServiceRequest.FromString(body).resource_spans:
                        of = {each.key: value_of(each.value) for each in group.resource.attributes}
                        self.spans += [Sent(span, of) for each in group.scope_spans for span in each.spans]
                handler.send_response(200)
                handler.send_header("content-length", "0")
                handler.end_headers()

            def log_message(handler, format: str, *args: Any) -> None:  # noqa: A002, N805
                """Says nothing."""

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            server.server_close()
            thread.join()


class Traced:
    """A gateway in front of a server of one's own, and what collects its spans."""

    def __init__(self, gateway: RunningGateway, backend: Backend, collector: Collector) -> None:
        self.gateway, self.backend, self.collector = gateway, backend, collector
        self._traces = 0

    def chat(self, path: str = CHAT, /, **changes: Any) -> tuple[int, str]:
        """Asks as part of a trace; the status, and the id of that trace."""
        self._traces += 1
        trace = f"{TRACE[:-4]}{self._traces:04x}"
        reply = ask(
            self.gateway, "POST", path, {**BODY, **changes}, {"traceparent": f"00-{trace}-{PARENT}-01"}
        )
        return reply.status, trace

    def spans(self, trace: str, attempts: int = 1) -> tuple[Sent, list[Sent]]:
        """The request's span, and those of the attempts."""
        found = self.collector.of_trace(trace, 1 + attempts)
        assert len(found) == 1 + attempts
        (request,) = [span for span in found if span.kind == "SPAN_KIND_SERVER"]
        return request, [span for span in found if span is not request]


StartTraced = Callable[..., Traced]


@pytest.fixture(scope="module")
def start_traced(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StartTraced]:
    with ExitStack() as stack:

        def start(**variables: str) -> Traced:
            backend, collector = Backend("vllm"), Collector()
            address = stack.enter_context(backend_thread(backend))
            endpoint = stack.enter_context(collector.running())
            servers = json.dumps(
                [
                    {"name": "box", "kind": backend.kind, "url": address},
                    # Reached through the proxy that the backend plays.
                    {
                        "name": "public",
                        "kind": "groq",
                        "url": "http://api.groq.com/openai/v1",
                        "whole_answers": True,
                    },
                ]
            )
            given = {
                "GPTOSS_UPSTREAMS": servers,
                "GPTOSS_UPSTREAM": "box",
                "OTEL_EXPORTER_OTLP_ENDPOINT": endpoint,
                "GROQ_API_KEY": "gsk_0123456789",
                **QUICKLY,
                **{
                    name: value.replace("BACKEND", address.removesuffix("/v1"))
                    for name, value in variables.items()
                },
            }
            gateway = stack.enter_context(running_gateway(tmp_path_factory.mktemp("home"), None, **given))
            return Traced(gateway, backend, collector)

        yield start


@pytest.fixture(scope="module")
def shared_traced(start_traced: StartTraced) -> Traced:
    return start_traced()


@pytest.fixture
def traced(shared_traced: Traced) -> Traced:
    shared_traced.backend.replies.clear()
    shared_traced.backend.asked.clear()
    return shared_traced


def test_a_request_is_a_span_of_the_clients_trace(traced: Traced) -> None:
    status, trace = traced.chat()
    assert status == 200
    request, _ = traced.spans(trace)
    assert (request.name, request.parent) == (f"POST {CHAT}", PARENT)
    assert request.resource["service.name"] == "gptoss-api"
    expected = {
        "http.request.method": "POST",
        "http.route": CHAT,
        "http.response.status_code": 200,
        "gptoss.dialect": "chat",
        "gptoss.outcome": "ok",
        "gptoss.upstream": "box",
        "gptoss.model": "gpt-oss-20b",
    }
    assert request.attributes.items() >= expected.items()
    assert not request.failed
    assert traced.collector.keys == {"collector-secret"}


def test_an_attempt_is_its_child_with_the_attributes_for_generative_ai(traced: Traced) -> None:
    _, trace = traced.chat(stop=["END"], seed=7)
    request, (attempt,) = traced.spans(trace)
    assert (attempt.name, attempt.kind, attempt.parent) == (
        "chat gpt-oss-20b",
        "SPAN_KIND_CLIENT",
        request.id,
    )
    first = attempt.attributes.pop("gen_ai.response.time_to_first_chunk")
    assert 0 < first < PATIENCE
    usage = {name: value for name, value in attempt.attributes.items() if name.startswith("gen_ai.usage.")}
    assert usage["gen_ai.usage.output_tokens"] == request.attributes["gptoss.usage.output_tokens"] > 0
    assert {name: value for name, value in attempt.attributes.items() if name not in usage} == {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "vllm",
        "gen_ai.request.model": "gpt-oss-20b",
        "gen_ai.request.stream": True,
        "gen_ai.request.max_tokens": 99,
        "gen_ai.request.temperature": 0.5,
        "gen_ai.request.seed": 7,
        "gen_ai.request.stop_sequences": ["END"],
        "gen_ai.output.type": "text",
        "gen_ai.response.model": "gpt-oss-20b",
        "gen_ai.response.finish_reasons": ["stop"],
        "server.address": "127.0.0.1",
        "server.port": int(traced.backend.address.rpartition(":")[2].removesuffix("/v1")),
    }


def test_a_server_of_ones_own_is_told_of_the_attempt(traced: Traced) -> None:
    _, trace = traced.chat()
    _, (attempt,) = traced.spans(trace)
    assert traced.backend.asked[0].headers["traceparent"] == f"00-{trace}-{attempt.id}-01"


def test_every_attempt_has_a_span_and_what_failed_says_why(traced: Traced) -> None:
    traced.backend.replies.append(json_reply(503, {"error": {"message": WORDS}}))
    status, trace = traced.chat()
    assert status == 200
    request, attempts = traced.spans(trace, 2)
    assert {attempt.parent for attempt in attempts} == {request.id}
    assert [attempt.failed for attempt in attempts] == [True, False]
    assert attempts[0].attributes["error.type"].startswith("Upstream")
    assert not request.failed


def test_a_request_that_fails_is_a_span_that_failed(traced: Traced) -> None:
    traced.backend.replies += [json_reply(500, {"error": {"message": WORDS}})] * 2
    status, trace = traced.chat()
    assert status >= 500
    request, _ = traced.spans(trace, 2)
    assert request.failed
    assert request.attributes["error.type"] == request.attributes["gptoss.outcome"] != "ok"
    assert request.attributes["http.response.status_code"] == status


def test_an_attempt_whose_client_left_is_ended_and_did_not_fail(traced: Traced) -> None:
    traced.backend.replies.append(Reply([PATIENCE]))
    trace = "c" * 32
    with connect(traced.gateway) as line:
        line.sendall(request_bytes(CHAT, BODY, f"traceparent: 00-{trace}-{PARENT}-01"))
        while not traced.backend.asked:
            time.sleep(0.01)
    request, (attempt,) = traced.spans(trace)
    assert request.attributes["gptoss.outcome"] == "client_gone"
    assert attempt.attributes["error.type"] == "CancelledError"
    assert not request.failed
    assert not attempt.failed


def test_a_refused_request_has_a_span_named_by_its_endpoint(traced: Traced) -> None:
    status, trace = traced.chat("/v1/responses/resp_1/cancel")
    assert status == 404
    request, _ = traced.spans(trace, 0)
    assert request.name == "POST /v1/responses/{id}/cancel"
    status, trace = traced.chat("/v1/made-up")
    request, _ = traced.spans(trace, 0)
    assert (status, request.name) == (404, "POST")
    assert not request.failed


def test_streams_of_every_dialect_are_traced(traced: Traced) -> None:
    messages = {"stream": True, "messages": [{"role": "user", "content": WORDS}]}
    for path, changes in (
        (CHAT, messages),
        ("/v1/messages", messages),
        ("/api/chat", messages),
        ("/v1/responses", {"input": WORDS, "stream": True}),
    ):
        body = {"model": "gpt-oss-20b", "max_tokens": 99, **changes}
        trace = f"{'a' * 28}{len(path):04x}"
        reply = ask(traced.gateway, "POST", path, body, {"traceparent": f"00-{trace}-{PARENT}-01"})
        assert reply.status == 200, reply.body
        request, (attempt,) = traced.spans(trace)
        assert attempt.parent == request.id
        assert attempt.attributes["gen_ai.response.finish_reasons"] == ["stop"]


def test_what_goes_on_in_the_background_belongs_to_the_request_that_began_it(traced: Traced) -> None:
    status, trace = traced.chat("/v1/responses", input=WORDS, background=True, messages=None, max_tokens=None)
    assert status == 200
    request, (attempt,) = traced.spans(trace)
    assert attempt.parent == request.id
    assert attempt.attributes["gen_ai.response.finish_reasons"] == ["stop"]


def test_names_are_those_of_the_conventions(traced: Traced) -> None:
    _, trace = traced.chat(seed=7, stop=["END"])
    request, (attempt,) = traced.spans(trace)
    known = {
        value
        for module in (
            error_attributes,
            gen_ai_attributes,
            http_attributes,
            server_attributes,
            url_attributes,
        )
        for value in vars(module).values()
        if isinstance(value, str)
    }
    for name in {*request.attributes, *attempt.attributes}:
        assert name in known or name.startswith("gptoss.") or name == "user_agent.original"


def test_content_and_secrets_are_in_no_span(traced: Traced) -> None:
    _, trace = traced.chat()
    traced.spans(trace)
    sent = b"".join(span.raw for span in traced.collector.spans)
    for text in (WORDS, "Be brief.", traced.backend.answer.content, "collector-secret"):
        assert text.encode() not in sent
    assert "collector-secret" not in traced.gateway.log()


def test_probes_are_not_traced(traced: Traced) -> None:
    ask(traced.gateway, "GET", "/healthz", None, {"traceparent": f"00-{'b' * 32}-{PARENT}-01"})
    _, trace = traced.chat()
    traced.spans(trace)
    assert not [span for span in traced.collector.spans if span.trace == "b" * 32]


def test_a_public_server_is_not_told_and_content_is_sent_where_it_is_asked_for(
    start_traced: StartTraced,
) -> None:
    traced = start_traced(
        GPTOSS_WORKERS="2",
        GPTOSS_UPSTREAM="public",
        HTTP_PROXY="BACKEND",
        NO_PROXY="127.0.0.1",
        OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT="true",
        OTEL_SERVICE_NAME="class-of-2026",
        OTEL_RESOURCE_ATTRIBUTES="deployment.environment.name=school",
    )
    status, trace = traced.chat()
    assert status == 200
    request, (attempt,) = traced.spans(trace)
    assert "traceparent" not in traced.backend.asked[0].headers
    assert attempt.attributes["server.address"] == "api.groq.com"
    assert attempt.attributes["gen_ai.provider.name"] == "groq"
    # A whole answer is one piece.
    assert attempt.attributes["gen_ai.request.stream"] is False
    assert "gen_ai.response.time_to_first_chunk" not in attempt.attributes
    assert request.resource["service.name"] == "class-of-2026"
    assert request.resource["deployment.environment.name"] == "school"
    told = {
        name: json.loads(attempt.attributes[f"gen_ai.{name}"])
        for name in ("system_instructions", "input.messages", "output.messages")
    }
    assert told == {
        "system_instructions": [{"type": "text", "content": "Be brief."}],
        "input.messages": [{"role": "user", "parts": [{"type": "text", "content": WORDS}]}],
        "output.messages": [
            {
                "role": "assistant",
                "parts": [
                    {"type": "reasoning", "content": traced.backend.answer.reasoning},
                    {"type": "text", "content": traced.backend.answer.content},
                ],
                "finish_reason": "stop",
            }
        ],
    }


def test_a_collector_that_is_down_fails_no_chat_and_stops_nothing(
    simulator: Simulator, gateway: StartGateway
) -> None:
    endpoint = f"http://127.0.0.1:{free_port()}"
    running = gateway(simulator, OTEL_EXPORTER_OTLP_ENDPOINT=endpoint, **QUICKLY)
    for _ in range(3):
        assert ask(running, "POST", CHAT, {"messages": [{"role": "user", "content": "Hello"}]}).status == 200
    began = time.monotonic()
    assert running.stop() == 0
    assert time.monotonic() - began < PATIENCE
    assert "collector-secret" not in running.log()


@pytest.mark.parametrize(
    "variables",
    [
        {},
        {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9", "OTEL_SDK_DISABLED": "true"},
        {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9", "OTEL_TRACES_EXPORTER": "none"},
    ],
    ids=["no endpoint", "disabled", "no exporter"],
)
def test_nothing_is_imported_where_no_spans_are_sent(
    gateway: StartGateway, variables: dict[str, str]
) -> None:
    tell = (
        "import atexit, sys; atexit.register(lambda: "
        "print('IMPORTED' if any(name.startswith('opentelemetry') for name in sys.modules) else 'CLEAN'))"
    )
    running = gateway(before=tell, GPTOSS_UPSTREAM="demo", **variables)
    running.stop()
    assert "CLEAN" in running.log()


@pytest.mark.parametrize(
    ("variables", "words"),
    [
        ({"OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}, "OTLP over http/protobuf"),
        ({"OTEL_BSP_MAX_QUEUE_SIZE": "-1"}, "an OTEL_ variable is not usable"),
    ],
)
def test_what_cannot_be_used_is_said_in_the_log(
    gateway: StartGateway, variables: dict[str, str], words: str
) -> None:
    running = gateway(GPTOSS_UPSTREAM="demo", OTEL_EXPORTER_OTLP_ENDPOINT="http://127.0.0.1:9", **variables)
    assert words in running.log()


def test_a_missing_extra_is_said_in_the_log_and_stops_nothing(gateway: StartGateway) -> None:
    hidden = "import sys; sys.modules['opentelemetry'] = None"
    endpoint = "http://127.0.0.1:9"
    running = gateway(before=hidden, GPTOSS_UPSTREAM="demo", OTEL_EXPORTER_OTLP_ENDPOINT=endpoint)
    assert "pip install opentelemetry-sdk opentelemetry-exporter-otlp-proto-http" in running.log()
