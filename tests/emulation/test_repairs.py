"""When the model is asked again, and what is delivered when that does not help.

The table of docs/design/emulation.md, "Repairs", row by row, and the rules of "What was delivered
stays". Groups 47, 59 and 61 of docs/design/cases.md.
"""

from typing import Literal

import pytest

from gptoss_api.core.errors import (
    GatewayError,
    InsufficientQuota,
    UpstreamEmpty,
    UpstreamFailure,
    UpstreamForbidden,
    UpstreamIncomplete,
    UpstreamRateLimited,
    UpstreamSchemaMismatch,
    UpstreamTimeout,
    UpstreamUnavailable,
)
from gptoss_api.core.events import Finished, TextDelta, ToolCallDelta
from gptoss_api.core.turn import AssistantMessage, ThreadRef, ToolChoice
from gptoss_api.upstreams.base import Capabilities

from .scripted import CALL, NOTE, PARIS, STRICT, STRICT_CALL, WEATHER, Thought, answered, asks, block, schema

REQUIRED = ToolChoice("required")
NAMED = ToolChoice("named", ("get_weather",))
WRONG = block('{"town": "Paris"}', "get_time")
with_tools = asks(tools=[WEATHER, STRICT])


# E_EMPTY


def test_an_empty_answer_is_nudged_in_the_same_thread() -> None:
    outcome = answered(asks(), "", "Here it is.")
    assert outcome.text == "Here it is."
    assert outcome.choice.repairs == 1
    assert (outcome.started.repairs, outcome.started.thread) == (1, "new")
    assert outcome.prompts[1].startswith("Your last message arrived empty")
    assert outcome.asked[1].thread == ThreadRef("thread-0", "account")
    assert "tool_call" not in outcome.prompts[1]


def test_what_was_asked_again_is_told_by_its_kind() -> None:
    outcome = answered(asks(tools=[WEATHER], tool_choice=REQUIRED), "", "No call.", CALL)
    assert outcome.started.repaired == ("empty",)
    (finished,) = [event for event in outcome.events if isinstance(event, Finished)]
    assert (finished.repairs, finished.repaired) == (2, ("empty", "tools"))


def test_the_nudge_reminds_of_the_block_where_there_are_tools() -> None:
    outcome = answered(with_tools, [Thought("I call it."), "  \n"], CALL)
    assert outcome.calls == [("get_weather", PARIS)]
    assert f'<tool_call key="{outcome.upstream.key}" name="..."> text block' in outcome.prompts[1]


def test_reasoning_alone_is_no_answer() -> None:
    outcome = answered(asks(), Thought("Hm. "), [Thought("Oh."), "Yes."])
    assert (outcome.choice.reasoning, outcome.text) == ("Hm. \n\nOh.", "Yes.")
    assert outcome.started.repairs == 0, "the reasoning was on its way before the repair"
    assert outcome.choice.repairs == 1


@pytest.mark.parametrize("empty", ["", " \n\n", "<|end|>", "<|channel|>analysis<|message|>Let me see."])
def test_an_answer_that_stays_empty_is_an_error(empty: str) -> None:
    outcome = answered(with_tools, empty, empty)
    assert isinstance(outcome.error, UpstreamEmpty)


def test_best_effort_delivers_an_answer_that_stays_empty_and_says_so() -> None:
    outcome = answered(asks(), "", "", repair="best_effort")
    assert (outcome.text, outcome.reason) == ("", "stop")
    assert outcome.choice.notes == ("the answer is empty, also after a second try",)


# Group 59


def test_a_keyed_call_at_the_end_of_the_reasoning_is_made_where_there_is_no_answer() -> None:
    draft = block('{"city": "Rome"}')
    outcome = answered(with_tools, Thought(f"First: {draft} No, rather:\n\n{CALL}\n"))
    assert outcome.calls == [("get_weather", PARIS)]
    assert (outcome.reason, outcome.choice.repairs) == ("tool_calls", 0)
    assert outcome.choice.notes == ("the tool call was taken from the reasoning",)


