"""Long checks are made in another process, a few times for one answer, and end in an honest error."""

import asyncio
import json
import subprocess
import sys
import threading
from collections.abc import Sequence
from typing import Any

import pytest
from msgspec.structs import replace

from gptoss_api.core.errors import UpstreamSchemaMismatch
from gptoss_api.core.events import Event, Finished, TextDelta, ToolCallStarted
from gptoss_api.core.turn import OutputFormat, Tool, Turn
from gptoss_api.emulation import EmulationSettings
from gptoss_api.emulation.answer import checking
from gptoss_api.emulation.answer.checking import Fitter
from gptoss_api.emulation.answer.choice import ChoiceMachine
from gptoss_api.emulation.driver import in_checker_thread
from gptoss_api.loop import LIGHT
from gptoss_api.text.coercion import Misfit
from gptoss_api.text.schema import Unchecked, compile_schema
from tests.text.parsing import pieces_of

from ..scripted import WEATHER, Answer, Outcome, ScriptedUpstream, answered, asks, block, play

Json = dict[str, Any]

# More looks than are taken at once, and little to say where one row is none of these.
ROW = {"anyOf": [{"const": {"n": number}} for number in range(200)]}
FORM: Json = {"type": "object", "properties": {"rows": {"type": "array", "items": ROW}}, "required": ["rows"]}


def many(*last: Any) -> Json:
    return {"rows": [*({"n": 199} for _ in range(2_000)), *last]}


@pytest.fixture
def processes(monkeypatch: pytest.MonkeyPatch) -> list[Json]:
    """What was run, with its environment."""
    ran: list[Json] = []
    run = subprocess.run

    def noted(*args: Any, **options: Any) -> Any:
        ran.append(options)
        return run(*args, **options)

    monkeypatch.setattr(subprocess, "run", noted)
    return ran


def says(monkeypatch: pytest.MonkeyPatch, output: str) -> None:
    """Instead of the process there is one that writes this and fails."""
    program = f"import sys; sys.stdout.write({output!r}); sys.exit(1)"
    monkeypatch.setattr(checking, "_COMMAND", (sys.executable, "-c", program))


def test_what_is_quick_needs_no_process(processes: list[Json]) -> None:
    assert Fitter().fit(compile_schema(FORM), {"rows": [{"n": 1}]}) == {"rows": [{"n": 1}]}
    assert not processes


