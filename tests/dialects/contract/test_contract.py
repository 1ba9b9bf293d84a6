"""What every client API owes its clients, whatever it looks like; a new one is judged by being registered.

Each says in the ``example`` of its OpenAPI fragment what its smallest request is. The toy dialect beside this
file is registered too: it shows what a new dialect needs.
"""

import asyncio
import json
import time
from collections.abc import Iterator
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest

from gptoss_api.access import ApiKeys
from gptoss_api.config import resolve
from gptoss_api.core.errors import (
    GatewayError,
    HostNotAllowed,
    InvalidApiKey,
    InvalidRequest,
    MethodNotAllowed,
    NotFound,
    Overloaded,
    RequestTooLarge,
    UpstreamIncomplete,
    UpstreamUnavailable,
)
from gptoss_api.core.events import Event, Finished, Started, TextDelta, Usage, UsageReported
from gptoss_api.core.result import Collector
from gptoss_api.core.turn import Turn
from gptoss_api.dialects.base import Answer, Dialect, Endpoint
from gptoss_api.dialects.registry import registered
from gptoss_api.gateway import Gateway
from gptoss_api.server.app import create_app
from gptoss_api.server.drain import Drain
from gptoss_api.server.exchange import Exchange
from gptoss_api.server.surface import Surface
from gptoss_api.upstreams.base import Sink
from tests.backends.server import Backend
from tests.backends.shapes import Answer as Scripted
from tests.conftest import RunningGateway, StartGateway, running_gateway
from tests.dialects.contract.toy import ToyDialect
from tests.gateway.test_serving import address
from tests.pulled import pulled
from tests.server.talking import Reply, ask, connect, head_of, read_reply
from tests.server.unwired import connected

KEY = "the-key-1234"
WITH_KEY = {"authorization": f"Bearer {KEY}"}
ROOT = Path(__file__).parents[3]
# What the gateways of these tests run first: the one line that registers a dialect.
REGISTER = (
    f"import sys; sys.path.insert(0, {str(ROOT)!r})\n"
    "import gptoss_api.upstreams.demo as demo; demo.PACE = 0\n"
    "from gptoss_api.dialects.registry import DIALECTS\n"
    "from tests.dialects.contract.toy import ToyDialect\n"
    "DIALECTS.append(ToyDialect.configured)"
)

ALL: list[Dialect] = [*registered(), ToyDialect()]
ANSWERING = [
    (dialect, endpoint)
    for dialect in ALL
    for endpoint in dialect.endpoints
    if isinstance(endpoint.operation, Answer)
]
every_dialect = pytest.mark.parametrize("dialect", ALL, ids=lambda dialect: dialect.name)
every_answer = pytest.mark.parametrize(
    ("dialect", "endpoint"),
    ANSWERING,
    ids=[f"{dialect.name}{endpoint.path}" for dialect, endpoint in ANSWERING],
)

STARTED = Started(upstream="test", model="gpt-oss-20b")
ENDED: list[Event] = [Finished("stop"), UsageReported(Usage(5, 7))]


@cache
def fragment(package: str) -> Any:
    return json.loads((files(package) / "openapi.json").read_bytes())


def example(dialect: Dialect, endpoint: Endpoint, **more: Any) -> dict[str, Any]:
    described = fragment(dialect.package)["paths"][endpoint.shown_path][endpoint.method.lower()]
    body: dict[str, Any] = described["requestBody"]["content"]["application/json"]["example"]
    return body | more


def parsed(dialect: Dialect, endpoint: Endpoint, **more: Any) -> Any:
    assert isinstance(endpoint.operation, Answer)
    return endpoint.operation.parse(json.dumps(example(dialect, endpoint, **more)).encode(), {})


def outline(value: Any) -> Any:
    """The members of a JSON value, without what they say."""
    return {name: outline(member) for name, member in value.items()} if isinstance(value, dict) else None


# Without a socket.


@every_answer
def test_its_smallest_request_is_a_turn(dialect: Dialect, endpoint: Endpoint) -> None:
    for stream in (False, True):
        request = parsed(dialect, endpoint, stream=stream)
        assert request.stream is stream
        (turn,) = request.turns
        assert turn.messages
        assert turn.streamed is stream, "a whole answer can be mended to its end"
        assert turn.caller == "", "whose a turn is the server says"


