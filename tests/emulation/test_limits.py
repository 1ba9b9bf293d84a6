"""Where an answer ends before the model ends it: stop strings, token limits; and several choices.

Groups 54, 55 and 62 of docs/design/cases.md;
docs/design/emulation.md, "Stop strings and limits".
"""

import asyncio
import json

import pytest

from gptoss_api.core.errors import UpstreamFailure
from gptoss_api.core.events import ChoiceStarted, Finished, Started, TextDelta, ToolCallStarted
from gptoss_api.emulation import EmulatedUpstream, EmulationSettings
from gptoss_api.upstreams.base import Capabilities
from tests.pulled import opened

from .scripted import (
    CALL,
    OBJECT,
    PARIS,
    STRICT,
    STRICT_CALL,
    TOKENS,
    WEATHER,
    Forever,
    ScriptedUpstream,
    Step,
    Thought,
    answered,
    asks,
    block,
    schema,
)

WORDS = "one two three four five six seven eight nine ten"
BEGUN = '<tool_call key="KEY" name="get_weather">'

# Stop strings (group 54)


@pytest.mark.parametrize(
    ("stops", "text"),
    [
        (("four",), "one two three "),
        (("three four five",), "one two "),
        (("five", "four"), "one two three "),
        (("four", "three four"), "one two "),
        (("eleven",), WORDS),
        (("ten!",), WORDS),
        (("one",), ""),
        ((" ",), "one"),
    ],
)
def test_a_stop_string_ends_the_text_before_it(stops: tuple[str, ...], text: str) -> None:
    outcome = answered(asks(stop=stops), WORDS)
    assert (outcome.text, outcome.reason) == (text, "stop")
    assert outcome.upstream.aborted == [text != WORDS]
    assert outcome.started.emulated == ("stop",)


def test_the_end_says_which_stop_string_was_hit() -> None:
    for stops, hit in ((("five", "four"), "four"), (("ten!",), None), ((" ",), " ")):
        assert answered(asks(stop=stops), WORDS).choice.stop_sequence == hit
    # What is cut at a limit, or ends with a call, did not end at a stop string.
    assert answered(asks(stop=("four",), max_tokens=2), WORDS).choice.stop_sequence is None
    called = answered(asks(tools=[WEATHER], stop=("!",)), f"So.\n\n{CALL}\nDone!")
    assert (called.choice.stop_sequence, called.reason) == (None, "tool_calls")


@pytest.mark.parametrize(
    "capabilities", [Capabilities(threads=True, stop=True), Capabilities(True, stop=True)]
)
def test_the_stop_string_that_an_upstream_tells_is_handed_on(capabilities: Capabilities) -> None:
    told = Finished("stop", stop_sequence="four")
    outcome = answered(asks(stop=("four",)), ["one two ", told], capabilities=capabilities)
    assert (outcome.text, outcome.choice.stop_sequence) == ("one two ", "four")
    # A second turn is one of its own.
    outcome = answered(asks(stop=("four",)), ["", told], "one", capabilities=capabilities)
    assert (outcome.text, outcome.choice.stop_sequence) == ("one", None)


def test_a_stop_string_does_not_count_in_reasoning() -> None:
    outcome = answered(asks(stop=("four",)), [Thought("four"), "five"])
    assert (outcome.choice.reasoning, outcome.text) == ("four", "five")


def test_a_stop_string_does_not_count_in_a_call() -> None:
    outcome = answered(asks(tools=[WEATHER], stop=("Paris", "}")), f"So.\n\n{CALL}")
    assert outcome.calls == [("get_weather", PARIS)]
    assert (outcome.text, outcome.reason) == ("So.", "tool_calls")


def test_a_stop_string_before_a_call_ends_the_answer() -> None:
    outcome = answered(asks(tools=[WEATHER], stop=("End",)), f"The End.\n\n{CALL}")
    assert (outcome.text, outcome.calls, outcome.reason) == ("The ", [], "stop")


@pytest.mark.parametrize("stop", ["<tool", "<tool_call", "<"])
def test_a_stop_string_that_is_the_beginning_of_a_block_does_not_hide_calls(stop: str) -> None:
    outcome = answered(asks(tools=[WEATHER], stop=(stop,)), f"So: {CALL}")
    assert outcome.calls == [("get_weather", PARIS)]
    outcome = answered(asks(tools=[WEATHER], stop=(stop,)), "So: <tool_calls are great>")
    assert (outcome.text, outcome.calls) == ("So: ", [])


