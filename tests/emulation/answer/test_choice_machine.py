"""The machine of one choice, driven without an event loop: events in, events out, and then its verdict."""

import gc
import weakref
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from gptoss_api.core.errors import (
    GatewayError,
    Overloaded,
    UndeclaredToolCalled,
    UpstreamEmpty,
    UpstreamFailure,
    UpstreamSchemaMismatch,
)
from gptoss_api.core.events import (
    Event,
    Finished,
    LogprobsDelta,
    ReasoningDelta,
    RefusalDelta,
    Started,
    TextDelta,
    ToolCallDelta,
    ToolCallFinished,
    ToolCallStarted,
    Usage,
    UsageReported,
)
from gptoss_api.core.result import Choice, Collector
from gptoss_api.core.turn import ToolCall, ToolChoice, Turn
from gptoss_api.emulation.answer import output
from gptoss_api.emulation.answer.choice import (
    CHARACTERS_AT_ONCE,
    ChoiceMachine,
    Complete,
    Failed,
    Repair,
    Verdict,
)
from gptoss_api.upstreams.base import Capabilities
from tests.text.parsing import pieces_of

from ..rendering import make_plan
from ..scripted import CALL, NOTE, OBJECT, PARIS, STRICT, TEXT_ONLY, TOKENS, WEATHER, asks, block, schema

NATIVE = Capabilities(history=True, tools=True, json_object=True, json_schema=True)
STARTED = Started("scripted", "gpt-oss-120b", thread_id="thread", account="account")
STOP = Finished("stop")


PIECES = st.sampled_from(
    (
        "Yes",
        " and",
        "\n",
        "a",
        " as",
        "\n\nThe",
        "",
        " ",
        "<|",
        "`x<`",
        "\n~~~\n",
        "to=",
        "{",
        block(PARIS),
        "\ud800",
    )
)
HEARD = st.one_of(
    st.builds(TextDelta, PIECES),
    st.builds(TextDelta, PIECES),
    st.builds(ReasoningDelta, PIECES),
    st.just(LogprobsDelta([])),
    st.just(UsageReported(Usage(1, 2))),
)


class Played:
    """A machine and what it let out, for a turn to an upstream with ``capabilities``."""

    def __init__(self, turn: Turn, *, capabilities: Capabilities = TEXT_ONLY, strict: bool = True) -> None:
        self.spec = make_plan(turn, capabilities).spec
        self.machine = ChoiceMachine(self.spec, TOKENS, strict=strict)
        self.events: list[Event] = []

    def hear(self, *said: str | Event) -> "Played":
        """Everything in a batch of its own; strings are text in which ``KEY`` is the key."""
        self.feed(STARTED)
        for each in said:
            self.feed(TextDelta(each.replace("KEY", self.spec.key)) if isinstance(each, str) else each)
        return self

    def feed(self, *events: Event) -> None:
        passed = self.machine.passed(events)
        self.events += self.machine.feed(events) if passed is None else passed

    def end(self) -> Verdict:
        return self._noted(self.machine.end_of_plain() or self.machine.end())

    def fail(self, failure: GatewayError) -> Verdict:
        return self._noted(self.machine.failed(failure))

    def _noted(self, verdict: Verdict) -> Verdict:
        self.events += verdict.events
        return verdict

    def repaired(self) -> str:
        """The words of the repair that the end of the turn asks for."""
        verdict = self.end()
        assert isinstance(verdict, Repair)
        return verdict.message

    @property
    def choice(self) -> Choice:
        """The answer once it is complete."""
        assert isinstance(self.events[-1], Finished)
        collector = Collector()
        collector.feed(self.events)
        return collector.choices[0]

    def completed(self) -> Choice:
        assert isinstance(self.end(), Complete)
        return self.choice


def calls_of(choice: Choice) -> list[tuple[str, str]]:
    return [(call.name, call.arguments) for call in choice.tool_calls]


def native(*said: str | Event, **settings: Any) -> Played:
    return Played(asks(**settings), capabilities=NATIVE).hear(*said)


# What an upstream says of its own


def test_what_an_upstream_says_in_events_of_its_own_passes() -> None:
    called: list[Event] = [
        ToolCallStarted(0, "id", "get_weather"),
        ToolCallDelta(0, PARIS),
        ToolCallFinished(0),
    ]
    choice = native("Hm.", *called, Finished("tool_calls"), tools=[WEATHER]).completed()
    assert (choice.text, calls_of(choice), choice.finish_reason) == (
        "Hm.",
        [("get_weather", PARIS)],
        "tool_calls",
    )
    played = native(RefusalDelta("No, "), RefusalDelta(""), RefusalDelta("thanks."), STOP)
    assert played.completed().refusal == "No, thanks."
    assert RefusalDelta("") not in played.events
    assert not played.machine.thread_is_clean


