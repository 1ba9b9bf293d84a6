"""Answers that have to be JSON: found, mended, asked for again, refused.

Groups 49 to 53 of docs/design/cases.md; E_FORMAT of docs/design/emulation.md, "Repairs".
"""

import contextlib
import json
from typing import Any

import pytest

from gptoss_api.core.errors import UpstreamRateLimited, UpstreamSchemaMismatch
from gptoss_api.core.events import Finished, RefusalDelta, TextDelta
from gptoss_api.core.turn import OutputFormat
from gptoss_api.dialects.openai_errors import openai_error
from gptoss_api.emulation.answer.json_gate import MAX_HELD, MAX_SPACE
from gptoss_api.emulation.answer.structured import MAX_VALUES, JsonMismatch, find_json
from gptoss_api.text.schema import compile_schema

from ..scripted import OBJECT, PERSON, Forever, Thought, answered, asks, schema

ADA = '{"name": "Ada", "age": 36}'
person = asks(form=schema())


def found(text: str, source: dict[str, Any] = PERSON, **settings: Any) -> Any:
    return json.loads(find_json(text, compile_schema(source), "person", **settings))


# Finding the value


@pytest.mark.parametrize(
    "text",
    [
        ADA,
        f"  {ADA}\n",
        f"```json\n{ADA}\n```",
        f"~~~\n{ADA}\n~~~",
        f"Here it is:\n\n```json\n{ADA}\n```\n\nAnything else?",
        f"Sure! {ADA} Anything else?",
        f"{{not json}} but {ADA}",
        f"the set {{1, 2}} and [see below]\n{ADA}",
        f'{{"name": "Bob", "age": 1}}\nNo, rather:\n{ADA}',
        f"[{ADA}]",
        f'{{"person": {ADA}}}',
        json.dumps(ADA),
        "{'name': 'Ada', age: 36,} // done",
        '{"name": "Ada", "age": "36"}',
        '{"name": "Ada", "age": 36, "note": "x"}',
        '{"age": 36, "name": "Ada"',
        f"{json.dumps(PERSON)}\n{ADA}",
    ],
)
def test_the_value_is_found_in_what_stands_around_it(text: str) -> None:
    assert found(text) == {"name": "Ada", "age": 36}


WALK = {
    "type": "object",
    "properties": {"walk": {"type": "boolean"}, "km": {"type": "integer"}, "reason": {"type": "string"}},
    "required": ["walk", "km", "reason"],
    "additionalProperties": False,
}
DRAFT = '{"walk":true,"km":1,"reason":"draft"}'
RIGHT = '{"walk": false, "km": 12, "reason": "too far"}'


@pytest.mark.parametrize(
    "text",
    [
        f"{DRAFT}\n\nCorrected:\n{RIGHT}",
        f"{DRAFT}\nCorrected: {RIGHT} Anything else?",
        f'{DRAFT} {DRAFT}\n\nNo, "far" is more like it:\n\n{RIGHT}',
        f"First:\n```json\n{DRAFT}\n```\nCorrected:\n```json\n{RIGHT}\n```\n",
        f"{DRAFT}\n\nCorrected:\n{RIGHT[:-1]},}}",
        f'{RIGHT}\n\nThe input was:\n{{"text": "walk?"}}',
        f'[{{"a": "b"}}]\n\nCorrected:\n[{RIGHT}]',
    ],
)
def test_of_several_answers_the_last_that_fits_counts(text: str) -> None:
    assert found(text, WALK) == json.loads(RIGHT)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ('{"walk": true, "km": 1, "reason": "print("}")"}', 'print("}")'),
        ('{"walk": true, "km": 1, "reason": "f("}"); g({"a": 1})"}', 'f("}"); g({"a": 1})'),
        ('{"walk": true, "km": 1, "reason": "not "}, but {x} "}', 'not "}, but {x} '),
    ],
)
def test_quotes_that_nobody_escaped_make_no_second_answer(text: str, reason: str) -> None:
    for source in (WALK, {"type": "object"}):
        assert found(text, source) == {"walk": True, "km": 1, "reason": reason}


def test_a_corrected_answer_is_given_as_it_was_written() -> None:
    assert find_json(f"{DRAFT}\n\nCorrected:\n{RIGHT}", compile_schema(WALK)) == RIGHT
    outcome = answered(asks(form=schema(WALK)), f"{DRAFT}\n\nCorrected:\n{RIGHT}")
    assert (outcome.text, outcome.choice.repairs) == (RIGHT, 0)


