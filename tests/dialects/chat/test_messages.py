"""Messages of every role and shape become the turn's conversation, or are named as what is wrong."""

from typing import Any

import pytest

from gptoss_api.core.turn import (
    AssistantMessage,
    InstructionMessage,
    ToolCall,
    ToolResultMessage,
    UserMessage,
)

from .asking import assert_refused, turn

CALL = {"id": "call_1", "type": "function", "function": {"name": "f", "arguments": '{"a":1}'}}


def messages(*said: dict[str, Any]) -> tuple[Any, ...]:
    return turn(messages=list(said)).messages


def test_every_role() -> None:
    assert messages(
        {"role": "system", "content": "Be brief.", "name": "app"},
        {"role": "developer", "content": "Be kind."},
        {"role": "user", "content": "Hi", "name": "ada"},
        {"role": "assistant", "content": None, "tool_calls": [CALL]},
        {"role": "tool", "tool_call_id": "call_1", "content": "2"},
        {"role": "assistant", "content": "Two.", "name": "bot"},
    ) == (
        InstructionMessage("Be brief.", "system", "app"),
        InstructionMessage("Be kind.", "developer"),
        UserMessage("Hi", "ada"),
        AssistantMessage(tool_calls=(ToolCall("call_1", "f", '{"a":1}'),)),
        ToolResultMessage("2", "call_1", "f"),
        AssistantMessage("Two.", name="bot"),
    )


def test_content_parts_are_joined_by_line_breaks() -> None:
    parts = [{"type": "text", "text": "one"}, {"type": "input_text", "text": "two"}]
    assert messages({"role": "user", "content": parts}) == (UserMessage("one\ntwo"),)
    assert messages({"role": "tool", "tool_call_id": "x", "content": []}) == (ToolResultMessage("", "x"),)


def test_text_is_passed_on_as_it_is() -> None:
    text = "  <|end|>\r\n\u2028\x00 \U0001f642 "
    assert messages({"role": "user", "content": text}) == (UserMessage(text),)


def test_reasoning_comes_back_under_either_name() -> None:
    for name in ("reasoning", "reasoning_content"):
        assert messages({"role": "assistant", "content": "x", name: "Hmm"}) == (
            AssistantMessage("x", reasoning="Hmm"),
        )
    both = {"role": "assistant", "content": "x", "reasoning": "Hmm", "reasoning_content": "Hmm"}
    assert messages(both) == (AssistantMessage("x", reasoning="Hmm"),)


def test_refusals_as_a_part_or_a_field() -> None:
    part = {"type": "refusal", "refusal": "No."}
    assert messages({"role": "assistant", "content": [part], "refusal": "Never."}) == (
        AssistantMessage(refusal="No.\nNever."),
    )
    assert_refused(
        "messages[0].content[0].type", "invalid_value", messages=[{"role": "user", "content": [part]}]
    )


def test_a_call_of_a_custom_tool() -> None:
    call = {"id": "c", "type": "custom", "custom": {"name": "patch", "input": "*** x"}}
    assert messages({"role": "assistant", "tool_calls": [call]}) == (
        AssistantMessage(tool_calls=(ToolCall("c", "patch", "*** x", "custom"),)),
    )


def test_a_call_without_its_type_and_with_decoded_arguments() -> None:
    call = {"id": "c", "function": {"name": "f", "arguments": {"city": "Zürich"}}}
    [message] = messages({"role": "assistant", "tool_calls": [call]})
    assert message.tool_calls == (ToolCall("c", "f", '{"city":"Zürich"}'),)


def test_arguments_that_are_no_json_are_kept() -> None:
    broken = {"id": "c", "type": "function", "function": {"name": "f", "arguments": '{"city": "Par'}}
    [message] = messages({"role": "assistant", "tool_calls": [broken]})
    assert message.tool_calls[0].arguments == '{"city": "Par'


def test_results_in_any_order_are_named_by_their_call() -> None:
    second = {"id": "call_2", "type": "function", "function": {"name": "g", "arguments": "{}"}}
    said = messages(
        {"role": "assistant", "tool_calls": [CALL, second]},
        {"role": "tool", "tool_call_id": "call_2", "content": "b"},
        {"role": "tool", "tool_call_id": "call_1", "content": "a"},
        {"role": "tool", "tool_call_id": "call_9", "content": "?"},
    )
    assert [(result.call_id, result.name) for result in said[1:]] == [
        ("call_2", "g"),
        ("call_1", "f"),
        ("call_9", None),
    ]


def test_an_id_that_is_used_again_names_the_latest_call() -> None:
    again = {"id": "call_1", "type": "function", "function": {"name": "g", "arguments": "{}"}}
    result = {"role": "tool", "tool_call_id": "call_1", "content": "x"}
    said = messages(
        {"role": "assistant", "tool_calls": [CALL]},
        result,
        {"role": "assistant", "tool_calls": [again]},
        result,
    )
    assert [message.name for message in said if isinstance(message, ToolResultMessage)] == ["f", "g"]


