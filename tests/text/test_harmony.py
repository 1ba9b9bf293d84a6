"""Leaked Harmony in an upstream's stream: routed to where it belongs, and nothing else is touched."""

import json
import random
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from gptoss_api.core.errors import UpstreamFailure
from gptoss_api.core.events import (
    Event,
    Finished,
    FinishReason,
    ReasoningDelta,
    RefusalDelta,
    TextDelta,
    ToolCallDelta,
    ToolCallFinished,
    ToolCallStarted,
    Usage,
    UsageReported,
)
from gptoss_api.core.result import Choice, Collector
from gptoss_api.dialects.openai_errors import openai_error
from gptoss_api.text.harmony import HarmonyRepair, PlainText, mentions_tokens
from gptoss_api.text.tool_calls import DeclaredTool

from .parsing import cut, pieces_of
from .test_tool_calls_property import ordinary_files

TOOLS = {name: DeclaredTool() for name in ("get_weather", "searchFiles", "exec-command")}
ARGS = '{"city": "Paris"}'
TOKENS = "<|channel|>commentary to=functions.get_weather <|constrain|>json<|message|>"

Said = tuple[str, str]


def collect(events: Sequence[Event]) -> Choice:
    collector = Collector()
    collector.feed(events)
    return collector.choices[0]


def glanced(said: Sequence[Said], reason: FinishReason, size: int) -> Choice:
    """The answer made of (channel, text) pieces, of which so many at a time pass unread if they may."""
    plain = PlainText()
    machine = HarmonyRepair(TOOLS, plain=plain)
    events = [TextDelta(text) if channel == "content" else ReasoningDelta(text) for channel, text in said]
    out: list[Event] = []
    for at in range(0, len(events), size):
        batch: list[Event] = list(events[at : at + size])
        out += (
            batch
            if plain.passes([(type(each), each.text) for each in events[at : at + size]])
            else machine.feed(batch)
        )
    end = Finished(reason)
    return collect([*out, *([end] if plain.passes([(Finished, reason)]) else machine.feed([end]))])


def repair(said: Sequence[Said], reason: Any = "stop", **options: Any) -> Choice:
    """The answer made of (channel, text) pieces, repaired."""
    machine = HarmonyRepair(options.pop("tools", TOOLS), **options)
    out: list[Event] = []
    for channel, text in said:
        out += machine.feed([TextDelta(text) if channel == "content" else ReasoningDelta(text)])
    return collect([*out, *machine.feed([Finished(reason)])])


def shape(choice: Choice) -> tuple[Any, ...]:
    calls = [(call.name, call.arguments) for call in choice.tool_calls]
    return choice.text, choice.reasoning, calls, choice.finish_reason, choice.notes


def in_every_way(channel: str, text: str, **options: Any) -> Choice:
    """The same result whole, by the character, at random, and cut in two at every position."""
    whole = repair([(channel, text)], **options)
    ways = [pieces_of(text, 1), cut(text, 3), *([text[:at], text[at:]] for at in range(1, len(text)))]
    for pieces in ways:
        assert shape(repair([(channel, piece) for piece in pieces], **options)) == shape(whole)
    return whole


LEAKED_CALLS = [
    TOKENS + ARGS + "<|call|>",
    "<|start|>assistant" + TOKENS + ARGS + "<|call|>",
    "<|start|>assistant to=functions.get_weather<|channel|>commentary json<|message|>" + ARGS,
    "<|channel|>commentary to=get_weather<|constrain|>json<|message|>" + ARGS + "<|end|>",
    "<|channel|>analysis to=functions.get_weather code<|message|>" + ARGS + "<|call|>",
    "<|channel|>final to=functions.get_weather<|message|>" + ARGS + "<|return|>",
    "assistantcommentary to=functions.get_weather json" + ARGS,
    "commentary to=functions.get_weather json" + ARGS,
    "analysis to=get_weather code" + ARGS,
    "to=functions.get_weather " + ARGS,
]


