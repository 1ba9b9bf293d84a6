"""HTTP manners: status routes, CORS, Host names, paths and methods (conformance, sections 1, 3 and 7)."""

import json

import pytest

from tests.conftest import RunningGateway, StartGateway
from tests.server.talking import HELLO, ask, connect, read_until, request_bytes


def test_the_root_says_who_answers_and_where(demo: RunningGateway) -> None:
    reply = ask(demo, "GET", "/")
    status = reply.json()
    assert reply.status == 200
    assert status["name"] == "gptoss-api"
    assert status["upstream"]["name"] == "demo"
    assert status["upstream"]["demo"] is True
    assert "no model" in status["upstream"]["warning"]
    assert "gptoss-api login" in status["upstream"]["detail"]
    assert "POST /v1/chat/completions" in status["endpoints"]


def test_head_on_the_root_has_no_body(demo: RunningGateway) -> None:
    reply = ask(demo, "HEAD", "/")
    assert reply.status == 200
    assert reply.body == b""


def test_health_and_readiness(demo: RunningGateway) -> None:
    assert ask(demo, "GET", "/healthz").json() == {"status": "ok"}
    ready = ask(demo, "GET", "/readyz")
    assert ready.status == 200
    assert ready.json()["ready"] is True
    assert ready.json()["upstream"] == "demo"


def test_not_ready_without_a_login_says_what_mends_it(gateway: StartGateway) -> None:
    running = gateway(GPTOSS_UPSTREAM="gpt-oss.com")
    reply = ask(running, "GET", "/readyz")
    assert reply.status == 503
    assert reply.json()["upstream"] == "gpt-oss.com"
    assert "GPTOSS_COOKIE" in reply.json()["detail"]


def test_models_have_the_original_shape(demo: RunningGateway) -> None:
    models = ask(demo, "GET", "/v1/models").json()
    assert models["object"] == "list"
    assert [m["id"] for m in models["data"]] == ["gpt-oss-120b", "gpt-oss-20b"]
    for model in models["data"]:
        assert model["object"] == "model"
        assert model["owned_by"] == "gpt-oss"
        assert 1_700_000_000 < model["created"] < 2_000_000_000


@pytest.mark.parametrize(
    "path",
    [
        "/v1/models/gpt-oss-20b",
        "/v1/models/openai/gpt-oss-20b",
        "/v1/models/openai%2Fgpt-oss-20b",
        "/models/gpt-oss-20b/",
    ],
)
def test_one_model_by_any_spelling(demo: RunningGateway, path: str) -> None:
    assert ask(demo, "GET", path).json()["id"] == "gpt-oss-20b"


def test_an_unknown_model_is_not_found(demo: RunningGateway) -> None:
    reply = ask(demo, "GET", "/v1/models/gpt-5")
    assert reply.status == 404
    assert reply.error["code"] == "model_not_found"
    assert reply.error["param"] == "model"


def test_anthropic_clients_get_their_model_list(demo: RunningGateway) -> None:
    models = ask(demo, "GET", "/v1/models?limit=1000", headers={"anthropic-version": "2023-06-01"}).json()
    assert models["has_more"] is False
    assert models["data"][0]["type"] == "model"
    assert models["data"][0]["display_name"]
    assert models["data"][0]["created_at"].startswith("2025-08-05")


@pytest.mark.parametrize(
    "path", ["/nope", "/v1/nope", "/v1", "/v1/chat", "/v1/chat/completions/x", "/%00", "/..%2f"]
)
def test_unknown_paths_are_json_404s(demo: RunningGateway, path: str) -> None:
    reply = ask(demo, "GET", path)
    assert reply.status == 404
    assert reply.error["type"] == "invalid_request_error"
    assert reply.error["code"] == "not_found"


@pytest.mark.parametrize(
    ("method", "path", "allow"),
    [
        ("GET", "/v1/chat/completions", "POST"),
        ("PUT", "/v1/chat/completions", "POST"),
        ("POST", "/v1/models", "GET"),
        ("DELETE", "/", "GET"),
    ],
)
def test_wrong_methods_name_the_right_ones(demo: RunningGateway, method: str, path: str, allow: str) -> None:
    reply = ask(demo, method, path)
    assert reply.status == 405
    assert allow in reply.headers["allow"]
    assert reply.error["code"] == "method_not_allowed"


