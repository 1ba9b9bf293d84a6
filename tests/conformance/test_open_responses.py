"""What Open Responses asks of ``/v1/responses``: required fields, events, tools, WebSocket, compact."""

import json
from collections.abc import Iterable
from importlib.metadata import version
from typing import Any

import httpx2 as httpx
import pytest
from websockets.sync.client import connect

from tests.dialects.strict import check_event, check_response
from tests.simulator.agent import Call

from .stages import Asked, Stage

SUITE = (
    "Responses, as Open Responses' compliance test has them",
    f"own cases; types of openai {version('openai')}",
)
MODEL = "gpt-oss-120b"
TEXT = "Hello there."
CITY = {"location": "San Francisco, CA"}
TOOL = {
    "type": "function",
    "name": "get_weather",
    "description": "Get the current weather for a location",
    "parameters": {
        "type": "object",
        "properties": {"location": {"type": "string"}},
        "required": ["location"],
    },
}
_NUMBER = (int, float)
_TEXT_OR_NULL = (str, type(None))
# Every response has these, whatever was asked; null only where it says so.
REQUIRED: dict[str, type | tuple[type, ...]] = {
    "id": str,
    "object": str,
    "created_at": int,
    "completed_at": (int, type(None)),
    "status": str,
    "incomplete_details": (dict, type(None)),
    "model": str,
    "previous_response_id": _TEXT_OR_NULL,
    "instructions": (str, list, type(None)),
    "output": list,
    "error": (dict, type(None)),
    "tools": list,
    "tool_choice": (str, dict),
    "truncation": str,
    "parallel_tool_calls": bool,
    "text": dict,
    "top_p": _NUMBER,
    "presence_penalty": _NUMBER,
    "frequency_penalty": _NUMBER,
    "top_logprobs": int,
    "temperature": _NUMBER,
    "reasoning": (dict, type(None)),
    "usage": (dict, type(None)),
    "max_output_tokens": (int, type(None)),
    "max_tool_calls": (int, type(None)),
    "store": bool,
    "background": bool,
    "service_tier": str,
    "metadata": (dict, type(None)),
    "safety_identifier": _TEXT_OR_NULL,
    "prompt_cache_key": _TEXT_OR_NULL,
}
_ITEMS: dict[str, tuple[str, ...]] = {
    "message": ("id", "status", "role", "content"),
    "reasoning": ("id", "summary"),
    "function_call": ("id", "call_id", "name", "arguments", "status"),
}
_STARTED = ("response.created", "response.in_progress")
_CLIENT = httpx.Client(verify=False, timeout=30)


def post(stage: Stage, path: str = "/v1/responses", **body: Any) -> Any:
    reply = _CLIENT.post(stage.base_url + path, json={"model": MODEL, **body})
    assert reply.status_code == 200, reply.text
    return reply.json()


def user(text: str) -> dict[str, Any]:
    return {"type": "message", "role": "user", "content": text}


def check_whole(response: Any, status: str = "completed") -> None:
    check_response(response)
    for name, kinds in REQUIRED.items():
        assert isinstance(response[name], kinds), name
    assert response["status"] == status
    for item in response["output"]:
        assert set(_ITEMS[item["type"]]) <= item.keys()
    for name in ("input_tokens", "output_tokens", "total_tokens"):
        assert response["usage"][name] > 0
    assert {"input_tokens_details", "output_tokens_details"} <= response["usage"].keys()


def said(response: Any) -> str:
    return "".join(
        part["text"]
        for item in response["output"]
        if item["type"] == "message"
        for part in item["content"]
        if part["type"] == "output_text"
    )


def check_events(events: list[Any]) -> Any:
    """The response at the end; every event in its place before it."""
    for number, event in enumerate(events):
        check_event(event)
        assert event["sequence_number"] == number
    assert tuple(event["type"] for event in events[:2]) == _STARTED
    last = events[-1]["response"]
    assert events[-1]["type"] == f"response.{last['status']}"
    opened = [event["item"]["id"] for event in events if event["type"] == "response.output_item.added"]
    closed = [event["item"] for event in events if event["type"] == "response.output_item.done"]
    assert opened == [item["id"] for item in closed] == [item["id"] for item in last["output"]]
    assert closed == last["output"]
    assert deltas(events, "response.output_text") == said(last)
    return last


def deltas(events: Iterable[Any], kind: str) -> str:
    """The text of ``kind``'s deltas, which the events that end them repeat."""
    pieces = "".join(event["delta"] for event in events if event["type"] == f"{kind}.delta")
    ends = [event for event in events if event["type"] == f"{kind}.done"]
    assert pieces == "".join(event.get("text", event.get("arguments", "")) for event in ends)
    return pieces


def streamed(stage: Stage, **body: Any) -> list[Any]:
    with _CLIENT.stream(
        "POST", f"{stage.base_url}/v1/responses", json={"model": MODEL, "stream": True, **body}
    ) as reply:
        assert reply.headers["content-type"].startswith("text/event-stream")
        blocks = [block for block in reply.read().decode().split("\n\n") if block and block[0] != ":"]
    events = []
    for block in blocks:
        name, data = block.split("\n")
        events.append(json.loads(data.removeprefix("data: ")))
        assert name == f"event: {events[-1]['type']}"
    return events


def say(stage: Stage, text: str = TEXT) -> None:
    stage.play(lambda asked: text)


def weather(asked: Asked) -> str | list[Call]:
    return f"It is {asked.results[-1]}." if asked.results else [Call("get_weather", CITY)]


