"""API keys over HTTP: nothing but a few open pages answers without one, and none reads a body before it."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from gptoss_api.dialects.registry import registered
from tests.conftest import RunningGateway, running_gateway
from tests.server.routes import routes
from tests.server.talking import CHAT, HELLO, ask, connect, head_of, read_reply, read_until

KEYS = ("first-key-1234", "second-key-5678")


@pytest.fixture(scope="module")
def keyed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningGateway]:
    home = tmp_path_factory.mktemp("home")
    with running_gateway(
        home, GPTOSS_UPSTREAM="demo", GPTOSS_API_KEYS=",".join(KEYS), GPTOSS_LOG_LEVEL="debug"
    ) as gateway:
        yield gateway
    assert not any(key in gateway.log() for key in KEYS)


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/v1/models"),
        ("HEAD", "/v1/models"),
        ("GET", "/models/gpt-oss-20b"),
        ("POST", CHAT),
        ("POST", "/chat/completions/"),
        ("GET", "/v1/nothing-here"),
        ("GET", "/v1"),
        ("PUT", CHAT),
        ("DELETE", "/v1/models"),
        ("POST", "/nothing/to/post"),
        ("GET", "/metrics/more"),
        ("GET", "/nothing-here"),
        ("GET", "/docs/more"),
    ],
)
def test_without_a_right_key_every_api_path_is_a_401(keyed: RunningGateway, method: str, path: str) -> None:
    for headers in (
        {},
        {"authorization": "Bearer wrong-key-9999"},
        {"x-api-key": "wrong-key-9999"},
        {"authorization": KEYS[0]},
        {"authorization": f"Basic {KEYS[0]}"},
    ):
        reply = ask(keyed, method, path, HELLO if method == "POST" else None, headers)
        assert reply.status == 401
        assert reply.headers["www-authenticate"] == "Bearer"
        assert reply.headers["x-should-retry"] == "false"
        if method != "HEAD":
            assert reply.error["type"] == "invalid_request_error"
            assert reply.error["code"] == "invalid_api_key"
            assert "wrong-key" not in reply.body.decode()


DESCRIBED = ("/openapi.json", "/docs", "/favicon.ico")


def test_every_route_wants_a_key_but_the_open_pages(keyed: RunningGateway) -> None:
    listed = ask(keyed, "GET", "/", None, {"x-api-key": KEYS[0]}).json()["endpoints"]
    endpoints = {tuple(endpoint.split()) for endpoint in listed}
    registered_ones = {
        (endpoint.method, endpoint.shown_path) for dialect in registered() for endpoint in dialect.endpoints
    }
    there = routes()
    assert there == endpoints | {("HEAD", path) for method, path in endpoints if method == "GET"}
    assert endpoints > registered_ones
    answered = set()
    for method, path in there:
        body: dict[str, Any] | None = {} if method == "POST" else None
        for spelled in (path, f"/v1{path}", path.removeprefix("/v1") or path, f"/{path}/"):
            reply = ask(keyed, method, spelled.replace("{id}", "some-id"), body)
            if reply.status != 401:
                answered.add(path)
    assert answered == {
        *("/", "/healthz", "/health", "/readyz", "/api/hello", "/metrics", "/ui", "/ui/{file}"),
        *DESCRIBED,
    }


@pytest.mark.parametrize("headers", [{"authorization": f"Bearer {KEYS[1]}"}, {"x-api-key": KEYS[0]}])
def test_a_right_key_opens_everything(keyed: RunningGateway, headers: dict[str, str]) -> None:
    assert ask(keyed, "POST", CHAT, HELLO, headers).status == 200
    assert ask(keyed, "GET", "/v1/models", None, headers).status == 200
    assert ask(keyed, "GET", "/v1/nothing-here", None, headers).status == 404
    assert ask(keyed, "PUT", CHAT, None, headers).status == 405


@pytest.mark.parametrize("path", ["/", "/healthz", "/readyz", "/docs", "/openapi.json"])
def test_the_gateways_own_pages_need_none(keyed: RunningGateway, path: str) -> None:
    assert ask(keyed, "GET", path).status == 200


@pytest.fixture(scope="module")
def broken(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningGateway]:
    """A gateway with keys whose upstreams' names and failures are nobody else's business."""
    tables = [
        {"name": f"house-{number}", "kind": "generic", "url": f"http://127.0.0.1:9/{number}"}
        for number in (1, 2)
    ]
    home = tmp_path_factory.mktemp("home")
    with running_gateway(
        home, GPTOSS_API_KEYS=",".join(KEYS), GPTOSS_UPSTREAM="auto", GPTOSS_UPSTREAMS=json.dumps(tables)
    ) as gateway:
        ask(gateway, "POST", CHAT, HELLO, {"x-api-key": KEYS[0]})
        yield gateway


@pytest.mark.parametrize("headers", [{}, {"x-api-key": "sk-wrong"}, {"authorization": "Basic eDp5"}])
def test_strangers_are_told_only_whether_the_gateway_can_serve(
    broken: RunningGateway, headers: dict[str, str]
) -> None:
    ready = ask(broken, "GET", "/readyz", None, headers)
    assert (ready.status, ready.json()) == (503, {"ready": False})
    status = ask(broken, "GET", "/", None, headers)
    assert status.status == 200
    # The base URL is what the stranger has reached it under.
    assert set(status.json()) == {"name", "version", "status", "ready", "base_url", "endpoints", "docs"}
    assert status.json()["ready"] is False
    assert b"house" not in status.body + ready.body


def test_who_has_a_key_is_told_all(broken: RunningGateway) -> None:
    headers = {"authorization": f"Bearer {KEYS[0]}"}
    ready = ask(broken, "GET", "/readyz", None, headers)
    assert ready.status == 503
    assert "house-1" in ready.json()["detail"]
    assert "127.0.0.1:9" in ready.json()["detail"]
    status = ask(broken, "GET", "/", None, headers).json()
    assert [entry["name"] for entry in status["upstream"]["upstreams"]] == ["house-1", "house-2"]
    assert status["upstream"]["chosen_because"] == "[[upstreams]] are configured"
    assert set(status["state"]) == {"store", "available", "failures"}


def test_a_large_body_without_a_key_is_not_waited_for(keyed: RunningGateway) -> None:
    with connect(keyed) as connection:
        connection.sendall(head_of(CHAT, 1_000_000_000))
        assert read_reply(connection)[0] == 401
    with connect(keyed) as connection:
        connection.sendall(head_of(CHAT, 1_000_000, "expect: 100-continue"))
        assert read_until(connection, b"never").startswith(b"HTTP/1.1 401")


def test_who_sends_a_large_body_all_the_same_gets_to_read_the_answer(keyed: RunningGateway) -> None:
    assert ask(keyed, "POST", CHAT, b"x" * 20_000_000).status == 401


def test_keys_open_the_gateway_to_pages_and_host_names_of_any_origin(keyed: RunningGateway) -> None:
    page = {"origin": "https://app.example", "host": "gate.example"}
    preflight = ask(keyed, "OPTIONS", CHAT, None, {**page, "access-control-request-method": "POST"})
    assert preflight.status == 204
    assert preflight.headers["access-control-allow-origin"] == "*"
    refused = ask(keyed, "POST", CHAT, HELLO, page)
    assert refused.status == 401
    assert refused.headers["access-control-allow-origin"] == "*"
    assert "x-request-id" in refused.headers["access-control-expose-headers"]
    assert "vary" not in refused.headers
    assert ask(keyed, "GET", "/healthz").headers["access-control-allow-origin"] == "*"
    assert ask(keyed, "POST", CHAT, HELLO, {**page, "x-api-key": KEYS[0]}).status == 200
