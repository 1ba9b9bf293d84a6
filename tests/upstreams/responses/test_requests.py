"""What a server of the Responses API is asked for, and what it need not have."""

import json
from typing import Any

import pytest

from gptoss_api.core.servers import SERVER_KINDS
from gptoss_api.core.turn import (
    AssistantMessage,
    InstructionMessage,
    Message,
    Tool,
    ToolCall,
    ToolChoice,
    ToolResultMessage,
    Turn,
    UserMessage,
)
from gptoss_api.upstreams.responses.requests import encode_request
from tests.backends.server import ask, json_reply, turn
from tests.upstreams.chatkit.scripted import Asked, Reply, ScriptedServer
from tests.upstreams.contract import answer, upstream_at

from . import reference

KIND = SERVER_KINDS["responses"]


def body(*messages: Message, **members: Any) -> Any:
    asked = Turn(model="gpt-oss-20b", messages=messages or (UserMessage("Hi"),), **members)
    return json.loads(encode_request(asked, "gpt-oss-20b"))


def test_a_conversation_goes_up_as_items() -> None:
    sent = body(
        InstructionMessage("Be kind."),
        InstructionMessage("Be brief.", "developer"),
        UserMessage("Weather?"),
        AssistantMessage(
            "Looking.",
            "Ask.",
            tool_calls=(ToolCall("c1", "weather", '{"city": "Rome"}'), ToolCall("c2", "now", "")),
        ),
        ToolResultMessage("Sunny", "c1", "weather"),
        ToolResultMessage("Noon", "c2", "now"),
        InstructionMessage("In French."),
        max_tokens=50,
        effort="high",
    )
    assert sent == {
        "model": "gpt-oss-20b",
        "instructions": "Be kind.\n\nBe brief.",
        "input": [
            {"type": "message", "role": "user", "content": "Weather?"},
            {
                "type": "reasoning",
                "id": "rs_1",
                "summary": [],
                "content": [{"type": "reasoning_text", "text": "Ask."}],
            },
            {"type": "message", "role": "assistant", "content": "Looking."},
            {"type": "function_call", "call_id": "c1", "name": "weather", "arguments": '{"city": "Rome"}'},
            {"type": "function_call", "call_id": "c2", "name": "now", "arguments": "{}"},
            {"type": "function_call_output", "call_id": "c1", "output": "Sunny"},
            {"type": "function_call_output", "call_id": "c2", "output": "Noon"},
            # The reference server knows no developer among its items.
            {"type": "message", "role": "system", "content": "In French."},
        ],
        "stream": True,
        "store": False,
        "max_output_tokens": 50,
        "reasoning": {"effort": "high"},
    }


def test_a_thought_of_an_answer_that_is_over_stays_here() -> None:
    sent = body(UserMessage("a"), AssistantMessage("b", "Hm."), UserMessage("c"))
    assert [item["type"] for item in sent["input"]] == ["message"] * 3


def test_instructions_alone_are_something_to_answer() -> None:
    sent = body(InstructionMessage("Tell a joke."))
    assert sent["input"] == [{"type": "message", "role": "system", "content": "Tell a joke."}]
    assert "instructions" not in sent


def test_tools_are_offered_as_the_choice_allows() -> None:
    tools = (Tool("a", "Does a.", {"type": "object", "properties": {}}, strict=True), Tool("b"))
    sent = body(tools=tools, parallel_tool_calls=False)
    assert sent["tools"] == [
        {
            "type": "function",
            "name": "a",
            "description": "Does a.",
            "parameters": {"type": "object", "properties": {}},
            "strict": True,
        },
        {
            "type": "function",
            "name": "b",
            "description": "",
            "parameters": {"type": "object", "properties": {}},
            "strict": False,
        },
    ]
    assert sent["parallel_tool_calls"] is False
    assert [tool["name"] for tool in body(tools=tools, tool_choice=ToolChoice("auto", ("b",)))["tools"]] == [
        "b"
    ]
    assert "tools" not in body(tools=tools, tool_choice=ToolChoice("none"))