@pytest.mark.parametrize("leak", LEAKED_CALLS)
def test_a_leaked_call_in_the_content_becomes_a_call(leak: str) -> None:
    choice = in_every_way("content", leak)
    assert [(call.name, call.arguments) for call in choice.tool_calls] == [("get_weather", ARGS)]
    assert (choice.text, choice.finish_reason) == ("", "tool_calls")


@pytest.mark.parametrize("leak", LEAKED_CALLS[:6])
def test_a_leaked_call_with_its_tokens_in_the_reasoning_becomes_a_call(leak: str) -> None:
    choice = in_every_way("reasoning", "We need the weather." + leak)
    assert [(call.name, call.arguments) for call in choice.tool_calls] == [("get_weather", ARGS)]
    assert choice.reasoning == "We need the weather."


def test_a_call_drafted_in_the_reasoning_without_tokens_stays_a_thought() -> None:
    draft = "I could write\ncommentary to=functions.get_weather json" + ARGS
    choice = in_every_way("reasoning", draft)
    assert (choice.reasoning, choice.tool_calls, choice.finish_reason) == (draft, [], "stop")


@pytest.mark.parametrize(
    ("text", "content", "reasoning"),
    [
        ("<|channel|>final<|message|>Hello.<|return|>", "Hello.", ""),
        ("<|start|>assistant<|channel|>final<|message|>Hello.<|end|>", "Hello.", ""),
        (
            "<|channel|>analysis<|message|>Hm.<|end|><|start|>assistant<|channel|>final<|message|>Hi",
            "Hi",
            "Hm.",
        ),
        ("analysisWe need to greet.assistantfinalHello.", "Hello.", "We need to greet."),
        ("assistantfinalHello.", "Hello.", ""),
        ("Hello.<|return|>", "Hello.", ""),
        ("<|message|>Hello.", "Hello.", ""),
        ("<|channel|>commentary<|message|>Let me look.<|end|>", "Let me look.", ""),
    ],
)
def test_leaked_channels_are_told_apart_in_the_content(text: str, content: str, reasoning: str) -> None:
    choice = in_every_way("content", text)
    assert (choice.text, choice.reasoning) == (content, reasoning)


@pytest.mark.parametrize(
    ("text", "content", "reasoning"),
    [
        ("Hm.<|end|><|start|>assistant<|channel|>final<|message|>Hi", "Hi", "Hm."),
        ("<|channel|>analysis<|message|>Hm.<|end|>", "", "Hm."),
        ("analysisWe think.assistantfinalHi", "Hi", "We think."),
        ("One.<|end|><|start|>assistant<|channel|>analysis<|message|>Two.", "", "One.Two."),
        ("Hm.<|channel|>commentary<|message|>Wait.", "Wait.", "Hm."),
    ],
)
def test_leaked_channels_are_told_apart_in_the_reasoning(text: str, content: str, reasoning: str) -> None:
    choice = in_every_way("reasoning", text)
    assert (choice.text, choice.reasoning) == (content, reasoning)


def test_what_the_model_invents_after_its_call_is_dropped_with_a_note() -> None:
    leak = TOKENS + ARGS + "<|call|><|start|>functions.get_weather<|message|>sunny<|end|>Final."
    choice = in_every_way("content", leak)
    assert (choice.text, len(choice.tool_calls)) == ("", 1)
    went_on = in_every_way("content", "Hello.<|start|>user<|message|>And now?<|end|>")
    assert went_on.text == "Hello."
    assert went_on.notes == ("leaked Harmony: the model went on as user",)


