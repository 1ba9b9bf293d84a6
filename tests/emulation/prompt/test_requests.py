"""From a client's chat request to the prompt: messages, calls and schemas of every odd shape.

Groups 14, 15 and 52 of docs/design/cases.md.
"""

import json
from typing import Any

import pytest

from gptoss_api.core.errors import GatewayError
from gptoss_api.core.turn import Turn
from gptoss_api.dialects.chat import ChatDialect
from gptoss_api.dialects.openai_errors import openai_error

from ..rendering import render_prompt

HI = {"role": "user", "content": "Hi"}


def read(*messages: Any, **parameters: Any) -> Turn:
    body = {"model": "gpt-oss-120b", "messages": messages or [HI], **parameters}
    return ChatDialect().parse(json.dumps(body).encode(), {}).turn


def shown(*messages: Any, **parameters: Any) -> str:
    return render_prompt(read(*messages, **parameters), secret=b"secret").text


def refused(*messages: Any, **parameters: Any) -> tuple[int, str | None]:
    with pytest.raises(GatewayError) as caught:
        read(*messages, **parameters)
    return openai_error(caught.value).status, caught.value.param


def says(role: str, content: Any, **more: Any) -> dict[str, Any]:
    return {"role": role, "content": content, **more}


def calls(*made: tuple[str, str, Any]) -> dict[str, Any]:
    return says(
        "assistant",
        None,
        tool_calls=[
            {"id": call_id, "type": "function", "function": {"name": name, "arguments": arguments}}
            for call_id, name, arguments in made
        ],
    )


# Group 14: messages


def test_an_empty_system_message_makes_no_section() -> None:
    assert shown(says("system", ""), HI) == "Hi"


def test_only_a_system_message() -> None:
    text = shown(says("system", "Greet the user."))
    assert "# Instructions" in text
    assert "The user has not written anything yet." in text


def test_an_assistant_first_and_users_in_a_row() -> None:
    text = shown(
        says("assistant", "Welcome!"), says("user", "One"), says("user", "Two"), says("user", "Three")
    )
    places = [text.index(each) for each in ("Welcome!", "One", "Two", "# Current user message", "Three")]
    assert places == sorted(places)


@pytest.mark.parametrize(
    "content",
    [
        "a\nb",
        [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}],
        [{"type": "input_text", "text": "a"}, {"type": "text", "text": "b"}],
    ],
)
def test_content_in_parts_is_joined(content: Any) -> None:
    assert shown(says("user", content)) == "a\nb"


def test_content_null_of_an_assistant_says_nothing() -> None:
    text = shown(HI, says("assistant", None), says("user", "Go on"))
    assert text.count("<message") == 1


@pytest.mark.parametrize(
    ("part", "param"),
    [
        (
            {"type": "image_url", "image_url": {"url": "http://127.0.0.1/x.png"}},
            "messages[0].content[0].type",
        ),
        ({"type": "input_audio", "input_audio": {}}, "messages[0].content[0].type"),
        ({"type": "file", "file": {}}, "messages[0].content[0].type"),
        ({"type": "hologram"}, "messages[0].content[0].type"),
        ({"text": "x"}, "messages[0].content[0].type"),
        ("text", "messages[0].content[0]"),
    ],
)
def test_parts_that_are_no_text_are_refused_by_name(part: Any, param: str) -> None:
    assert refused(says("user", [part])) == (400, param)


@pytest.mark.parametrize("content", [None, 7, {}, []])
def test_a_user_has_to_say_something(content: Any) -> None:
    assert refused(says("user", content)) == (400, "messages[0].content")


# Group 15: calls and results


def test_calls_and_results_out_of_order_with_ids_that_come_again() -> None:
    text = shown(
        HI,
        calls(("1", "read", '{"p": 1}'), ("2", "list", "{}")),
        says("tool", "two", tool_call_id="2"),
        says("tool", "one", tool_call_id="1"),
        calls(("1", "read", '{"p": 3}')),
        says("tool", "three", tool_call_id="1"),
    )
    places = [
        text.index(each) for each in ('{"p": 1}', "\none\n", "list", "\ntwo\n", '{"p": 3}', "\nthree\n")
    ]
    assert places == sorted(places)


def test_a_result_without_a_call_and_a_call_without_a_result() -> None:
    text = shown(HI, says("tool", "lost", tool_call_id="9"), calls(("1", "read", "{}")), says("user", "So?"))
    assert 'name="unknown">\nlost\n' in text
    assert "(no result was returned)" in text


@pytest.mark.parametrize(
    ("arguments", "written"),
    [({"p": "ü"}, '{"p":"ü"}'), ("not json", "not json"), ("", "{}"), ('{"a": 1, }', '{"a": 1, }')],
)
def test_arguments_of_every_kind_are_shown(arguments: Any, written: str) -> None:
    text = shown(HI, calls(("1", "read", arguments)), says("tool", "x", tool_call_id="1"))
    assert f'name="read">\n{written}\n</tool_call>' in text


def test_legacy_calls_find_their_results() -> None:
    text = shown(
        HI,
        says("assistant", None, function_call={"name": "read", "arguments": "{}"}),
        says("function", "done", name="read"),
    )
    assert 'name="read">\ndone\n</tool_result>' in text


# Group 52: schemas at intake

BAD_SCHEMAS = [
    {"type": "nope"},
    {"type": "object", "properties": {"a": {"pattern": "("}}},
    {"$ref": "http://127.0.0.1/schema.json"},
    {"$ref": "other.json#/x"},
    {"type": "object", "properties": {"a": {"description": "x" * 1_000_000}}},
]


@pytest.mark.parametrize("schema", BAD_SCHEMAS)
def test_a_schema_that_cannot_be_checked_is_refused(schema: Any) -> None:
    form = {"type": "json_schema", "json_schema": {"name": "f", "schema": schema}}
    assert refused(response_format=form) == (400, "response_format.json_schema.schema")
    tool = {"type": "function", "function": {"name": "f", "parameters": schema, "strict": True}}
    assert refused(tools=[tool]) == (400, "tools[0].function.parameters")


@pytest.mark.parametrize("schema", BAD_SCHEMAS)
def test_tools_that_are_not_strict_may_have_any_schema(schema: Any) -> None:
    tool = {"type": "function", "function": {"name": "f", "parameters": schema}}
    assert "type f = (" in shown(tools=[tool])