@every_answer
def test_what_is_no_request_is_refused(dialect: Dialect, endpoint: Endpoint) -> None:
    assert isinstance(endpoint.operation, Answer)
    for body in (b"", b"{", b"[]", b"{}", b'{"stream": "odd"}'):
        with pytest.raises(InvalidRequest):
            endpoint.operation.parse(body, {})


@every_answer
def test_a_whole_answer_is_json_and_an_unfinished_one_none(dialect: Dialect, endpoint: Endpoint) -> None:
    collector = Collector()
    collector.feed([STARTED, TextDelta("Hello "), TextDelta("world")])
    with pytest.raises(UpstreamIncomplete):
        parsed(dialect, endpoint).render(collector)
    collector.feed(ENDED)
    body = parsed(dialect, endpoint).render(collector)
    assert "Hello world" in json.dumps(json.loads(body))


@every_answer
def test_a_stream_says_each_piece_when_it_comes(dialect: Dialect, endpoint: Endpoint) -> None:
    renderer = parsed(dialect, endpoint, stream=True).renderer()
    said = [
        renderer.feed([STARTED]),
        renderer.feed([TextDelta("Hello ")]),
        renderer.feed([TextDelta("world")]),
    ]
    assert b"Hello " in said[1]
    assert b"world" in said[2]
    assert b"Hello" not in said[2]
    assert renderer.feed(ENDED) + renderer.end()


@every_answer
def test_a_stream_that_breaks_ends_with_what_is_wrong(dialect: Dialect, endpoint: Endpoint) -> None:
    for before in ([], [STARTED], [STARTED, TextDelta("Hel")]):
        renderer = parsed(dialect, endpoint, stream=True).renderer()
        renderer.feed(before)
        last = renderer.fail(UpstreamIncomplete("It broke off."))
        assert b"It broke off." in last
        assert b"[DONE]" not in last


@every_dialect
def test_every_failure_has_a_status_and_a_message_in_one_shape(dialect: Dialect) -> None:
    shapes = []
    for error in (
        InvalidRequest("Say what.", param="x"),
        Overloaded("Full.", retry_after=3),
        NotFound("Gone."),
    ):
        status, headers, body = dialect.error(error, "req_1", {})
        assert 400 <= status < 600
        assert error.message in body.decode()
        assert (b"retry-after" in dict(headers)) is (error.retry_after is not None)
        shapes.append(outline(json.loads(body)))
    assert shapes[0] == shapes[1] == shapes[2]
    assert b"www-authenticate" in dict(dialect.error(InvalidApiKey("Who?"), "req_1", {}).headers)


def test_two_dialects_share_no_endpoint() -> None:
    endpoints = [(each.method, each.path) for dialect in ALL for each in dialect.endpoints]
    assert len(endpoints) == len(set(endpoints))
    assert len({dialect.name for dialect in ALL}) == len(ALL)


@every_dialect
def test_its_fragment_describes_its_endpoints_and_nothing_else(dialect: Dialect) -> None:
    described = {
        (method.upper(), path)
        for path, methods in fragment(dialect.package)["paths"].items()
        for method in methods
    }
    assert described == {(endpoint.method, endpoint.shown_path) for endpoint in dialect.endpoints}


# In the server, without a socket.


