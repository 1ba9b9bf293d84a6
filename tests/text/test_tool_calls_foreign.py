"""Calls in forms that were never taught, and Harmony leaks.

Groups 34 to 39, 47, 48 and 59 of docs/design/cases.md, and 1 and 8
as far as they concern the answer.
"""

from typing import Any

import pytest

from .parsing import CALL, PAIR, PARIS, block, seen

F1 = '{"name": "get_weather", "arguments": {"city": "Paris"}}'
F1_TEXT = '{"name": "get_weather", "arguments": "{\\"city\\": \\"Paris\\"}"}'
CODE = 'def f():\n    return "<b>" if a < b else {"x": 1}'


def literal(text: str, **changes: Any) -> None:
    result = seen(text, **changes)
    assert (result.content, result.calls, result.cancelled) == (text, [], "")


@pytest.mark.parametrize(
    "text",
    [
        f"<tool_call>\n{F1}\n</tool_call>",
        f"<tool_call>{F1}",
        f"<tool_call>[{F1}]</tool_call>",
        '<tool_call>{"function": {"name": "get_weather", "arguments": {"city": "Paris"}}}</tool_call>',
        '<tool_call>{"type": "function", "function": ' + F1_TEXT + "}</tool_call>",
        '<tool_call>{"name": "get_weather", "parameters": {"city": "Paris"}}</tool_call>',
        '<tool_call>{"name": "get_weather", "args": {"city": "Paris"}}</tool_call>',
        '<tool_call>{"tool_name": "get_weather", "input": {"city": "Paris"}}</tool_call>',
        '<tool_call>{"arguments": {"city": "Paris"}, "name": "get_weather"}</tool_call>',
        f'<tool_call name="get_weather">{PARIS}</tool_call>',
        f"<tool_call get_weather>{PARIS}</tool_call>",
        f"<tool_call:get_weather>{PARIS}</tool_call>",
        f"<tool_call>get_weather\n{PARIS}</tool_call>",
        f"<tool_call>\nget_weather\n{PARIS}\n</tool_call>",
        "<tool_call>get_weather\n<arg_key>city</arg_key>\n<arg_value>Paris</arg_value>\n</tool_call>",
        f"<tool_calls>\n<tool_call>\n{F1}\n</tool_call>\n</tool_calls>",
        f"<tool_calls>[{F1}]</tool_calls>",
        f"<function_calls>\n<invoke name='get_weather'>\n{PARIS}</invoke></function_calls>",
        f"<function_call>{F1}</function_call>",
        f"<function=get_weather>{PARIS}</function>",
        "<function=get_weather>\n<parameter=city>\nParis\n</parameter>\n</function>",
        "<tool_call>\n<function=get_weather>\n<parameter=city>\nParis\n</parameter>\n</function>\n</tool_call>",
        '<invoke name="get_weather"><parameter name="city">Paris</parameter></invoke>',
        '<invoke name="get_weather"><parameter name="city"><![CDATA[Paris]]></parameter></invoke>',
        f"```tool_call\n{F1}\n```",
        f"```tool_code\n{F1}\n```\n",
        f"```tool_call\n<tool_call>{F1}</tool_call>\n```\n",
        f"```json\n{F1}\n```",
        f"```\n<tool_call>{F1}</tool_call>\n```",
        F1,
        f"[{F1}]",
        f"  \n{F1}\n",
        '{"tool_calls": [{"id": "1", "type": "function", "function": ' + F1_TEXT + "}]}",
        '{"name": "functions.get_weather", "arguments": {"city": "Paris"}}',
    ],
)
def test_s34_foreign_forms_are_calls(text: str) -> None:
    result = seen(text)
    assert result.pairs == [PAIR]
    assert result.content == ""


def test_s34_foreign_forms_after_a_sentence() -> None:
    result = seen(f"Let me look.\n\n<tool_call>\n{F1}\n</tool_call>")
    assert (result.content, result.pairs) == ("Let me look.", [PAIR])


