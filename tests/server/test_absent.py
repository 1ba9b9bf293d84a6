"""What OpenAI's API has and gpt-oss has not is refused by name, with what to use instead."""

import pytest

from tests.conftest import RunningGateway
from tests.server.talking import ask

METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")
ABSENT = {
    "embeddings": "gpt-oss has no embeddings",
    "moderations": "gpt-oss-safeguard",
    "files": "Put their text into the messages",
    "files/file-1/content": "Put their text into the messages",
    "uploads": "Put their text into the messages",
    "audio/speech": "gpt-oss has no audio",
    "audio/transcriptions": "gpt-oss has no audio",
    "images/generations": "gpt-oss has no images",
    "videos": "gpt-oss has no videos",
    "realtime/sessions": "WebSocket",
    "fine_tuning/jobs": "as it was published",
    "evals": "as it was published",
    "batches": "background: true",
    "vector_stores/vs_1/search": "Search in the client",
    "assistants": "Use POST /v1/responses",
    "threads/t_1/runs": "previous_response_id",
    "conversations": "previous_response_id",
    "containers": "runs code",
    "organization/usage/completions": "GET /v1/usage",
    "engines": "GET /v1/models",
    "openai/deployments/x/chat/completions": "not Azure's",
}


@pytest.mark.parametrize("path", ABSENT)
def test_it_is_a_404_that_says_what_to_use(demo: RunningGateway, path: str) -> None:
    for spelled in (f"/v1/{path}", f"/{path}", f"/v1/v1/{path}/?limit=1"):
        for method in METHODS:
            reply = ask(demo, method, spelled, {"model": "x"} if method in ("POST", "PUT") else None)
            assert reply.status == 404, (method, spelled)
            assert ABSENT[path] in reply.error["message"]
            assert reply.error["code"] == "not_found"
            assert spelled.removeprefix("/v1").partition("?")[0].strip("/") in reply.error["message"]


def test_batches_of_messages_are_refused_in_anthropics_shape(demo: RunningGateway) -> None:
    reply = ask(demo, "POST", "/v1/messages/batches", {"requests": []})
    assert reply.status == 404
    assert reply.json()["error"]["type"] == "not_found_error"
    assert "one by one to POST /v1/messages" in reply.json()["error"]["message"]


def test_other_paths_are_only_unknown(demo: RunningGateway) -> None:
    for path in ("/v1/nothing", "/nothing/files", "/filesystem", "/v1/audiobooks"):
        message = ask(demo, "GET", path).error["message"]
        assert message == f"Unknown path: GET {path}. GET / lists the endpoints of this gateway."


def test_what_is_tried_first_at_an_address_answers(demo: RunningGateway) -> None:
    assert ask(demo, "GET", "/health").json() == {"status": "ok"}
    state = ask(demo, "GET", "/").json()
    for path in ("/v1", "/v1/"):
        assert ask(demo, "GET", path).json() == state
    for method in ("GET", "HEAD"):
        icon = ask(demo, method, "/favicon.ico")
        assert (icon.status, icon.body) == (204, b"")