@every_answer
async def test_its_turns_are_their_callers_and_count_what_they_are_charged(
    dialect: Dialect, endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gptoss_api.dialects.registry.DIALECTS", [lambda settings: dialect])
    environ = {"GPTOSS_UPSTREAM": "demo", "GPTOSS_STATE": "memory://", "GPTOSS_API_KEYS": KEY}
    settings = resolve(environ=environ).settings
    gateway = Gateway(settings, environ)
    opened: list[Turn] = []
    usage: list[Usage] = []

    async def watched(turn: Turn, sink: Sink) -> None:
        opened.append(turn)
        async with pulled(lambda inner: gateway.upstream.answer(turn, inner)) as batches:
            async for batch in batches:
                usage.extend(event.usage for event in batch if isinstance(event, UsageReported))
                sink.feed(batch)

    monkeypatch.setattr(gateway, "answer", watched)
    app = create_app(settings, gateway, Drain())
    body = json.dumps(example(dialect, endpoint, stream=True)).encode()
    headers = {"host": "localhost", "x-request-id": "the-request", **WITH_KEY}
    lines = [f"{name}: {value}" for name, value in headers.items()]
    head = [f"POST {path_of(endpoint)} HTTP/1.1", *lines, f"content-length: {len(body)}", "", ""]
    served = asyncio.Event()

    async def serve(exchange: Exchange) -> None:
        await app.serve(exchange)
        served.set()

    protocol, transport = connected(serve)
    protocol.data_received("\r\n".join(head).encode() + body)
    await served.wait()
    assert transport.written.startswith(b"HTTP/1.1 200 ")
    protocol.connection_lost(None)
    (turn,) = opened
    assert (turn.caller, turn.request_id) == (ApiKeys([KEY]).authenticate(WITH_KEY).id, "the-request")
    assert turn.caller
    assert await gateway.count(turn) == usage[0].prompt_tokens
    await gateway.close()


# Over sockets.


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningGateway]:
    home = tmp_path_factory.mktemp("home")
    with running_gateway(home, before=REGISTER, GPTOSS_UPSTREAM="demo", GPTOSS_API_KEYS=KEY) as gateway:
        yield gateway


@pytest.fixture(scope="module")
def dead(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningGateway]:
    """A gateway whose upstream is not there."""
    home = tmp_path_factory.mktemp("home")
    with running_gateway(home, before=REGISTER, GPTOSS_UPSTREAM="http://127.0.0.1:9/v1") as gateway:
        yield gateway


def assert_refused(reply: Reply, dialect: Dialect, error: GatewayError) -> None:
    """The reply is what the dialect says of such an error, but for its words."""
    expected = dialect.error(error, "req_1", {})
    assert reply.status == expected.status
    assert outline(reply.json()) == outline(json.loads(expected.body))
    assert {name.decode() for name, _ in expected.headers} <= set(reply.headers)
    assert reply.headers["content-type"] == "application/json"
    assert reply.headers["x-request-id"]


def logged(gateway: RunningGateway, dialect: Dialect, after: int = 0) -> list[str]:
    """The lines of two requests, each written when its client has read all."""
    lines: list[str] = []
    deadline = time.monotonic() + 10
    while len(lines) < 2 and time.monotonic() < deadline:
        time.sleep(0.02)
        lines = [line for line in gateway.log()[after:].splitlines() if f"dialect={dialect.name} " in line]
    assert len(lines) == 2
    return lines


def path_of(endpoint: Endpoint) -> str:
    return endpoint.shown_path.replace("{id}", "some-id")


@every_answer
def test_it_answers_whole_and_streamed_and_is_counted(
    dialect: Dialect, endpoint: Endpoint, served: RunningGateway
) -> None:
    assert isinstance(endpoint.operation, Answer)
    log = len(served.log())
    whole = ask(served, "POST", path_of(endpoint), example(dialect, endpoint, stream=False), WITH_KEY)
    assert whole.status == 200
    assert "no model is behind this answer" in json.dumps(whole.json())
    stream = ask(served, "POST", path_of(endpoint), example(dialect, endpoint, stream=True), WITH_KEY)
    assert stream.status == 200
    assert stream.headers["content-type"].encode() == endpoint.operation.stream.content_type
    assert b"behind" in stream.body
    for reply in (whole, stream):
        assert reply.headers["x-gptoss-upstream"] == "demo"
    lines = logged(served, dialect, after=log)
    assert all("tokens_in=" in line and "tokens_out=" in line and "outcome=ok" in line for line in lines)


@every_dialect
def test_every_endpoint_wants_a_key(dialect: Dialect, served: RunningGateway) -> None:
    for endpoint in dialect.endpoints:
        for headers in ({}, {"authorization": "Bearer wrong"}):
            reply = ask(served, endpoint.method, path_of(endpoint), None, headers)
            assert_refused(reply, dialect, InvalidApiKey("Who?"))