@pytest.mark.parametrize(
    "thought",
    [
        f"{CALL}\nBut is that right?",
        f"I could write `{CALL}`",
        f"```\n{CALL}\n```",
        CALL.replace("KEY", "k0k0"),
        CALL.replace(' key="KEY"', ""),
        block(PARIS, "get_news"),
        WRONG,
        block('{"city": "Par').removesuffix("\n</tool_call>"),
        PARIS,
    ],
)
def test_other_calls_in_the_reasoning_are_not_made(thought: str) -> None:
    outcome = answered(with_tools, Thought(thought), "Never mind.")
    assert (outcome.calls, outcome.text) == ([], "Never mind.")


def test_a_call_in_the_reasoning_of_an_answer_is_not_made() -> None:
    outcome = answered(with_tools, [Thought(CALL), "It rains."])
    assert (outcome.calls, outcome.text) == ([], "It rains.")


def test_a_call_in_reasoning_that_the_client_does_not_want_to_see_is_made() -> None:
    outcome = answered(asks(tools=[WEATHER], show_reasoning=False), Thought(f"I call it.\n{CALL}"))
    assert outcome.calls == [("get_weather", PARIS)]
    assert outcome.choice.reasoning == ""
    assert outcome.asked[0].show_reasoning


# E_NATIVE


@pytest.mark.parametrize(
    "message",
    [
        "gpt-oss.com could not answer: unexpected tokens remaining in message header",
        "gpt-oss.com could not answer: Tool get_weather not found in agent Assistant",
        "gpt-oss.com could not answer: unknown recipient functions.get_weather",
    ],
)
def test_an_upstream_that_stumbles_over_a_native_call_is_nudged(message: str) -> None:
    outcome = answered(with_tools, [Thought("I call it."), UpstreamFailure(message)], CALL)
    assert outcome.calls == [("get_weather", PARIS)]
    assert outcome.prompts[1].startswith(outcome.prompts[0])
    assert "Your last message arrived empty" in outcome.prompts[1]
    assert outcome.asked[1].thread is None


def test_a_native_call_twice_is_the_upstreams_error() -> None:
    failure = UpstreamFailure("unknown tool get_weather")
    outcome = answered(with_tools, failure, failure)
    assert outcome.error is failure
    assert len(outcome.asked) == 2


@pytest.mark.parametrize(
    "failure",
    [
        UpstreamRateLimited("slow down"),
        UpstreamFailure("the oven is hot", retry_after=1.0),
        UpstreamForbidden("no cake for you"),
        UpstreamTimeout("it took too long"),
        UpstreamUnavailable("the kitchen is closed"),
        InsufficientQuota("no money left"),
    ],
)
def test_a_failure_that_will_not_pass_at_once_is_not_asked_again(failure: GatewayError) -> None:
    for turn in (asks(), with_tools, asks(form=schema())):
        outcome = answered(turn, [Thought("Hm."), failure])
        assert outcome.error is failure


# Thoughts and then a failure

COLD = UpstreamFailure("the oven is cold")
HISTORY = Capabilities(history=True, tools=True)


@pytest.mark.parametrize("failure", [COLD, UpstreamIncomplete("it ended"), UpstreamEmpty("nothing came")])
def test_thoughts_and_a_failure_are_asked_once_more_in_a_new_thread(failure: UpstreamFailure) -> None:
    outcome = answered(asks(), [Thought("Hm. "), failure], [Thought("Oh."), "Yes."])
    assert (outcome.choice.reasoning, outcome.text, outcome.choice.repairs) == ("Hm. \n\nOh.", "Yes.", 1)
    assert outcome.prompts == [outcome.prompts[0]] * 2, "there is nothing to be taught: no nudge"
    assert outcome.asked[1].thread is None


