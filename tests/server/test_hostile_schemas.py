"""A client's schema, with whatever answer, neither stops the others nor takes the process's memory.

Everything here is just below a limit or just above it, and would do no harm without one.
"""

import json
import re
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, ClassVar

import pytest

from tests.simulator import Answer, Exchange, Simulator, simulator_thread
from tests.text.test_schema_unfolding import TWICE, doubled
from tests.watchdog import LONGEST_STOP, WatchedGateway, watched_gateway

from .talking import CHAT, Reply, ask

Json = dict[str, Any]

RESPONSES = "/v1/responses"
MEGABYTE = 1024 * 1024
# What a schema may take, and what one answer of a megabyte may.
MOST_MEMORY = 20 * MEGABYTE
LARGE_ANSWER = 80 * MEGABYTE
# A run that was measured while the machine had other things to do is measured again.
ATTEMPTS = 3
# The process has no more than this, threads and libraries included.
LIMITED = "import resource; resource.setrlimit(resource.RLIMIT_AS, (2 << 30, 2 << 30))"

pytestmark = [
    pytest.mark.alone,
    pytest.mark.skipif(sys.platform != "linux", reason="the system has to limit and tell memory"),
]


def form(schema: Json, **more: Any) -> Json:
    return {
        "messages": [{"role": "user", "content": "JSON, please."}],
        "response_format": {"type": "json_schema", "json_schema": {"name": "n", "schema": schema, **more}},
    }


def tool(schema: Json) -> Json:
    function = {"name": "f", "parameters": schema, "strict": True}
    return {
        "messages": [{"role": "user", "content": "Call it."}],
        "tools": [{"type": "function", "function": function}],
    }


def text_format(schema: Json) -> Json:
    wanted = {"type": "json_schema", "name": "n", "schema": schema}
    return {"input": "JSON, please.", "text": {"format": wanted}}


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Simulator, WatchedGateway]]:
    home = tmp_path_factory.mktemp("home")
    with (
        simulator_thread(auth="session") as simulator,
        watched_gateway(home, simulator, before=LIMITED, GPTOSS_UPSTREAM_RETRIES="0") as gateway,
    ):
        yield simulator, gateway


class NativeServer(BaseHTTPRequestHandler):
    """An OpenAI-compatible server that takes schemas itself and answers ``said``."""

    asked: ClassVar[list[Json]] = []
    said: ClassVar[str] = "{}"

    def do_GET(self) -> None:
        self._reply({"object": "list", "data": [{"id": "openai/gpt-oss-120b"}]})

    def do_POST(self) -> None:
        self.asked.append(json.loads(self.rfile.read(int(self.headers["content-length"]))))
        message = {"role": "assistant", "content": self.said}
        choice = {"index": 0, "delta": message, "finish_reason": "stop"}
        chunk = {"id": "c", "object": "chat.completion.chunk", "created": 1, "choices": [choice]}
        self._send(f"data: {json.dumps(chunk)}\n\ndata: [DONE]\n\n".encode(), "text/event-stream")

    def _reply(self, value: Any) -> None:
        self._send(json.dumps(value).encode(), "application/json")

    def _send(self, body: bytes, kind: str) -> None:
        self.send_response(200)
        self.send_header("content-type", kind)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def native_server() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), NativeServer)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/v1"
    finally:
        server.shutdown()


@pytest.fixture(scope="module")
def native(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WatchedGateway]:
    home = tmp_path_factory.mktemp("home")
    with native_server() as address:
        servers = json.dumps([{"kind": "vllm", "url": address}])
        with watched_gateway(
            home, before=LIMITED, GPTOSS_UPSTREAM="vllm", GPTOSS_UPSTREAMS=servers
        ) as gateway:
            yield gateway


def watched(gateway: WatchedGateway, path: str, body: Json, most_memory: int = MOST_MEMORY) -> Reply:
    """Sends ``body``, several times if need be, and looks at what it did to the process."""
    longest, memory = [], []
    for _ in range(ATTEMPTS):
        gateway.stops()
        before = gateway.memory()
        reply = ask(gateway.gateway, "POST", path, body)
        longest.append(gateway.longest_stop())
        memory.append(gateway.memory() - before)
        if longest[-1] <= LONGEST_STOP and memory[-1] <= most_memory:
            break
    assert min(longest) <= LONGEST_STOP
    assert min(memory) <= most_memory
    assert gateway.gateway.process.poll() is None
    return reply