@every_dialect
def test_unknown_paths_and_methods_are_refused_in_its_shape(dialect: Dialect, served: RunningGateway) -> None:
    for endpoint in dialect.endpoints:
        unknown = f"{endpoint.path.partition('/{')[0]}/no/such/thing"
        assert_refused(ask(served, "GET", unknown, None, WITH_KEY), dialect, NotFound("No."))
        reply = ask(served, "PUT", path_of(endpoint), None, WITH_KEY)
        assert_refused(reply, dialect, MethodNotAllowed("No.", allow=(endpoint.method,)))
        assert endpoint.method in reply.headers["allow"]


@every_answer
def test_bodies_that_are_wrong_or_too_large_are_refused_in_its_shape(
    dialect: Dialect, endpoint: Endpoint, served: RunningGateway
) -> None:
    reply = ask(served, "POST", path_of(endpoint), b"{", WITH_KEY)
    assert_refused(reply, dialect, InvalidRequest("No JSON."))
    with connect(served) as connection:
        connection.sendall(head_of(path_of(endpoint), 1_000_000_000, f"authorization: Bearer {KEY}"))
        status, body = read_reply(connection)
    expected = dialect.error(RequestTooLarge("No."), "req_1", {})
    assert (status, outline(json.loads(body))) == (expected.status, outline(json.loads(expected.body)))


@every_answer
def test_a_body_in_broken_chunks_is_refused_in_its_shape(
    dialect: Dialect, endpoint: Endpoint, served: RunningGateway
) -> None:
    with connect(served) as connection:
        head = head_of(path_of(endpoint), None, "transfer-encoding: chunked", f"authorization: Bearer {KEY}")
        connection.sendall(head + b"5\r\n{    \r\nno number\r\n")
        status, body = read_reply(connection)
    expected = dialect.error(InvalidRequest("No HTTP."), "req_1", {})
    assert (status, outline(json.loads(body))) == (expected.status, outline(json.loads(expected.body)))


@every_dialect
def test_a_foreign_host_or_page_is_refused_in_its_shape(dialect: Dialect, dead: RunningGateway) -> None:
    for endpoint in dialect.endpoints:
        for headers in ({"host": "evil.example"}, {"origin": "https://evil.example"}):
            reply = ask(dead, endpoint.method, path_of(endpoint), None, headers)
            assert_refused(reply, dialect, HostNotAllowed("No."))


@every_answer
def test_an_upstream_that_is_not_there_is_a_failure_in_its_shape(
    dialect: Dialect, endpoint: Endpoint, dead: RunningGateway
) -> None:
    for stream in (False, True):
        reply = ask(dead, "POST", path_of(endpoint), example(dialect, endpoint, stream=stream))
        assert_refused(reply, dialect, UpstreamUnavailable("No."))


@every_answer
async def test_an_upstream_that_breaks_off_is_the_last_thing_a_stream_says(
    dialect: Dialect, endpoint: Endpoint, gateway: StartGateway
) -> None:
    backend = Backend("generic", answer=Scripted(finish=None))
    async with backend.running():
        running = await asyncio.to_thread(gateway, before=REGISTER, GPTOSS_UPSTREAM=address(backend))
        for stream in (False, True):
            body = example(dialect, endpoint, stream=stream)
            reply = await asyncio.to_thread(ask, running, "POST", path_of(endpoint), body)
            if stream:
                assert reply.status == 200
                assert b"Hello" in reply.body
                message = reply.body.rstrip().splitlines()[-1]
                assert b"broke" in message or b"ended" in message or b"incomplete" in message
            else:
                assert_refused(reply, dialect, UpstreamIncomplete("No."))
    outcomes = await asyncio.to_thread(logged, running, dialect)
    assert ["outcome=upstream_incomplete" in line for line in outcomes] == [True, True]


@every_dialect
def test_it_is_listed_and_described(dialect: Dialect, served: RunningGateway) -> None:
    listed = ask(served, "GET", "/").json()["endpoints"]
    described = ask(served, "GET", "/openapi.json").json()["paths"]
    for endpoint in dialect.endpoints:
        assert f"{endpoint.method} {endpoint.shown_path}" in listed
        assert described[endpoint.shown_path][endpoint.method.lower()]["operationId"]
    assert listed == list(Surface(ALL).listed)
