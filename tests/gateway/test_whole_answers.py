"""Servers that their operator wants to be asked for whole answers: which are, and for which requests."""

import json
import time
from collections.abc import Callable, Iterator

import pytest

from gptoss_api.config import resolve
from gptoss_api.gateway import Gateway
from tests.backends.server import Backend, backend_thread, turn
from tests.backends.server import ask as answered
from tests.conftest import RunningGateway, running_gateway
from tests.server.talking import CHAT, ask, connect, request_bytes
from tests.upstreams.chatkit.scripted import Reply
from tests.upstreams.chatkit.transcripts import Json

QUESTION: list[Json] = [{"role": "user", "content": "Hi"}]
MODEL = "gpt-oss-120b"


@pytest.mark.parametrize("everywhere", ["", "off", "on"])
@pytest.mark.parametrize(
    ("table", "asks_whole"),
    [
        ({}, None),
        ({"whole_answers": True}, True),
        ({"whole_answers": False}, False),
        # Which is passed over where its answer does not begin in time, and so has to be seen to.
        ({"first_byte_timeout": 5}, False),
    ],
)
async def test_a_server_is_asked_as_it_says_there_or_else_for_all(
    everywhere: str, table: Json, asks_whole: bool | None
) -> None:
    backend = Backend("vllm")
    async with backend.running():
        tables = [{"kind": "vllm", "url": backend.address} | table]
        given = {"GPTOSS_UPSTREAMS": json.dumps(tables)}
        if everywhere:
            given["GPTOSS_WHOLE_ANSWERS"] = everywhere
        gateway = Gateway(resolve(environ=given).settings, {})
        try:
            await answered(gateway, turn(streamed=False))
        finally:
            await gateway.close()
    expected = everywhere == "on" if asks_whole is None else asks_whole
    assert [not asked.body["stream"] for asked in backend.asked] == [expected]


@pytest.fixture(scope="module")
def backend() -> Backend:
    return Backend("vllm")


@pytest.fixture(scope="module")
def running(backend: Backend, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningGateway]:
    with backend_thread(backend) as address:
        tables = json.dumps([{"kind": "vllm", "url": address, "whole_answers": True}])
        home = tmp_path_factory.mktemp("home")
        with running_gateway(home, None, GPTOSS_UPSTREAM="vllm", GPTOSS_UPSTREAMS=tables) as gateway:
            yield gateway


REQUESTS: dict[str, Json] = {
    "/v1/chat/completions": {"messages": QUESTION},
    "/v1/completions": {"prompt": "Hi"},
    "/v1/messages": {"messages": QUESTION, "max_tokens": 99, "thinking": {"type": "adaptive"}},
    "/v1/responses": {"input": "Hi"},
    "/api/chat": {"messages": QUESTION},
    "/api/generate": {"prompt": "Hi"},
}


@pytest.mark.parametrize("path", REQUESTS)
def test_every_client_that_wants_its_answer_whole_has_it_asked_for_so(
    path: str, backend: Backend, running: RunningGateway
) -> None:
    backend.asked.clear()
    for stream in (False, True):
        reply = ask(running, "POST", path, {"model": MODEL, "stream": stream} | REQUESTS[path])
        assert reply.status == 200
        assert (reply.headers["content-type"] == "application/json") == (not stream)
        if not stream:
            assert b"Hello there." in reply.body
            assert "x-gptoss-emulated" not in reply.headers
    assert [asked.body["stream"] for asked in backend.asked] == [False, True]


def test_what_is_worked_on_in_the_background_can_be_looked_at_before_its_end(
    backend: Backend, running: RunningGateway
) -> None:
    backend.asked.clear()
    response = ask(running, "POST", "/v1/responses", {"model": MODEL, "input": "Hi", "background": True})
    followed = ask(running, "GET", f"/v1/responses/{response.json()['id']}?stream=true")
    assert b"response.completed" in followed.body
    assert [asked.body["stream"] for asked in backend.asked] == [True]


def test_a_client_that_leaves_while_a_server_thinks_takes_its_request_with_it(
    backend: Backend, running: RunningGateway
) -> None:
    backend.asked.clear()
    backend.replies.append(Reply(silence=60.0))
    with connect(running) as client:
        client.sendall(request_bytes(CHAT, {"model": MODEL, "messages": QUESTION}))
        await_truth(lambda: bool(backend.asked))
    (asked,) = backend.asked
    assert asked.body["stream"] is False
    await_truth(asked.ended.is_set)


def await_truth(of: Callable[[], bool], seconds: float = 5.0) -> None:
    deadline = time.monotonic() + seconds
    while not of():
        assert time.monotonic() < deadline
        time.sleep(0.01)