def test_what_may_take_long_is_checked_in_another_process(
    processes: list[Json], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GPTOSS_API_KEYS", "secret")
    schema, value = compile_schema(FORM), many()
    assert Fitter().fit(schema, value) is value
    with pytest.raises(Misfit) as caught:
        Fitter().fit(schema, many({"n": 200}))
    assert caught.value.complaints[0].startswith("$.rows[2000]: ")
    assert len(processes) == 2
    assert all("GPTOSS_API_KEYS" not in process["env"] for process in processes)


def test_it_is_mended_there_too() -> None:
    assert Fitter().fit(compile_schema(FORM), many() | {"rows": json.dumps(many()["rows"])}) == many()


@pytest.mark.parametrize("output", ["", '{"fits": tr', '{"fits": true}', "Segmentation fault\n"])
def test_what_cannot_be_found_out_is_not_accepted(monkeypatch: pytest.MonkeyPatch, output: str) -> None:
    says(monkeypatch, output)
    with pytest.raises(Unchecked):
        Fitter().fit(compile_schema(FORM), many())


@pytest.mark.parametrize("output", ['{"fits": false}\n', '{"fits": false}\n{"complai'])
def test_what_does_not_fit_does_not_also_where_nobody_can_say_why(
    monkeypatch: pytest.MonkeyPatch, output: str
) -> None:
    says(monkeypatch, output)
    with pytest.raises(Misfit) as caught:
        Fitter().fit(compile_schema(FORM), many({"n": 200}))
    assert caught.value.complaints == ["$: the value does not fit the schema"]


def test_that_it_does_not_fit_may_be_all_that_is_known_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    says(monkeypatch, "")
    wide = {"anyOf": [{"required": [f"p{number}"]} for number in range(2_000)]}
    with pytest.raises(Misfit):
        Fitter().fit(compile_schema(wide), {"a": 1})


def test_one_answer_has_a_few_processes(processes: list[Json]) -> None:
    fitter, schema = Fitter(), compile_schema(FORM)
    for _ in range(4):
        fitter.fit(schema, many())
    with pytest.raises(Unchecked):
        fitter.fit(schema, many())
    assert len(processes) == 4


def test_what_is_not_bound_to_fit_has_little_time_and_no_process(processes: list[Json]) -> None:
    loose, schema = Fitter(loose=True), compile_schema(FORM)
    value = {"rows": [{"n": 199}] * 10}
    assert loose.fit(schema, value) is value
    with pytest.raises(Unchecked):
        all(loose.fit(schema, value) for _ in range(100))
    assert not processes


async def test_what_is_done_aside_is_done_in_a_thread() -> None:
    assert await in_checker_thread(threading.current_thread) is not threading.current_thread()


# Whole answers


def played(turn: Turn, answer: Answer, **settings: Any) -> Outcome:
    """The upstream writes in pieces of some hundred characters."""
    upstream = ScriptedUpstream([answer], lambda whole: pieces_of(whole, 700))
    return asyncio.run(play(turn, upstream, EmulationSettings(secret=b"secret", **settings)))


ASKS = asks(form=OutputFormat("json_schema", "rows", FORM, strict=True))
TOOL = Tool("plant", "Plants rows.", FORM, strict=True)
TEXT = json.dumps(many())


def test_an_answer_that_may_take_long_to_check_is_delivered_when_it_fits() -> None:
    assert played(ASKS, TEXT).text == TEXT


def test_an_answer_that_cannot_be_checked_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    says(monkeypatch, "")
    outcome = played(ASKS, TEXT)
    assert isinstance(outcome.error, UpstreamSchemaMismatch)
    assert "takes too long" in outcome.error.message
    assert len(outcome.asked) == 1
    assert not any(isinstance(event, TextDelta) for event in outcome.events)


def test_best_effort_delivers_it_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    says(monkeypatch, "")
    outcome = played(ASKS, TEXT, repair="best_effort")
    assert outcome.text == TEXT
    assert "takes too long" in outcome.choice.notes[0]


@pytest.mark.parametrize("repair", ["strict", "best_effort"])
def test_arguments_that_cannot_be_checked_are_no_call(repair: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    assert played(asks(tools=[TOOL]), block(TEXT, "plant")).calls == [("plant", TEXT)]
    says(monkeypatch, "")
    outcome = played(asks(tools=[TOOL]), block(TEXT, "plant"), repair=repair)
    assert isinstance(outcome.error, UpstreamSchemaMismatch)
    assert "'plant'" in outcome.error.message
    assert not any(isinstance(event, ToolCallStarted) for event in outcome.events)


def test_an_answer_that_was_cut_off_is_delivered_as_far_as_it_came(monkeypatch: pytest.MonkeyPatch) -> None:
    says(monkeypatch, "")
    outcome = played(ASKS, [TEXT, Finished("length")])
    assert (outcome.text, outcome.reason) == (TEXT, "length")


def test_arguments_for_a_schema_that_is_too_large_are_bound_by_nothing() -> None:
    loose = replace(TOOL, strict=False, parameters={"anyOf": [{}] * 7_000})
    marked = block("{}", "plant").replace('key="KEY" ', "")
    assert played(asks(tools=[loose]), marked).calls == [("plant", "{}")]


def test_arguments_that_would_take_long_to_check_are_no_call_where_nothing_marks_them(
    processes: list[Json],
) -> None:
    loose = replace(TOOL, strict=False)
    unmarked = block(TEXT, "plant").replace('key="KEY" ', "")
    outcome = played(asks(tools=[loose]), unmarked)
    assert (outcome.text, outcome.calls) == (unmarked, [])
    assert not processes


def test_arguments_that_nothing_binds_are_not_worth_a_process(processes: list[Json]) -> None:
    loose = replace(TOOL, strict=False)
    assert played(asks(tools=[loose]), block(TEXT, "plant")).calls == [("plant", TEXT)]
    assert not processes


def test_what_judges_much_is_read_aside(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only pieces that may end what is judged as a whole, and only where much was written."""
    read: list[Sequence[Event]] = []
    takes_long = ChoiceMachine.takes_long

    def noted(choice: ChoiceMachine, batch: Sequence[Event]) -> bool:
        found = takes_long(choice, batch)
        if found:
            read.append(batch)
        return found

    monkeypatch.setattr(ChoiceMachine, "takes_long", noted)
    note = replace(WEATHER, strict=True)
    short = block('{"city": "Paris"}')
    long = block(json.dumps({"city": "x" * 2_000}))
    assert answered(asks(tools=[note]), short).calls
    assert not read
    assert answered(asks(tools=[note]), long).calls
    assert 0 < len(read) < 40
    read.clear()
    heavy = asks(tools=[note], weight=LIGHT + 1)
    assert answered(heavy, short).calls
    assert read
    read.clear()
    assert answered(asks(), "x" * 20_000).text
    assert read