def test_notes_of_the_upstream_are_handed_on_but_not_without_end() -> None:
    told = tuple(f"note {number}" for number in range(20))
    notes = native("Yes.", Finished("stop", notes=told)).completed().notes
    assert notes == told[:8]


def test_thoughts_without_end_are_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(output, "MAX_ANSWER", 10)
    hidden = asks(show_reasoning=False)
    for turn in (asks(tools=[WEATHER]), asks(), hidden, replace(hidden, stop=("x",))):
        played = Played(turn).hear(ReasoningDelta("0123456789"))
        with pytest.raises(UpstreamFailure, match="does not end"):
            played.feed(ReasoningDelta("0"))


# Stop strings and limits


def test_a_stop_string_that_shows_itself_before_a_call_ends_the_answer() -> None:
    """It is found where a longer one turns out not to come."""
    played = Played(asks(tools=[WEATHER], stop=("b.", "abc")))
    choice = played.hear(f"a ab{CALL}").completed()
    assert (choice.text, calls_of(choice)) == ("a ab", [("get_weather", PARIS)])
    played = Played(asks(tools=[WEATHER], stop=("abc", "b")))
    choice = played.hear(f"a ab{CALL}").completed()
    assert (choice.text, calls_of(choice), choice.stop_sequence) == ("a a", [], "b")
    assert not played.machine.may_end


def test_the_limit_cuts_a_call_that_was_taken_from_the_thoughts() -> None:
    turn = asks(tools=[WEATHER], show_reasoning=False, max_tokens=3)
    played = Played(turn)
    played.hear(ReasoningDelta(CALL.replace("KEY", played.spec.key)), STOP)
    choice = played.completed()
    assert choice.finish_reason == "length"
    assert not any(isinstance(event, ToolCallFinished) for event in played.events)


# Failures of the upstream


def test_a_call_that_nobody_offered_is_answered_with_what_there_is() -> None:
    for tools, words in (([WEATHER], "The tools are: get_weather."), ([], "there are none here")):
        played = native(tools=tools)
        verdict = played.fail(UndeclaredToolCalled("It called 'x'."))
        assert isinstance(verdict, Repair)
        assert words in verdict.message
        assert played.machine.repairs == 1
        failed = played.fail(UndeclaredToolCalled("It called 'x'."))
        assert isinstance(failed, Failed)
        assert isinstance(failed.error, UndeclaredToolCalled)


@pytest.mark.parametrize(
    "failure", [UpstreamEmpty("Nothing."), UpstreamFailure("unexpected tokens in header")]
)
def test_a_call_that_the_upstream_swallowed_is_asked_for_in_text(failure: GatewayError) -> None:
    verdict = Played(asks(tools=[WEATHER])).fail(failure)
    assert isinstance(verdict, Repair)
    assert "text block" in verdict.message
    assert isinstance(Played(asks()).fail(failure), Failed)


def test_what_was_held_back_goes_before_the_failure_to_a_client_that_has_the_rest() -> None:
    failure = UpstreamFailure("It broke off.")
    for turn in (asks(tools=[WEATHER]), asks(stop=("<tool",))):
        played = Played(turn).hear("One. <to")
        assert played.machine.delivered.text.strip() == "One."
        assert isinstance(played.fail(failure), Failed)
        assert played.machine.delivered.text == "One. <to"
    # The beginning of a block was never meant as text, nor is anything after it.
    played = Played(asks(tools=[WEATHER])).hear('One. <tool_call key="KEY" name="get_weather"')
    assert played.fail(failure) == Failed(failure, [])
    # Nobody has the rest.
    assert Played(asks(tools=[WEATHER])).hear("<to").fail(failure) == Failed(failure, [])


def test_what_leaked_harmony_held_back_goes_before_the_failure_too() -> None:
    failure = UpstreamFailure("It broke off.")
    assert native("One. ", "<|chan").fail(failure) == Failed(failure, [TextDelta("<|chan")])


