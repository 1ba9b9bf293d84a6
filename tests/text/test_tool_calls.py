"""Canonical keyed calls: groups 18 to 33 of docs/design/cases.md."""

import time
from typing import Any

import pytest
from msgspec import structs

from gptoss_api.text.tool_calls import (
    CallArgs,
    CallEnd,
    CallStart,
    Content,
    ToolCallParser,
)

from .parsing import CALL, CONFIG, PAIR, PARIS, block, parse, pieces_of, seen


def literal(text: str, **changes: Any) -> None:
    result = seen(text, **changes)
    assert (result.content, result.calls, result.cancelled) == (text, [], "")


def test_s18_text_and_a_call_in_any_pieces() -> None:
    result = seen(f"Let me look.\n\n{CALL}\n")
    assert result.content == "Let me look."
    assert result.pairs == [PAIR]
    assert result.calls[0].arguments == PARIS
    assert not result.problems


def test_s18_arguments_stream_while_they_come() -> None:
    parser = ToolCallParser(CONFIG)
    assert parser.feed('Hi\n<tool_call key="k7q2" name="run">') == [Content("Hi")]
    assert parser.feed('{"code"') == []
    assert parser.feed(': "prin') == [CallStart(0, "run"), CallArgs(0, '{"code": "prin')]
    assert parser.feed("t(1)") == [CallArgs(0, "t(1)")]
    assert parser.feed('"}\n</tool_call>')[-1] == CallEnd(0)


def test_s18_text_streams_while_it_comes() -> None:
    parser = ToolCallParser(CONFIG)
    pieces = ["The ans", "wer ", "is a", " < b", " and", " <to"]
    given = [
        "".join(event.text for event in parser.feed(piece) if isinstance(event, Content)) for piece in pieces
    ]
    assert given == ["The ans", "wer", " is a", " < b", " and", ""]
    assert parser.feed("p>") == [Content(" <top>")]


def test_s19_header_split_anywhere() -> None:
    for at in range(len(CALL)):
        assert parse([CALL[:at], CALL[at:]]).pairs == [PAIR]


@pytest.mark.parametrize(
    "code",
    [
        "</tool_call>",
        '<tool_call key="k7q2" name="now">',
        "```\nx\n```",
        "} ] { [ }}",
        "a <|call|> b",
        "`<tool_call>`",
    ],
)
@pytest.mark.parametrize("live", [True, False])
def test_s20_markers_inside_a_string(code: str, live: bool) -> None:
    escaped = code.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    result = seen(block(f'{{"code": "{escaped}"}}', "run"), live=live)
    assert result.pairs == [("run", {"code": code})]


@pytest.mark.parametrize(
    "text",
    [
        f'<tool_call key="k7q2" name="get_weather">{PARIS}',
        f'<tool_call key="k7q2" name="get_weather">{PARIS}</tool_calls>',
        f'<tool_call key="k7q2" name="get_weather">{PARIS}</function>',
        f'<tool_call key="k7q2" name="get_weather">{PARIS}</invoke></tool_call></tool_call>',
        f'<tool_call key="k7q2" name="get_weather">{PARIS}<|call|>',
        f'<tool_call key="k7q2" name="get_weather">{PARIS}</tool_',
        f'<tool_call key="k7q2" name="get_weather">{PARIS}}}}}</tool_call>',
        f'<tool_call key="k7q2" name="get_weather">\n```json\n{PARIS}\n```\n</tool_call>',
        '<tool_call key="k7q2" name="get_weather">{"city": "Paris"</tool_call>',
    ],
)
def test_s21_close_tag_missing_wrong_doubled_or_half(text: str) -> None:
    assert seen(text).pairs == [PAIR]


@pytest.mark.parametrize("before", ["I look:", "Sure. ", "- ", "> ", "1. ", "**", "\n\n"])
def test_s21_block_glued_to_prose_bullet_or_quote(before: str) -> None:
    result = seen(before + CALL)
    assert result.content == before.rstrip()
    assert result.pairs == [PAIR]


@pytest.mark.parametrize("body", ["{}", "", "null", "[{}]", " \n "])
def test_s22_zero_argument_tools(body: str) -> None:
    assert seen(block(body, "now")).pairs == [("now", {})]