def test_only_the_options_of_this_api_are_sent() -> None:
    sent = body(options={"temperature": 0.5, "top_p": 0.9, "seed": 7, "model": "other", "store": True})
    assert (sent["temperature"], sent["top_p"], sent["model"], sent["store"]) == (
        0.5,
        0.9,
        "gpt-oss-20b",
        False,
    )
    assert "seed" not in sent


def test_halves_of_characters_do_not_keep_a_turn_from_being_asked() -> None:
    assert body(UserMessage("a\ud83d"))["input"][0]["content"] == "a?"


class Unlisted(ScriptedServer):
    """Has no list of models, as the reference server."""

    def reply_to(self, asked: Asked) -> Reply:
        return json_reply(404, {"detail": "Not Found"}) if asked.method == "GET" else super().reply_to(asked)


async def test_a_server_without_a_list_of_models_is_there_and_has_both() -> None:
    async with (
        Unlisted(answer(KIND, "Hello.")).running() as server,
        upstream_at(KIND, server.url.removesuffix("/chatkit") + "/v1") as upstream,
    ):
        await upstream.look(2.0)
        assert (await upstream.health()).ready
        assert [model.name for model in await upstream.models()] == ["gpt-oss-120b", "gpt-oss-20b"]
        await ask(upstream, turn())
    assert [asked.path for asked in server.asked][-1] == "/v1/responses"


async def test_an_answer_may_come_as_one_body() -> None:
    whole = json_reply(200, reference.response(reference.thought("Hm."), reference.message("Hello.")))
    async with (
        Unlisted(whole).running() as server,
        upstream_at(KIND, server.url.removesuffix("/chatkit") + "/v1") as upstream,
    ):
        collector, _ = await ask(upstream, turn())
    (choice,) = collector.choices
    assert (choice.reasoning, choice.text) == ("Hm.", "Hello.")


async def test_what_the_server_could_not_read_of_the_model_is_asked_once_more(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("gptoss_api.upstreams.attempts.RETRY_PAUSE", 0.01)
    unread = json_reply(500, {"error": {"message": "openai_harmony: unexpected tokens remaining"}})
    async with (
        Unlisted(unread, answer(KIND, "Hello.")).running() as server,
        upstream_at(KIND, server.url.removesuffix("/chatkit") + "/v1") as upstream,
    ):
        collector, _ = await ask(upstream, turn())
    assert collector.choices[0].text == "Hello."


@pytest.mark.parametrize("whole_answers", [True, False])
async def test_a_whole_answer_is_asked_for_where_that_will_do(whole_answers: bool) -> None:
    stream = answer(KIND, "Hello.")
    asked_whole = json_reply(200, reference.response(reference.message("Hello.")))
    server = Unlisted(asked_whole if whole_answers else stream, stream)
    async with (
        server.running(),
        upstream_at(
            KIND, server.url.removesuffix("/chatkit") + "/v1", whole_answers=whole_answers
        ) as upstream,
    ):
        for streamed in (False, True):
            collector, _ = await ask(upstream, turn(streamed=streamed))
            assert collector.choices[0].text == "Hello."
    sent = [asked.body["stream"] for asked in server.asked if asked.method == "POST"]
    assert sent == [not whole_answers, True]


async def test_a_server_that_refuses_a_whole_answer_is_asked_for_a_stream() -> None:
    refused = json_reply(400, {"error": {"message": "Unsupported value: 'stream' must be true"}})
    server = Unlisted(refused, answer(KIND, "Hello."))
    async with (
        server.running(),
        upstream_at(KIND, server.url.removesuffix("/chatkit") + "/v1", whole_answers=True) as upstream,
    ):
        for _ in range(2):
            collector, _ = await ask(upstream, turn(streamed=False))
            assert collector.choices[0].text == "Hello."
    assert [asked.body["stream"] for asked in server.asked if asked.method == "POST"] == [False, True, True]
