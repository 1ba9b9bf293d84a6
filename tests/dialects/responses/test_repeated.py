"""The whole history beside ``previous_response_id``: no item is said twice."""

import json
from typing import Any

import pytest

from gptoss_api.core.turn import AssistantMessage, Message, ToolResultMessage, UserMessage
from gptoss_api.dialects.responses import ResponsesDialect

ASKED = {
    "type": "message",
    "id": "msg_a_0",
    "role": "user",
    "content": [{"type": "input_text", "text": "Oslo?"}],
}
THOUGHT = {
    "type": "reasoning",
    "id": "rs_1",
    "summary": [],
    "content": [{"type": "reasoning_text", "text": "Hm."}],
}
CALLED = {
    "type": "function_call",
    "id": "fc_1",
    "status": "completed",
    "call_id": "call_1",
    "name": "get_weather",
    "arguments": '{"city":"Oslo"}',
}
CHAIN = [ASKED, THOUGHT, CALLED]
BARE = {"role": "user", "content": "Oslo?"}
RESULT = {"type": "function_call_output", "call_id": "call_1", "output": "rain"}
SAID = {
    "type": "message",
    "id": "msg_2",
    "role": "assistant",
    "status": "completed",
    "content": [{"type": "output_text", "text": "Rain.", "annotations": []}],
}


def read(items: list[Any], history: list[Any]) -> tuple[tuple[Message, ...], list[Any]]:
    """The conversation, and the items that are kept of this request."""
    dialect = ResponsesDialect()
    asked = dialect.read(json.dumps({"input": items, "previous_response_id": "resp_1"}).encode())
    request = dialect.complete(asked, history=history, chain=("resp_1",))
    return request.turn.messages, [item["type"] for item in request.items]


@pytest.mark.parametrize(
    "repeated",
    [
        [],
        [BARE, THOUGHT, CALLED],
        [BARE, CALLED],
        [ASKED, THOUGHT, CALLED],
        [CALLED],
        [THOUGHT, CALLED],
        [{name: value for name, value in CALLED.items() if name != "id"}],
    ],
)
def test_what_the_chain_has_is_left_away(repeated: list[Any]) -> None:
    messages, kept = read([*repeated, RESULT], CHAIN)
    assert [type(message) for message in messages] == [UserMessage, AssistantMessage, ToolResultMessage]
    assert kept == ["function_call_output"]


def test_so_are_a_result_and_an_answer() -> None:
    history = [*CHAIN, {**RESULT, "id": "fco_1", "status": "completed"}, SAID]
    for said in (SAID, {"role": "assistant", "content": "Rain."}):
        messages, kept = read([BARE, CALLED, RESULT, said, {"role": "user", "content": "Rome?"}], history)
        assert [getattr(message, "text", "") for message in messages] == [
            "Oslo?",
            "",
            "rain",
            "Rain.",
            "Rome?",
        ]
        assert kept == ["message"]


def test_words_that_are_said_again_are_new() -> None:
    history = [ASKED, SAID]
    for items in ([BARE], [BARE, {"role": "assistant", "content": "Snow."}, BARE]):
        messages, kept = read(items, history)
        assert len(messages) == 2 + len(items)
        assert kept == ["message"] * len(items)


def test_another_result_of_the_same_call_is_new() -> None:
    history = [*CHAIN, {**RESULT, "id": "fco_1"}]
    messages, _ = read([{**RESULT, "output": "snow"}], history)
    assert [message.text for message in messages if isinstance(message, ToolResultMessage)] == [
        "rain",
        "snow",
    ]