def test_s22_self_closing() -> None:
    assert seen('<tool_call key="k7q2" name="now" />').pairs == [("now", {})]
    assert seen('<tool_call key="k7q2" name="now"/>' * 2).pairs == [("now", {})] * 2


@pytest.mark.parametrize("count", [2, 3, 12])
@pytest.mark.parametrize("gap", ["", "\n", "\n\nAnd then:\n"])
def test_s23_several_calls(count: int, gap: str) -> None:
    result = seen(gap.join(block(f'{{"city": "{n}"}}') for n in range(count)))
    assert result.pairs == [("get_weather", {"city": str(n)}) for n in range(count)]
    assert result.content == ""


def test_s23_bridge_text_of_399_and_401_characters() -> None:
    assert len(seen(f"{CALL}\n{'x' * 399}\n{CALL}").calls) == 2
    result = seen(f"{CALL}\n{'x' * 401}\n{CALL}")
    assert len(result.calls) == 1
    assert result.cancelled


@pytest.mark.parametrize(
    "tail",
    [
        "\n<tool_result name='x'>{}</tool_result>",
        '\n<message role="user">hi</message>',
        "\n\nTool result: sunny",
        "\nUser: thanks",
        " User: thanks",
        "\n  Tool result: sunny",
        "\n<|start|>user<|message|>thanks",
        "\n<|start|>functions.get_weather to=assistant<|channel|>commentary<|message|>{}",
    ],
)
def test_s24_invented_result_or_turn_ends_the_answer(tail: str) -> None:
    result = seen(f"{CALL}{tail}\n{CALL}")
    assert result.pairs == [PAIR]
    assert result.cancelled
    assert result.codes == ["E_HALLU"]


def test_s24_text_after_the_call_is_not_delivered() -> None:
    result = seen(f"Before.\n{CALL}\nIt is sunny <b>there</b>, `x`.")
    assert (result.content, result.pairs, result.cancelled) == ("Before.", [PAIR], "")


def test_s25_one_call_where_parallel_is_off() -> None:
    result = seen(f"{CALL}\n{CALL}", parallel=False)
    assert result.pairs == [PAIR]
    assert result.cancelled


@pytest.mark.parametrize(
    "before",
    [
        "I use <tool_call> blocks.",
        "I write `" + '<tool_call key="k7q2" name="now">{}</tool_call>' + "` now.",
        'Like ``<tool_call key="k7q2" name="now">`{}`</tool_call>`` here.',
        "An unbalanced ` on this line",
        "The <tool_call tag",
        "Half <tool_call key=",
        "a <tool_call\n\n\n b",
    ],
)
def test_s26_mention_then_a_real_call(before: str) -> None:
    result = seen(f"{before}\n\n{CALL}")
    assert result.content == before
    assert result.pairs == [PAIR]


def test_s26_mention_with_the_key_but_no_body() -> None:
    text = 'Start with <tool_call key="k7q2" name="now"> and go on.'
    result = seen(f"{text}\n{CALL}")
    assert (result.content, result.pairs, result.codes) == (text, [PAIR], ["E_BAD_JSON"])


@pytest.mark.parametrize("mark", ["```", "````", "~~~", "```xml", "```json"])
def test_s27_fenced_example_followed_by_prose_is_text(mark: str) -> None:
    close = mark[0] * mark.count(mark[0])
    literal(f"Example:\n\n{mark}\n{CALL}\n{close}\n\nThat is how.")


@pytest.mark.parametrize("mark", ["```", "````xml", "~~~", "```tool_call", "```json"])
def test_s27_fenced_call_at_the_end_is_a_call(mark: str) -> None:
    close = mark[0] * mark.count(mark[0])
    result = seen(f"Here:\n\n{mark}\n{CALL}\n{close}\n")
    assert (result.content, result.pairs) == ("Here:", [PAIR])
    assert seen(f"Here:\n\n{mark}\n{CALL}\n").pairs == [PAIR]


