"""What stands at the edges of the forms: bodies, fences and elements that are nearly a call."""

import json
from typing import Any

import pytest
from msgspec import structs

from gptoss_api.text.tool_calls import CallArgs, CallStart, DeclaredTool, ToolCallParser

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


def test_arguments_too_deep_to_be_checked_do_not_fit() -> None:
    def too_deep(_name: str, _value: Any) -> Any:
        raise RecursionError

    unkeyed = f"<tool_call>{F1}</tool_call>"
    assert seen(unkeyed, mend=too_deep).content == unkeyed
    strict = seen(block(PARIS, "strict_one"), mend=too_deep)
    assert (strict.calls[0].arguments, strict.codes) == (PARIS, ["E_SCHEMA"])


# What shows nothing where it stands and is no space either: a byte order mark, joiners, marks of direction.
UNSEEN = ("\ufeff", "\u200b", "\u200c", "\u200d", "\u200e", "\u2060", "\u00ad")


@pytest.mark.parametrize("unseen", UNSEEN)
@pytest.mark.parametrize(
    "text",
    [
        block(f"¦{PARIS}¦"),
        block(f"¦\n¦```json\n¦{PARIS}¦\n```"),
        block('¦{¦"city"¦:¦"Paris"¦}¦'),
        block('{¦city¦:¦"Paris"¦,¦}'),
        block('¦"¦{\\"city\\": \\"Paris\\"}¦"¦'),
        f"¦{F1}¦",
        f"¦<tool_call>¦{F1}¦</tool_call>\n¦</tool_call>¦",
        f"¦\n¦<tool_calls>¦[¦{F1}¦]¦</tool_calls>¦",
        f"¦```json\n¦{F1}¦\n```¦",
        f"{HEADER}¦<parameter=city>Paris</parameter>¦</tool_call>¦",
        f"¦<|channel|>commentary to=functions.get_weather<|message|>¦{PARIS}¦<|call|>",
        f"¦commentary to=functions.get_weather json{PARIS}",
    ],
)
@pytest.mark.parametrize("live", [True, False])
def test_characters_that_show_nothing_are_space_around_json(text: str, unseen: str, live: bool) -> None:
    result = seen(text.replace("¦", unseen), live=live)
    assert (result.content, result.pairs) == ("", [PAIR])


@pytest.mark.parametrize("unseen", UNSEEN)
def test_characters_that_show_nothing_stay_in_text_and_strings(unseen: str) -> None:
    value = f"{unseen}Pa{unseen}ris{unseen}"
    assert seen(block(f'{{"city": "{value}"}}')).pairs == [("get_weather", {"city": value})]
    for text in (f"{unseen}Hello{unseen}", f"a{unseen}\nb{unseen}", unseen, f"{unseen}{{}}"):
        assert seen(text).content == text


@pytest.mark.parametrize(
    "text",
    [
        f"```json\n{F1}\n```\n\n```json\n{F1}\n```",
        f"```tool_call\n{F1}\n```\n~~~tool_call\n{F1}\n~~~\n",
        f"```xml\n{block(PARIS)}\n```\n```xml\n{block(PARIS)}\n```",
        f"```tool_call\n{F1}\n```\n   ```\n{F1}\n```",
        f"```tool_call\n{F1}\n```\n```tool_call\n{F1}",
    ],
)
def test_several_fenced_calls_are_calls(text: str) -> None:
    result = seen(text)
    assert (result.content, result.pairs) == ("", [PAIR, PAIR])


def test_of_several_fences_each_is_a_call_or_none_is() -> None:
    call = f"```tool_call\n{F1}\n```\n"
    for other in ('```json\n{"a": 1}\n```', "```py\nx\n```", f"```tool_call\n{F1.replace('get', 'no')}\n```"):
        for text in (call + other, call + call + other + "\n", other + "\nand\n" + call + "and"):
            assert (seen(text).content, seen(text).calls) == (text, [])
    assert seen(call * 3, parallel=False).pairs == [PAIR]
    assert seen(f"Both:\n\n{call}{call}").content == "Both:"
    assert seen(f"```json\n{F1}\n```\nHere it is: ```json\n{F1}\n```").calls == []


def test_of_fences_with_tags_one_call_is_kept_where_one_was_asked_for() -> None:
    fence = f"```xml\n{block(PARIS)}\n```\n"
    assert seen(fence * 2, parallel=False).pairs == [PAIR]
    named = f"```tool_call\n{block('null', 'strict_one')}\n```\n"
    assert seen(fence + named).problems == [("E_SCHEMA", 1)]


def test_space_after_the_only_call_is_no_further_text() -> None:
    for space in ("\n", " \n\t"):
        result = seen(block(PARIS).removesuffix("\n</tool_call>") + space, parallel=False)
        assert (result.pairs, result.cancelled) == ([PAIR], "")


def test_a_role_inside_a_thought_with_tokens_is_a_word() -> None:
    result = seen("<|channel|>analysis<|message|>an assistantfinal word<|end|>Hi.")
    assert (result.reasoning, result.content) == ("an assistantfinal word", "Hi.")


