"""The Responses API over a WebSocket: the official SDK's connection, and what HTTP bounds is bounded here."""

import contextlib
import json
import socket
from collections.abc import Iterator
from typing import Any

import pytest
from openai import OpenAI
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect

from tests.conftest import RunningGateway, Site, StartGateway, running_gateway
from tests.dialects.strict import check_event, check_response
from tests.server.talking import CHAT, HELLO, ask
from tests.simulator import Answer, Stall

RESPONSES = "/v1/responses"
KEY = "sk-0123456789abcdef0123456789abcdef"


@pytest.fixture(scope="module")
def keyed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningGateway]:
    hurry = "import gptoss_api.upstreams.demo as demo; demo.PACE = 0"
    with running_gateway(
        tmp_path_factory.mktemp("home"),
        before=hurry,
        GPTOSS_UPSTREAM="demo",
        GPTOSS_API_KEYS=KEY,
        GPTOSS_MAX_BODY="100KB",
    ) as gateway:
        yield gateway


def connected(gateway: RunningGateway, key: str = KEY, path: str = RESPONSES, **options: Any) -> Any:
    url = gateway.base_url.replace("http://", "ws://") + path
    headers = {"Authorization": f"Bearer {key}"}
    return connect(url, additional_headers=headers, open_timeout=20, proxy=None, **options)


def say(line: Any, **members: Any) -> None:
    line.send(json.dumps({"type": "response.create", "model": "gpt-oss-20b", **members}))


def events(line: Any) -> list[Any]:
    """Those of one answer."""
    heard = []
    while True:
        event = json.loads(line.recv(timeout=20))
        heard.append(event)
        if event["type"] in ("response.completed", "response.incomplete", "response.failed", "error"):
            return heard


def test_the_official_sdk_gets_responses_one_after_the_other(keyed: RunningGateway) -> None:
    client: Any = OpenAI(base_url=f"{keyed.base_url}/v1", api_key=KEY)
    with client.responses.connect() as connection:
        previous: dict[str, Any] = {}
        for text in ("Hello", "And again"):
            connection.response.create(model="gpt-oss-20b", input=text, **previous)
            for event in connection:
                if event.type == "response.completed":
                    break
            assert event.response.output_text
            previous = {"previous_response_id": event.response.id}


def test_every_event_is_that_of_a_stream(keyed: RunningGateway) -> None:
    with connected(keyed) as line:
        say(line, input="Hello")
        heard = events(line)
    for number, event in enumerate(heard):
        check_event(event)
        assert event["sequence_number"] == number
    final = check_response(heard[-1]["response"])
    # What was made here can be fetched there.
    stored = ask(keyed, "GET", f"{RESPONSES}/{final.id}", headers={"Authorization": f"Bearer {KEY}"})
    assert stored.json()["id"] == final.id


def test_requests_that_come_meanwhile_wait_and_lanes_are_told_apart(keyed: RunningGateway) -> None:
    with connected(keyed) as line:
        for lane in ("a", "b"):
            say(line, input=f"Lane {lane}", stream_id=lane)
        for lane in ("a", "b"):
            assert {event["stream_id"] for event in events(line)} == {lane}


@pytest.mark.parametrize(
    ("message", "status", "param"),
    [
        ({"type": "response.create", "model": "gpt-9", "input": "x"}, 404, "model"),
        ({"type": "response.create", "input": [{"role": "user"}]}, 400, "input[0].content"),
        (
            {"type": "response.create", "input": "x", "previous_response_id": "resp_0"},
            404,
            "previous_response_id",
        ),
        ({"type": "response.create", "input": "x", "generate": False}, 400, "generate"),
        ({"type": "response.steer"}, 400, "type"),
        ([], 400, None),
    ],
)
def test_what_is_refused_is_an_error_event_and_the_line_stays(
    keyed: RunningGateway, message: Any, status: int, param: str | None
) -> None:
    with connected(keyed) as line:
        line.send(json.dumps(message))
        (event,) = events(line)
        assert (event["type"], event["status"], event["error"]["param"]) == ("error", status, param)
        say(line, input="Hello")
        assert events(line)[-1]["type"] == "response.completed"


def test_a_line_needs_a_key(keyed: RunningGateway) -> None:
    with pytest.raises(InvalidStatus) as refused, connected(keyed, key="sk-wrong"):
        pass
    assert refused.value.response.status_code == 401
    assert json.loads(refused.value.response.body or b"")["error"]["code"] == "invalid_api_key"


def test_a_message_is_as_large_as_a_body_at_most(keyed: RunningGateway) -> None:
    with connected(keyed) as line:
        with contextlib.suppress(ConnectionClosed):
            say(line, input="x" * 150_000)
        with pytest.raises(ConnectionClosed) as closed:
            events(line)
    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == 1009


def test_messages_in_pieces_and_pings_are_understood(keyed: RunningGateway) -> None:
    with connected(keyed) as line:
        text = json.dumps({"type": "response.create", "input": "Hello"})
        line.send(text[at : at + 7] for at in range(0, len(text), 7))
        answered = line.ping()
        # The client reads no further while too many messages wait for it, the answer to its ping among them.
        assert events(line)[-1]["type"] == "response.completed"
        assert answered.wait(10)


def test_without_an_upgrade_there_is_none(keyed: RunningGateway) -> None:
    reply = ask(keyed, "GET", RESPONSES, headers={"Authorization": f"Bearer {KEY}"})
    assert reply.status == 400
    assert "POST" in reply.error["message"]
    with pytest.raises(InvalidStatus) as refused, connected(keyed, path="/v1/chat/completions"):
        pass
    assert refused.value.response.status_code == 405


@pytest.mark.parametrize("how", ["close", "break"])
def test_a_client_that_leaves_ends_the_turn(site: Site, how: str) -> None:
    site.simulator.always(Answer("word word", at={"half": [Stall()]}))
    with connected(site.gateway) as line:
        say(line, input="Hello")
        while json.loads(line.recv(timeout=20))["type"] != "response.output_text.delta":
            pass
        if how == "close":
            line.close()
        else:
            line.socket.shutdown(socket.SHUT_RDWR)
        site.simulator.wait_until(lambda: site.simulator.last.aborted_at is not None)


def test_what_waits_on_a_line_is_not_asked_once_its_client_has_left(site: Site) -> None:
    site.simulator.always(Answer("word word", at={"half": [Stall()]}))
    asked = len(site.simulator.requests)
    with connected(site.gateway) as line:
        say(line, input="Hello")
        say(line, input="And again")
        # Refused at once, so that what came before it waits by now.
        line.send("[]")
        heard = ""
        while heard != "error":
            heard = json.loads(line.recv(timeout=20))["type"]
        site.simulator.wait_until(lambda: len(site.simulator.requests) == asked + 1)
        line.socket.shutdown(socket.SHUT_RDWR)
        site.simulator.wait_until(lambda: site.simulator.last.aborted_at is not None)
    site.simulator.always(Answer("word"))
    assert ask(site.gateway, "POST", CHAT, HELLO).status == 200
    assert len(site.simulator.requests) == asked + 2


def test_lines_are_closed_when_the_gateway_stops(gateway: StartGateway) -> None:
    running = gateway(GPTOSS_UPSTREAM="demo")
    with connected(running) as line:
        say(line, input="Hello")
        assert events(line)[-1]["type"] == "response.completed"
        assert running.stop() == 0
        with pytest.raises(ConnectionClosed) as closed:
            line.recv(timeout=10)
    assert closed.value.rcvd is None or closed.value.rcvd.code == 1001