def test_s27_nested_unclosed_and_longer_fences() -> None:
    literal(f"````md\n```\n{CALL}\n```\n````\nend")
    literal(f"```python\n{CALL}\n")
    literal(f"```python\n{CALL}\n`````\nend")
    literal(f"~~~text\n```\n{CALL}\n~~~\nend")
    literal(f"- item\n   ```py\n   {CALL}\n   ```\n")
    assert seen(f"```py\nx\n`````\n{CALL}").pairs == [PAIR]
    assert seen(f"```py\nx = `a`\n```\n{CALL}").pairs == [PAIR]


@pytest.mark.parametrize(
    "text",
    [
        "std::vector<std::map<int, tool>> x; a<b && c>d; List<Function<T>> f",
        "<!DOCTYPE html><div class='a'>x</div><tool/><function>y</function>",
        "$a < b$ and $$\\frac{<x>}{|y|}$$",
        "| a | b |\n|---|---|\n| <br> | `<tool_call>` |\n",
        "cat <<EOF > out 2>&1 <in | tee\nEOF\n",
        '<tool_call_extra key="k7q2" name="now">{}</tool_call_extra>',
        '<tool_caller key="k7q2" name="now">{}',
        "<invoker> <functional x=1> <tools>",
        "  leading and trailing  \n\n",
        "<|im_start|> <| a |> a <|> b",
        "to=5 and so on\ncommentary on it\nassistant: hm",
        "",
        "\n",
        "x <",
        "x <tool",
        "x `",
        "```",
        "~~~",
        "~~~\n",
        "```tool_call\n{",
        "a\r\nb\r\n",
    ],
)
def test_s28_ordinary_text_is_untouched(text: str) -> None:
    literal(text)
    literal(text, mode="required")


@pytest.mark.parametrize(
    "text",
    [
        '{"name": "my-package", "version": "1.0.0", "dependencies": {}}',
        '{"name": "Ada", "arguments": {"x": 1}}',
        '{"model": "gpt", "messages": [{"role": "user"}]}',
        '[1, 2, {"name": "get_weather"}]',
        '{"id": 1}\n{"id": 2}\n',
        '{"type": "function", "function": {"name": "other", "arguments": "{}"}}',
        '{"name": ' + " " * 700 + '"get_weather"}',
        "{",
        "[",
        '{"name"',
        '{"name": "get_wea',
        '{"name": "get_weather", "arguments": {"town": "Paris"}}',
        '{"name": "get_weather", "arguments": {"city": "Paris"}} is the call.',
    ],
)
def test_s29_json_answers_are_text(text: str) -> None:
    literal(text)


def test_s30_tool_whose_own_parameters_are_name_and_arguments() -> None:
    value = {"name": "get_weather", "arguments": {"city": "Paris"}}
    body = '{"name": "get_weather", "arguments": {"city": "Paris"}}'
    assert seen(block(body, "define")).pairs == [("define", value)]
    assert seen(block('{"name": "x"}', "define")).pairs == [("define", {"name": "x"})]


@pytest.mark.parametrize(
    "opener",
    [
        '<TOOL_CALL KEY="k7q2" NAME="get_weather">',
        '<tool-call key="k7q2" name="get_weather">',
        '<tool\u2011call key="k7q2" name="get_weather">',
        '<tool call key="k7q2" name="get_weather">',
        '<toolcall key="k7q2" name="get_weather">',
        "<tool_call key='k7q2' name='get_weather'>",
        "<tool_call key=“k7q2” name=”get_weather“>",
        "<tool_call key=k7q2 name=get_weather>",
        '<tool_call\n  name = "get_weather"\n  key = "k7q2"\n>',
        '<tool_call id="1" key="k7q2" type="function" name="get_weather" x>',
        '<tool_call key="k7q2" name="functions.get_weather">',
        '<tool_call key="k7q2" name="Get-Weather">',
        '<tool_call key="k7q2" name="get_weather<|channel|>commentary">',
    ],
)
def test_s31_header_spellings(opener: str) -> None:
    assert seen(f"Prose {opener}{PARIS}</tool_call>").pairs == [PAIR]


def test_s31_a_wrong_or_empty_key_is_text() -> None:
    literal(block(PARIS, key="zzzz"))
    literal(block(PARIS, key=""))
    literal(block(PARIS), key="other")