UNCHANGED = [
    "Harmony has the channels analysis, commentary and final.",
    "analysis of the data: to=me",
    "The header `<|start|>assistant<|channel|>final<|message|>` opens an answer.",
    "```\n<|start|>system<|message|>You are …<|end|>\n```\nThat was a message.",
    "assistant final answer",
    "commentary on the match\nto=functions.unknown {}",
    "a < b and b <| c |> d <|not_a_token|>",
    "tail <|chan",
    '<tool_call name="get_weather">' + ARGS + "</tool_call>",
    '```tool_call\n{"name": "get_weather", "arguments": {"city": "Paris"}}\n```',
    '{"name": "get_weather", "arguments": {"city": "Paris"}}',
    "  two spaces\n\n\nand the end \n\n",
]


@pytest.mark.parametrize("channel", ["content", "reasoning"])
@pytest.mark.parametrize("text", UNCHANGED)
def test_text_that_only_talks_about_harmony_is_unchanged(channel: str, text: str) -> None:
    choice = in_every_way(channel, text)
    assert (choice.text, choice.reasoning) == ((text, "") if channel == "content" else ("", text))
    assert (choice.tool_calls, choice.notes) == ([], ())


@pytest.mark.parametrize("leak", LEAKED_CALLS)
def test_nothing_is_cleaned_where_the_client_itself_writes_tokens(leak: str) -> None:
    choice = repair([("content", leak), ("reasoning", leak)], clean=False)
    assert (choice.text, choice.reasoning, choice.tool_calls) == (leak, leak, [])


def test_tokens_are_recognised_in_the_clients_text() -> None:
    assert mentions_tokens(["plain", "why is there <|channel|> in my log?"])
    assert not mentions_tokens(["plain", "a <| b |>", "<|unknown|>"])


def native(name: str, index: int = 0, arguments: str = ARGS) -> list[Event]:
    return [
        ToolCallStarted(index, f"id-{index}", name),
        ToolCallDelta(index, arguments),
        ToolCallFinished(index),
    ]


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("get_weather", "get_weather"),
        ("get_weather<|channel|>commentary", "get_weather"),
        ("get_weather<|constrain|>json", "get_weather"),
        ("functions.get_weather", "get_weather"),
        ("functions.get_weather<|channel|>", "get_weather"),
        ("get_weather json", "get_weather"),
        ("get_weathercommentary", "get_weather"),
        ("get_weatherjson", "get_weather"),
        ("commentary to=functions.get_weather", "get_weather"),
        ("assistant<|channel|>commentary to=functions.get_weather", "get_weather"),
        ("search_files", "searchFiles"),
        ("exec_command", "exec-command"),
    ],
)
@pytest.mark.parametrize("clean", [True, False])
def test_polluted_names_of_native_calls_are_mapped_to_the_declared_ones(
    written: str, meant: str, clean: bool
) -> None:
    machine = HarmonyRepair(TOOLS, clean=clean)
    choice = collect(machine.feed([*native(written), Finished("tool_calls")]))
    assert [(call.id, call.name, call.arguments) for call in choice.tool_calls] == [("id-0", meant, ARGS)]
    assert choice.notes == ()


def test_a_call_nobody_offered_is_dropped_where_there_is_another_answer() -> None:
    machine = HarmonyRepair(TOOLS)
    events = [
        TextDelta("Hi."),
        *native("browser.search", 0),
        *native("get_weather", 1),
        Finished("tool_calls"),
    ]
    choice = collect(machine.feed(events))
    assert [(call.name, call.id) for call in choice.tool_calls] == [("get_weather", "id-1")]
    assert choice.notes == ("dropped a call to 'browser.search', which was not offered",)


@pytest.mark.parametrize("pieces", [["\u2028", "Hi."], ["\u2028", "\n{", "Hi."], [" ", "Hi", "."]])
def test_text_that_begins_with_space_is_an_answer_beside_a_call_nobody_offered(pieces: list[str]) -> None:
    machine = HarmonyRepair(TOOLS)
    events = [*map(TextDelta, pieces), *native("browser.search", 0), Finished("stop")]
    choice = collect([out for event in events for out in machine.feed([event])])
    assert choice.text == "".join(pieces)
    assert choice.notes == ("dropped a call to 'browser.search', which was not offered",)
    only_text = collect(HarmonyRepair({}).feed([TextDelta("Hi."), *native("python"), Finished("tool_calls")]))
    assert (only_text.text, only_text.tool_calls, only_text.finish_reason) == ("Hi.", [], "stop")


