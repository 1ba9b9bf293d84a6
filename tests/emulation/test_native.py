"""Tools and histories as an upstream with calls of its own knows them, and its answers read back."""

import json

import pytest

from gptoss_api.core.events import (
    Finished,
    ReasoningDelta,
    TextDelta,
    ToolCallDelta,
    ToolCallFinished,
    ToolCallStarted,
)
from gptoss_api.core.turn import (
    AssistantMessage,
    Message,
    ToolCall,
    ToolChoice,
    ToolResultMessage,
)
from gptoss_api.emulation.answer.native import NativeAnswer
from gptoss_api.emulation.prompt.native import native_turn

from .scripted import NOTE, PARIS, WEATHER, asks


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


@pytest.mark.parametrize(
    ("written", "text"),
    [
        ('{"input": "a\\nb"}', "a\nb"),
        ('{"input": 1}', '{"input": 1}'),
        ("{nothing", "{nothing"),
        ("[1]", "[1]"),
    ],
)
def test_a_custom_tools_call_comes_back_as_its_text(written: str, text: str) -> None:
    reading = NativeAnswer(asks(tools=[NOTE, WEATHER]), offers_tools=True)
    begun = ToolCallStarted(0, "call_1", "note")
    events = [
        *reading.feed([begun, ToolCallDelta(0, written[:3])]),
        *reading.feed([ToolCallDelta(0, written[3:]), ToolCallFinished(0), Finished("tool_calls")]),
    ]
    assert events == [
        ToolCallStarted(0, "call_1", "note", kind="custom"),
        ToolCallDelta(0, text),
        ToolCallFinished(0),
        Finished("tool_calls"),
    ]


@pytest.mark.parametrize(("mode", "reason"), [("named", "stop"), ("required", "tool_calls")])
def test_a_function_that_had_to_be_called_ends_the_turn_as_openai_does(mode: str, reason: str) -> None:
    choice = ToolChoice(mode, ("get_weather",) if mode == "named" else ())  # type: ignore[arg-type]  # one of its words
    reading = NativeAnswer(asks(tools=[WEATHER], tool_choice=choice), offers_tools=True)
    begun = ToolCallStarted(0, "call_1", "get_weather")
    events = reading.feed([begun, ToolCallDelta(0, PARIS), ToolCallFinished(0), Finished("tool_calls")])
    assert [event.reason for event in events if isinstance(event, Finished)] == [reason]
    assert events[:-1] == [begun, ToolCallDelta(0, PARIS), ToolCallFinished(0)]


def test_of_an_answer_that_broke_off_the_words_held_back_are_given() -> None:
    reading = NativeAnswer(asks(), offers_tools=False)
    assert reading.feed([ReasoningDelta("Hm. "), TextDelta("Hello <|chan")])[-1:] == [TextDelta("Hello ")]
    assert list(reading.flush()) == [TextDelta("<|chan")]
    assert not NativeAnswer(asks(), offers_tools=False).changed