def test_s34_several_foreign_calls() -> None:
    assert seen(f"<tool_call>{F1}</tool_call>\n<tool_call>{F1}</tool_call>").pairs == [PAIR] * 2
    assert seen(f"<tool_call>[{F1}, {F1}]</tool_call>").pairs == [PAIR] * 2
    assert seen(f"{F1}\n{F1}\n").pairs == [PAIR] * 2
    assert seen(f"[{F1},{F1}]").pairs == [PAIR] * 2
    assert seen(f"[{F1},{F1}]", parallel=False).pairs == [PAIR]
    assert seen(f"{CALL}\n<tool_call>{F1}</tool_call>").pairs == [PAIR] * 2


def test_s34_element_values_are_typed_by_the_schema() -> None:
    text = (
        "<function=get_weather>\n<parameter=city>\n75001\n</parameter>\n"
        "<parameter=days>\n3\n</parameter>\n</function>"
    )
    assert seen(text).pairs == [("get_weather", {"city": "75001", "days": 3})]


@pytest.mark.parametrize(
    "text",
    [
        f"<function=run>\n<parameter=code>\n{CODE}\n</parameter>\n</function>",
        f'<invoke name="run"><parameter name="code">{CODE}</parameter></invoke>',
        f'<invoke name="run"><parameter name="code"><![CDATA[{CODE}]]></parameter></invoke>',
        f"<tool_call>run\n<arg_key>code</arg_key>\n<arg_value>{CODE}</arg_value></tool_call>",
    ],
)
def test_s34_code_in_elements(text: str) -> None:
    assert seen(text).pairs == [("run", {"code": CODE})]


def test_s34_closing_tags_inside_cdata() -> None:
    code = "a </invoke> </parameter> b"
    text = f'<invoke name="run"><parameter name="code"><![CDATA[{code}]]></parameter></invoke>'
    assert seen(text).pairs == [("run", {"code": code})]


@pytest.mark.parametrize(
    "text",
    [
        "<tool_calls></tool_calls>",
        "<tool_calls>\n\nno call",
        "<tool_calls> and <tool_calls> then",
        "<function_calls>",
        "<tool_calls>\n",
        "</tool_call>",
        "x</tool_calls>\n</function>\n</invoke>",
        f"<tool_calls>\nfirst\n<tool_call {F1}",
    ],
)
def test_s35_wrapper_without_a_call_and_orphan_closers_are_text(text: str) -> None:
    literal(text)


def test_s35_wrapper_with_text_before_its_call() -> None:
    result = seen(f"<tool_calls>\nfirst:\n{CALL}\n</tool_calls>")
    assert (result.content, result.pairs) == ("<tool_calls>\nfirst:", [PAIR])


@pytest.mark.parametrize(
    "text",
    [
        f"I call <tool_call>{F1}</tool_call>",
        "<tool_call>" + '{"name": "get_weather", "arguments": {"town": "Paris"}}' + "</tool_call>",
        "<tool_call>" + '{"name": "get_weather", "arguments": "Paris"}' + "</tool_call>",
        '<tool_call name="get_weather">{"days": 3}</tool_call>',
        '<tool_call name="other">{"days": 3}</tool_call>',
        '<tool_call name="get_weather">{hello}</tool_call>',
        '<tool_call name="get_weather">',
        '<tool_call name="get_weather">{"city": "Pa',
        "<function=get_weather>hello</function>",
        "<function=get_weather><parameter=city>Paris",
        "<function=other><parameter=city>Paris</parameter></function>",
        "<tool_call>\nhello there\n</tool_call>",
        "<tool_call>",
        "<tool_call>\n",
        "Text.\n" + F1,
        f"Text:\n\n```json\n{F1}\n```",
        f"```python\n{F1}\n```",
        f"```json\n{F1}\n```\nThat is the call.",
        f"```tool_call\n{F1}\n```\nThat is the call.",
        f"{F1}\nThat is the call.",
    ],
)
def test_s36_unkeyed_text_that_is_no_call(text: str) -> None:
    literal(text)


@pytest.mark.parametrize(
    "text",
    [
        f"<tool_call>{F1}</tool_call>",
        f'<tool_call name="get_weather">{PARIS}</tool_call>',
        F1,
        f"```json\n{F1}\n```",
        "<function=get_weather><parameter=city>Paris</parameter></function>",
    ],
)
def test_s36_an_echo_of_the_clients_text_is_text(text: str) -> None:
    client = f"Explain this: {text.replace(' ', '   ').replace(chr(10), '')} please"
    asked = []

    def joined() -> str:
        asked.append(1)
        return client

    literal(text, client_text=joined)
    assert seen(text, client_text="something else").pairs == [PAIR]
    assert asked