def test_a_form_that_is_checked_here_is_nudged_for_without_a_word_about_tools() -> None:
    ada = '{"name": "Ada", "age": 36}'
    outcome = answered(asks(form=schema()), [Thought("Hm."), COLD], ada)
    assert outcome.text == ada
    assert "Your last message arrived empty" in outcome.prompts[1]
    assert "tool_call" not in outcome.prompts[1]


def test_a_server_that_takes_conversations_is_asked_the_same_again() -> None:
    turn = asks("Hello!", AssistantMessage("Hi."), "How are you?", tools=[WEATHER])
    outcome = answered(turn, [Thought("Hm."), COLD], "Well.", capabilities=HISTORY)
    assert outcome.text == "Well."
    assert outcome.asked[1] == outcome.asked[0]


def test_a_server_that_takes_conversations_is_nudged_where_calls_are_taught() -> None:
    taught = Capabilities(history=True)
    outcome = answered(with_tools, [Thought("Hm."), COLD], CALL, capabilities=taught)
    assert outcome.calls == [("get_weather", PARIS)]
    first, nudged = outcome.asked
    assert nudged.messages[:-1] == first.messages
    assert outcome.prompts[1].startswith("Your last message arrived empty")


@pytest.mark.parametrize("second", [COLD, UpstreamIncomplete("it ended")])
@pytest.mark.parametrize("repair", ["strict", "best_effort"])
def test_thoughts_and_a_failure_twice_are_an_empty_answer(
    second: UpstreamFailure, repair: Literal["strict", "best_effort"]
) -> None:
    for turn in (asks(), with_tools, asks(form=schema()), asks(show_reasoning=False)):
        outcome = answered(turn, [Thought("Hm."), COLD], [Thought("Hm."), second], repair=repair)
        assert isinstance(outcome.error, UpstreamEmpty)
        assert second.message in outcome.error.message


def test_what_the_upstream_asked_twice_already_is_not_asked_again() -> None:
    failure = UpstreamIncomplete("it ended")
    failure.repeated = True
    outcome = answered(asks(), [Thought("Hm."), failure])
    assert isinstance(outcome.error, UpstreamEmpty)


def test_a_refusal_of_the_second_turn_is_told_as_it_is() -> None:
    failure = UpstreamRateLimited("slow down")
    assert answered(with_tools, [Thought("Hm."), COLD], failure).error is failure


@pytest.mark.parametrize("end", [[COLD], []])
@pytest.mark.parametrize(
    "leaked",
    [
        f"<|start|>assistant<|channel|>commentary to=functions.get_weather <|message|>{PARIS}",
        f"<|channel|>commentary to=functions.get_weather<|message|>{PARIS}<|call|>",
        f"commentary to=functions.get_weather json{PARIS}",
        CALL,
    ],
)
def test_a_call_at_the_end_of_thoughts_without_an_answer_is_made(
    leaked: str, end: list[UpstreamFailure]
) -> None:
    for turn in (with_tools, asks(tools=[WEATHER], show_reasoning=False)):
        outcome = answered(turn, [Thought(f"I need it.\n{leaked}"), *end])
        assert (outcome.calls, outcome.reason) == ([("get_weather", PARIS)], "tool_calls")
        assert len(outcome.asked) == 1


@pytest.mark.parametrize(
    "thought",
    [
        f"commentary to=functions.get_news json{PARIS}",
        '<|channel|>commentary to=functions.get_weather<|message|>{"city": "Par',
        f"commentary to=functions.get_weather json{PARIS} so. I will not.",
        f"commentary to=functions.get_weather json{PARIS} But is that right? {{so}}",
    ],
)
def test_no_call_is_made_of_what_is_none(thought: str) -> None:
    outcome = answered(with_tools, [Thought(thought), COLD], "Never mind.")
    assert (outcome.calls, outcome.text) == ([], "Never mind.")