def test_s31_an_unknown_tool_is_text_and_a_problem() -> None:
    text = block(PARIS, "launch")
    result = seen(text)
    assert (result.content, result.calls, result.problems) == (text, [], [("E_UNKNOWN_TOOL", None)])


def test_s31_a_tool_outside_the_allowed_ones_is_text() -> None:
    assert seen(CALL, names=("run",)).content == CALL


def test_s31_missing_key_falls_under_the_unkeyed_rule() -> None:
    text = f'<tool_call name="get_weather">{PARIS}</tool_call>'
    assert seen(text).pairs == [PAIR]
    assert seen(f"Then: {text}").content == f"Then: {text}"


def test_s32_long_arguments() -> None:
    code = "print('x')\\n" * 2000
    result = parse(pieces_of(block(f'{{"code": "{code}"}}', "run"), 4))
    assert result.pairs == [("run", {"code": code.replace("\\n", "\n")})]


@pytest.mark.parametrize("live", [True, False])
def test_s32_an_endless_argument_is_cut_at_a_mebibyte(live: bool) -> None:
    config = structs.replace(CONFIG, live=live)
    text = '<tool_call key="k7q2" name="run">{"code": "' + "x" * 1_200_000
    whole = parse([text], config)
    assert parse(pieces_of(text, 1000), config) == whole
    assert whole.codes == ["E_TRUNC"]
    assert whole.cancelled
    assert not whole.calls[0].complete
    assert 1_000_000 < len(whole.calls[0].arguments) <= 1024 * 1024


def test_s32_a_hundred_thousand_calls_stop_at_the_cap() -> None:
    result = parse(pieces_of(block("{}", "now") * 100_000, 5000))
    assert len(result.calls) == 128
    assert result.cancelled


def test_s32_a_header_longer_than_360_characters_is_text() -> None:
    padding = 'x="' + "y" * 400 + '"'
    literal(f'<tool_call {padding} key="k7q2" name="now">{{}}</tool_call>')


def test_s33_full_width_characters_are_text() -> None:
    literal(f'＜tool_call key="k7q2" name="get_weather"＞{PARIS}＜/tool_call＞')
    literal(f'<ｔｏｏｌ_call key="k7q2" name="get_weather">{PARIS}')


def test_no_tools_or_no_choice_leaves_everything() -> None:
    literal(f"x\n{CALL}\n", mode="none")
    literal(f"x\n{CALL}\n", tools={})
    literal(f"x <|channel|>final<|message|>\n{CALL}\n", tools={}, clean_leaks=False)


@pytest.mark.parametrize("live", [True, False])
@pytest.mark.parametrize("body", ["{hello}", '{"city": }', '{"city" => "Paris"}'])
def test_broken_json_is_delivered_raw(body: str, live: bool) -> None:
    result = seen(block(body), live=live)
    assert result.problems == [("E_BAD_JSON", 0)]
    assert not result.calls[0].complete
    assert body.startswith(result.calls[0].arguments.rstrip()) or result.calls[0].arguments == body


def test_a_call_after_a_broken_one_that_was_not_sent() -> None:
    result = seen(f"{block('{hello}')}\n{CALL}")
    assert [call.complete for call in result.calls] == [False, True]


def test_live_arguments_that_break_end_the_answer() -> None:
    result = seen(block('{"city": "P", "days": }') + CALL)
    assert [call.complete for call in result.calls] == [False]
    assert result.calls[0].arguments == '{"city": "P", "days": '
    assert result.cancelled


@pytest.mark.parametrize(
    "cut",
    [
        '{"city": "Par',
        '{"city": "Paris\\',
        '{"city": "Paris", "days": 1',
        '{"city": "Paris", ',
        '{"city":',
        "{",
    ],
)
@pytest.mark.parametrize("live", [True, False])
def test_s44_an_answer_cut_inside_the_arguments(cut: str, live: bool) -> None:
    result = seen(f'<tool_call key="k7q2" name="get_weather">\n{cut}', live=live)
    assert result.problems == [("E_TRUNC", 0)]
    assert not result.calls[0].complete
    assert cut.startswith(result.calls[0].arguments)