def test_s01_a_keyed_call_is_no_echo() -> None:
    assert seen(CALL, client_text=CALL).pairs == [PAIR]


def test_a_real_call_swallowed_by_broken_quotes_is_found() -> None:
    text = f'<tool_call name="run">{{"code": "x\n</tool_call>\n{CALL}'
    result = seen(text)
    assert result.pairs == [PAIR]
    assert result.content == '<tool_call name="run">{"code": "x\n</tool_call>'


HARMONY = "<|start|>assistant<|channel|>commentary to=functions.get_weather <|constrain|>json<|message|>"


@pytest.mark.parametrize(
    "header",
    [
        HARMONY,
        HARMONY.removeprefix("<|start|>assistant"),
        "<|start|>assistant to=functions.get_weather<|channel|>commentary<|message|>",
        "<|start|>assistant<|channel|>analysis to=functions.get_weather code<|message|>",
        "<|channel|>commentary to=get_weather<|message|>",
        "<|channel|>commentary to=assistant.get_weather <|constrain|>json",
        "<|channel|>commentary to=functions.get_weather<|channel|>commentary<|message|>",
        "commentary to=functions.get_weather json",
        "  commentary to=functions.get_weather json",
        "assistantcommentary to=functions.get_weather json",
        "assistant commentary to=functions.get_weather ",
        "to=functions.get_weather code",
        "analysis to=get_weather ",
        "commentary to=functions.get_weather <|constrain|>json<|message|>",
    ],
)
def test_s37_native_calls_in_every_spelling(header: str) -> None:
    for tail in ("", "<|call|>", "<|end|>"):
        result = seen(header + PARIS + tail)
        assert (result.content, result.pairs) == ("", [PAIR])
        assert not result.problems


def test_s37_two_native_calls_and_a_preamble() -> None:
    text = (
        f"<|channel|>commentary<|message|>I will look.<|end|>{HARMONY}{PARIS}<|call|>{HARMONY}{PARIS}<|call|>"
    )
    result = seen(text)
    assert (result.content, result.pairs) == ("I will look.", [PAIR, PAIR])


def test_s37_later_native_calls_must_validate() -> None:
    result = seen(f'{HARMONY}{{"town": 1}}<|call|>{HARMONY}{{"town": 2}}<|call|>')
    assert result.pairs == [("get_weather", {"town": 1})]


def test_s37_channels() -> None:
    text = "<|channel|>analysis<|message|>We think < hard.<|end|>"
    text += "<|start|>assistant<|channel|>final<|message|>Hi.<|return|>"
    result = seen(text)
    assert (result.reasoning, result.content) == ("We think < hard.", "Hi.")
    result = seen('<|channel|>final <|constrain|>json<|message|>{"a": 1}<|return|>')
    assert result.content == '{"a": 1}'
    assert seen('<|channel|>final json{"a": 1}').content == '{"a": 1}'
    assert seen("Hi.<|end|>").content == "Hi."


def test_s37_a_call_after_leaked_reasoning() -> None:
    result = seen(f"<|channel|>analysis<|message|>{CALL} maybe<|end|><|channel|>final<|message|>{CALL}")
    assert (result.reasoning, result.pairs) == (f"{CALL} maybe", [PAIR])


def test_s37_glued_reasoning() -> None:
    result = seen("analysisWe need to greet.assistantfinalHello there.")
    assert (result.reasoning, result.content) == ("We need to greet.", "Hello there.")
    result = seen(f"analysisWe call. assistantcommentary to=functions.get_weather json{PARIS}")
    assert (result.reasoning, result.pairs) == ("We call. ", [PAIR])
    result = seen("analysisOnly thoughts")
    assert (result.reasoning, result.content) == ("Only thoughts", "")
    assert seen("assistantfinalHello").content == "Hello"