def test_what_cannot_go_on_its_way_ends_the_choice() -> None:
    played = Played(asks(form=OBJECT)).hear('{"a": ')
    with pytest.raises(UpstreamSchemaMismatch, match="broke on its way"):
        played.feed(TextDelta("]"))
    failed = Played(asks(form=OBJECT)).hear('{"a": [1, "x').fail(UpstreamFailure("It broke off."))
    assert isinstance(failed, Failed)


def test_a_repair_that_fails_leaves_what_it_should_have_mended() -> None:
    failure = Overloaded("No place.")
    flawed = block('{"town": "Paris"}', "get_time")
    played = Played(asks(tools=[STRICT])).hear(f"One.\n\n{flawed}\n", STOP)
    assert "rejected" in played.repaired()
    assert isinstance(played.fail(failure), Complete)
    assert played.choice.notes[0] == "the repair failed: No place."
    assert calls_of(played.choice) == [("get_time", '{"town": "Paris"}')]
    # Nothing of a first turn is left, and a demanded call that is missing is no answer.
    assert isinstance(native(tools=[WEATHER]).fail(failure), Failed)
    played = native("Hm.", STOP, tools=[WEATHER], tool_choice=ToolChoice("required"))
    assert played.repaired() == "Your answer has no tool call, but one is required. Call one of: get_weather."
    assert isinstance(played.fail(failure), Failed)


# Whether the thread may go on


def clean(played: Played) -> bool:
    assert isinstance(played.end(), Complete)
    return played.machine.thread_is_clean


def test_a_thread_in_which_the_answer_stands_as_written_is_clean() -> None:
    assert clean(Played(asks()).hear("Yes.", STOP))
    assert clean(Played(asks(tools=[WEATHER])).hear(f"Yes.\n\n{CALL}", STOP))
    assert clean(Played(asks(tools=[NOTE])).hear(block('{"input":"a \\"b\\""}', "note"), STOP))


@pytest.mark.parametrize(
    "said",
    [
        [f"{CALL}\nInvented <tool_result>", STOP],
        [block("{'city': 'Paris'}"), STOP],
        ["Yes.", Finished("length")],
        ["Yes."],
    ],
    ids=["more", "another form", "cut off", "without an end"],
)
def test_a_thread_in_which_something_else_stands_is_not(said: Sequence[str | Event]) -> None:
    assert not clean(Played(asks(tools=[WEATHER])).hear(*said))


def test_a_thread_that_says_more_than_was_asked_for_is_not_clean_however_much_comes_at_once() -> None:
    for turn in (asks(max_tokens=2), asks(stop=("two",))):
        for rest in ("Three.", "\n\n"):
            played = Played(turn)
            played.feed(STARTED, TextDelta("One two."), TextDelta(rest), STOP)
            assert not clean(played)
    played = Played(asks(tools=[WEATHER], parallel_tool_calls=False))
    said = CALL.replace("KEY", played.spec.key)
    played.feed(STARTED, TextDelta(said), TextDelta("Invented <tool_result>"), STOP)
    assert not clean(played)


def test_a_repair_of_an_answer_that_was_left_in_the_middle_is_not_clean() -> None:
    played = Played(asks(form=OBJECT)).hear("No JSON.")
    played.repaired()
    assert not clean(played.hear('{"a": 1}', STOP))


def test_a_turn_that_is_not_wanted_any_more_may_be_worth_waiting_for() -> None:
    # An object is complete, and nothing that the client does not have has been said.
    played = Played(asks(form=OBJECT)).hear('{"a": 1')
    assert (played.machine.cut, played.machine.may_end) == (False, False)
    played.feed(TextDelta("}"))
    assert (played.machine.cut, played.machine.may_end) == (True, True)
    played.feed(TextDelta("\n"))
    assert played.machine.ending.near
    played.feed(TextDelta("That was it."))
    assert (played.machine.ending.near, played.machine.may_end) == (False, False)
    # A second block, where one was wanted.
    played = Played(asks(tools=[WEATHER], parallel_tool_calls=False)).hear(f"{CALL}\n{CALL}")
    assert (played.machine.cut, played.machine.may_end) == (True, False)
    # An end that is only watched is one.
    played = Played(asks(form=OBJECT)).hear('{"a": 1}', STOP)
    assert clean(played)


# What is remembered of the answer


