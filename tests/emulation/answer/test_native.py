"""Answers of an upstream with calls of its own, read back in the client's terms."""

import pytest

from gptoss_api.core.events import (
    Finished,
    ReasoningDelta,
    TextDelta,
    ToolCallDelta,
    ToolCallFinished,
    ToolCallStarted,
)
from gptoss_api.core.turn import Tool, ToolChoice
from gptoss_api.emulation.answer.native import NativeAnswer

from ..scripted import NOTE, PARIS, WEATHER, asks


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
    answer = NativeAnswer(asks(tools=[NOTE, WEATHER]), offers_tools=True)
    begun = ToolCallStarted(0, "call_1", "note")
    events = [
        *answer.feed([begun, ToolCallDelta(0, written[:3])]),
        *answer.feed([ToolCallDelta(0, written[3:]), ToolCallFinished(0), Finished("tool_calls")]),
    ]
    assert events == [
        ToolCallStarted(0, "call_1", "note", kind="custom"),
        ToolCallDelta(0, text),
        ToolCallFinished(0),
        Finished("tool_calls"),
    ]


@pytest.mark.parametrize(
    ("written", "text"),
    [
        ('{"input":"rm -rf /tmp/x', "rm -rf /tmp/x"),
        ('{ "input" : "a\\n\\u00e9\\', "a\né"),
        ('{"input":"a\\ud83d', "a"),
        ('{"input":"a\\ud83d\\ude00"', "a😀"),
        ('{"inp', ""),
        ("{}", ""),
        ('["{\\"input\\":\\"rm', ""),
        ("print(1", "print(1"),
    ],
)
def test_of_a_cut_custom_call_the_input_is_what_came_of_it(written: str, text: str) -> None:
    answer = NativeAnswer(asks(tools=[NOTE]), offers_tools=True)
    cut = ToolCallFinished(0, complete=False)
    events = answer.feed([ToolCallStarted(0, "call_1", "note"), ToolCallDelta(0, written), cut])
    assert events[1:] == [ToolCallDelta(0, text), cut]


@pytest.mark.parametrize(("mode", "reason"), [("named", "stop"), ("required", "tool_calls")])
def test_a_function_that_had_to_be_called_ends_the_turn_as_openai_does(mode: str, reason: str) -> None:
    choice = ToolChoice(mode, ("get_weather",) if mode == "named" else ())  # type: ignore[arg-type]  # one of its words
    answer = NativeAnswer(asks(tools=[WEATHER], tool_choice=choice), offers_tools=True)
    begun = ToolCallStarted(0, "call_1", "get_weather")
    events = answer.feed([begun, ToolCallDelta(0, PARIS), ToolCallFinished(0), Finished("tool_calls")])
    assert [event.reason for event in events if isinstance(event, Finished)] == [reason]
    assert events[:-1] == [begun, ToolCallDelta(0, PARIS), ToolCallFinished(0)]


def test_of_an_answer_that_broke_off_the_words_held_back_are_given() -> None:
    answer = NativeAnswer(asks(), offers_tools=False)
    assert answer.feed([ReasoningDelta("Hm. "), TextDelta("Hello <|chan")])[-1:] == [TextDelta("Hello ")]
    assert list(answer.flush()) == [TextDelta("<|chan")]
    assert not NativeAnswer(asks(), offers_tools=False).changed


@pytest.mark.parametrize("written", ["client_Bash", "Bash", "bash", "functions.Bash"])
def test_a_tool_that_is_shown_under_another_name_may_be_called_by_its_own(written: str) -> None:
    answer = NativeAnswer(asks(tools=[Tool("Bash")]), offers_tools=True)
    begun, arguments = ToolCallStarted(0, "call_1", written), ToolCallDelta(0, "{}")
    events = answer.feed([begun, arguments, ToolCallFinished(0), Finished("tool_calls")])
    assert events[0] == ToolCallStarted(0, "call_1", "Bash")


def test_a_call_that_leaked_may_name_the_tool_as_the_client_does() -> None:
    answer = NativeAnswer(asks(tools=[Tool("Bash")]), offers_tools=True)
    leaked = "<|channel|>commentary to=functions.Bash<|message|>{}<|call|>"
    events = answer.feed([TextDelta(leaked), Finished("stop")])
    assert [event.name for event in events if isinstance(event, ToolCallStarted)] == ["Bash"]