def test_a_call_nobody_offered_that_is_the_whole_answer_is_a_failure() -> None:
    machine = HarmonyRepair({})
    machine.feed([ReasoningDelta("I will search."), *native("browser.search")])
    with pytest.raises(UpstreamFailure, match=r"'browser\.search'") as raised:
        machine.feed([Finished("tool_calls")])
    assert openai_error(raised.value).code == "upstream_undeclared_tool"


def test_leaked_and_native_calls_are_numbered_together() -> None:
    machine = HarmonyRepair(TOOLS)
    events = [TextDelta(TOKENS + ARGS + "<|call|>"), *native("searchFiles"), Finished("stop")]
    choice = collect(machine.feed(events))
    assert [call.name for call in choice.tool_calls] == ["get_weather", "searchFiles"]
    assert choice.finish_reason == "tool_calls"


def test_only_one_call_is_let_through_where_one_was_asked_for() -> None:
    machine = HarmonyRepair(TOOLS, parallel=False)
    choice = collect(
        machine.feed([*native("get_weather"), *native("searchFiles", 1), Finished("tool_calls")])
    )
    assert [call.name for call in choice.tool_calls] == ["get_weather"]
    assert choice.notes == ("dropped a further call: only one was asked for",)


def test_a_leaked_call_after_the_only_one_is_dropped_with_its_arguments() -> None:
    machine = HarmonyRepair(TOOLS, parallel=False)
    leak = TextDelta(TOKENS + ARGS + "<|call|>")
    choice = collect(machine.feed([*native("searchFiles"), leak, Finished("stop")]))
    assert [call.name for call in choice.tool_calls] == ["searchFiles"]
    assert choice.text == ""
    assert choice.notes == ("dropped a further call: only one was asked for",)


def test_an_answer_that_breaks_off_gives_what_was_held_back() -> None:
    machine = HarmonyRepair(TOOLS)
    assert collect(machine.feed([TextDelta("Hello <|chan")])).text == "Hello "
    assert collect(machine.flush()).text == "<|chan"


@pytest.mark.parametrize("text", ["word ", "line\n", "\n\n", "a b  "])
def test_no_space_waits_for_what_follows_it(text: str) -> None:
    machine = HarmonyRepair(TOOLS)
    assert collect(machine.feed([TextDelta("Hi."), TextDelta(text)])).text == "Hi." + text


def test_a_call_cut_by_the_length_limit_is_not_completed() -> None:
    choice = repair([("content", TOKENS + '{"city": "Par')], "length")
    assert choice.finish_reason == "length"
    assert [call.arguments for call in choice.tool_calls] == ['{"city": "Par']


def test_what_is_no_text_is_passed_on_and_leaves_the_answer_unchanged() -> None:
    machine = HarmonyRepair(TOOLS)
    usage = UsageReported(Usage(1, 2, 0))
    assert machine.feed([RefusalDelta("No."), usage]) == [RefusalDelta("No."), usage]
    machine.feed([TextDelta("Hi.")])
    assert not machine.changed
    machine.feed([TextDelta("<|end|>")])
    assert machine.changed


def test_reasoning_and_text_keep_their_order() -> None:
    machine = HarmonyRepair(TOOLS)
    events = machine.feed(
        [ReasoningDelta("one "), TextDelta("two "), ReasoningDelta("three"), Finished("stop")]
    )
    said = [(type(event), event.text) for event in events if isinstance(event, TextDelta | ReasoningDelta)]
    joined: list[list[Any]] = []
    for kind, text in said:
        if joined and joined[-1][0] is kind:
            joined[-1][1] += text
        else:
            joined.append([kind, text])
    assert joined == [[ReasoningDelta, "one "], [TextDelta, "two "], [ReasoningDelta, "three"]]