def test_legacy_calls_and_results_belong_together() -> None:
    call = {"role": "assistant", "content": None, "function_call": {"name": "f", "arguments": "{}"}}
    result = {"role": "function", "name": "f", "content": "1"}
    first, answer, second, other = messages(call, result, call, {**result, "content": None})
    ids = [first.tool_calls[0].id, second.tool_calls[0].id]
    assert len(set(ids)) == 2
    assert [(message.call_id, message.name, message.text) for message in (answer, other)] == [
        (ids[0], "f", "1"),
        (ids[1], "f", ""),
    ]
    assert messages(call, result)[0] == first


@pytest.mark.parametrize(
    ("message", "param", "code"),
    [
        ({}, "messages[0].role", "missing_required_parameter"),
        ({"role": "robot", "content": "x"}, "messages[0].role", "invalid_value"),
        ({"role": "user"}, "messages[0].content", "missing_required_parameter"),
        ({"role": "user", "content": None}, "messages[0].content", "invalid_type"),
        ({"role": "user", "content": 1}, "messages[0].content", "invalid_type"),
        ({"role": "user", "content": []}, "messages[0].content", "empty_array"),
        ({"role": "user", "content": ["x"]}, "messages[0].content[0]", "invalid_type"),
        ({"role": "user", "content": [{}]}, "messages[0].content[0].type", "missing_required_parameter"),
        ({"role": "user", "content": [{"type": 1}]}, "messages[0].content[0].type", "invalid_type"),
        ({"role": "user", "content": [{"type": "song"}]}, "messages[0].content[0].type", "invalid_value"),
        (
            {"role": "user", "content": [{"type": "text"}]},
            "messages[0].content[0].text",
            "missing_required_parameter",
        ),
        ({"role": "user", "content": "x", "name": 1}, "messages[0].name", "invalid_type"),
        ({"role": "tool", "content": "x"}, "messages[0].tool_call_id", "missing_required_parameter"),
        ({"role": "function", "content": "x"}, "messages[0].name", "missing_required_parameter"),
        ({"role": "assistant", "tool_calls": {}}, "messages[0].tool_calls", "invalid_type"),
        (
            {"role": "assistant", "tool_calls": [{}]},
            "messages[0].tool_calls[0].id",
            "missing_required_parameter",
        ),
        (
            {"role": "assistant", "tool_calls": [{"id": "c", "type": "magic"}]},
            "messages[0].tool_calls[0].type",
            "invalid_value",
        ),
        (
            {"role": "assistant", "tool_calls": [{"id": "c", "function": {"name": "f", "arguments": 1}}]},
            "messages[0].tool_calls[0].function.arguments",
            "invalid_type",
        ),
        ({"role": "assistant", "audio": {"id": "a"}}, "messages[0].audio", "unsupported_value"),
        ({"role": "assistant", "content": "x", "reasoning": 1}, "messages[0].reasoning", "invalid_type"),
        ("hello", "messages[0]", "invalid_type"),
    ],
)
def test_a_wrong_message(message: Any, param: str, code: str) -> None:
    assert_refused(param, code, messages=[message])


@pytest.mark.parametrize("kind", ["image_url", "input_audio", "file", "input_image", "video_url"])
def test_what_is_no_text_is_refused_by_name(kind: str) -> None:
    said = [{"role": "user", "content": [{"type": "text", "text": "Look:"}, {"type": kind}]}]
    assert_refused("messages[0].content[1].type", "unsupported_value", kind, messages=said)


@pytest.mark.parametrize("kind", ["image_url", "input_audio", "file", "input_image", "video_url"])
def test_what_is_no_text_becomes_a_note_but_in_the_newest_message_of_the_user(kind: str) -> None:
    content = [{"type": "text", "text": "Look:"}, {"type": kind}]
    call = {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    asked = turn(
        messages=[
            {"role": "system", "content": content},
            {"role": "user", "content": content},
            {"role": "assistant", "content": content},
            {"role": "user", "content": "And now?"},
            {"role": "assistant", "content": None, "tool_calls": [call]},
            {"role": "tool", "tool_call_id": "c", "content": content},
        ]
    )
    note = f"Look:\n[{kind} left out: this model reads only text]"
    assert [message.text for message in asked.messages] == [note, note, note, "And now?", "", note]
    assert asked.ignored == (f"messages.{kind}",)


def test_the_newest_message_of_the_user_may_stand_before_calls() -> None:
    call = {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    said = [
        {"role": "user", "content": [{"type": "text", "text": "Look:"}, {"type": "image_url"}]},
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "c", "content": "x"},
    ]
    assert_refused("messages[0].content[1].type", "unsupported_value", "image_url", messages=said)


def test_a_conversation_of_a_thousand_messages() -> None:
    said = [{"role": "user", "content": str(number)} for number in range(1000)]
    assert [message.text for message in messages(*said)] == [str(number) for number in range(1000)]


def test_the_bad_message_of_many_is_named() -> None:
    good = {"role": "user", "content": "x"}
    assert_refused("messages[7].content", "invalid_type", messages=[*[good] * 7, {**good, "content": {}}])