def test_the_beginning_of_a_stop_string_before_a_call_is_text() -> None:
    outcome = answered(asks(tools=[WEATHER], stop=("END",)), f"So E{CALL}")
    assert (outcome.text, outcome.calls) == ("So E", [("get_weather", PARIS)])


def test_a_stop_string_across_what_was_escaped() -> None:
    outcome = answered(asks("What is <|end|>?", stop=("<|end|>",)), "It is <\\|end\\|>, a token.")
    assert outcome.text == "It is "


@pytest.mark.parametrize(
    ("stop", "said", "text"),
    [
        ("\n\n", '```json\n{"name": "Ada", "age": 36}\n```\n\nMore.', '{"name": "Ada", "age": 36}'),
        ("age", '{"name": "Ada", "age": 36}', '{"name": "Ada", "'),
        ("}", '{"name": "Ada", "age": 36}', '{"name": "Ada", "age": 36'),
    ],
)
def test_a_stop_string_in_json_that_is_checked(stop: str, said: str, text: str) -> None:
    """What was complete is checked; what was cut is delivered as it is, as OpenAI does."""
    outcome = answered(asks(form=schema(), stop=(stop,)), said)
    assert (outcome.text, outcome.reason, outcome.choice.repairs) == (text, "stop", 0)


def test_a_stop_string_in_json_that_streams() -> None:
    outcome = answered(asks(form=OBJECT, stop=("two",)), '{"a": "one two"}')
    assert (outcome.text, outcome.reason) == ('{"a": "one ', "stop")


# Token limits (group 55)


def test_the_limit_cuts_the_text_at_a_token_and_stops_the_upstream() -> None:
    outcome = answered(asks(max_tokens=3), [Forever("word ")])
    assert (outcome.text, outcome.reason) == ("word word word", "length")
    assert outcome.upstream.aborted == [True]
    assert outcome.usage.completion_tokens == 3
    assert outcome.started.emulated == ("max_tokens",)


def test_an_answer_of_exactly_the_limit_is_complete() -> None:
    outcome = answered(asks(max_tokens=10), WORDS)
    assert (outcome.text, outcome.reason) == (WORDS, "stop")
    assert outcome.usage.completion_tokens == 10
    assert answered(asks(max_tokens=9), WORDS).reason == "length"


def test_one_token() -> None:
    outcome = answered(asks(max_tokens=1), WORDS)
    assert (outcome.text, outcome.reason) == ("one", "length")


def test_reasoning_counts_and_may_use_it_all_up() -> None:
    outcome = answered(asks(max_tokens=4), [Thought("one two three four five"), WORDS])
    assert (outcome.choice.reasoning, outcome.text) == ("one two three four", "")
    assert outcome.reason == "length"
    assert outcome.usage.reasoning_tokens == outcome.usage.completion_tokens == 4
    outcome = answered(asks(max_tokens=4), [Thought("one two"), WORDS])
    assert (outcome.choice.reasoning, outcome.text) == ("one two", "one two")


@pytest.mark.parametrize("limit", range(1, 16))
def test_the_limit_cuts_a_call_anywhere(limit: int) -> None:
    """In the header (then there is no call), in the arguments, or not at all."""
    outcome = answered(asks(tools=[WEATHER], max_tokens=limit), f"So:\n\n{CALL}")
    assert "So:".startswith(outcome.text)
    assert outcome.usage.completion_tokens <= limit
    if outcome.reason == "length":
        assert all(PARIS.startswith(arguments) for _, arguments in outcome.calls)
        assert all(name == "get_weather" for name, _ in outcome.calls)
        assert outcome.upstream.aborted == [True]
    else:
        assert outcome.calls == [("get_weather", PARIS)]


def test_the_limit_cuts_arguments_that_were_checked_too() -> None:
    outcome = answered(asks(tools=[STRICT], max_tokens=5), STRICT_CALL)
    [(name, arguments)] = outcome.calls
    assert name == "get_time"
    assert arguments != PARIS
    assert PARIS.startswith(arguments)
    assert outcome.reason == "length"


def test_long_arguments_stop_at_the_limit() -> None:
    outcome = answered(asks(tools=[WEATHER], max_tokens=50), [f'{BEGUN}\n{{"city": "', Forever("word ")])
    [(_, arguments)] = outcome.calls
    assert arguments.startswith('{"city": "word word')
    assert outcome.usage.completion_tokens == 50
    assert outcome.upstream.aborted == [True]