# Refused at intake

UNFOLDS = doubled(13, TWICE["anyOf"])
PATTERNS = {"properties": {f"p{n}": {"pattern": f"^[a-z]{{1,{900 + n}}}$"} for n in range(100)}}
TOO_LARGE = pytest.mark.parametrize("schema", [UNFOLDS, PATTERNS], ids=["unfolds", "patterns"])
PLACES: dict[str, tuple[str, Callable[[Json], Json], str]] = {
    "response_format": (CHAT, form, "response_format.json_schema.schema"),
    "strict tool": (CHAT, tool, "tools[0].function.parameters"),
    "text.format": (RESPONSES, text_format, "text.format.schema"),
}
EVERY_PLACE = pytest.mark.parametrize(("path", "asking", "param"), PLACES.values(), ids=PLACES)


@TOO_LARGE
@EVERY_PLACE
def test_what_is_too_large_is_never_asked_of_the_site(
    site: tuple[Simulator, WatchedGateway],
    path: str,
    asking: Callable[[Json], Json],
    param: str,
    schema: Json,
) -> None:
    simulator, gateway = site
    simulator.reset()
    reply = watched(gateway, path, asking(schema))
    assert (reply.status, reply.error["code"], reply.error["param"]) == (400, "invalid_value", param)
    assert not simulator.requests


@TOO_LARGE
@EVERY_PLACE
def test_what_is_too_large_is_never_asked_of_a_server(
    native: WatchedGateway, path: str, asking: Callable[[Json], Json], param: str, schema: Json
) -> None:
    NativeServer.asked.clear()
    reply = watched(native, path, asking(schema))
    assert (reply.status, reply.error["code"], reply.error["param"]) == (400, "invalid_value", param)
    assert not NativeServer.asked


def test_a_server_gets_the_schemas_that_are_not_too_large(native: WatchedGateway) -> None:
    NativeServer.asked.clear()
    schema = doubled(8, TWICE["anyOf"])
    assert watched(native, CHAT, form(schema)).status == 200
    assert NativeServer.asked[0]["response_format"]["json_schema"]["schema"] == schema


# As large as is taken

LARGEST: dict[str, Json] = {
    "parts": {"anyOf": [True] * 5_900},
    "small parts": {"anyOf": [{"title": ""}] * 5_900},
    "definitions": {
        "properties": {f"p{n}": {"$ref": f"#/$defs/d{n}"} for n in range(590)},
        "$defs": {f"d{n}": {"type": "string"} for n in range(590)},
    },
    "patterns": {"properties": {f"p{n}": {"pattern": f"^[a-z]{{1,{700 + n}}}$"} for n in range(18)}},
    "a long pattern": {"pattern": "(a|b)" * 2_500},
    "choices": {"enum": [[n] for n in range(28_000)]},
    "names": {"required": [f"r{n}" for n in range(24_000)]},
    "levels": {"anyOf": [{"not": {"items": {"not": {"items": {}}}}}] * 1_100},
}


@pytest.mark.parametrize("schema", LARGEST.values(), ids=LARGEST)
@pytest.mark.parametrize("place", PLACES)
def test_the_largest_schemas_stop_nobody(
    site: tuple[Simulator, WatchedGateway], place: str, schema: Json
) -> None:
    simulator, gateway = site
    simulator.always(Answer(text="Hm."))
    path, asking, _ = PLACES[place]
    assert watched(gateway, path, asking(schema)).status in (200, 502)


# Answers that do not fit, or are hard to check

NARROW = doubled(11, TWICE["anyOf"], {"type": "integer"})
KINDS: Json = {
    "items": {"anyOf": [{"properties": {"k": {"const": n}}, "required": ["k", "z"]} for n in range(100)]}
}
TREE: Json = {
    "anyOf": [{"properties": {"k": {"const": n}, "in": {"$ref": "#"}}, "required": ["k"]} for n in range(5)]
}
ROW = {"n": {"type": "integer"}, "s": {"type": "string"}}
ROWS = {"type": "array", "items": {"type": "object", "properties": ROW, "required": ["n", "s"]}}