def test_a_native_call_is_nobodys_business_without_tools() -> None:
    outcome = answered(asks(), UpstreamFailure("unknown tool browser"))
    assert isinstance(outcome.error, UpstreamFailure)


def test_an_upstream_that_finds_its_own_answer_empty_is_nudged_where_a_call_may_have_been_lost() -> None:
    outcome = answered(with_tools, UpstreamEmpty("nothing came"), CALL)
    assert outcome.calls == [("get_weather", PARIS)]
    assert "# Tools" in outcome.prompts[1], "no thread is known: the whole prompt is sent again"


# E_NO_CALL


@pytest.mark.parametrize("choice", [REQUIRED, NAMED])
def test_a_demanded_call_that_did_not_come_is_asked_for_once(choice: ToolChoice) -> None:
    outcome = answered(asks(tools=[WEATHER, STRICT], tool_choice=choice), "I will.", f"Sorry!\n{CALL}")
    assert (outcome.text, outcome.calls) == ("I will.", [("get_weather", PARIS)])
    assert outcome.choice.repairs == 1
    assert "Your answer has no tool call, but one is required." in outcome.prompts[1]


def test_a_named_tool_is_named_in_the_request() -> None:
    outcome = answered(asks(tools=[WEATHER, STRICT], tool_choice=NAMED), "I will.", CALL)
    assert 'name="get_weather"' in outcome.prompts[1]


@pytest.mark.parametrize("again", ["No.", "", WRONG.replace("get_time", "get_news")])
def test_a_demanded_call_that_never_comes_is_an_error(again: str) -> None:
    outcome = answered(asks(tools=[WEATHER], tool_choice=REQUIRED), "I will not.", again)
    assert isinstance(outcome.error, UpstreamSchemaMismatch)
    assert "did not call a tool" in outcome.error.message


def test_best_effort_delivers_the_text_instead_of_a_demanded_call() -> None:
    outcome = answered(
        asks(tools=[WEATHER], tool_choice=REQUIRED), "I will not.", "No.", repair="best_effort"
    )
    assert (outcome.text, outcome.reason) == ("I will not.", "stop")
    assert outcome.choice.notes == ("no tool was called although tool_choice demands it",)


def test_a_block_for_an_unknown_tool_does_not_satisfy_a_demand() -> None:
    unknown = block(PARIS, "get_news")
    outcome = answered(asks(tools=[WEATHER], tool_choice=REQUIRED), unknown, "No.")
    assert isinstance(outcome.error, UpstreamSchemaMismatch)


# E_UNKNOWN_TOOL


def test_an_unknown_tool_is_answered_with_the_names_there_are() -> None:
    outcome = answered(with_tools, f"Let me see.\n\n{block(PARIS, 'get_news')}", CALL)
    assert (outcome.text, outcome.calls) == ("Let me see.", [("get_weather", PARIS)])
    assert "no tool is called get_news. The tools are: get_weather, get_time." in outcome.prompts[1]


@pytest.mark.parametrize("name", ["Get-Weather", "functions.get_weather", "get_weather<|channel|>commentary"])
def test_a_name_that_can_only_mean_one_tool_needs_no_repair(name: str) -> None:
    outcome = answered(with_tools, block(PARIS, name))
    assert outcome.calls == [("get_weather", PARIS)]


def test_an_unknown_tool_twice_is_text() -> None:
    unknown = block(PARIS, "get_news")
    outcome = answered(with_tools, f"Let me see.\n\n{unknown}", unknown)
    assert outcome.calls == []
    assert outcome.text == f"Let me see.\n\n{unknown}".replace("KEY", outcome.upstream.key)
    assert outcome.reason == "stop"
    assert outcome.choice.notes == (
        "E_UNKNOWN_TOOL: no tool is called get_news",
        "E_UNKNOWN_TOOL: no tool is called get_news",
    )