def test_json_that_is_checked_stops_at_the_limit_and_is_delivered_as_it_came() -> None:
    outcome = answered(asks(form=schema(), max_tokens=6), ['{"name": "', Forever("word ")])
    assert (outcome.text, outcome.reason) == ('{"name": "word word', "length")
    assert outcome.upstream.aborted == [True]


def test_what_follows_an_object_is_not_cut_off_by_the_limit() -> None:
    outcome = answered(asks(form=OBJECT, max_tokens=30), ['{"a": 1}', Forever(" word")])
    assert (outcome.text, outcome.reason) == ('{"a": 1}', "stop")


def test_json_that_was_complete_before_the_limit_is_checked() -> None:
    said: list[Step] = ['So: {"name": "Ada", "age": "36"}\n', Forever("word ")]
    outcome = answered(asks(form=schema(), max_tokens=40), said)
    assert (json.loads(outcome.text), outcome.reason) == ({"name": "Ada", "age": 36}, "length")


def test_rejected_answers_do_not_use_up_the_limit() -> None:
    wrong = json.dumps({"name": "Ada", "age": "thirty-six years, I believe"})
    outcome = answered(asks(form=schema(), max_tokens=20), wrong, '{"name": "Ada", "age": 36}')
    assert (outcome.text, outcome.reason) == ('{"name": "Ada", "age": 36}', "stop")


def test_a_stop_string_and_a_limit_together() -> None:
    assert answered(asks(stop=("three",), max_tokens=5), WORDS).reason == "stop"
    assert answered(asks(stop=("six",), max_tokens=5), WORDS).reason == "length"


def test_an_upstream_that_is_not_wanted_any_more_does_not_wait_for_a_slow_client() -> None:
    upstream = ScriptedUpstream([[Forever("word ")]], lambda text: [text])

    async def reads_slowly() -> None:
        emulated = EmulatedUpstream(upstream, TOKENS, EmulationSettings())
        left: list[bool] = []
        async with opened(emulated, asks(max_tokens=3)) as batches:
            async for batch in batches:
                if any(isinstance(event, Finished) for event in batch):
                    left.append(upstream.open_turns == 0)
        assert left == [True]

    asyncio.run(reads_slowly())


# Several choices (group 62)


def test_each_choice_is_a_conversation_of_its_own() -> None:
    outcome = answered(asks("Hello!", tools=[WEATHER], n=2), f"One.\n\n{CALL}", "Two.")
    first, second = outcome.collected.choices
    assert (first.text, first.finish_reason, len(first.tool_calls)) == ("One.", "tool_calls", 1)
    assert (second.text, second.finish_reason, second.tool_calls) == ("Two.", "stop", [])
    assert outcome.prompts[0] == outcome.prompts[1]
    assert [turn.thread for turn in outcome.asked] == [None, None]
    assert [turn.n for turn in outcome.asked] == [1, 1]
    assert sum(isinstance(event, Started) for event in outcome.events) == 1
    assert [event.index for event in outcome.events if isinstance(event, ChoiceStarted)] == [1]
    assert "n" in outcome.started.emulated


def test_usage_of_several_choices_counts_the_prompt_once() -> None:
    one = answered(asks(), WORDS).usage
    three = answered(asks(n=3), WORDS, WORDS, WORDS).usage
    assert three.prompt_tokens == one.prompt_tokens
    assert three.completion_tokens == 3 * one.completion_tokens


def test_calls_are_numbered_for_each_choice() -> None:
    outcome = answered(asks(tools=[WEATHER], n=2), CALL, f"{CALL}\n{block('{}')}")
    numbers = [event.index for event in outcome.events if isinstance(event, ToolCallStarted)]
    assert numbers == [0, 0, 1]


def test_limits_hold_for_each_choice() -> None:
    outcome = answered(asks(max_tokens=2, n=2), WORDS, WORDS)
    assert [choice.text for choice in outcome.collected.choices] == ["one two", "one two"]


def test_repairs_are_those_of_each_choice() -> None:
    outcome = answered(asks(n=2), "One.", "", "Two.")
    assert [choice.repairs for choice in outcome.collected.choices] == [0, 1]


def test_a_choice_that_fails_fails_the_turn() -> None:
    failure = UpstreamFailure("the oven is cold")
    outcome = answered(asks(n=2), "One.", failure)
    assert outcome.error is failure
    assert any(isinstance(event, TextDelta) for event in outcome.events), "the first one was on its way"