def test_s44_only_closers_missing_is_complete_if_valid() -> None:
    assert seen('<tool_call key="k7q2" name="get_weather">{"city": "Paris"').pairs == [PAIR]
    invalid = seen('<tool_call key="k7q2" name="get_weather">{"days": "many"')
    assert (invalid.codes, invalid.calls[0].complete) == (["E_TRUNC"], False)
    limited = seen('<tool_call key="k7q2" name="get_weather">{"city": "Paris"', truncated=True)
    assert limited.calls[0].complete is False


def test_s44_cut_in_the_header_or_before_the_body() -> None:
    for opened in ('<tool_call key="k7q2" na', '<tool_call key="k7q2" name="now">\n'):
        result = seen(f"x {opened}")
        assert (result.content, result.calls, result.problems) == ("x ", [], [("E_TRUNC", None)])


def test_strict_tools_are_validated_and_mended_before_delivery() -> None:
    assert seen(block('{"city": "Paris", "days": "3"}', "strict_one")).pairs == [
        ("strict_one", {"city": "Paris", "days": 3})
    ]
    result = seen(block('{"days": "many"}', "strict_one"))
    assert result.problems == [("E_SCHEMA", 0)]
    assert result.pairs == [("strict_one", {"days": "many"})]


def test_arguments_that_are_no_object_are_a_problem() -> None:
    result = seen(block("[1, 2]"))
    assert (result.problems, result.calls[0].arguments) == ([("E_SCHEMA", 0)], "[1, 2]")


@pytest.mark.parametrize("value", ["1e999", "9" * 900, "-1e999"])
@pytest.mark.parametrize("name", ["run", "strict_one"])
def test_s45_numbers_beyond_every_range_pass_as_text(value: str, name: str) -> None:
    body = f'{{"code": "x", "city": "y", "n": {value}}}'
    result = seen(block(body, name), live=False)
    assert result.calls[0].complete
    assert "Infinity" not in result.calls[0].arguments
    if name == "run":
        assert result.calls[0].arguments == body
    wrapped = seen(block(f'{{"arguments": {body}}}', name))
    assert "Infinity" not in wrapped.calls[0].arguments


def test_s45_deep_arguments_do_no_harm() -> None:
    deep = '{"code": ' + "[" * 500 + "]" * 500 + "}"
    assert seen(block(deep, "run")).calls[0].arguments == deep
    assert seen(block(deep, "strict_one")).codes == ["E_SCHEMA"]
    assert seen(block('{"a":' * 600, "run")).codes == ["E_BAD_JSON"]


@pytest.mark.parametrize(
    "body",
    [
        '{"name": "get_weather", "arguments": {"city": "Paris"}}',
        '{"arguments": {"city": "Paris"}}',
        '{"arguments": "{\\"city\\": \\"Paris\\"}"}',
        '[{"city": "Paris"}]',
        '"{\\"city\\": \\"Paris\\"}"',
    ],
)
def test_wrapped_arguments_are_unwrapped(body: str) -> None:
    assert seen(block(body)).pairs == [PAIR]


def test_a_keyed_block_may_name_its_tool_inside() -> None:
    body = '{"name": "get_weather", "arguments": {"city": "Paris"}}'
    assert seen(f'x: <tool_call key="k7q2">{body}</tool_call>').pairs == [PAIR]
    assert seen(f'x: <tool_call key="k7q2">get_weather\n{PARIS}</tool_call>').pairs == [PAIR]


def test_time_grows_with_length_only() -> None:
    def seconds(text: str) -> float:
        begin = time.thread_time()
        parse([text])
        parse(pieces_of(text, 100))
        return time.thread_time() - begin

    for unit in (
        '<tool_call name="now">{"a": "',
        '<tool_call key="k7q2" name="now"> ',
        "<tool_call ",
        "`<",
        "```\n",
        '\n<tool_call>{"name": "x"}',
        "<|channel|>",
        "\nto=",
        "<tool_calls> ",
        "~~~json\n<tool_call",
        '<tool_call name="now">{"a": "<tool_call key="k7q2" name="now">{}',
    ):
        seconds(unit * 50)
        short, long = seconds(unit * 1000), seconds(unit * 8000)
        assert long < 8 * short * 3 + 0.1, unit