def test_text_passes_unread_until_it_shows_a_sign_of_something_else() -> None:
    plain = PlainText()
    machine = HarmonyRepair(TOOLS, plain=plain)
    assert plain.passes([(ReasoningDelta, "Hm.\n\nA day"), (TextDelta, " the"), (TextDelta, " day\ntoday")])
    assert not plain.passes([(TextDelta, "\nto")])
    assert collect(machine.feed([TextDelta("\nto"), TextDelta("=")])).text == "\n"
    assert not plain.passes([(Finished, "stop")])


def test_a_call_that_was_dropped_is_told_at_the_end() -> None:
    plain = PlainText()
    machine = HarmonyRepair(TOOLS, plain=plain)
    machine.feed(native("python"))
    assert plain.passes([(TextDelta, "Yes.")])
    assert not plain.passes([(Finished, "stop")])


FRAGMENTS = (
    "a", "c", "t", "as", "an", "to", "day", "today", "commit", "anal", "assi", "Hello",
    " world", "\n", "\n\n", " ", "`", "```\n", "```json\n", "<", "<|", "|>", "{", "}", '"',
    "analysis", "analysisWe ", "assistantfinal", "<|start|>", "<|start|>assistant", "<|start|>user",
    "<|channel|>analysis", "<|message|>", "<|channel|>final<|message|>", TOKENS, ARGS, "<|end|>", "<|call|>",
    "<|return|>", "<|constrain|>json", "commentary to=functions.get_weather json", "to=", "x" * 80, "é😀",
)  # fmt: skip
said = st.lists(
    st.tuples(st.sampled_from(("content", "reasoning")), st.lists(st.sampled_from(FRAGMENTS)).map("".join)),
    max_size=4,
)


@settings(max_examples=300, deadline=None)
@given(said, st.integers())
@example([("reasoning", "Hello<|channel|>final<|message|>analysisWe ")], 0)
def test_pieces_make_no_difference(runs: list[Said], seed: int) -> None:
    merged: list[Said] = []
    for channel, text in runs:
        if not text:
            continue
        if merged and merged[-1][0] == channel:
            merged[-1] = (channel, merged[-1][1] + text)
        else:
            merged.append((channel, text))
    whole = shape(repair(merged))
    single = [(channel, piece) for channel, text in merged for piece in pieces_of(text, 1)]
    random_cuts = [(channel, piece) for channel, text in merged for piece in cut(text, seed)]
    assert shape(repair(single)) == whole
    assert shape(repair(random_cuts)) == whole
    for size in (1, 3):
        assert shape(glanced(random_cuts, "stop", size)) == whole


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(("content", "reasoning")), st.text())), st.integers())
def test_text_without_markers_is_untouched(runs: list[Said], seed: int) -> None:
    runs = [(channel, text) for channel, text in runs if "<|" not in text and "assistant" not in text]
    choice = repair([(channel, piece) for channel, text in runs for piece in cut(text, seed)])
    assert choice.text == "".join(text for channel, text in runs if channel == "content")
    assert choice.reasoning == "".join(text for channel, text in runs if channel == "reasoning")


def test_the_standard_librarys_files_come_out_as_they_are() -> None:
    for path in random.Random(1).sample(ordinary_files(), 12):
        text = path.read_text("utf-8", errors="replace")[:40_000]
        for channel in ("content", "reasoning"):
            choice = repair([(channel, piece) for piece in pieces_of(text, 4)])
            assert (choice.text or choice.reasoning) == text, path.name


def test_arguments_are_strict_json() -> None:
    choice = repair([("content", TOKENS + "{'city': 'Paris',}<|call|>")])
    assert json.loads(choice.tool_calls[0].arguments) == {"city": "Paris"}