def test_an_unknown_native_recipient_is_asked_about_too() -> None:
    outcome = answered(
        with_tools, '<|channel|>commentary to=functions.get_news<|message|>{"city": "Paris"}', CALL
    )
    assert outcome.calls == [("get_weather", PARIS)]


# E_BAD_JSON


def test_a_body_that_is_no_json_is_asked_for_again() -> None:
    outcome = answered(with_tools, block('{"city": Paris in France}', "get_time"), STRICT_CALL)
    assert outcome.calls == [("get_time", PARIS)]
    assert "rejected" in outcome.prompts[1]


def test_arguments_that_stay_broken_are_delivered_as_they_came() -> None:
    broken = '{"city": Paris in France}'
    outcome = answered(with_tools, block(broken, "get_time"), block(broken, "get_time"))
    assert outcome.calls == [("get_time", broken)]
    assert outcome.reason == "tool_calls"
    assert "E_BAD_JSON" in outcome.choice.notes[0]


def test_small_mistakes_need_no_repair() -> None:
    outcome = answered(with_tools, block("{'city': \"Paris\",}"))
    assert outcome.calls == [("get_weather", PARIS)]


# E_SCHEMA


def test_invalid_arguments_of_a_strict_tool_are_asked_for_again_with_the_reasons() -> None:
    outcome = answered(with_tools, WRONG, STRICT_CALL)
    assert outcome.calls == [("get_time", PARIS)]
    assert outcome.started.repairs == 1
    assert '"city" is a required property' in outcome.prompts[1]
    assert f'with key="{outcome.upstream.key}" unchanged' in outcome.prompts[1]


def test_arguments_that_only_have_another_form_need_no_repair() -> None:
    outcome = answered(with_tools, block('{"city": 7, "note": null}', "get_time"))
    assert outcome.calls == [("get_time", '{"city": "7"}')]


@pytest.mark.parametrize("again", [WRONG, "I cannot do better.", ""])
def test_arguments_that_stay_invalid_are_delivered_as_they_came(again: str) -> None:
    outcome = answered(with_tools, WRONG, again)
    assert outcome.calls == [("get_time", '{"town": "Paris"}')]
    assert outcome.reason == "tool_calls"
    assert "E_SCHEMA" in outcome.choice.notes[0]


def test_other_tools_get_whatever_the_model_wrote() -> None:
    outcome = answered(with_tools, block('{"town": "Paris"}'))
    assert outcome.calls == [("get_weather", '{"town": "Paris"}')]
    assert outcome.choice.notes == ()


# E_TRUNC

CUT = block('{"city": "Par').removesuffix("\n</tool_call>")


def test_a_block_that_ends_in_the_middle_is_asked_for_whole() -> None:
    cut = CUT.replace("get_weather", "get_time")
    outcome = answered(with_tools, f"Let me see. \n{cut}", STRICT_CALL)
    assert (outcome.text, outcome.calls) == ("Let me see.", [("get_time", PARIS)])
    assert "ended in the middle. Send the whole block again" in outcome.prompts[1]


def test_a_block_that_stays_cut_is_delivered_as_it_came_and_says_length() -> None:
    cut = CUT.replace("get_weather", "get_time")
    outcome = answered(with_tools, cut, "There is no more.")
    assert outcome.calls == [("get_time", '{"city": "Par')]
    assert (outcome.reason, outcome.choice.whole_calls) == ("length", frozenset())


def test_missing_closers_need_no_repair() -> None:
    outcome = answered(with_tools, block('{"city": "Paris"', "get_time").removesuffix("\n</tool_call>"))
    assert (outcome.calls, outcome.reason) == ([("get_time", '{"city": "Paris"}')], "tool_calls")


@pytest.mark.parametrize("name", ["get_time", "get_weather"])
def test_a_block_that_the_upstreams_limit_cut_is_not_asked_for_again(name: str) -> None:
    outcome = answered(with_tools, [CUT.replace("get_weather", name), Finished("length")])
    assert outcome.calls == [(name, '{"city": "Par')]
    assert (outcome.reason, outcome.choice.whole_calls) == ("length", frozenset())