def nested(levels: int, kind: int) -> Json:
    value: Json = {"k": kind}
    for _ in range(levels):
        value = {"in": value, "k": 1}
    return value


HARD: dict[str, tuple[Json, Any, bool]] = {
    "an unfolding that is not fitted": (NARROW, "x", False),
    "kinds of items that are fitted": (KINDS, [{"k": n % 100, "z": 1} for n in range(600)], True),
    "kinds of items that are not fitted": (KINDS, [{"k": n} for n in range(60)], False),
    "a tree that is fitted": (TREE, nested(6, 1), True),
    "a tree that is not fitted": (TREE, nested(5, 9), False),
    "names that are all missing": (
        {"required": [f"r{n}" for n in range(500)]},
        {f"k{n}": 1 for n in range(2_000)},
        False,
    ),
}
EVERY_HARD_ONE = pytest.mark.parametrize(("schema", "value", "fits"), HARD.values(), ids=HARD)
FORMS = pytest.mark.parametrize(
    ("path", "asking"), [(CHAT, form), (RESPONSES, text_format)], ids=["chat", "responses"]
)


@EVERY_HARD_ONE
@FORMS
def test_answers_that_are_hard_to_check_stop_nobody(
    site: tuple[Simulator, WatchedGateway],
    path: str,
    asking: Callable[[Json], Json],
    schema: Json,
    value: Any,
    fits: bool,
) -> None:
    simulator, gateway = site
    simulator.always(Answer(text=json.dumps(value)))
    reply = watched(gateway, path, asking(schema))
    if fits:
        assert reply.status == 200
    else:
        assert (reply.status, reply.error["code"]) == (502, "upstream_schema_mismatch")


@EVERY_HARD_ONE
def test_arguments_that_are_hard_to_check_stop_nobody(
    site: tuple[Simulator, WatchedGateway], schema: Json, value: Any, fits: bool
) -> None:
    """What does not fit after a repair is delivered with a note."""
    simulator, gateway = site
    parameters: Json = {"type": "object", "properties": {"a": schema}, "$defs": schema.get("$defs", {})}
    arguments = {"a": value}
    if schema is TREE:
        # It refers to its root.
        parameters, arguments = {"type": "object", **TREE}, value

    def call(exchange: Exchange) -> Answer:
        keys.extend(re.findall(r'key="(\w+)"', exchange.said))
        block = f'<tool_call key="{keys[0]}" name="f">\n{json.dumps(arguments)}\n</tool_call>'
        return Answer(text=block)

    keys: list[str] = []
    simulator.always(call)
    reply = watched(gateway, CHAT, tool(parameters))
    assert reply.status == 200
    body = reply.json()
    [made] = body["choices"][0]["message"]["tool_calls"]
    assert json.loads(made["function"]["arguments"]) == arguments
    assert ("E_SCHEMA" in json.dumps(body["x_gptoss"])) is not fits


def rows(count: int, **last: Any) -> list[Json]:
    return [*({"n": number, "s": "x" * 40} for number in range(count)), last]


LARGE: dict[str, tuple[list[Any], int]] = {
    "fits": (rows(20_000, n=1, s="x"), 200),
    "is mended": (rows(20_000, n="1", s="x"), 200),
    "has a fault": (rows(20_000, n="x", s="x"), 502),
    "has as many values as are read": ([["x" * 10]] * 74_000, 502),
    "has nothing but faults": ([{"n": "x", "s": number} for number in range(50_000)], 502),
}


@pytest.mark.parametrize(("value", "status"), LARGE.values(), ids=LARGE)
def test_an_answer_of_a_megabyte_stops_nobody(
    site: tuple[Simulator, WatchedGateway], value: list[Any], status: int
) -> None:
    simulator, gateway = site
    text = json.dumps(value)
    assert len(text) > MEGABYTE
    simulator.always(Answer(text=text, deltas=[text[at : at + 500] for at in range(0, len(text), 500)]))
    assert watched(gateway, CHAT, form(ROWS), LARGE_ANSWER).status == status