def test_the_answer_is_remembered_with_thoughts_that_nobody_saw() -> None:
    played = Played(asks(tools=[WEATHER], show_reasoning=False))
    played.hear(ReasoningDelta("I look it up."), f"So.\n\n{CALL}", STOP)
    [call] = played.completed().tool_calls
    message = played.machine.message
    assert (message.text, message.reasoning, message.tool_calls) == ("So.", "I look it up.", (call,))
    assert isinstance(call, ToolCall)
    played = Played(asks(tools=[STRICT]))
    played.hear(ReasoningDelta("Hm."), "So.", STOP)
    played.completed()
    assert played.machine.message.reasoning == "Hm."


def test_a_form_that_cannot_be_had_is_a_failure_or_delivered_with_a_note() -> None:
    for strict in (True, False):
        played = Played(asks(form=schema(strict=False)), strict=strict).hear('{"name": "Ada"}', STOP)
        assert "age" in played.repaired()
        verdict = played.hear('{"name": "Ada"}', STOP).end()
        if strict:
            assert isinstance(verdict, Failed)
            assert isinstance(verdict.error, UpstreamSchemaMismatch)
            assert verdict.events == ()
        else:
            assert played.choice.text == '{"name": "Ada"}'
            assert "does not fit" in played.choice.notes[0]


# Any answers, in any pieces


PARTS = st.sampled_from(
    [
        "Words. ",
        "\n\n",
        CALL,
        block('{"town": 1}', "get_time"),
        block('{"city": "Paris"}', "get_time"),
        block("{'city': ", "get_weather"),
        '<tool_call key="KEY" na',
        "</tool_call>",
        "<|channel|>final<|message|>",
        "END",
        "EN",
        '{"a": [1, 2',
        '{"a": 1}',
        "]}",
        "```json\n",
        "   ",
    ]
)
TURNS = [
    asks(),
    asks(tools=[WEATHER, STRICT], stop=("END", "D.")),
    asks(tools=[WEATHER, STRICT], parallel_tool_calls=False, streamed=False),
    asks(tools=[STRICT], tool_choice=ToolChoice("required"), max_tokens=12),
    asks(form=OBJECT, max_tokens=20),
    asks(form=schema({"type": "object", "required": ["a"]}), tools=[WEATHER], stop=("END",)),
]
ENDS: list[Finished | GatewayError] = [
    STOP,
    Finished("length"),
    Finished("content_filter"),
    UpstreamFailure("It broke off."),
    UpstreamEmpty("Nothing."),
]


def answered_by(
    turn: Turn,
    capabilities: Capabilities,
    answers: Sequence[tuple[str, Finished | GatewayError]],
    size: int,
    *,
    strict: bool,
) -> tuple[Choice | None, str, list[str]]:
    """What a client has at the end, its calls or the failure, and what was asked for on the way.

    The answers come in pieces of ``size``.
    """
    played = Played(turn, capabilities=capabilities, strict=strict)
    asked: list[str] = []
    for text, end in answers:
        said: list[str | Event] = [*pieces_of(text, size)]
        try:
            played.hear(*said, *([end] if isinstance(end, Finished) else []))
        except GatewayError as broken:
            end = broken
        verdict = played.fail(end) if isinstance(end, GatewayError) else played.end()
        if isinstance(verdict, Failed):
            assert not any(isinstance(event, Finished) for event in played.events)
            return None, str(verdict.error), asked
        if isinstance(verdict, Complete):
            assert sum(isinstance(event, Finished) for event in played.events) == 1
            assert played.machine.repairs == played.choice.repairs
            assert played.machine.delivered.text == played.choice.text + played.choice.refusal
            return replace(played.choice, tool_calls=[]), str(calls_of(played.choice)), asked
        asked.append(verdict.message)
    raise AssertionError("it asks without end")


ANSWERS = st.lists(
    st.tuples(st.lists(PARTS, max_size=5).map("".join), st.sampled_from(ENDS)), min_size=6, max_size=6
)


@pytest.mark.parametrize(
    ("turn", "capabilities"), [*((turn, TEXT_ONLY) for turn in TURNS), (TURNS[1], NATIVE), (TURNS[4], NATIVE)]
)
@settings(max_examples=80, deadline=None)
@given(ANSWERS, st.booleans(), st.integers(2, 9))
def test_every_answer_comes_to_an_end_whatever_its_pieces(
    turn: Turn,
    capabilities: Capabilities,
    answers: list[tuple[str, Finished | GatewayError]],
    strict: bool,
    size: int,
) -> None:
    key = make_plan(turn, capabilities).spec.key
    answers = [(text.replace("KEY", key), end) for text, end in answers]
    whole, *cut = (
        answered_by(turn, capabilities, answers, size, strict=strict) for size in (10_000, 1, size)
    )
    assert cut == [whole, whole]


