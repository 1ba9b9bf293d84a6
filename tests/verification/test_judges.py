"""What each flaw of an answer is called, and that no answer at all is judged wrongly or breaks a judge."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gptoss_api.core.turn import Tool
from gptoss_api.verification.cases import CASES, ExpectedCall, Probe, plan
from gptoss_api.verification.judges import (
    CHECKS,
    EFFORT,
    USAGE,
    Counted,
    Sizes,
    checks_of,
    fitting_calls,
    fitting_form,
    judge,
    longer,
    plausible,
    right_call,
    sizes,
    whole,
)
from gptoss_api.verification.raw import Counts, RawAnswer, RawCall

SCHEMA = {
    "type": "object",
    "properties": {"city": {"type": "string"}, "days": {"type": "integer"}},
    "required": ["city", "days"],
    "additionalProperties": False,
}
WEATHER, CLOCK = Tool("get_weather", "", SCHEMA), Tool("clock")
EXPECTED = ExpectedCall((WEATHER, CLOCK), "get_weather", {"city": "Oslo", "days": 3})
GOOD = '{"city": "Oslo", "days": 3}'


@pytest.mark.parametrize(
    ("calls", "fits", "right"),
    [
        ([("get_weather", GOOD)], "", ""),
        ([("get_weather", '{"city": "OSLO, Norway", "days": 3.0}')], "", ""),
        ([], "no_call", "no_call"),
        ([("get_weather", "{'city': 'Oslo', 'days': 3}")], "not_json", "not_json"),
        ([("get_weather", GOOD[:-1])], "not_json", "not_json"),
        ([("get_weather", GOOD + "}")], "not_json", "not_json"),
        ([("get_weather", '{"city": "Oslo", "days": NaN}')], "not_json", "not_json"),
        ([("get_weather", "[" * 100_000)], "not_json", "not_json"),
        ([("get_weather", '{"city": "Oslo"}')], "does_not_fit", "wrong_values"),
        ([("get_weather", '{"city": "Oslo", "days": "3"}')], "does_not_fit", "wrong_values"),
        ([("get_weather", '{"city": "Oslo", "days": true}')], "does_not_fit", "wrong_values"),
        ([("get_weather", '"Oslo"')], "does_not_fit", "wrong_values"),
        ([("get_weather", '{"city": "Lima", "days": 3}')], "", "wrong_values"),
        ([("clock", "{}")], "", "wrong_tool"),
        ([("get_weather<|channel|>commentary", GOOD)], "unknown_tool", "wrong_tool"),
        ([("get_weather", GOOD), ("clock", "{}")], "", "several_calls"),
        ([("get_weather", GOOD), ("clock", "")], "not_json", "several_calls"),
    ],
)
def test_every_flaw_of_a_call_has_a_name(calls: list[tuple[str, str]], fits: str, right: str) -> None:
    made = [RawCall(*call) for call in calls]
    assert fitting_calls(made, EXPECTED) == fits
    assert right_call(RawAnswer(calls=made), EXPECTED) == right


def test_lists_and_objects_are_compared_by_what_they_hold() -> None:
    expected = ExpectedCall((CLOCK,), "clock", {"who": [{"name": "Alma"}], "zone": {"at": 1}})

    def verdict(**arguments: Any) -> str:
        return right_call(RawAnswer(calls=[RawCall("clock", json.dumps(arguments))]), expected)

    assert verdict(who=[{"name": "Alma", "more": 1}], zone={"at": 1}) == ""
    assert verdict(who=[{"name": "Alma"}, {}], zone={"at": 1}) == "wrong_values"
    assert verdict(who={"name": "Alma"}, zone={"at": 1}) == "wrong_values"
    assert verdict(who=[{"name": "Alma"}], zone=[1]) == "wrong_values"


def test_where_no_call_is_wanted_a_call_is_wrong() -> None:
    expected = ExpectedCall((CLOCK,), "", text="kettle")
    assert right_call(RawAnswer("Kettle."), expected) == ""
    assert right_call(RawAnswer("Pot."), expected) == "not_found"
    assert right_call(RawAnswer("Kettle.", calls=[RawCall("clock", "{}")]), expected) == "needless_call"


@pytest.mark.parametrize(
    ("text", "verdict"),
    [
        (GOOD, ""),
        (f"\n{GOOD} ", ""),
        ("", "empty"),
        (f"```json\n{GOOD}\n```", "not_json"),
        (f"Here it is: {GOOD}", "not_json"),
        ('{"city": "Oslo"}', "does_not_fit"),
        ('{"city": "Oslo", "days": 3, "more": 1}', "does_not_fit"),
    ],
)
def test_a_form_is_json_that_fits_and_nothing_else(text: str, verdict: str) -> None:
    assert fitting_form(text, SCHEMA) == verdict


@pytest.mark.parametrize(
    ("answer", "verdict"),
    [
        (RawAnswer("Hi", finish_reason="stop"), ""),
        (RawAnswer("Hi", finish_reason="length"), ""),
        (RawAnswer("", "Hm", finish_reason="length"), "cut"),
        (RawAnswer("", "Hm", finish_reason="stop"), "empty"),
        (RawAnswer("Hi"), "no_end"),
        (RawAnswer("Hi", finish_reason="stop", unreadable=1), "unreadable"),
        (RawAnswer("<|channel|>analysis", finish_reason="stop"), "leaked_tokens"),
        (RawAnswer(calls=[RawCall("clock", "{}")], finish_reason="stop"), "wrong_end"),
        (RawAnswer(calls=[RawCall("clock", "{}")], finish_reason="tool_calls"), ""),
    ],
)
def test_an_answer_is_whole_with_the_end_that_it_should_have(answer: RawAnswer, verdict: str) -> None:
    assert whole(answer) == verdict


@pytest.mark.parametrize(
    ("usage", "hidden", "verdict"),
    [
        (Counts(1_000, 100, 60), False, ""),
        (Counts(1_300, 130, None), False, ""),
        (None, False, "missing"),
        (Counts(None, 100), False, "missing"),
        (Counts(0, 0), False, "prompt_off"),
        (Counts(9_000, 100), False, "prompt_off"),
        (Counts(1_000, 1), False, "completion_off"),
        (Counts(1_000, 5_000), False, "completion_off"),
        (Counts(1_000, 5_000), True, ""),
        (Counts(1_000, 100, 101), False, "reasoning_off"),
    ],
)
def test_numbers_that_cannot_be_are_found(usage: Counts | None, hidden: bool, verdict: str) -> None:
    assert plausible(usage, Counted(1_000, 100), hidden=hidden) == verdict


def test_effort_is_told_by_the_best_that_both_answers_show() -> None:
    assert longer(Sizes(10, 50, 90), Sizes(20, 40, 80)) == 1
    assert longer(Sizes(10), Sizes(5)) == -1
    assert longer(Sizes(10), Sizes(10)) == 0
    # None shows its thoughts; their tokens do, or all of the answer.
    assert longer(Sizes(0, 50, 90), Sizes(0, 40, 100)) == -1
    assert longer(Sizes(0, 0, 90), Sizes(0, 0, 100)) == 1
    assert longer(Sizes(), Sizes()) == 0


def test_every_check_but_effort_is_judged_by_some_case() -> None:
    named = {check for probe in plan(6) for check in checks_of(probe, usage=True)}
    assert named == CHECKS.keys() - {EFFORT}
    assert USAGE not in checks_of(plan(1)[0], usage=False)


text = st.text(max_size=30) | st.sampled_from([GOOD, "{}", "[]", "null", "1e999", '"x"'])
answers = st.builds(
    RawAnswer,
    text=text,
    reasoning=text,
    calls=st.lists(
        st.builds(RawCall, st.sampled_from(["get_weather", "clock", "create_event", ""]), text), max_size=3
    ),
    finish_reason=st.sampled_from(["", "stop", "length", "tool_calls"]),
    usage=st.none() | st.builds(Counts, *[st.none() | st.integers(0, 10**6)] * 3),
    unreadable=st.integers(0, 2),
)


@settings(max_examples=40)
@given(answers, st.sampled_from([case for case in CASES if case.area != "context"]), st.integers(0, 3))
def test_any_answer_is_judged_by_the_same_checks(answer: RawAnswer, case: Any, number: int) -> None:
    probe = Probe(case, number, "high" if case.area == "effort" else None)
    verdicts = judge(probe, probe.asked().expected, answer, Counted(100, 10))
    assert tuple(verdicts) == checks_of(probe, usage=True)
    assert all(isinstance(verdict, str) for verdict in verdicts.values())
    # Arguments that do not fit are never the right ones.
    if verdicts.get("tool_arguments") in ("no_call", "not_json") and len(answer.calls) < 2:
        assert verdicts["right_tool"]
    assert min(sizes(answer).characters, sizes(answer).completion_tokens) >= 0
