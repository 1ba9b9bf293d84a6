"""The set of cases: fixed for good under its version, and each of them can be answered well."""

import hashlib
import json
from collections import Counter

import pytest

from gptoss_api.core.turn import AssistantMessage
from gptoss_api.gateway.gateway import load_ranks
from gptoss_api.text.schema import compile_schema
from gptoss_api.text.tokens import Tokens
from gptoss_api.verification.cases import (
    CASE_SET,
    CASES,
    LENGTHS,
    Case,
    ExpectedCall,
    ExpectedForm,
    ExpectedText,
    Probe,
    plan,
)
from gptoss_api.verification.draws import Draw
from gptoss_api.verification.judges import CHECKS, judge
from gptoss_api.verification.raw import RawAnswer, RawCall

from .servers import good_answer

# What the first samples of all cases ask for and expect. Whoever changes it gives the set another version.
FINGERPRINT = {"1": "19c12c998c766453"}


def rendered(case: Case) -> str:
    """All that the first sample says to a model, and all that is expected of it."""
    asked = case.make(Draw(Probe(case, 0).seed))
    said = [
        [message.text, message.reasoning, [(call.name, call.arguments) for call in message.tool_calls]]
        if isinstance(message, AssistantMessage)
        else message.text
        for message in asked.messages
    ]
    tools = [(tool.name, tool.description, tool.parameters) for tool in asked.tools]
    match asked.expected:
        case ExpectedCall(_, name, arguments, text):
            expected: object = [name, dict(arguments), text]
        case ExpectedForm(schema):
            expected = schema
        case ExpectedText(text):
            expected = text
    return json.dumps([case.id, case.area, said, tools, asked.form.name, asked.form.schema, expected])


def test_a_set_never_changes_under_its_version() -> None:
    text = "\n".join(map(rendered, CASES))
    assert hashlib.sha256(text.encode()).hexdigest()[:16] == FINGERPRINT[CASE_SET]


def test_samples_differ_and_are_the_same_every_time() -> None:
    for case in CASES:
        asked = [Probe(case, number).asked() for number in range(4)]
        assert asked == [Probe(case, number).asked() for number in range(4)]
        assert len({repr(each) for each in asked}) > 1
    first, second = (Probe(CASES[0], number).turn("gpt-oss-20b").options["seed"] for number in (0, 1))
    assert first != second
    assert 0 <= min(first, second) <= max(first, second) < 2**31


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
def test_a_good_answer_passes_every_check(case: Case) -> None:
    for number in range(5):
        probe = Probe(case, number, "high" if case.area == "effort" else None)
        asked = probe.asked()
        good = good_answer(asked, "high")
        calls = [RawCall(name, arguments) for name, arguments in good.calls]
        answer = RawAnswer(good.content, good.reasoning, calls, good.finish or "")
        verdicts = judge(probe, asked.expected, answer, None)
        assert not any(verdicts.values()), (verdicts, good)
        assert verdicts.keys() <= CHECKS.keys()


def test_all_schemas_can_be_checked_to_the_last() -> None:
    for case in CASES:
        asked = Probe(case, 0).asked()
        schemas = [tool.parameters for tool in asked.tools] + [asked.form.schema]
        for schema in filter(None, schemas):
            assert not compile_schema(schema).left_out
            assert schema["required"] == list(schema["properties"])
        if isinstance(asked.expected, ExpectedCall):
            assert asked.expected.tools == asked.tools


def test_a_plan_has_n_turns_for_each_area_and_something_of_everything_at_its_beginning() -> None:
    probes = plan(20)
    areas = Counter(probe.case.area for probe in probes)
    assert areas == {"tools": 20, "structured": 20, "effort": 20, "thoughts": 10, "context": 12}
    assert {probe.case.id for probe in probes[: len(CASES) + 5]} == {case.id for case in CASES}
    assert len({(probe.case.id, probe.sample, probe.effort) for probe in probes}) == len(probes)
    sides = Counter((probe.case.id, probe.sample) for probe in probes if probe.effort)
    assert set(sides.values()) == {2}


def test_a_quick_plan_has_none_of_the_longer_texts() -> None:
    quick = plan(6, quick=True)
    assert {probe.case.id for probe in quick if probe.case.area == "context"} == {"context.8k"}
    assert sum(probe.tokens for probe in quick) < sum(probe.tokens for probe in plan(6)) / 5


def test_a_smallest_plan_asks_for_everything_once() -> None:
    assert {probe.case.area for probe in plan(1)} == {case.area for case in CASES}


def test_long_texts_have_about_the_tokens_that_their_names_say() -> None:
    tokens = Tokens(load_ranks)
    for case, length in zip(CASES[-len(LENGTHS) :], LENGTHS, strict=True):
        text = Probe(case, 0).asked().messages[0].text
        assert tokens.count_once(text) == pytest.approx(length, rel=0.05)
        assert case.id == f"context.{length // 1_000}k"


def test_the_estimate_of_a_turn_is_near_what_it_has() -> None:
    tokens = Tokens(load_ranks)
    for probe in plan(4, quick=True):
        asked = probe.asked()
        schemas = json.dumps([tool.parameters for tool in asked.tools])
        counted = tokens.count_once("".join(message.text for message in asked.messages) + schemas)
        assert counted / 2 < asked.size < counted * 2 + 200