@pytest.mark.parametrize(
    "path", ["/v1/chat/completions", "/v1/chat/completions/", "/chat/completions", "/v1/v1/chat/completions"]
)
def test_common_base_url_mistakes_still_work(demo: RunningGateway, path: str) -> None:
    reply = ask(demo, "POST", path, HELLO)
    assert reply.status == 200
    assert reply.json()["object"] == "chat.completion"


def test_every_response_has_a_request_id_and_keeps_a_harmless_given_one(demo: RunningGateway) -> None:
    assert ask(demo, "GET", "/healthz").headers["x-request-id"].startswith("req_")
    given = ask(demo, "GET", "/healthz", headers={"x-request-id": "abc-123"})
    assert given.headers["x-request-id"] == "abc-123"
    hostile = ask(demo, "GET", "/healthz", headers={"x-request-id": "a b<script>"})
    assert hostile.headers["x-request-id"].startswith("req_")


def test_keep_alive_serves_many_requests_on_one_connection(demo: RunningGateway) -> None:
    with connect(demo) as connection:
        for _ in range(3):
            connection.sendall(b"GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n")
            assert b"200 OK" in read_until(connection, b'{"status":"ok"}')


def test_expect_100_continue_is_answered(demo: RunningGateway) -> None:
    body = json.dumps(HELLO).encode()
    with connect(demo) as connection:
        connection.sendall(
            b"POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\nexpect: 100-continue\r\n"
            b"content-length: %d\r\n\r\n" % len(body)
        )
        assert b"100 Continue" in read_until(connection, b"\r\n\r\n")
        connection.sendall(body)
        assert b"200 OK" in read_until(connection, b"chat.completion")


def test_chunked_request_bodies_are_read(demo: RunningGateway) -> None:
    body = json.dumps(HELLO).encode()
    with connect(demo) as connection:
        connection.sendall(
            b"POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding: chunked\r\n\r\n"
        )
        for byte in body:
            connection.sendall(b"1\r\n%c\r\n" % byte)
        connection.sendall(b"0\r\n\r\n")
        assert b"200 OK" in read_until(connection, b"chat.completion")


# CORS and DNS rebinding


@pytest.mark.parametrize("origin", ["http://localhost:3000", "http://127.0.0.1", "https://[::1]:8443"])
def test_loopback_pages_may_call_an_open_gateway(demo: RunningGateway, origin: str) -> None:
    reply = ask(demo, "POST", "/v1/chat/completions", HELLO, {"origin": origin})
    assert reply.status == 200
    assert reply.headers["access-control-allow-origin"] == origin
    assert "x-gptoss-upstream" in reply.headers["access-control-expose-headers"]
    assert "retry-after" in reply.headers["access-control-expose-headers"]


@pytest.mark.parametrize(
    "origin", ["https://evil.example", "null", "http://localhost.evil.example", "http://127.0.0.1.nip.io"]
)
def test_other_pages_may_not_spend_an_open_gateway(demo: RunningGateway, origin: str) -> None:
    reply = ask(demo, "POST", "/v1/chat/completions", HELLO, {"origin": origin, "content-type": "text/plain"})
    assert reply.status == 403
    assert reply.error["code"] == "origin_not_allowed"
    assert "access-control-allow-origin" not in reply.headers


def test_preflight_allows_what_sdks_send(demo: RunningGateway) -> None:
    reply = ask(
        demo,
        "OPTIONS",
        "/v1/chat/completions",
        headers={
            "origin": "http://localhost:5173",
            "access-control-request-method": "POST",
            "access-control-request-headers": "authorization,x-stainless-os,openai-beta,"
            "anthropic-version,x-evil",
        },
    )
    assert reply.status == 204
    allowed = reply.headers["access-control-allow-headers"].split(", ")
    assert {
        "authorization",
        "content-type",
        "x-api-key",
        "x-stainless-os",
        "openai-beta",
        "anthropic-version",
    } <= set(allowed)
    assert "x-evil" not in allowed
    assert "POST" in reply.headers["access-control-allow-methods"]


