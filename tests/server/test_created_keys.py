"""Keys that are created while gateways run, and what they open."""

import time
from collections.abc import Iterator
from contextlib import AbstractContextManager
from typing import Any

import pytest
from click.testing import CliRunner

from gptoss_api.cli import main
from gptoss_api.dialects.registry import registered
from tests.conftest import RunningGateway, running_gateway
from tests.server.keyed import Shared, soon
from tests.server.talking import CHAT, HELLO, ask

ADMIN = "admin-key-of-the-tests"


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shared]:
    home = tmp_path_factory.mktemp("home")
    state = f"sqlite://{home}/keys.db"
    with running_gateway(
        home, GPTOSS_UPSTREAM="demo", GPTOSS_STATE=state, GPTOSS_WORKERS="2", GPTOSS_ADMIN_KEY=ADMIN
    ) as gateway:
        yield Shared(state, gateway)
    assert "sk-gptoss" not in gateway.log()
    assert ADMIN not in gateway.log()


def test_keys_come_into_force_and_end_at_every_worker_within_two_seconds(shared: Shared) -> None:
    assert shared.statuses("") == {200}
    assert shared.statuses("", "/admin/keys") == {401}
    made = shared.keys("create", "anna")
    soon(lambda: shared.statuses("") == {401})
    soon(lambda: shared.statuses(made["key"]) == {200})
    assert shared.statuses("sk-gptoss-wrong") == {401}
    assert ask(shared.gateway, "GET", "/healthz").status == 200
    shared.keys("revoke", "anna")
    soon(lambda: shared.statuses(made["key"]) == {401})
    assert shared.statuses("") == {401}
    shared.keys("delete", "anna")
    time.sleep(1.2)
    assert shared.statuses("") == {401}


def test_every_route_of_every_dialect_wants_a_created_key(shared: Shared) -> None:
    key = shared.key("routes")
    for dialect in registered():
        for endpoint in dialect.endpoints:
            path = endpoint.shown_path.replace("{id}", "some-id")
            body: dict[str, Any] | None = {} if endpoint.method == "POST" else None
            assert ask(shared.gateway, endpoint.method, path, body).status == 401, path
            opened = ask(shared.gateway, endpoint.method, path, body, {"x-api-key": key})
            assert opened.status != 401, path


def test_administrators_see_every_key_and_no_secret(shared: Shared) -> None:
    root = shared.keys("create", "root", "--admin")
    made = shared.keys("create", "listed", "--rpm", "5", "--models", "gpt-oss-20b")
    soon(lambda: shared.statuses(root["key"], "/admin/keys") == {200})
    soon(lambda: shared.statuses(made["key"], "/admin/keys") == {403})
    for key in (root["key"], ADMIN):
        reply = ask(shared.gateway, "GET", "/admin/keys", None, {"authorization": f"Bearer {key}"})
        listed = {entry["name"]: entry for entry in reply.json()["data"]}
        del (entry := dict(made))["key"]
        assert listed["listed"] == entry
        assert b"sk-gptoss" not in reply.body
    refused = ask(shared.gateway, "GET", "/admin/keys", None, {"x-api-key": made["key"]})
    assert refused.error["code"] == "admin_key_required"