def test_fences_held_together_have_one_limit() -> None:
    call = '```tool_call\n{"name": "get_weather", "arguments": {"city": "' + "x" * 400_000 + '"}}\n```\n'
    result = parse([call * 3])
    assert (result.content, result.calls) == (call * 3, [])
    assert parse(pieces_of(call * 3, 4096)) == result
    assert len(parse([call * 2]).calls) == 2


@pytest.mark.parametrize(
    "text",
    [
        f'{{"tool": "get_weather", "tool_input": {PARIS}}}',
        f'{{"action": "get_weather", "action_input": {PARIS}}}',
        f'{{"action_input": {PARIS}, "action": "get_weather"}}',
        f'{{"action": "get_weather", "action_input": {json.dumps(PARIS)}}}',
        f'<tool_call>{{"action": "get_weather", "action_input": {PARIS}}}</tool_call>',
        f'```json\n{{"tool": "get_weather", "tool_input": {PARIS}}}\n```',
    ],
)
def test_the_forms_of_agents_are_calls(text: str) -> None:
    result = seen(text)
    assert (result.content, result.pairs) == ("", [PAIR])


def test_an_action_without_its_input_is_an_answer() -> None:
    for text in ('{"action": "get_weather"}', f'{{"action": "get_weather", "arguments": {PARIS}}}'):
        assert (seen(text).content, seen(text).calls) == (text, [])


def test_an_argument_called_action_streams_as_one() -> None:
    schema = {"type": "object", "properties": {"action": {"type": "string"}}}
    parser = ToolCallParser(structs.replace(CONFIG, tools={"act": DeclaredTool(schema)}, mend=lambda _, v: v))
    events = parser.feed('<tool_call key="k7q2" name="act">{"action": "now')
    assert [event for event in events if isinstance(event, CallArgs)] == [CallArgs(0, '{"action": "now')]


@pytest.mark.parametrize("text", [HEADER, HEADER + "\n", HEADER[:-1], HEADER[:-9], HEADER[:22]])
@pytest.mark.parametrize("truncated", [True, False])
def test_a_call_cut_before_its_arguments_leaves_no_tag(text: str, truncated: bool) -> None:
    result = seen("Let me look.\n\n" + text, truncated=truncated)
    assert (result.content.strip(), result.calls) == ("Let me look.", [])
    assert result.problems == [("E_TRUNC", None)]


@pytest.mark.parametrize(
    "text", [HEADER[:19], "<tool_call", "<tool_", "<tool_call>\n", '<tool_call name="now">', "<tool_calls>\n"]
)
def test_only_a_limit_cuts_a_tag_without_the_key(text: str) -> None:
    assert seen("x\n" + text).content == "x\n" + text
    result = seen("x\n" + text, truncated=True)
    assert (result.content.strip(), result.calls, result.problems) == ("x", [], [("E_TRUNC", None)])


def test_what_is_no_tag_yet_is_text_where_a_limit_cuts_it() -> None:
    for text in (
        "a <",
        "a <t",
        "a <tool",
        'a <tool_call key="other" name="now">',
        "a <toolbox",
        "a `<tool_call",
    ):
        assert seen(text, truncated=True).content == text


@pytest.mark.parametrize("space", [" ", "  ", "\t"])
@pytest.mark.parametrize(
    "text",
    [
        block(PARIS),
        f"<tool_call>{F1}</tool_call>",
        f"<tool_calls>\n<tool_call>{F1}</tool_call>\n</tool_calls>",
        "<function=get_weather><parameter=city>Paris</parameter></function>",
    ],
)
def test_space_after_the_first_bracket_of_a_tag(text: str, space: str) -> None:
    result = seen(text.replace("<", "<" + space))
    assert (result.content, result.pairs) == ("", [PAIR])
    assert seen(text.replace("<", "<" + space) + "\n" + block(PARIS)).pairs == [PAIR, PAIR]
    assert seen(f"```xml\n{text}\n```".replace("<", "<" + space)).pairs == [PAIR]


@pytest.mark.parametrize(
    "text", ["a < b", "a <  t", "if a < tool_calls: pass", "x < ", "x <\ty", "1 < function (2)", "< to"]
)
def test_a_bracket_and_space_are_text(text: str) -> None:
    assert seen(text).content == text
    assert seen(text + "\nmore").content == text + "\nmore"


@pytest.mark.parametrize("body", ['{"city": }', '{"city":\n}', '{ "city" : , "days": 1}'])
def test_a_call_whose_first_value_is_missing_has_not_begun(body: str) -> None:
    """Nothing has left yet, so that a repair can still replace it."""
    parser = ToolCallParser(CONFIG)
    for at in range(len(body)):
        assert not any(isinstance(event, CallStart) for event in parser.feed((HEADER * (not at)) + body[at]))
        if body[at] in "},":
            break
    assert seen(block(body)).problems == [("E_BAD_JSON", 0)]


@pytest.mark.parametrize("escape", ["\\", "\\u", "\\u0", "\\u00e", "\\ud83d", "\\ud83d\\", "\\ud83d\\ude0"])
@pytest.mark.parametrize("live", [True, False])
def test_half_an_escape_at_a_cut_is_dropped(escape: str, live: bool) -> None:
    result = seen(f'{HEADER}{{"city": "Par{escape}', live=live, truncated=True)
    assert [(call.arguments, call.complete) for call in result.calls] == [('{"city": "Par', False)]