@pytest.mark.parametrize(
    "text",
    [
        "Analysis of the data shows",
        "analysis of the data",
        "Final answer: 4",
        "final",
        "Commentary: none",
        "commentary to the text",
        "to=5",
        "to=functions.get_weather is a recipient",
        "assistant: yes",
        "assistants are",
        "a",
        "The word assistantfinal is odd",
        "x to=functions.get_weather {}",
    ],
)
def test_s38_english_is_text(text: str) -> None:
    literal(text)
    literal(f"Hm.\n{text}\nEnd.")


@pytest.mark.parametrize(
    "name", ["functions.get_weather", "assistant.get_weather", "get_weather<|channel|>commentary"]
)
def test_s39_names_with_additions(name: str) -> None:
    assert seen(block(PARIS, name)).pairs == [PAIR]
    assert seen(f'{{"name": "{name}", "arguments": {PARIS}}}').pairs == [PAIR]


def test_s08_tokens_stay_where_the_client_talks_about_them() -> None:
    text = "Harmony writes <|start|>assistant<|channel|>analysis<|message|>text<|end|>."
    literal(text, clean_leaks=False)
    literal("analysisWe need assistantfinal", clean_leaks=False)


def test_leaks_are_cleaned_without_any_tool() -> None:
    result = seen(
        "<|channel|>analysis<|message|>Hm.<|end|><|start|>assistant<|channel|>final<|message|>Hi", tools={}
    )
    assert (result.reasoning, result.content) == ("Hm.", "Hi")
    assert seen("<|channel|>final<|message|>Hi", mode="none").content == "Hi"


def test_an_unknown_native_recipient_is_reported() -> None:
    result = seen('<|channel|>commentary to=browser.search<|message|>{"q": 1}<|call|>')
    assert (result.calls, result.codes) == ([], ["E_UNKNOWN_TOOL"])
    assert result.content == '{"q": 1}'


def test_an_invented_user_turn_ends_the_answer() -> None:
    result = seen("Hello.<|end|><|start|>user<|message|>And then?<|end|>")
    assert (result.content, result.codes) == ("Hello.", ["E_HALLU"])
    assert result.cancelled


def test_s47_bare_arguments_count_only_for_the_one_tool_that_is_required() -> None:
    named: dict[str, Any] = {"mode": "named", "names": ("get_weather",)}
    for text in (PARIS, f"```json\n{PARIS}\n```", f"```\n{PARIS}\n```\n", f" {PARIS}\n"):
        assert seen(text, **named).pairs == [PAIR]
        literal(text)
    literal('{"town": "Paris"}', **named)
    literal(f"{PARIS} is it", **named)
    literal(PARIS, mode="required")


@pytest.mark.parametrize(
    "text",
    [
        'get_weather(city="Paris")',
        "functions.get_weather(city='Paris')",
        "functions.get_weather({'city': 'Paris'})\n",
        'get_weather({"city": "Paris"});',
        "get-weather(city='Paris')",
    ],
)
def test_s47_expressions_count_only_where_a_call_is_required(text: str) -> None:
    assert seen(text, mode="required").pairs == [PAIR]
    literal(text)


@pytest.mark.parametrize(
    "text",
    [
        "get_weather(city=open('x'))",
        "get_weather('Paris')",
        "get_weather(city='Paris') shows",
        "get_weather(**{'city': 'x'})",
        "get_weather(" + "(" * 3000,
        "get_weather is a tool",
        "other(city='Paris')",
        "get_weather(",
    ],
)
def test_s47_other_expressions_are_text(text: str) -> None:
    literal(text, mode="required")


def test_s47_prose_and_a_fenced_call_where_a_call_is_required() -> None:
    text = f"I will call it:\n\n```json\n{F1}\n```\n"
    result = seen(text, mode="required")
    assert (result.content, result.pairs) == ("I will call it:", [PAIR])
    literal(text)


def test_s47_another_tool_than_the_named_one_is_text() -> None:
    result = seen(block("{}", "now"), mode="named", names=("get_weather",))
    assert (result.calls, result.codes) == ([], ["E_UNKNOWN_TOOL"])


def test_s48_a_call_where_none_is_wanted_is_text() -> None:
    literal(f"{CALL}\n<tool_call>{F1}</tool_call>", mode="none")
    literal(F1, mode="none")
