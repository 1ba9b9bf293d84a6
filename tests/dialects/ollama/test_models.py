"""The models as Ollama's clients read them, over the real server."""

import json
import urllib.request
from collections.abc import Iterator
from datetime import datetime
from typing import Any

import pytest

from tests.conftest import RunningGateway, running_gateway
from tests.server.talking import Reply, ask

from .asking import lines

BOTH = ["gpt-oss:120b", "gpt-oss:20b"]


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningGateway]:
    home = tmp_path_factory.mktemp("home")
    with running_gateway(home, GPTOSS_UPSTREAM="demo", GPTOSS_OLLAMA_VERSION="0.13.4") as gateway:
        yield gateway


def post(gateway: RunningGateway, path: str, **body: Any) -> Reply:
    return ask(gateway, "POST", path, body)


def test_the_version_is_a_release(served: RunningGateway) -> None:
    for method in ("GET", "HEAD"):
        reply = ask(served, method, "/api/version")
        assert reply.status == 200
    assert ask(served, "GET", "/api/version").json() == {"version": "0.13.4"}


def test_the_tags_have_what_clients_require(served: RunningGateway) -> None:
    models = ask(served, "GET", "/api/tags").json()["models"]
    assert [model["name"] for model in models] == [model["model"] for model in models] == BOTH
    for model in models:
        assert datetime.fromisoformat(model["modified_at"]).year == 2025
        assert len(bytes.fromhex(model["digest"])) == 32
        assert model["size"] > 10**10
        details = model["details"]
        assert (details["format"], details["family"], details["quantization_level"]) == (
            "gguf",
            "gptoss",
            "MXFP4",
        )
        assert details["parameter_size"].endswith("B")
        assert details["context_length"] == 131_072
        assert model["capabilities"] == ["completion", "tools", "thinking"]
    assert ask(served, "GET", "/api/tags").json()["models"] == models, "the digest is stable"


def test_all_of_them_are_running(served: RunningGateway) -> None:
    models = ask(served, "GET", "/api/ps").json()["models"]
    assert [model["name"] for model in models] == BOTH
    for model in models:
        assert datetime.fromisoformat(model["expires_at"]).utcoffset() is not None
        assert model["size_vram"] == model["size"]
        assert model["context_length"] == 131_072


@pytest.mark.parametrize("body", [{"model": "gpt-oss:120b"}, {"name": "gpt-oss:120b", "verbose": True}])
def test_show_says_what_clients_decide_by(body: dict[str, Any], served: RunningGateway) -> None:
    shown = post(served, "/api/show", **body).json()
    info = shown["model_info"]
    assert info["general.architecture"] == "gptoss"
    assert info["gptoss.context_length"] == 131_072
    assert info["general.basename"] == "gpt-oss-120b"
    assert shown["capabilities"] == ["completion", "tools", "thinking"]
    assert all(len(line.split()) == 2 for line in shown["parameters"].splitlines())
    assert ".Suffix" not in shown["template"]
    assert shown["details"]["family"] == "gptoss"


def test_a_pull_of_what_is_there_succeeds_at_once(served: RunningGateway) -> None:
    reply = post(served, "/api/pull", model="gpt-oss:20b")
    assert reply.headers["content-type"] == "application/x-ndjson"
    assert [line["status"] for line in lines(reply.body)] == [
        "pulling manifest",
        "verifying sha256 digest",
        "writing manifest",
        "success",
    ]
    assert post(served, "/api/pull", model="gpt-oss", stream=False).json() == {"status": "success"}


@pytest.mark.parametrize("path", ["/api/show", "/api/pull", "/api/chat", "/api/generate"])
def test_what_is_not_served_is_not_found(path: str, served: RunningGateway) -> None:
    reply = post(served, path, model="llama3.2")
    assert (reply.status, reply.json()) == (404, {"error": "model 'llama3.2' not found"})


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/api/create"),
        ("POST", "/api/copy"),
        ("POST", "/api/push"),
        ("DELETE", "/api/delete"),
        ("POST", "/api/blobs/sha256:0"),
        ("GET", "/api/blobs/sha256:0"),
    ],
)
def test_models_are_not_managed(method: str, path: str, served: RunningGateway) -> None:
    reply = ask(served, method, path, {"model": "x"} if method != "GET" else None)
    assert (reply.status, reply.json()) == (403, {"error": "this gateway does not manage models"})