def test_more_values_than_a_model_can_write_are_not_read() -> None:
    with pytest.raises(JsonMismatch, match=f"more than {MAX_VALUES} values"):
        found("[" + "[]," * (MAX_VALUES // 2) + "[]]", {"type": "array"})


def test_a_number_that_is_too_long_to_read_is_no_answer() -> None:
    with pytest.raises(JsonMismatch):
        found(f"So: [{'1' * 5_000}]", {"type": "array"})


def test_what_stands_in_strings_is_no_value() -> None:
    text = json.dumps({"csv": 'a,"b",[\\' * MAX_VALUES})
    assert found(text, {"type": "object"}) == json.loads(text)


@pytest.mark.parametrize(
    ("text", "prose"),
    [
        ("I cannot do that.", True),
        ("", True),
        ("name: Ada\nage: 36\n", True),
        ("{}", False),
        ("[1, 2]", False),
        ('"Ada"', False),
        ('{"name": "Ada", "age": "old"}', False),
        (json.dumps(PERSON), False),
    ],
)
def test_what_is_not_asked_for_is_not_made_up(text: str, prose: bool) -> None:
    """Group 49: prose, YAML, scalars, arrays, an echo of the schema."""
    with pytest.raises(JsonMismatch) as caught:
        found(text)
    assert caught.value.prose is prose
    assert caught.value.complaints


@pytest.mark.parametrize(
    "text",
    ['{"a": {"name": "Ada", "age": 36}, "b": oops}', '{"a": {"name": "Ada", "age": 36}, "b": "cut he'],
)
def test_a_part_of_a_broken_value_is_not_the_value(text: str) -> None:
    with pytest.raises(JsonMismatch):
        found(text)


def test_a_cut_value_is_not_completed_where_a_limit_cut_it() -> None:
    text = '{"age": 36, "name": "Ada"'
    assert found(text) == {"name": "Ada", "age": 36}
    with pytest.raises(JsonMismatch):
        found(text, cut=True)
    assert found(f"{ADA}\nThat is", cut=True) == {"name": "Ada", "age": 36}


@pytest.mark.parametrize(
    ("source", "text", "value"),
    [
        ({"type": "string"}, '"hello"', "hello"),
        ({"type": "string"}, "'hello'", "hello"),
        ({"type": "integer"}, "7", 7),
        ({"type": "boolean"}, "True", True),
        ({"type": ["object", "null"]}, "null", None),
        ({"type": "array", "items": {"type": "integer"}}, "So: [1, 2]", [1, 2]),
        ({"type": "array", "items": {"type": "integer"}}, "7", [7]),
        ({"enum": ["red", "green"]}, '"Red"', "red"),
    ],
)
def test_roots_that_are_no_object(source: dict[str, Any], text: str, value: Any) -> None:
    assert found(text, source) == value


@pytest.mark.parametrize(
    "value",
    ["1" * 400, "1" * 5000, "1e999", '"\\ud800"', "[" * 400 + "]" * 400, "[" * 9999 + "]" * 9999, "NaN"],
)
def test_odd_values_do_no_harm(value: str) -> None:
    """Group 45, in an answer that is checked."""
    for form in ({"type": "object"}, PERSON, {"type": "object", "properties": {"a": {"type": "string"}}}):
        with contextlib.suppress(JsonMismatch):
            assert isinstance(json.loads(find_json(f'{{"a": {value}}}', compile_schema(form))), dict)


def test_half_a_character_becomes_a_whole_one() -> None:
    source = {"type": "object", "properties": {"a": {"type": "string"}}}
    assert found('{"a": "\\ud83d\\ude00 \\ud83d."}', source) == {"a": "😀 \ufffd."}


@pytest.mark.parametrize(
    "text",
    [
        "```\n" + " " * 200_000 + "x\n",
        "{" * 100_000,
        "[" * 100_000 + "x",
        '{"a' * 50_000,
        "```\n" * 50_000,
        "{x " * 100_000,
    ],
)
@pytest.mark.timeout(10)
def test_hostile_answers_take_no_time(text: str) -> None:
    with pytest.raises(JsonMismatch):
        found(text)


# json_object (group 49)


@pytest.mark.parametrize(
    "text",
    [
        '{"a": 1}',
        '```json\n{"a": 1}\n```',
        'Here: {"a": 1} Done.',
        '[{"a": 1}]',
        '"{\\"a\\": 1}"',
        '{name}, this is it: {"a": 1}',
        "\n" * 100 + '{"a": 1}',
    ],
)
def test_any_object_is_found(text: str) -> None:
    assert json.loads(answered(asks(form=OBJECT), text).text) == {"a": 1}


@pytest.mark.parametrize("text", ["[1, 2]", "42", "null", "a: 1\nb: 2", "{name}, hello!", "[]"])
def test_what_is_no_object_is_asked_for_again(text: str) -> None:
    outcome = answered(asks(form=OBJECT), text, '{"a": 1}')
    assert (outcome.text, outcome.choice.repairs) == ('{"a": 1}', 1)
    assert outcome.prompts[1].startswith("Your answer was rejected: ")


def test_an_object_streams_while_it_is_written_and_ends_the_answer() -> None:
    outcome = answered(asks(form=OBJECT), '```json\n{"a": "one two three", "b": [1, 2]}\n```\nAnd more.')
    assert outcome.text == '{"a": "one two three", "b": [1, 2]}'
    assert sum(isinstance(event, TextDelta) for event in outcome.events) > 5
    assert outcome.upstream.aborted == [True]


def test_mistakes_are_mended_while_an_object_streams() -> None:
    outcome = answered(asks(form=OBJECT), "{'a': True, /* x */ \"b\": NaN,}")
    assert json.loads(outcome.text) == {"a": True, "b": None}


def test_an_object_that_breaks_on_its_way_is_an_error() -> None:
    outcome = answered(asks(form=OBJECT), '{"a": 1, "b": what?}')
    assert isinstance(outcome.error, UpstreamSchemaMismatch)
    assert "The JSON of the answer" in outcome.error.message


def test_an_object_that_breaks_before_anything_left_is_asked_for_again() -> None:
    whole = asks(form=OBJECT, streamed=False)
    outcome = answered(whole, '{"a": 1, "b": what?}', '{"a": 1, "b": 2}\nAnd more.')
    assert (outcome.text, outcome.choice.repairs) == ('{"a": 1, "b": 2}', 1)
    assert outcome.upstream.aborted == [False, True], "a complete object ends the answer all the same"


def test_only_the_first_object_is_an_answer_that_streams() -> None:
    assert answered(asks(form=OBJECT), '{"a": 1}\n{"b": 2}').text == '{"a": 1}'


def test_no_object_twice_is_an_error_also_for_prose() -> None:
    outcome = answered(asks(form=OBJECT), "I cannot.", "I really cannot.")
    assert isinstance(outcome.error, UpstreamSchemaMismatch)


@pytest.mark.parametrize("begun", ["", "Here: ", '{"a": ', '{"a": 1'])
def test_endless_white_space_ends_the_answer(begun: str) -> None:
    """Group 49: Ollama issues 2577 and 4446."""
    outcome = answered(asks(form=OBJECT), [begun, Forever("\n" * 100)], ['{"b": 2}'])
    assert outcome.upstream.aborted[0]
    if begun == '{"a": ':
        assert isinstance(outcome.error, UpstreamSchemaMismatch), "what was sent cannot be completed"
    elif begun == '{"a": 1':
        assert json.loads(outcome.text) == {"a": 1}
    else:
        assert outcome.text == '{"b": 2}'


def test_white_space_is_not_mistaken_for_an_end() -> None:
    text = f'{{"a":{" " * (MAX_SPACE - 1)}1}}'
    assert json.loads(answered(asks(form=OBJECT), text).text) == {"a": 1}


# json_schema (groups 51 to 53)


def test_an_answer_that_fits_is_delivered_as_it_is() -> None:
    outcome = answered(person, ADA)
    assert (outcome.text, outcome.reason, outcome.choice.repairs) == (ADA, "stop", 0)
    assert outcome.started.emulated == ("json_schema",)


def test_nothing_is_delivered_before_it_is_valid() -> None:
    outcome = answered(person, f"Well: {ADA}", ADA)
    assert sum(isinstance(event, TextDelta) for event in outcome.events) == 1


def test_reasoning_streams_meanwhile() -> None:
    outcome = answered(person, [Thought("One two three."), ADA])
    assert (outcome.choice.reasoning, outcome.text) == ("One two three.", ADA)


def test_a_wrong_answer_is_asked_for_again_with_the_reasons() -> None:
    """Group 51."""
    outcome = answered(person, '{"name": "Ada", "age": "old"}', ADA)
    assert (outcome.text, outcome.choice.repairs) == (ADA, 1)
    assert outcome.started.repairs == 1
    assert '$.age: "old" is not of type "integer"' in outcome.prompts[1]


def test_a_strict_schema_is_asked_for_twice() -> None:
    outcome = answered(person, "{}", '{"name": "Ada"}', ADA)
    assert (outcome.text, outcome.choice.repairs) == (ADA, 2)


def test_another_schema_is_asked_for_once() -> None:
    outcome = answered(asks(form=schema(strict=False)), "{}", '{"name": "Ada"}')
    assert isinstance(outcome.error, UpstreamSchemaMismatch)
    assert '"age" is a required property' in outcome.error.message


def test_an_answer_that_never_fits_is_an_error_with_the_reasons() -> None:
    outcome = answered(person, "{}", "{}", '{"name": "Ada", "age": "old"}')
    assert isinstance(outcome.error, UpstreamSchemaMismatch)
    assert openai_error(outcome.error).status == 502
    assert '$.age: "old" is not of type "integer"' in outcome.error.message


def test_best_effort_delivers_the_last_answer_and_says_so() -> None:
    outcome = answered(person, "{}", "{}", '{"name": "Ada"}', repair="best_effort")
    assert outcome.text == '{"name": "Ada"}'
    assert '"age" is a required property' in outcome.choice.notes[0]


def test_prose_twice_is_a_refusal() -> None:
    outcome = answered(person, "I cannot help with that.", "I am sorry, I cannot.")
    assert outcome.choice.refusal == "I am sorry, I cannot."
    assert (outcome.text, outcome.reason) == ("", "stop")
    assert any(isinstance(event, RefusalDelta) for event in outcome.events)


def test_a_nudge_is_not_yet_a_repair_of_the_form() -> None:
    outcome = answered(person, "", "Hello!", ADA)
    assert (outcome.text, outcome.choice.repairs) == (ADA, 2)


def test_an_empty_repair_is_nudged() -> None:
    outcome = answered(person, "{}", "", ADA)
    assert (outcome.text, outcome.choice.repairs) == (ADA, 2)


def test_a_repair_that_fails_is_the_upstreams_error() -> None:
    failure = UpstreamRateLimited("slow down")
    assert answered(person, "{}", failure).error is failure


def test_best_effort_delivers_what_there_is_when_the_repair_fails() -> None:
    outcome = answered(person, "{}", UpstreamRateLimited("slow down"), repair="best_effort")
    assert outcome.text == "{}"
    assert outcome.choice.notes == ("the repair failed: slow down",)


def test_an_answer_that_the_upstreams_limit_cut_is_delivered_as_it_came() -> None:
    outcome = answered(person, ['{"name": "Ad', Finished("length")])
    assert (outcome.text, outcome.reason) == ('{"name": "Ad', "length")


def test_without_a_schema_any_object_fits() -> None:
    form = OutputFormat("json_schema", "x")
    assert answered(asks(form=form), '{"a": 1}').text == '{"a": 1}'


def test_an_array_at_the_root() -> None:
    form = schema({"type": "array", "items": {"type": "string"}})
    outcome = answered(asks(form=form), 'Colours: ["red"]')
    assert outcome.text == '["red"]'
    assert "Start with [ and end with ]" in outcome.prompts[0]


def test_a_scalar_at_the_root() -> None:
    assert answered(asks(form=schema({"type": "number"})), "It is 7.", "7").text == "7"


def test_a_catastrophic_pattern_is_harmless() -> None:
    """Group 52; refusing remote references and the rest is tested in tests/text/test_schema.py."""
    form = schema({"type": "object", "properties": {"a": {"pattern": "^(a+)+$"}}})
    answer = json.dumps({"a": "a" * 30 + "!"})
    assert isinstance(answered(asks(form=form), answer, answer, answer).error, UpstreamSchemaMismatch)


@pytest.mark.parametrize(
    ("pattern", "ignored"), [(r"(?<n>a)\k<n>", ()), (r"^[\w-.]+$", ()), (r"^\h+$", ("pattern",))]
)
def test_a_valid_pattern_costs_no_request(pattern: str, ignored: tuple[str, ...]) -> None:
    form = schema({"type": "object", "properties": {"a": {"type": "string", "pattern": pattern}}})
    outcome = answered(asks(form=form), '{"a": "aa"}')
    assert outcome.text == '{"a": "aa"}'
    assert outcome.started.ignored == ignored


def test_words_of_every_script_and_the_order_of_keys() -> None:
    """Group 53."""
    source = {
        "type": "object",
        "properties": {"ж": {"const": "été"}, "a": {"enum": ["日本", "🙂"]}, "d": {"format": "date"}},
        "required": ["ж", "a", "d"],
    }
    answer = '{"ж": "été", "a": "🙂", "d": "no date"}'
    assert answered(asks(form=schema(source)), answer).text == answer
    assert answered(asks(form=schema(source)), f"So: {answer}").text == answer


def test_a_checked_answer_without_end_is_an_error() -> None:
    """Memory stays bounded: the upstream is left as soon as no honest answer could be this long."""
    outcome = answered(person, [Forever("word " * 20_000)])
    assert isinstance(outcome.error, UpstreamSchemaMismatch)
    assert str(MAX_HELD) in outcome.error.message
    assert outcome.upstream.aborted == [True]