# What needs only a glance


@pytest.mark.parametrize("shows", [True, False])
@pytest.mark.parametrize(
    ("settings_of_turn", "capabilities"),
    [({}, TEXT_ONLY), ({"tools": [WEATHER]}, TEXT_ONLY), ({"tools": [WEATHER]}, NATIVE)],
)
@settings(max_examples=60, deadline=None)
@given(
    batches=st.lists(st.lists(HEARD, min_size=1, max_size=5), max_size=5),
    reason=st.sampled_from(["stop", "tool_calls", "length", "content_filter"]),
    stopped_at=st.sampled_from([None, "x"]),
)
def test_a_glance_lets_out_what_reading_would(
    settings_of_turn: dict[str, Any],
    capabilities: Capabilities,
    shows: bool,
    batches: list[list[Event]],
    reason: Any,
    stopped_at: str | None,
) -> None:
    turn = asks(show_reasoning=shows, **settings_of_turn)
    glancing, reading = (Played(turn, capabilities=capabilities) for _ in range(2))
    key = glancing.spec.key
    end = Finished(reason, notes=("hm",), stop_sequence=stopped_at)
    told: list[list[Event]] = [[STARTED], *batches, [end]]
    for batch in told:
        events = [
            TextDelta(event.text.replace("KEY", key)) if isinstance(event, TextDelta) else event
            for event in batch
        ]
        glancing.feed(*events)
        reading.events += reading.machine.feed(events)
    verdicts = glancing.end(), reading.end()
    assert type(verdicts[0]) is type(verdicts[1])
    if isinstance(verdicts[0], Complete):
        assert verdicts[0].events[-1] == verdicts[1].events[-1]
    assert reading.machine.end_of_plain() is None
    assert heard_of(glancing) == heard_of(reading)


def heard_of(played: Played) -> tuple[Any, ...]:
    """What became of an answer, whatever its pieces and the ids of its calls."""
    collector = Collector()
    collector.feed(played.events)
    choice, machine = collector.choices[0], played.machine
    told = choice.text, choice.reasoning, calls_of(choice), choice.finish_reason, choice.notes
    return told, machine.message.reasoning, machine.thread_is_clean, machine.reported_usage, machine.raw_text


@pytest.mark.parametrize("tools", [[], [WEATHER]])
def test_plain_text_needs_no_reading(tools: list[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ChoiceMachine, "feed", None)
    played = Played(asks(tools=tools)).hear(
        ReasoningDelta("Hm."), " the day", " as", "\n\n- a day.\ntoday", STOP
    )
    assert played.completed().text == " the day as\n\n- a day.\ntoday"
    assert played.machine.thread_is_clean


def test_what_nobody_is_to_repair_passes_at_a_glance_whatever_it_is() -> None:
    machine = Played(asks(), capabilities=replace(NATIVE, verbatim=True)).machine
    said = [TextDelta("<|channel|>"), TextDelta("`")]
    assert machine.passed(said) == said


def test_a_glance_is_for_text_of_a_usual_size() -> None:
    machine = Played(asks()).machine
    assert machine.passed([TextDelta("x" * CHARACTERS_AT_ONCE)]) is not None
    assert machine.passed([TextDelta("x" * (CHARACTERS_AT_ONCE + 1))]) is None


# What is over


@pytest.mark.parametrize("said", ["Yes.", "`x` <", "```json\n{", block(PARIS)])
@pytest.mark.parametrize(
    ("settings_of_turn", "capabilities"),
    [
        ({}, TEXT_ONLY),
        ({"tools": [WEATHER]}, TEXT_ONLY),
        ({"tools": [WEATHER]}, NATIVE),
        ({}, replace(NATIVE, verbatim=True)),
    ],
)
def test_an_answer_that_is_over_waits_for_no_garbage_collector(
    settings_of_turn: dict[str, Any], capabilities: Capabilities, said: str
) -> None:
    """It holds the whole conversation."""
    gc.disable()
    try:
        played = Played(asks(**settings_of_turn), capabilities=capabilities).hear(said, STOP)
        played.end()
        attempt = played.machine._attempt
        parser = attempt._parser
        code = None if parser is None else parser._code
        parts = [weakref.ref(part) for part in (played.machine, attempt, parser, code) if part is not None]
        del played, attempt, parser, code
        assert [part() for part in parts] == [None] * len(parts)
    finally:
        gc.enable()
