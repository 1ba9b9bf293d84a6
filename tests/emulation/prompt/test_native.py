"""Tools and histories as an upstream with calls of its own knows them."""

import json

from gptoss_api.core.turn import (
    AssistantMessage,
    Message,
    ToolCall,
    ToolResultMessage,
    UserMessage,
)
from gptoss_api.emulation.prompt.native import native_turn

from ..scripted import NOTE, PARIS, WEATHER, asks


def ids(*messages: Message) -> list[tuple[str | None, ...]]:
    """Of every message that the upstream gets the ids of its calls, or the one it answers."""
    sent = native_turn(asks("Hello!", *messages, tools=[WEATHER, NOTE])).messages
    return [
        tuple(call.id for call in message.tool_calls)
        if isinstance(message, AssistantMessage)
        else (message.call_id,)
        for message in sent
        if isinstance(message, AssistantMessage | ToolResultMessage)
    ]


def called(*told: str) -> AssistantMessage:
    return AssistantMessage(tool_calls=tuple(ToolCall(each, "get_weather", PARIS) for each in told))


def test_a_sound_history_goes_up_as_it_is() -> None:
    history = (called("a", "b"), ToolResultMessage("x", call_id="a"), ToolResultMessage("y", call_id="b"))
    assert ids(*history) == [("a", "b"), ("a",), ("b",)]


def test_a_failure_of_a_tool_is_told_in_words() -> None:
    failed = ToolResultMessage("no such city", call_id="a", is_error=True)
    lost = ToolResultMessage("", call_id="gone", name="get_weather", is_error=True)
    sent = native_turn(asks("Hello!", called("a"), failed, lost, tools=[WEATHER])).messages
    told = [(m.text, m.is_error) for m in sent if isinstance(m, ToolResultMessage)]
    assert told == [
        ("The tool call failed:\nno such city", False),
        ("The tool call failed and returned nothing.", False),
    ]


def test_a_call_id_that_comes_again_is_made_one_of_its_own() -> None:
    first, one, second, two = ids(
        called("a"), ToolResultMessage("x", call_id="a"), called("a"), ToolResultMessage("y", call_id="a")
    )
    assert (first, one) == (("a",), ("a",))
    assert second == two != first


def test_a_call_without_a_result_gets_one_that_says_so() -> None:
    result = ToolResultMessage("x", call_id="b")
    for history in (
        (called("a", "b"), result, UserMessage("so?")),
        (called("a", "b"), UserMessage("so?"), result),
        (called("a"), called("b"), result),
    ):
        sent = native_turn(asks("Hello!", *history, tools=[WEATHER])).messages
        told = [(m.call_id, m.text) for m in sent if isinstance(m, ToolResultMessage)]
        assert told == [("a", "(no result was returned)"), ("b", "x")]
    assert ids(called("a")) == [("a",), ("a",)]


def test_a_result_stands_behind_its_call() -> None:
    x, y = ToolResultMessage("x", call_id="a"), ToolResultMessage("y", call_id="b")
    assert ids(called("a"), UserMessage("wait"), x) == [("a",), ("a",)]
    assert ids(called("a"), called("b"), y, x) == [("a",), ("a",), ("b",), ("b",)]
    assert ids(called("a"), x, AssistantMessage("so"), called("b"), x, y)[-2:] == [("b",), ("b",)]


def test_a_result_whose_call_was_trimmed_away_gets_a_call() -> None:
    lost = ToolResultMessage("x", call_id="gone", name="get_weather")
    history = native_turn(
        asks("Hello!", lost, called("a"), ToolResultMessage("y", call_id="a"), tools=[WEATHER])
    ).messages
    _, call, result, *_ = history
    assert isinstance(call, AssistantMessage)
    assert isinstance(result, ToolResultMessage)
    assert [(each.id, each.name, each.arguments) for each in call.tool_calls] == [
        (result.call_id, "get_weather", "{}")
    ]
    assert ids(lost, called("a"), ToolResultMessage("y", call_id="a"))[2:] == [("a",), ("a",)]


def test_a_custom_tool_goes_up_as_a_function_of_one_string() -> None:
    call = AssistantMessage(tool_calls=(ToolCall("a", "note", 'say "x"', "custom"),))
    turn = native_turn(
        asks("Hello!", call, ToolResultMessage("done", call_id="a", name="note"), tools=[NOTE])
    )
    [tool] = turn.tools
    assert (tool.kind, tool.parameters and list(tool.parameters["properties"])) == ("function", ["input"])
    sent = next(each for each in turn.messages if isinstance(each, AssistantMessage))
    assert [json.loads(each.arguments) for each in sent.tool_calls] == [{"input": 'say "x"'}]


def test_what_a_server_takes_as_it_stands_stays_the_same_object() -> None:
    history = (called("a"), ToolResultMessage("x", call_id="a", name="get_weather"))
    sent = native_turn(asks("Hello!", *history, tools=[WEATHER]))
    assert all(after is before for after, before in zip(sent.messages[1:], history, strict=True))
    assert sent.tools[0] is WEATHER
    plain = asks("Hello!")
    assert native_turn(plain) is plain
