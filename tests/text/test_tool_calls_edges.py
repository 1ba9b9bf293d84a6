"""What stands at the edges of the forms: bodies, fences and elements that are nearly a call."""

from typing import Any

import pytest

from gptoss_api.text.tool_calls import DeclaredTool

from .parsing import CONFIG, PAIR, PARIS, block, parse, pieces_of, seen

F1 = f'{{"name": "get_weather", "arguments": {PARIS}}}'
WRAPPED = f"<tool_calls>\n<tool_call>{F1}</tool_call>\n</tool_calls>"
HEADER = '<tool_call key="k7q2" name="get_weather">'


@pytest.mark.parametrize(
    ("text", "calls"),
    [
        (block("/* nothing */ null", "now"), [("now", {})]),
        ('<tool_call name="get_weather">"{\\"arguments\\": {\\"city\\": \\"Paris\\"}}"</tool_call>', [PAIR]),
        (f'<tool_call>{{"name": "get_weather", "arguments": [{PARIS}]}}</tool_call>', [PAIR]),
        ('<tool_call>{"name": "now", "arguments": null}</tool_call>', [("now", {})]),
        (f"{WRAPPED}\n{WRAPPED}", [PAIR, PAIR]),
        (f"```\n{WRAPPED}\n```", [PAIR]),
        (
            f"{HEADER}<parameter=city>a</function>b</parameter><parameter=days>soon</parameter></tool_call>",
            [("get_weather", {"city": "a</function>b", "days": "soon"})],
        ),
    ],
)
def test_a_call_in_an_odd_form_is_one(text: str, calls: list[tuple[str, Any]]) -> None:
    result = seen(text)
    assert (result.content, result.pairs) == ("", calls)


@pytest.mark.parametrize(
    "text",
    [
        '<tool_call name="now">null</tool_call>',
        '<tool_call name="get_weather">"{oops"</tool_call>',
        '<tool_call name="get_weather">{"city": "' + "x" * 70_000 + '"}</tool_call>',
        "<function=get_weather><parameter=city>" + "x" * 70_000 + "</parameter></function>",
        f"```tool_call\n<tool_call>oops</tool_call>\n<tool_call>{F1}</tool_call>\n```",
        f"```py`x`\n{F1}",
        "```text\nabcd```\nmore\n```\nafter",
        "```text\nabcd```",
    ],
)
def test_what_is_nearly_a_call_is_text(text: str) -> None:
    result = seen(text)
    assert (result.content, result.calls, result.cancelled) == (text, [], "")


def test_an_expression_that_cannot_be_read_is_text() -> None:
    text = "get_weather({oops})"
    assert seen(text, mode="required").content == text


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ('<tool_call key="k7q2">"{a', "E_BAD_JSON"),
        (f"{HEADER}<parameter=city>Paris", "E_TRUNC"),
    ],
)
def test_a_keyed_block_that_is_no_call_is_text_and_a_problem(text: str, code: str) -> None:
    result = seen(text)
    assert (result.content, result.calls, result.problems) == (text, [], [(code, None)])


def test_a_tool_without_a_schema_takes_elements_as_they_are() -> None:
    text = '<tool_call key="k7q2" name="free"><parameter=a>1</parameter></tool_call>'
    tools = {**CONFIG.tools, "free": DeclaredTool()}
    assert seen(text, tools=tools, mend=lambda _, value: value).pairs == [("free", {"a": 1})]


def test_broken_json_without_an_end_is_delivered_raw() -> None:
    result = seen(f"{HEADER}{{hello}} and more")
    assert [(call.arguments, call.complete) for call in result.calls] == [("{hello} and more", False)]
    assert result.problems == [("E_BAD_JSON", 0)]


def test_a_string_that_holds_no_object_is_delivered_as_it_is() -> None:
    result = seen(block('"{oops"'))
    assert [call.arguments for call in result.calls] == ['"{oops"']
    assert result.codes == ["E_SCHEMA"]


@pytest.mark.parametrize(
    ("text", "cancelled"),
    [
        (f"{HEADER}{{hello " + "x" * 1_100_000, True),
        # A block that names no tool is text, so that nothing is cancelled.
        ('<tool_call key="k7q2">[' + "1, " * 400_000, False),
    ],
)
def test_a_block_without_an_end_is_cut_at_a_mebibyte(text: str, cancelled: bool) -> None:
    whole = parse([text])
    assert whole == parse(pieces_of(text, 4096))
    assert (bool(whole.cancelled), len(whole.calls)) == (cancelled, cancelled)
    assert cancelled or whole.content == text


@pytest.mark.parametrize("size", [1_048_520, 1_200_000])
def test_a_fence_longer_than_is_held_is_text(size: int) -> None:
    text = '```tool_call\n{"name": "get_weather", "arguments": {"city": "' + "x" * size + '"}}\n```\n'
    for pieces in ([text], pieces_of(text, 4096)):
        result = parse(pieces)
        assert (result.content, result.calls) == (text, [])