def test_with_keys_every_origin_may_try(gateway: StartGateway) -> None:
    running = gateway(GPTOSS_UPSTREAM="demo", GPTOSS_API_KEYS="k-12345678")
    preflight = ask(
        running,
        "OPTIONS",
        "/v1/chat/completions",
        headers={"origin": "https://app.example", "access-control-request-method": "POST"},
    )
    assert preflight.headers["access-control-allow-origin"] == "*"
    reply = ask(running, "POST", "/v1/chat/completions", HELLO, {"origin": "https://app.example"})
    assert reply.status == 401
    assert reply.headers["access-control-allow-origin"] == "*"


def test_configured_origins_are_exact(gateway: StartGateway) -> None:
    running = gateway(GPTOSS_UPSTREAM="demo", CORS_ORIGIN="https://a.example, https://b.example")
    good = ask(running, "GET", "/v1/models", headers={"origin": "https://b.example"})
    assert good.headers["access-control-allow-origin"] == "https://b.example"
    assert ask(running, "GET", "/v1/models", headers={"origin": "https://c.example"}).status == 403


@pytest.mark.parametrize("host", ["evil.example", "evil.example:8000", "127.0.0.1.nip.io", "192.168.0.7"])
def test_foreign_host_names_are_refused_on_an_open_loopback_gateway(demo: RunningGateway, host: str) -> None:
    reply = ask(demo, "GET", "/v1/models", headers={"host": host})
    assert reply.status == 403
    assert reply.error["code"] == "host_not_allowed"


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:8000", "127.0.0.1:1", "[::1]:8000", "127.8.9.1"])
def test_loopback_host_names_are_answered(demo: RunningGateway, host: str) -> None:
    assert ask(demo, "GET", "/v1/models", headers={"host": host}).status == 200


def test_allowed_hosts_add_names(gateway: StartGateway) -> None:
    running = gateway(GPTOSS_UPSTREAM="demo", GPTOSS_ALLOWED_HOSTS="gate.example,localhost")
    assert ask(running, "GET", "/v1/models", headers={"host": "gate.example:80"}).status == 200
    assert ask(running, "GET", "/v1/models", headers={"host": "other.example"}).status == 403


# API keys


def test_every_v1_route_needs_a_key_when_keys_are_set(gateway: StartGateway) -> None:
    running = gateway(GPTOSS_UPSTREAM="demo", GPTOSS_API_KEYS="first-key-1234,second-key-5678")
    for method, path in (
        ("GET", "/v1/models"),
        ("GET", "/models/gpt-oss-20b"),
        ("POST", "/v1/chat/completions"),
    ):
        missing = ask(running, method, path, HELLO if method == "POST" else None)
        assert missing.status == 401
        assert missing.error["code"] == "invalid_api_key"
        assert missing.headers["www-authenticate"] == "Bearer"
        wrong = ask(
            running, method, path, HELLO if method == "POST" else None, {"authorization": "Bearer nope-nope"}
        )
        assert wrong.status == 401
        assert "nope-nope" not in wrong.body.decode()
    for headers in ({"authorization": "Bearer second-key-5678"}, {"x-api-key": "first-key-1234"}):
        assert ask(running, "POST", "/v1/chat/completions", HELLO, headers).status == 200
    assert ask(running, "GET", "/healthz").status == 200
    assert "second-key-5678" not in running.log()


# The API's description


def test_openapi_and_the_docs_page_need_no_other_host(demo: RunningGateway) -> None:
    description = ask(demo, "GET", "/openapi.json").json()
    assert description["openapi"].startswith("3.1")
    assert "/v1/chat/completions" in description["paths"]
    page = ask(demo, "GET", "/docs")
    assert page.headers["content-type"].startswith("text/html")
    assert b"http://" not in page.body.replace(b"http://127.0.0.1", b"")
    assert b"https://" not in page.body


def test_a_head_request_and_a_body_leave_the_connection_usable(demo: RunningGateway) -> None:
    with connect(demo) as connection:
        connection.sendall(b"HEAD / HTTP/1.1\r\nhost: localhost\r\n\r\n")
        read_until(connection, b"\r\n\r\n")
        connection.sendall(request_bytes("/v1/chat/completions", HELLO))
        assert b"200 OK" in read_until(connection, b"chat.completion")