@pytest.mark.parametrize("streamed", [True, False])
def test_of_a_custom_call_that_the_upstreams_limit_cut_the_input_is_what_came_of_it(streamed: bool) -> None:
    whole = block('{"input": "5"}', "note")
    cut = block('{"input": "rm -rf /tmp/x', "note").removesuffix("\n</tool_call>")
    outcome = answered(asks(tools=[NOTE], streamed=streamed), [f"{whole}\n{cut}", Finished("length")])
    assert outcome.calls == [("note", "5"), ("note", "rm -rf /tmp/x")]
    assert (outcome.reason, outcome.choice.whole_calls) == ("length", frozenset({0}))


@pytest.mark.parametrize("opened", ['<tool_call key="KEY" na', '<tool_call key="KEY" name="get_time">\n'])
def test_a_call_that_ends_before_its_arguments_is_asked_for_whole(opened: str) -> None:
    outcome = answered(with_tools, f"So: {opened}", STRICT_CALL)
    assert (outcome.text, outcome.calls) == ("So:", [("get_time", PARIS)])
    assert "ended in the middle. Send the whole block again" in outcome.prompts[1]


@pytest.mark.parametrize("opened", ['<tool_call key="KEY" na', '<tool_call key="KEY" name="get_time">\n'])
def test_a_call_that_a_limit_ended_before_its_arguments_leaves_no_tag(opened: str) -> None:
    outcome = answered(with_tools, [f"So: {opened}", Finished("length")])
    assert (outcome.text.strip(), outcome.calls, outcome.reason) == ("So:", [], "length")
    assert len(outcome.prompts) == 1


# E_HALLU


def test_what_is_invented_after_a_call_is_dropped_and_the_upstream_stopped() -> None:
    outcome = answered(
        with_tools, f'{CALL}\n<tool_result key="KEY" name="get_weather">\nSunny\n</tool_result>\nIt is sunny.'
    )
    assert (outcome.text, outcome.calls) == ("", [("get_weather", PARIS)])
    assert outcome.upstream.aborted == [True]
    assert outcome.choice.notes == ("what the model invented after the call was dropped",)


# What was delivered stays


def test_arguments_on_their_way_are_never_repaired() -> None:
    """Group 61."""
    outcome = answered(with_tools, block('{"city": "Paris", "country": France}'))
    assert outcome.calls == [("get_weather", '{"city": "Paris", "country": ')]
    assert outcome.choice.repairs == 0


@pytest.mark.parametrize("value", ["", "soon"])
def test_arguments_that_are_no_json_were_not_cut_by_a_limit(value: str) -> None:
    """More tokens would not help: a client must not be told so."""
    outcome = answered(with_tools, block(f'{{"city": "Paris", "days": {value}}}'))
    assert (outcome.calls, outcome.reason) == ([("get_weather", '{"city": "Paris", "days": ')], "tool_calls")


@pytest.mark.parametrize("value", ["", "Paris in France"])
def test_a_first_value_that_is_missing_is_asked_for_again(value: str) -> None:
    outcome = answered(with_tools, block(f'{{"city": {value}}}'), CALL)
    assert (outcome.calls, outcome.reason, outcome.choice.repairs) == (
        [("get_weather", PARIS)],
        "tool_calls",
        1,
    )
    never = answered(with_tools, *[block(f'{{"city": {value}}}')] * 4)
    assert (never.calls, never.reason) == ([("get_weather", f'{{"city": {value}}}')], "tool_calls")


def test_a_live_call_that_breaks_off_ends_as_it_is() -> None:
    outcome = answered(with_tools, CUT)
    assert outcome.calls == [("get_weather", '{"city": "Par')]
    assert (outcome.reason, outcome.choice.repairs) == ("length", 0)


