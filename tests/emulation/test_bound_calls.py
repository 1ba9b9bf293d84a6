"""Native calls that are demanded and have to fit a strict schema."""

import json

import pytest

from gptoss_api.core.errors import UpstreamFailure, UpstreamRateLimited, UpstreamSchemaMismatch
from gptoss_api.core.events import Finished, TextDelta, ToolCallDelta, ToolCallFinished, ToolCallStarted
from gptoss_api.core.turn import Tool, ToolChoice
from gptoss_api.emulation.answer.checking import Fitter
from gptoss_api.text.schema import Unchecked
from gptoss_api.upstreams.base import Capabilities

from .scripted import PARIS, STRICT, WEATHER, Outcome, Step, answered, asks, schema

NATIVE = Capabilities(history=True, tools=True, stop=True, max_tokens=True)
REQUIRED = ToolChoice("required")
demanding = asks(tools=[WEATHER, STRICT], tool_choice=REQUIRED)
WRONG = '{"town": "Paris"}'


def calls(*made: tuple[str, str], complete: bool = True, reason: str = "tool_calls") -> list[Step]:
    steps: list[Step] = []
    for index, (name, arguments) in enumerate(made):
        steps += [ToolCallStarted(index, f"call_{index}", name)]
        steps += [ToolCallDelta(index, piece) for piece in (arguments[:5], arguments[5:]) if piece]
        steps += [ToolCallFinished(index, complete or index + 1 < len(made))]
    return [*steps, Finished(reason)]  # type: ignore[arg-type]  # one of the reasons there are


def played(*answers: list[Step] | UpstreamFailure | str, **settings: object) -> Outcome:
    return answered(demanding, *answers, capabilities=NATIVE, **settings)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["get_time", "get_weather"])
def test_calls_that_fit_are_what_they_are(name: str) -> None:
    outcome = played(calls((name, PARIS)))
    assert (outcome.calls, outcome.reason, outcome.choice.repairs) == ([(name, PARIS)], "tool_calls", 0)
    assert len(outcome.asked) == 1


def test_one_that_does_not_is_asked_for_again_and_told_why() -> None:
    outcome = played([TextDelta("Let me see."), *calls(("get_time", WRONG))], calls(("get_time", PARIS)))
    assert (outcome.calls, outcome.choice.repairs, outcome.choice.notes) == ([("get_time", PARIS)], 1, ())
    first, again = outcome.asked
    assert again.messages[: len(first.messages)] == first.messages
    assert (again.tools, again.tool_choice) == (first.tools, first.tool_choice)
    assert again.messages[-2].text == "Let me see."
    assert "You called get_time with" in outcome.prompts[1]
    assert "city" in outcome.prompts[1]


@pytest.mark.parametrize("written", ["nothing", "[1", ""])
def test_so_is_one_that_is_no_json(written: str) -> None:
    outcome = played(calls(("get_time", written)), calls(("get_time", PARIS)))
    assert outcome.calls == [("get_time", PARIS)]


def test_what_can_be_mended_is_not_asked_for_again() -> None:
    outcome = played(calls(("get_time", '{"city": "Paris", "why": null}')))
    assert [(name, json.loads(arguments)) for name, arguments in outcome.calls] == [
        ("get_time", {"city": "Paris"})
    ]
    assert outcome.choice.repairs == 1
    assert len(outcome.asked) == 1


def test_all_calls_are_asked_for_again_where_one_does_not_fit() -> None:
    both = [("get_weather", PARIS), ("get_time", PARIS)]
    outcome = played(calls(("get_weather", PARIS), ("get_time", WRONG)), calls(*both))
    assert outcome.calls == both


@pytest.mark.parametrize("repair", ["strict", "best_effort"])
def test_twice_wrong_is_delivered_as_it_came_with_a_note(repair: str) -> None:
    outcome = played(calls(("get_time", WRONG)), calls(("get_time", WRONG)), repair=repair)
    assert outcome.calls == [("get_time", WRONG)]
    (note,) = outcome.choice.notes
    assert note.startswith("E_SCHEMA: get_time with ")


@pytest.mark.parametrize("second", ["I cannot.", UpstreamRateLimited("slow down")])
def test_where_no_other_calls_come_the_first_are_delivered(second: str | UpstreamFailure) -> None:
    outcome = played(calls(("get_time", WRONG)), second)
    assert (outcome.calls, outcome.reason) == ([("get_time", WRONG)], "tool_calls")
    assert outcome.choice.notes[-1].startswith("E_SCHEMA: get_time with ")


def test_a_repair_that_breaks_off_in_a_call_delivers_the_first() -> None:
    broken: list[Step] = [*calls(("get_time", PARIS))[:-2], UpstreamRateLimited("slow down")]
    outcome = played(calls(("get_time", WRONG)), broken)
    assert outcome.calls == [("get_time", WRONG)]


def test_a_turn_that_breaks_off_in_a_call_is_asked_for_again() -> None:
    broken: list[Step] = [*calls(("get_time", PARIS))[:-2], UpstreamFailure("the oven is cold")]
    outcome = played(broken, calls(("get_time", PARIS)))
    assert outcome.calls == [("get_time", PARIS)]


def test_a_call_that_the_upstream_cut_is_delivered_as_far_as_it_came() -> None:
    outcome = played(calls(("get_time", '{"city": "Pa'), complete=False, reason="length"))
    assert (outcome.calls, outcome.reason) == ([("get_time", '{"city": "Pa')], "length")


def test_one_that_takes_too_long_to_judge_is_no_call(monkeypatch: pytest.MonkeyPatch) -> None:
    def endless(*_: object) -> None:
        raise Unchecked

    monkeypatch.setattr(Fitter, "fit", endless)
    assert isinstance(played(calls(("get_time", PARIS))).error, UpstreamSchemaMismatch)


def test_a_form_beside_it_binds_no_call() -> None:
    turn = asks(tools=[STRICT], tool_choice=ToolChoice("named", ("get_time",)), form=schema())
    outcome = answered(turn, calls(("get_time", WRONG)), calls(("get_time", PARIS)), capabilities=NATIVE)
    assert (outcome.calls, outcome.text, outcome.reason) == ([("get_time", PARIS)], "", "stop")


def test_what_is_not_demanded_streams_as_it_comes() -> None:
    for turn in (
        asks(tools=[STRICT]),
        asks(tools=[WEATHER], tool_choice=REQUIRED),
        asks(tools=[Tool("note", kind="custom", strict=True)], tool_choice=REQUIRED),
    ):
        name = turn.tools[0].name
        made = calls((name, '{"input": "Paris"}'))
        outcome = answered(turn, made, capabilities=NATIVE)
        assert [called for called, _ in outcome.calls] == [name]
        if name != "note":
            assert sum(isinstance(event, ToolCallDelta) for event in outcome.events) > 1


def test_a_call_does_not_begin_where_the_text_before_it_has_used_up_the_limit() -> None:
    """The text is the beginning of a stop string, so that it is counted when the call comes."""
    made = [TextDelta("one two three"), *calls(("get_weather", PARIS))]
    turn = asks(tools=[WEATHER], stop=("one two three four",), max_tokens=1, bounds_shown=True)
    outcome = answered(turn, made, capabilities=NATIVE)
    assert (outcome.text, outcome.calls, outcome.reason) == ("one", [], "length")
