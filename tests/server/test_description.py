"""The API's description of itself: complete, true of what is answered, and readable without internet."""

import re
from typing import Any

import jsonschema_rs
import pytest

from gptoss_api.dialects.registry import registered
from gptoss_api.server.surface import Surface
from tests.conftest import RunningGateway
from tests.server.talking import CHAT, HELLO, ask

ENDPOINTS = Surface(registered()).listed


@pytest.fixture(scope="module")
def description(demo: RunningGateway) -> dict[str, Any]:
    described: dict[str, Any] = ask(demo, "GET", "/openapi.json").json()
    return described


def assert_fits(value: Any, schema: dict[str, Any], description: dict[str, Any]) -> None:
    jsonschema_rs.validate({**schema, "components": description["components"]}, value)


def schema_of(description: dict[str, Any], path: str, method: str, status: int) -> dict[str, Any]:
    response = description["paths"][path][method]["responses"][str(status)]
    if "$ref" in response:
        response = description["components"]["responses"]["Error"]
    schema: dict[str, Any] = response["content"]["application/json"]["schema"]
    return schema


def test_every_endpoint_is_described_and_listed(demo: RunningGateway, description: dict[str, Any]) -> None:
    described = {
        f"{method.upper()} {path}" for path, methods in description["paths"].items() for method in methods
    }
    assert described | {"GET /docs", "GET /openapi.json"} == set(ENDPOINTS)
    assert ask(demo, "GET", "/").json()["endpoints"] == list(ENDPOINTS)
    for method, path in (endpoint.split(" ") for endpoint in ENDPOINTS):
        reply = ask(demo, method, path.replace("{id}", "gpt-oss-20b"), HELLO if method == "POST" else None)
        # Some want another body or a response that exists, or do what a gateway may not; but all are there.
        assert reply.status in ((401,) if path.startswith("/admin/") else (200, 204, 400, 403, 404)), path
        assert b"Unknown path" not in reply.body, path


@pytest.mark.parametrize("path", ["/", "/healthz", "/readyz", "/v1/models"])
def test_answers_are_as_described(demo: RunningGateway, description: dict[str, Any], path: str) -> None:
    reply = ask(demo, "GET", path)
    assert_fits(reply.json(), schema_of(description, path, "get", 200), description)


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (HELLO, 200),
        ({**HELLO, "n": 2, "tools": [{"type": "function", "function": {"name": "f"}}]}, 200),
        ({}, 400),
        ({**HELLO, "model": "gpt-9"}, 404),
    ],
)
def test_completions_and_errors_are_as_described(
    demo: RunningGateway, description: dict[str, Any], body: dict[str, Any], status: int
) -> None:
    reply = ask(demo, "POST", CHAT, body)
    assert reply.status == status
    assert_fits(reply.json(), schema_of(description, CHAT, "post", status), description)
    request = description["components"]["schemas"]["ChatRequest"]
    if status == 200:
        assert_fits(body, request, description)


def test_every_status_the_edge_can_give_is_described(description: dict[str, Any]) -> None:
    described = description["paths"][CHAT]["post"]["responses"]
    assert set(described) == {"200", *map(str, (400, 401, 403, 404, 408, 413, 415, 429, 500, 502, 503, 504))}
    assert len({response["description"] for response in described.values()}) == len(described)


def test_the_docs_page_needs_no_other_host(demo: RunningGateway) -> None:
    page = ask(demo, "GET", "/docs")
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    policy = page.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "connect-src 'self'" in policy
    text = page.body.decode()
    assert not re.search(r"https?://", text)
    assert set(re.findall(r"(?:src|href)=\"([^\"]*)\"", text)) == {"openapi.json", "data:,"}
    assert set(re.findall(r"fetch\(\"([^\"]*)\"", text)) == {"./", "openapi.json"}