def test_a_key_for_one_model_sees_and_asks_only_that(shared: Shared) -> None:
    headers = {"x-api-key": shared.key("small", "--models", "gpt-oss-20b")}
    listed = ask(shared.gateway, "GET", "/v1/models", None, headers).json()["data"]
    assert [model["id"] for model in listed] == ["gpt-oss-20b"]
    anthropic = {**headers, "anthropic-version": "2023-06-01"}
    ids = [model["id"] for model in ask(shared.gateway, "GET", "/v1/models", None, anthropic).json()["data"]]
    assert ids == ["gpt-oss-20b", "claude-gpt-oss-20b"]
    tags = ask(shared.gateway, "GET", "/api/tags", None, headers).json()["models"]
    assert {model["name"].rpartition(":")[2] for model in tags} == {"20b"}
    assert ask(shared.gateway, "GET", "/v1/models/gpt-oss-20b", None, headers).status == 200
    assert ask(shared.gateway, "GET", "/v1/models/gpt-oss-120b", None, headers).status == 403

    assert ask(shared.gateway, "POST", CHAT, {**HELLO, "model": "gpt-oss:20b"}, headers).status == 200
    soon(lambda: " key=small " in shared.gateway.log())
    refused = ask(shared.gateway, "POST", CHAT, {**HELLO, "model": "gpt-oss-120b"}, headers)
    assert refused.status == 403
    assert refused.error["code"] == "model_not_allowed"
    assert refused.error["param"] == "model"
    assert "only gpt-oss-20b" in refused.error["message"]
    message = {"model": "claude-opus-4", "max_tokens": 5, "messages": [{"role": "user", "content": "x"}]}
    for path in ("/v1/messages", "/v1/messages/count_tokens"):
        reply = ask(shared.gateway, "POST", path, message, anthropic)
        assert reply.status == 403
        assert reply.json()["error"]["type"] == "permission_error"
    response = {"model": "gpt-oss-120b", "input": "x"}
    assert ask(shared.gateway, "POST", "/v1/responses", response, headers).status == 403
    # To look for a model without a prompt, too.
    for path in ("/api/chat", "/api/generate"):
        assert ask(shared.gateway, "POST", path, {"model": "gpt-oss:20b"}, headers).status == 200
        looked = ask(shared.gateway, "POST", path, {"model": "gpt-oss:120b"}, headers)
        assert (looked.status, "only gpt-oss-20b" in looked.json()["error"]) == (403, True)


def test_what_is_refused_for_its_host_name_says_what_would_help(shared: Shared) -> None:
    key = shared.key("from-afar")
    refused = ask(shared.gateway, "GET", "/v1/models", None, {"x-api-key": key, "host": "gateway.example"})
    assert (refused.status, refused.error["code"]) == (403, "host_not_allowed")
    assert "Without API keys" not in refused.error["message"]
    assert "GPTOSS_REQUIRE_KEYS=on" in refused.error["message"]


def test_who_has_no_key_of_an_administrator_learns_how_to_get_one(shared: Shared) -> None:
    key = shared.key("ordinary")
    for path in ("/admin/keys", "/admin/usage", "/admin/nothing"):
        for headers, status in (({}, 401), ({"x-api-key": "wrong"}, 401), ({"x-api-key": key}, 403)):
            refused = ask(shared.gateway, "GET", path, None, headers)
            assert refused.status == status
            assert "GPTOSS_ADMIN_KEY" in refused.error["message"]
            assert "keys create NAME --admin" in refused.error["message"]


def test_a_gateway_for_other_machines_starts_with_created_keys_alone(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    home = tmp_path_factory.mktemp("home")
    state = f"sqlite://{home}/keys.db"

    def everywhere() -> AbstractContextManager[RunningGateway]:
        return running_gateway(home, GPTOSS_UPSTREAM="demo", GPTOSS_STATE=state, HOST="0.0.0.0")

    with pytest.raises(RuntimeError, match="gptoss-api keys create"), everywhere():
        pass
    done = CliRunner().invoke(main, ["keys", "create", "anna", "--state", state])
    with everywhere() as gateway:
        assert ask(gateway, "GET", "/v1/models").status == 401
        assert ask(gateway, "GET", "/v1/models", None, {"x-api-key": done.stdout.strip()}).status == 200
        assert "INSECURE" not in gateway.log()


def test_required_keys_are_wanted_before_there_is_one(tmp_path_factory: pytest.TempPathFactory) -> None:
    with running_gateway(
        tmp_path_factory.mktemp("home"), GPTOSS_UPSTREAM="demo", GPTOSS_REQUIRE_KEYS="on"
    ) as gateway:
        assert ask(gateway, "GET", "/v1/models").status == 401
