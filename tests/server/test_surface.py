"""Every path is known by one registration: routes, lists, spellings, owners, keys and descriptions agree."""

import json
from typing import Any

import pytest

from gptoss_api.core.errors import ContextLengthExceeded, GatewayError, MethodNotAllowed, NotFound
from gptoss_api.dialects.base import Dialect
from gptoss_api.dialects.openai_errors import OPENAI_ERRORS
from gptoss_api.dialects.registry import registered
from gptoss_api.server.exchange import STATUS_LINES
from gptoss_api.server.surface import OPEN, PAGES, Surface
from tests.dialects.contract.toy import ToyDialect
from tests.server.routes import routes

SURFACE = Surface(registered())


def test_the_routes_are_the_endpoints_that_are_listed() -> None:
    listed = {(method, path) for method, path in (endpoint.split() for endpoint in SURFACE.listed)}
    assert routes() == listed | {("HEAD", path) for method, path in listed if method == "GET"}


@pytest.mark.parametrize(
    ("asked", "meant"),
    [
        ("/chat/completions", "/v1/chat/completions"),
        ("/v1/chat/completions/", "/v1/chat/completions"),
        ("//v1//chat/completions", "/v1/chat/completions"),
        ("/v1/v1/v1/responses", "/v1/responses"),
        ("/models/gpt-oss-20b", "/v1/models/gpt-oss-20b"),
        ("/v1/v1", "/v1/v1"),
        ("/v1", "/v1"),
        ("", "/"),
        ("/docs/", "/docs"),
        ("/chatter", "/chatter"),
    ],
)
def test_almost_right_paths_are_understood(asked: str, meant: str) -> None:
    assert SURFACE.canonical_path(asked) == meant


@pytest.mark.parametrize(
    ("path", "owner"),
    [
        ("/v1/chat/completions", "chat"),
        ("/v1/completions", "completions"),
        ("/v1/responses/resp_1/cancel", "responses"),
        ("/v1/responses/resp_1/no-such-thing", "responses"),
        ("/v1/models/openai/gpt-oss-20b", "models"),
        ("/v1/responsesque", None),
        ("/v1", None),
        ("/", None),
    ],
)
def test_a_path_belongs_to_the_dialect_with_an_endpoint_at_or_above_it(path: str, owner: str | None) -> None:
    found = SURFACE.owner(path)
    assert (found.name if found else None) == owner


def test_a_first_segment_of_one_dialect_is_its_as_a_whole() -> None:
    surface = Surface([*registered(), ToyDialect()])
    for path in ("/toy/say", "/toy", "/toy/other"):
        found = surface.owner(path)
        assert found is not None
        assert found.name == "toy"
    assert surface.owner("/toys") is None
    assert surface.owner("/v1/other") is None


def test_what_nobody_owns_fails_in_openais_shape() -> None:
    status, _, body = SURFACE.error(NotFound("Unknown path."), "/nowhere", {}, "req_1")
    assert status == 404
    assert json.loads(body)["error"]["code"] == "not_found"


def test_no_path_of_a_dialect_is_open() -> None:
    assert set(PAGES) >= OPEN
    paths = {endpoint.path for dialect in SURFACE.dialects for endpoint in dialect.endpoints}
    assert not paths & OPEN


def test_two_descriptions_of_one_name_are_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    from gptoss_api.server import surface

    fragments: dict[str, Any] = {
        "gptoss_api.web": {"info": {}, "paths": {}, "components": {}},
        "one": {"paths": {"/x": {"get": {}}}},
        "two": {"paths": {"/x": {"post": {}}}},
    }
    monkeypatch.setattr(surface, "_fragment", lambda package: json.loads(json.dumps(fragments[package])))
    with pytest.raises(ValueError, match="/x"):
        surface._composed(("one", "two"))


@pytest.mark.parametrize("dialect", registered(), ids=lambda dialect: dialect.name)
def test_every_status_of_a_failure_has_its_line(dialect: Dialect) -> None:
    particular: dict[type[GatewayError], GatewayError] = {
        MethodNotAllowed: MethodNotAllowed("x", allow=()),
        ContextLengthExceeded: ContextLengthExceeded(2, 1, 0),
    }
    for kind in OPENAI_ERRORS:
        failure = particular.get(kind) or kind("x")
        assert dialect.error(failure, "req_1", {}).status in STATUS_LINES