@pytest.mark.parametrize("path", ["/api/embed", "/api/embeddings"])
def test_gpt_oss_makes_no_embeddings(path: str, served: RunningGateway) -> None:
    reply = post(served, path, model="gpt-oss:20b", input="x")
    assert (reply.status, reply.json()) == (400, {"error": '"gpt-oss:20b" does not support embeddings'})


@pytest.mark.parametrize(
    ("accept", "plain"),
    [
        (None, False),
        ("*/*", False),
        ("application/json", False),
        ("application/xml,text/html;q=0.9", False),
        ("text/plain", True),
        ("text/plain, application/x-ndjson", True),
    ],
)
def test_the_root_says_that_ollama_runs_to_who_wants_neither_pages_nor_json(
    accept: str | None, plain: bool, served: RunningGateway
) -> None:
    reply = ask(served, "GET", "/", None, {} if accept is None else {"accept": accept})
    assert reply.status == 200
    if plain:
        assert reply.body == b"Ollama is running"
        assert reply.headers["content-type"].startswith("text/plain")
    else:
        assert reply.json()["name"] == "gptoss-api"
    request = urllib.request.Request(served.base_url, method="HEAD")
    with urllib.request.urlopen(request, timeout=10) as head:
        assert head.status == 200


def test_a_load_probe_asks_no_upstream(tmp_path_factory: pytest.TempPathFactory) -> None:
    home = tmp_path_factory.mktemp("home")
    with running_gateway(home, GPTOSS_UPSTREAM="http://127.0.0.1:9/v1") as dead:
        reply = post(dead, "/api/chat", model="gpt-oss", messages=[])
        assert (reply.status, reply.json()["done_reason"]) == (200, "load")
        reply = post(dead, "/api/generate", model="gpt-oss", keep_alive=0)
        assert (reply.status, reply.json()["done_reason"]) == (200, "unload")
        assert reply.headers["content-type"] == "application/json"


def test_a_wrong_release_is_refused_at_the_start(tmp_path_factory: pytest.TempPathFactory) -> None:
    with (
        pytest.raises(RuntimeError, match="GPTOSS_OLLAMA_VERSION"),
        running_gateway(tmp_path_factory.mktemp("home"), GPTOSS_OLLAMA_VERSION="v0.13.4-rc1"),
    ):
        pass


def test_the_description_names_all_routes(served: RunningGateway) -> None:
    listed = ask(served, "GET", "/").json()["endpoints"]
    described = json.loads(ask(served, "GET", "/openapi.json").body)["paths"]
    ours = [path for path in described if path.startswith("/api/")]
    assert {line.split()[1] for line in listed if "/api/" in line} == set(ours)


def test_what_ollamas_command_line_asks_for(served: RunningGateway) -> None:
    """Its run, list and ps: whether a server is there, the model, its loading, and the answer in lines."""
    command_line = {"user-agent": "ollama/0.13.4 (amd64 linux) Go/go1.24.1", "accept": "application/json"}
    assert ask(served, "HEAD", "/", None, command_line).status == 200
    for path in ("/api/tags", "/api/ps"):
        assert ask(served, "GET", path, None, command_line).json()["models"]
    shown = ask(served, "POST", "/api/show", {"model": "gpt-oss:20b"}, command_line).json()
    assert "thinking" in shown["capabilities"]
    load: dict[str, Any] = {"model": "gpt-oss:20b", "prompt": "", "options": {}, "keep_alive": None}
    assert ask(served, "POST", "/api/generate", load, command_line).json()["done"]
    question: dict[str, Any] = {
        "model": "gpt-oss:20b",
        "messages": [{"role": "user", "content": "Hello"}],
        "format": "",
        "options": {},
        "think": None,
    }
    line_accepting = command_line | {"accept": "application/x-ndjson"}
    *pieces, last = lines(ask(served, "POST", "/api/chat", question, line_accepting).body)
    assert "no model is behind this answer" in "".join(piece["message"]["content"] for piece in pieces)
    assert last["done"]