def test_a_text_answer_has_every_field(stage: Stage) -> None:
    say(stage)
    response = post(stage, input=[user("Say hello in exactly 3 words.")])
    check_whole(response)
    assert said(response) == TEXT


def test_a_stream_has_its_events_in_order(stage: Stage) -> None:
    say(stage)
    response = check_events(streamed(stage, input=[user("Count from 1 to 5.")]))
    check_whole(response)
    assert said(response) == TEXT


def test_a_stream_of_a_call_has_its_events_in_order(stage: Stage) -> None:
    stage.play(weather)
    events = streamed(stage, input=[user("What's the weather?")], tools=[TOOL])
    response = check_events(events)
    check_whole(response)
    arguments = deltas(events, "response.function_call_arguments")
    assert json.loads(arguments) == CITY
    assert response["output"][-1]["arguments"] == arguments


@pytest.mark.parametrize("role", ["system", "developer"])
def test_instructions_of_a_role_reach_the_model(stage: Stage, role: str) -> None:
    stage.play(lambda asked: "Arr!" if "You are a pirate." in asked.said else "No.")
    pirate = {"type": "message", "role": role, "content": "You are a pirate."}
    response = post(stage, input=[pirate, user("Say hello.")])
    check_whole(response)
    assert said(response) == "Arr!"


def test_a_tool_is_called_and_its_result_is_answered_from(stage: Stage) -> None:
    stage.play(weather)
    asked = user("What's the weather like in San Francisco?")
    response = post(stage, input=[asked], tools=[TOOL])
    check_whole(response)
    (call,) = [item for item in response["output"] if item["type"] == "function_call"]
    assert (call["name"], json.loads(call["arguments"])) == ("get_weather", CITY)
    result = {"type": "function_call_output", "call_id": call["call_id"], "output": "sunny"}
    for more in (
        {"input": [asked, *response["output"], result]},
        {"input": [result], "previous_response_id": response["id"]},
    ):
        answer = post(stage, tools=[TOOL], **more)
        check_whole(answer)
        assert said(answer) == "It is sunny."


def test_a_conversation_is_known(stage: Stage) -> None:
    stage.play(lambda asked: "Alice." if "My name is Alice." in asked.said else "Who?")
    before = {"type": "message", "role": "assistant", "content": "Hello Alice!"}
    response = post(stage, input=[user("My name is Alice."), before, user("What is my name?")])
    check_whole(response)
    assert said(response) == "Alice."


def test_a_form_is_kept(stage: Stage) -> None:
    say(stage, '{"walk": true}')
    schema = {"type": "object", "properties": {"walk": {"type": "boolean"}}, "required": ["walk"]}
    response = post(
        stage, input="Shall we?", text={"format": {"type": "json_schema", "name": "plan", "schema": schema}}
    )
    check_whole(response)
    assert json.loads(said(response)) == {"walk": True}


def test_a_limit_makes_it_incomplete(stage: Stage) -> None:
    say(stage, "word " * 200)
    response = post(stage, input="Talk.", max_output_tokens=40)
    check_whole(response, "incomplete")
    assert response["incomplete_details"] == {"reason": "max_output_tokens"}


@pytest.mark.xfail(strict=True, reason="gpt-oss models take text only: a picture is refused with 400 by name")
def test_a_picture_is_described(stage: Stage) -> None:
    say(stage)
    picture = {"type": "input_image", "image_url": "data:image/png;base64,iVBORw0KGgo="}
    post(stage, input=[{"type": "message", "role": "user", "content": [picture]}])


def test_an_error_has_its_fields(stage: Stage) -> None:
    reply = _CLIENT.post(f"{stage.base_url}/v1/responses", json={"model": MODEL, "input": [{"type": "?"}]})
    assert reply.status_code == 400
    assert {"message", "type", "param", "code"} == reply.json()["error"].keys()


def test_the_input_is_counted(stage: Stage) -> None:
    few = post(stage, "/v1/responses/input_tokens", input="Hello")
    many = post(stage, "/v1/responses/input_tokens", input="Hello", tools=[TOOL])
    assert few["object"] == "response.input_tokens"
    assert 0 < few["input_tokens"] < many["input_tokens"]


def test_a_conversation_is_compacted_and_goes_on(stage: Stage) -> None:
    say(stage, "They spoke of otters.")
    compacted = post(stage, "/v1/responses/compact", input=[user("Otters? " * 50)])
    assert compacted["object"] == "response.compaction"
    assert {"id", "created_at", "output", "usage"} <= compacted.keys()
    assert compacted["output"][-1]["type"] == "compaction"
    assert compacted["output"][-1]["encrypted_content"]
    stage.play(lambda asked: "Otters." if "They spoke of otters." in asked.said else "Of what?")
    response = post(stage, input=[*compacted["output"], user("Of what did we speak?")])
    check_whole(response)
    assert said(response) == "Otters."


def test_a_websocket_carries_the_same_events(stage: Stage) -> None:
    say(stage)
    url = f"{stage.base_url.replace('http:', 'ws:')}/v1/responses"
    with connect(url, proxy=None) as line:
        previous: dict[str, Any] = {}
        for text in ("Hello", "And again"):
            create = {"type": "response.create", "model": MODEL, "input": text, **previous}
            line.send(json.dumps(create))
            events: list[Any] = []
            while not events or events[-1]["type"] not in ("response.completed", "error"):
                events.append(json.loads(line.recv(timeout=20)))
            response = check_events(events)
            check_whole(response)
            assert said(response) == TEXT
            previous = {"previous_response_id": response["id"]}