@pytest.mark.parametrize("broken", [block('{"city": Paris in France}'), CUT])
def test_arguments_that_break_before_anything_left_are_asked_for_again(broken: str) -> None:
    outcome = answered(asks(tools=[WEATHER], streamed=False), broken, CALL)
    assert outcome.calls == [("get_weather", PARIS)]
    assert (outcome.reason, outcome.choice.repairs) == ("tool_calls", 1)


def test_an_answer_given_whole_has_the_arguments_as_written() -> None:
    odd = '{"city":  "5", "more": [1]}'
    outcome = answered(asks(tools=[WEATHER], streamed=False), block(odd))
    assert outcome.calls == [("get_weather", odd)]


def test_a_token_limit_still_cuts_arguments_of_an_answer_given_whole() -> None:
    endless = block('{"city": "' + "word " * 200 + '"}')
    outcome = answered(asks(tools=[WEATHER], streamed=False, max_tokens=12), endless)
    assert outcome.reason == "length"
    assert outcome.upstream.aborted == [True]


def test_after_a_call_that_was_sent_another_one_is_not_repaired() -> None:
    outcome = answered(with_tools, f"{CALL}\n{WRONG}")
    assert outcome.calls == [("get_weather", PARIS), ("get_time", '{"town": "Paris"}')]
    assert outcome.choice.repairs == 0
    assert "E_SCHEMA" in outcome.choice.notes[0]


def test_text_that_was_sent_stays_and_a_repair_only_adds_a_call() -> None:
    outcome = answered(with_tools, f"First words.\n\n{WRONG}", f"Sorry, here it is:\n\n{STRICT_CALL}")
    assert outcome.text == "First words."
    assert outcome.calls == [("get_time", PARIS)]
    assert outcome.started.repairs == 0, "the first words were on their way before the repair"
    assert outcome.choice.repairs == 1


def test_the_reasoning_of_a_repair_is_not_shown() -> None:
    outcome = answered(with_tools, [Thought("A call."), WRONG], [Thought("Oh, wrong."), STRICT_CALL])
    assert outcome.choice.reasoning == "A call."


def test_each_kind_of_repair_has_its_own_budget() -> None:
    outcome = answered(with_tools, "", WRONG, STRICT_CALL)
    assert outcome.calls == [("get_time", PARIS)]
    assert outcome.choice.repairs == 2


# Several calls


def test_a_call_that_was_right_at_once_joins_the_repaired_one() -> None:
    outcome = answered(with_tools, f"{WRONG}\n{CALL}", STRICT_CALL)
    assert outcome.calls == [("get_time", PARIS), ("get_weather", PARIS)]


def test_a_model_that_sends_all_its_calls_again_does_not_double_them() -> None:
    outcome = answered(with_tools, f"{WRONG}\n{CALL}", f"{STRICT_CALL}\n{CALL}")
    assert outcome.calls == [("get_time", PARIS), ("get_weather", PARIS)]


def test_two_wrong_calls_are_both_asked_for() -> None:
    rome = block('{"city": "Rome"}', "get_time")
    other = block('{"place": "Rome"}', "get_time")
    outcome = answered(with_tools, f"{WRONG}\n{other}", f"{STRICT_CALL}\n{rome}")
    assert outcome.calls == [("get_time", PARIS), ("get_time", '{"city": "Rome"}')]
    assert "Send only the corrected blocks" in outcome.prompts[1]
    assert "'town' was unexpected" in outcome.prompts[1]
    assert "'place' was unexpected" in outcome.prompts[1]


def test_a_wrong_call_that_the_repair_forgets_is_delivered_as_it_came() -> None:
    other = block('{"place": "Rome"}', "get_time")
    outcome = answered(with_tools, f"{WRONG}\n{other}", STRICT_CALL)
    assert outcome.calls == [("get_time", PARIS), ("get_time", '{"place": "Rome"}')]
    assert "E_SCHEMA" in outcome.choice.notes[0]


