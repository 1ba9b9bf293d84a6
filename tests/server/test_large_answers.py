"""Answers of a megabyte, whatever they hold and however they arrive, do not stop the others."""

import http.server
import itertools
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, ClassVar

import pytest

from tests.upstreams.chatkit.transcripts import old, sse
from tests.watchdog import LONGEST_STOP, WatchedGateway, watched_gateway

from .talking import ask

pytestmark = pytest.mark.alone

SIZE = 1_000_000
# One that was measured while the machine had other things to do is measured again.
ATTEMPTS = 3

TOOL = {"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}


class _Upstream(http.server.BaseHTTPRequestHandler):
    """Gives one prepared answer to everything."""

    protocol_version = "HTTP/1.1"
    answer: ClassVar[bytes] = b""
    content_type: ClassVar[str] = "text/event-stream"

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["content-length"]))
        self.send_response(200)
        self.send_header("content-type", self.content_type)
        self.send_header("content-length", str(len(self.answer)))
        self.end_headers()
        self.wfile.write(self.answer)

    def log_message(self, *_: Any) -> None:
        pass


@contextmanager
def upstream() -> Iterator[str]:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Upstream)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WatchedGateway]:
    with (
        upstream() as address,
        watched_gateway(tmp_path_factory.mktemp("home"), GPTOSS_UPSTREAM=f"{address}/v1") as gateway,
    ):
        yield gateway


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WatchedGateway]:
    with (
        upstream() as address,
        watched_gateway(
            tmp_path_factory.mktemp("home"),
            GPTOSS_CHATKIT_URL=f"{address}/chatkit",
            GPTOSS_COOKIE="session=abc",
        ) as gateway,
    ):
        yield gateway


def longest_stop(
    gateway: WatchedGateway, answer: bytes, content_type: str = "text/event-stream", **more: Any
) -> float:
    _Upstream.answer, _Upstream.content_type = answer, content_type
    body = json.dumps({"messages": [{"role": "user", "content": "hi"}], **more}).encode()
    longest = LONGEST_STOP
    for _ in range(ATTEMPTS):
        gateway.stops()
        reply = ask(gateway.gateway, "POST", "/v1/chat/completions", body)
        assert reply.status in (200, 502), reply.body[:300]
        longest = gateway.longest_stop()
        if longest <= LONGEST_STOP:
            break
    return longest


def chunks(name: str, unit: str, pieces: int) -> bytes:
    """A megabyte of ``unit`` in as many pieces."""
    text = unit * (SIZE // len(unit) // pieces)
    deltas: list[Any] = []
    if name == "arguments":
        begin = {"index": 0, "id": "c", "function": {"name": "f", "arguments": '{"a": "'}}
        deltas.append({"tool_calls": [begin]})
        deltas += [{"tool_calls": [{"index": 0, "function": {"arguments": text}}]}] * pieces
        deltas.append({"tool_calls": [{"index": 0, "function": {"arguments": '"}'}}]})
    else:
        deltas += [{name: text}] * pieces
    events = [{"choices": [{"index": 0, "delta": delta, "finish_reason": None}]} for delta in deltas]
    events.append({"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]})
    return sse(*events, "data: [DONE]")


@pytest.mark.parametrize(
    ("name", "unit", "pieces"),
    [
        *itertools.product(["content", "reasoning"], ["\n", "<|", "<|channel|>"], [1]),
        *itertools.product(["arguments"], ["\n", '"}', "\\", "😀"], [1]),
        ("content", "<|", 100),
        ("arguments", "\n", 100),
    ],
)
def test_an_answer_of_a_server_stops_nobody(
    server: WatchedGateway, name: str, unit: str, pieces: int
) -> None:
    for stream in (False, True):
        assert longest_stop(server, chunks(name, unit, pieces), tools=[TOOL], stream=stream) <= LONGEST_STOP


@pytest.mark.parametrize("unit", ["\n", '"}'])
def test_an_answer_in_one_body_stops_nobody(server: WatchedGateway, unit: str) -> None:
    call = {"id": "c", "function": {"name": "f", "arguments": '{"a": "' + unit * (SIZE // len(unit)) + '"}'}}
    choice = {"message": {"tool_calls": [call]}, "finish_reason": "tool_calls"}
    body = json.dumps({"choices": [choice]}).encode()
    assert longest_stop(server, body, "application/json", tools=[TOOL]) <= LONGEST_STOP


@pytest.mark.parametrize(
    ("unit", "pieces"), [("\n", 1), ("<|", 1), ("```", 1), ("😀", 1), ("<tool_call>", 100)]
)
def test_an_answer_of_the_site_stops_nobody(site: WatchedGateway, unit: str, pieces: int) -> None:
    deltas = [unit * (SIZE // len(unit) // pieces)] * pieces
    answer = sse(*old.opening(), *old.message(deltas))
    assert longest_stop(site, answer) <= LONGEST_STOP
    assert longest_stop(site, answer, tools=[TOOL], stream=True) <= LONGEST_STOP
