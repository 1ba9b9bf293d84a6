"""A request finds its handler by path and method, with what the path's parameters stand for."""

import pytest

from gptoss_api.core.errors import MethodNotAllowed, NotFound
from gptoss_api.server.exchange import Exchange
from gptoss_api.server.routes import Handler, Routes


def handler(name: str) -> Handler:
    async def handle(exchange: Exchange) -> None: ...

    handle.__name__ = name
    return handle


ROUTES = Routes(
    (method, path, handler(f"{method} {path}"))
    for method, path in [
        ("GET", "/v1/models"),
        ("GET", "/v1/models/{id:path}"),
        ("POST", "/v1/models/new"),
        ("GET", "/v1/things/{id}"),
        ("DELETE", "/v1/things/{id}"),
        ("POST", "/v1/things/{id}/cancel"),
        ("GET", "/v1/a.b"),
    ]
)


@pytest.mark.parametrize(
    ("method", "path", "name", "parameters"),
    [
        ("GET", "/v1/models", "GET /v1/models", {}),
        ("HEAD", "/v1/models", "GET /v1/models", {}),
        ("GET", "/v1/models/openai/gpt-oss-20b", "GET /v1/models/{id:path}", {"id": "openai/gpt-oss-20b"}),
        ("POST", "/v1/models/new", "POST /v1/models/new", {}),
        ("GET", "/v1/things/x", "GET /v1/things/{id}", {"id": "x"}),
        ("DELETE", "/v1/things/{id}", "DELETE /v1/things/{id}", {"id": "{id}"}),
        ("POST", "/v1/things/x/cancel", "POST /v1/things/{id}/cancel", {"id": "x"}),
    ],
)
def test_the_handler_and_the_parameters(
    method: str, path: str, name: str, parameters: dict[str, str]
) -> None:
    found, given = ROUTES.find(method, path)
    assert found.__name__ == name
    assert given == parameters


@pytest.mark.parametrize("path", ["/", "/v1/things/x/y", "/v1/things/", "/v1/aXb", "/v1/models2"])
def test_what_is_not_there_is_not_found(path: str) -> None:
    with pytest.raises(NotFound, match=f"GET {path}"):
        ROUTES.find("GET", path)


@pytest.mark.parametrize(
    ("method", "path", "allow"),
    [
        ("PUT", "/v1/things/x", ("DELETE", "GET", "HEAD")),
        ("HEAD", "/v1/things/x/cancel", ("POST",)),
        ("POST", "/v1/models", ("GET", "HEAD")),
    ],
)
def test_another_method_is_told_the_right_ones(method: str, path: str, allow: tuple[str, ...]) -> None:
    with pytest.raises(MethodNotAllowed) as refused:
        ROUTES.find(method, path)
    assert refused.value.allow == allow