def test_a_call_that_is_cut_behind_a_wrong_one_is_wrong_too() -> None:
    outcome = answered(with_tools, f"{WRONG}\n{CUT}", f"{STRICT_CALL}\n{CALL}")
    assert outcome.calls == [("get_time", PARIS), ("get_weather", PARIS)]


def test_only_one_repaired_call_where_only_one_was_asked_for() -> None:
    turn = asks(tools=[WEATHER, STRICT], parallel_tool_calls=False)
    outcome = answered(turn, f"{WRONG}\n{CALL}", f"{STRICT_CALL}\n{CALL}")
    assert outcome.calls == [("get_time", PARIS)]
    assert outcome.upstream.aborted[1]


# The repair itself fails


@pytest.mark.parametrize("failure", [UpstreamRateLimited("slow down"), UpstreamFailure("unknown tool")])
def test_a_repair_that_fails_leaves_what_there_was(failure: UpstreamFailure) -> None:
    outcome = answered(with_tools, f"Words.\n{WRONG}", [Thought("Hm."), failure])
    assert (outcome.text, outcome.calls) == ("Words.", [("get_time", '{"town": "Paris"}')])
    assert outcome.choice.notes[0] == f"the repair failed: {failure.message}"


def test_a_repair_that_fails_inside_its_call_is_an_error() -> None:
    failure = UpstreamFailure("the connection broke")
    outcome = answered(with_tools, f"Words.\n{block(PARIS, 'get_news')}", [CUT, failure])
    assert outcome.error is failure
    assert any(isinstance(event, ToolCallDelta) for event in outcome.events)


def test_a_demanded_call_is_still_demanded_when_the_repair_fails() -> None:
    failure = UpstreamRateLimited("slow down")
    outcome = answered(asks(tools=[WEATHER], tool_choice=REQUIRED), "No.", failure)
    assert outcome.error is failure


def test_best_effort_delivers_the_text_when_the_repair_fails() -> None:
    turn = asks(tools=[WEATHER], tool_choice=REQUIRED)
    outcome = answered(turn, "No.", UpstreamRateLimited("slow down"), repair="best_effort")
    assert outcome.text == "No."
    assert outcome.choice.notes == ("the repair failed: slow down",)


# Other upstreams


def test_an_upstream_that_takes_conversations_is_shown_what_it_wrote() -> None:
    outcome = answered(with_tools, f"Words.\n{WRONG}", STRICT_CALL, capabilities=Capabilities(history=True))
    asked, again = outcome.asked
    assert again.thread is None
    assert again.messages[:-2] == asked.messages
    assert again.messages[-2] == AssistantMessage(f"Words.\n{WRONG}".replace("KEY", outcome.upstream.key))
    assert "rejected" in again.messages[-1].text


def test_an_upstream_without_any_memory_gets_everything_in_one_text() -> None:
    outcome = answered(with_tools, WRONG, STRICT_CALL, capabilities=Capabilities())
    [message] = outcome.asked[1].messages
    assert message.text.startswith(outcome.prompts[0])
    assert WRONG.replace("KEY", outcome.upstream.key) in message.text
    assert message.text.endswith("unchanged.")


def test_what_waited_leaves_before_the_model_is_asked_again() -> None:
    outcome = answered(asks(tools=[WEATHER], stop=["ENDE"]), f"The EN {block(PARIS, 'get_news')}", CALL)
    assert outcome.text == "The EN"
    last_text = max(i for i, event in enumerate(outcome.events) if isinstance(event, TextDelta))
    first_call = min(i for i, event in enumerate(outcome.events) if isinstance(event, ToolCallDelta))
    assert last_text < first_call


def test_a_schema_does_not_hide_the_repair_of_a_call() -> None:
    turn = asks(tools=[WEATHER, STRICT], form=schema())
    outcome = answered(turn, WRONG, STRICT_CALL)
    assert outcome.calls == [("get_time", PARIS)]
