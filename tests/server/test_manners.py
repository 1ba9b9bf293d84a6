"""HTTP manners: status routes, CORS, Host names, paths and methods (docs/design/conformance.md, "HTTP")."""

import pytest

from tests.conftest import RunningGateway, StartGateway
from tests.server.talking import HELLO, ask


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
    "path", ["/nope", "/v1/nope", "/v1/chat", "/v1/chat/completions/x", "/%00", "/..%2f"]
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
    ("method", "path", "status", "said"),
    [
        ("GET", "/v1/chat/completions", 405, "Answer a conversation"),
        ("GET", "/v1/chat/completions", 405, "not stored"),
        ("GET", "/v1/chat/completions/chatcmpl-1", 404, "not stored"),
        ("GET", "/v1/completions", 405, "Continue a text"),
        ("GET", "/v1/messages", 405, "Answer a conversation, as Anthropic's API does"),
        ("GET", "/v1/responses/input_tokens/x", 404, "Count the tokens"),
        ("POST", "/v1/models", 405, "The models of the upstreams"),
    ],
)
def test_who_asks_in_the_wrong_way_learns_what_is_there(
    demo: RunningGateway, method: str, path: str, status: int, said: str
) -> None:
    reply = ask(demo, method, path)
    assert (reply.status, said in reply.json()["error"]["message"]) == (status, True)


@pytest.mark.parametrize(
    "path",
    [
        "/v1/chat/completions/",
        "/chat/completions",
        "/v1/v1/chat/completions",
        "/v1//chat/completions",
        "//v1/chat/completions",
    ],
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


@pytest.mark.parametrize(
    ("origin", "granted"), [("http://localhost:5173", True), ("https://evil.example", False)]
)
def test_a_page_of_the_public_network_needs_an_allowed_origin_to_come_here(
    demo: RunningGateway, origin: str, granted: bool
) -> None:
    headers = {
        "origin": origin,
        "access-control-request-method": "POST",
        "access-control-request-private-network": "true",
    }
    reply = ask(demo, "OPTIONS", "/v1/chat/completions", headers=headers)
    assert (reply.status == 204) is granted
    assert ("access-control-allow-private-network" in reply.headers) is granted
    assert ("access-control-allow-origin" in reply.headers) is granted


def test_answers_that_differ_by_origin_say_so(demo: RunningGateway) -> None:
    for headers in ({}, {"origin": "http://localhost"}, {"origin": "https://evil.example"}):
        assert ask(demo, "GET", "/v1/models", headers=headers).headers["vary"] == "origin"


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
