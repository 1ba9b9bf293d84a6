"""How many tokens a turn is said to have cost, and when a prompt is too long.

Groups 17, 57 and 70 of docs/design/cases.md; docs/design/emulation.md, "Token counts".
"""

import asyncio
import json
import time
from collections.abc import Iterable
from typing import Any

import pytest

from gptoss_api.core.catalog import find_model
from gptoss_api.core.errors import ContextLengthExceeded
from gptoss_api.core.events import Event, Events, Finished, Started, TextDelta, Usage, UsageReported
from gptoss_api.core.turn import (
    AssistantMessage,
    InstructionMessage,
    Tool,
    ToolCall,
    ToolResultMessage,
    UserMessage,
)
from gptoss_api.dialects.chat import ChatDialect
from gptoss_api.dialects.openai_errors import openai_error
from gptoss_api.emulation import EmulatedUpstream, EmulationSettings
from gptoss_api.emulation.prompt.harmony import MESSAGE_TOKENS, SYSTEM_TOKENS, HarmonyText
from gptoss_api.emulation.usage import AT_ONCE, LEAST_ANSWER, PromptCount
from gptoss_api.text.bpe import NO_LIMIT
from gptoss_api.text.tokens import Tokens
from gptoss_api.upstreams.base import Capabilities
from tests.pulled import opened

from .scripted import (
    CALL,
    PARIS,
    TEXT_ONLY,
    TOKENS,
    WEATHER,
    Outcome,
    ScriptedUpstream,
    Step,
    Thought,
    answered,
    asks,
    play,
    schema,
)

FRAME = SYSTEM_TOKENS + MESSAGE_TOKENS
WINDOW = find_model("gpt-oss-120b").context_window


def test_a_plain_turn_counts_its_text() -> None:
    usage = answered(asks("Hello!"), [Thought("One two."), "Three four five."]).usage
    assert usage == Usage(
        prompt_tokens=TOKENS.count("Hello!") + FRAME,
        completion_tokens=TOKENS.count("One two.") + TOKENS.count("Three four five."),
        reasoning_tokens=TOKENS.count("One two."),
    )
    assert usage.estimated


def test_the_prompt_is_everything_that_was_sent() -> None:
    turn = asks(
        InstructionMessage("Be brief."), "Hi", AssistantMessage("Ho"), UserMessage("He"), tools=[WEATHER]
    )
    outcome = answered(turn, "Yes.")
    asked = outcome.usage.prompt_tokens - FRAME
    # The pieces are counted one by one, which may cut a token in two.
    assert abs(asked - TOKENS.count(outcome.prompts[0])) <= 3


def test_calls_count_with_their_names() -> None:
    usage = answered(asks(tools=[WEATHER]), CALL).usage
    assert usage.completion_tokens == TOKENS.count(f"get_weather{PARIS}")


def test_only_what_was_delivered_counts() -> None:
    outcome = answered(asks(form=schema()), "No.", 'So: {"name": "Ada", "age": "36"}')
    assert outcome.usage.completion_tokens == TOKENS.count('{"name": "Ada", "age": 36}')


def test_text_in_any_pieces_counts_the_same() -> None:
    text = "Antidisestablishmentarianism 🙂 日本語 " * 50
    assert answered(asks(), text).usage.completion_tokens == TOKENS.count(text)


@pytest.mark.parametrize("text", ["A" * 100_000, " " * 50_000 + ".", "🙂" * 20_000, "<|odd|>" * 5_000])
def test_odd_texts_are_counted_in_no_time(text: str) -> None:
    """Group 70; the counts themselves are tested in tests/text/test_tokens.py."""
    outcome = answered(asks("x", max_tokens=None), text)
    assert outcome.usage.completion_tokens == TOKENS.count(text)


def test_lone_surrogates_are_counted() -> None:
    assert answered(asks("\ud800 a \udfff"), "Yes.").usage.prompt_tokens > FRAME


# Reported usage


REPORTED = Usage(10, 5, 2, 1, estimated=False)
REPORTING = Capabilities(history=True, threads=True)
NATIVE = Capabilities(history=True, tools=True, json_schema=True)


def test_usage_that_the_upstream_reports_counts() -> None:
    answer: list[Step] = ["Hello.", Finished("stop"), UsageReported(REPORTED)]
    assert answered(asks(), answer, capabilities=REPORTING).usage == REPORTED


REPORT: tuple[Event, Event] = (Finished("stop"), UsageReported(REPORTED))


def test_an_answer_that_was_cut_here_is_counted_here() -> None:
    """An upstream reports nothing on a turn that was left."""
    usage = answered(asks(max_tokens=1), ["Hello there.", *REPORT], capabilities=REPORTING).usage
    assert usage.estimated
    assert usage.prompt_tokens == TOKENS.count("Hello!") + FRAME


def test_several_answers_to_the_same_prompt_keep_the_number_that_the_server_has_for_it() -> None:
    usage = answered(asks(n=2), ["Hello.", *REPORT], ["Ho.", *REPORT], capabilities=REPORTING).usage
    assert usage == Usage(10, 10, 4, 1, estimated=False)


def test_an_answer_that_took_several_turns_keeps_the_number_of_the_prompt_that_was_asked() -> None:
    second = UsageReported(Usage(90, 7, 0, 0, estimated=False))
    answers: list[list[Step]] = [["", *REPORT], ["Hello.", Finished("stop"), second]]
    usage = answered(asks(), *answers, capabilities=REPORTING).usage
    assert usage == Usage(10, TOKENS.count("Hello."), 0, 1, estimated=True)


def test_what_only_one_of_several_answers_reports_of_itself_is_not_that_of_all() -> None:
    usage = answered(asks(n=2), ["Hello.", *REPORT], "Ho ho.", capabilities=REPORTING).usage
    assert usage == Usage(10, TOKENS.count("Hello.") + TOKENS.count("Ho ho."), 0, 1, estimated=True)


@pytest.mark.parametrize("shown", [True, False])
def test_reasoning_is_counted_where_the_server_does_not_tell_how_much_there_was(shown: bool) -> None:
    report = UsageReported(Usage(10, 50, estimated=False))
    answer: list[Step] = [Thought("One two three."), "Four.", Finished("stop"), report]
    usage = answered(asks(show_reasoning=shown), answer, capabilities=REPORTING).usage
    assert usage == Usage(10, 50, TOKENS.count("One two three."), estimated=False)


def test_reasoning_that_was_not_shown_counts_where_everything_is_counted_here() -> None:
    usage = answered(asks(show_reasoning=False), [Thought("One two."), "Three."], capabilities=NATIVE).usage
    assert usage.reasoning_tokens == TOKENS.count("One two.")
    assert usage.completion_tokens == usage.reasoning_tokens + TOKENS.count("Three.")


def test_a_report_of_nothing_at_all_is_not_believed() -> None:
    for report in (Usage(0, 5, estimated=False), Usage(10, 0, estimated=False)):
        answer: list[Step] = ["Hello there.", Finished("stop"), UsageReported(report)]
        usage = answered(asks(), answer, capabilities=REPORTING).usage
        assert usage.prompt_tokens == (report.prompt_tokens or TOKENS.count("Hello!") + FRAME)
        assert usage.completion_tokens == (report.completion_tokens or TOKENS.count("Hello there."))


# The prompt's tokens at the start


@pytest.mark.parametrize("capabilities", [TEXT_ONLY, REPORTING], ids=["emulated", "native"])
@pytest.mark.parametrize("length", [5, AT_ONCE + 1])
def test_the_start_tells_the_prompts_tokens_where_they_are_wanted(
    capabilities: Capabilities, length: int
) -> None:
    turn = asks("a" * length, wants_prompt_tokens=True, n=2)
    outcome = answered(turn, "Yes.", "No.", capabilities=capabilities)
    assert outcome.started.prompt_tokens == outcome.usage.prompt_tokens


async def test_a_long_prompt_that_came_before_needs_no_thread() -> None:
    texts = tuple(f"{number} many words that make one long line of a prompt\n" for number in range(200))
    counts = []
    for new in ("", "", "Only this is new."):
        with PromptCount(HarmonyText((*texts, new), FRAME), TOKENS, WINDOW) as count:
            counts.append((count._task is not None, await count.total()))
    known = FRAME + TOKENS.count_parts(texts)
    assert counts == [(True, known), (False, known), (False, known + TOKENS.count("Only this is new."))]


@pytest.mark.parametrize("text", ["\U0001f9ff" * 50, "a" * 50, "\ud800" * 50])
def test_room_that_is_sure_without_counting_is_there(text: str) -> None:
    """Rare characters have more tokens than characters."""
    count = FRAME + TOKENS.count(text)
    for room in range(1, 300):
        if PromptCount(HarmonyText((text,), FRAME), TOKENS, FRAME + 300).leaves(room):
            assert count + room <= FRAME + 300


class CountlessTokens(Tokens):
    def count_parts(self, parts: Iterable[str], most: int = NO_LIMIT) -> int:
        raise AssertionError("the prompt was counted")


def test_a_prompt_is_not_counted_for_nobody() -> None:
    answer: list[Step] = ["Hello.", Finished("stop"), UsageReported(REPORTED)]
    upstream = ScriptedUpstream([answer], lambda text: [text], capabilities=REPORTING)
    warm = CountlessTokens()
    warm.warm()
    outcome = asyncio.run(play(asks(), upstream, EmulationSettings(), warm))
    assert (outcome.started.prompt_tokens, outcome.usage) == (None, REPORTED)


def test_what_was_counted_already_is_told() -> None:
    # A prompt of that length is counted before it is sent.
    outcome = answered(asks(prompt_of(WINDOW // 2)), "Yes.")
    assert outcome.started.prompt_tokens == outcome.usage.prompt_tokens == WINDOW // 2 + FRAME


# The window (group 17)


def prompt_of(tokens: int) -> str:
    return "word" + " word" * (tokens - 1)


@pytest.mark.parametrize(
    ("settings", "reserve"),
    [({}, LEAST_ANSWER), ({"max_tokens": 100}, 100), ({"max_tokens": 1_000_000}, LEAST_ANSWER)],
)
def test_a_prompt_may_fill_the_window_but_for_its_answer(settings: dict[str, Any], reserve: int) -> None:
    room = WINDOW - FRAME - reserve
    assert answered(asks(prompt_of(room), **settings), "Yes.").usage.prompt_tokens == WINDOW - reserve
    error = answered(asks(prompt_of(room + 1), **settings)).error
    assert isinstance(error, ContextLengthExceeded)
    assert (error.prompt_tokens, error.limit) == (WINDOW - reserve + 1, WINDOW)
    assert openai_error(error).code == "context_length_exceeded"


def test_a_prompt_that_is_too_long_is_never_sent() -> None:
    outcome = answered(asks(prompt_of(WINDOW)))
    assert isinstance(outcome.error, ContextLengthExceeded)
    assert outcome.asked == []


def test_a_long_history_counts_as_one() -> None:
    said = prompt_of(WINDOW // 8)
    conversation = [UserMessage(said) for _ in range(8)]
    assert isinstance(answered(asks(*conversation)).error, ContextLengthExceeded)
    assert answered(asks(*conversation[:7]), "Yes.").text == "Yes."


def test_everything_that_a_native_server_reads_takes_room_in_the_window() -> None:
    long = prompt_of(WINDOW)
    described = Tool("look", long)
    called = AssistantMessage(tool_calls=(ToolCall("a", "look", json.dumps({"at": long})),))
    thought = AssistantMessage("", long, tool_calls=(ToolCall("a", "look", "{}"),))
    result = ToolResultMessage("Nothing.", "a")
    for turn in (
        asks(tools=[described]),
        asks("Hello!", called, result),
        asks("Hello!", thought, result),
    ):
        outcome = answered(turn, capabilities=NATIVE)
        assert isinstance(outcome.error, ContextLengthExceeded)
        assert outcome.asked == []


# As the client sees it (group 57)


def chunks_of(outcome: Outcome, **body: object) -> list[dict[str, object]]:
    asked = {"model": "gpt-oss-120b", "messages": [{"role": "user", "content": "x"}], "stream": True, **body}
    renderer = ChatDialect().parse(json.dumps(asked).encode(), {}).renderer()
    data = b"".join(renderer.feed(batch) for batch in outcome.batches) + renderer.end()
    lines = data.decode().split("\n\n")
    assert lines[-2:] == ["data: [DONE]", ""]
    return [json.loads(line.removeprefix("data: ")) for line in lines[:-2]]


def test_a_stream_begins_with_the_role_and_ends_with_usage() -> None:
    outcome = answered(asks(tools=[WEATHER]), [Thought("Hm."), f"One.\n\n{CALL}\n{CALL}"])
    *chunks, last = chunks_of(outcome, stream_options={"include_usage": True})
    assert last["choices"] == []
    assert isinstance(last["usage"], dict)
    assert last["usage"]["completion_tokens"] == outcome.usage.completion_tokens
    deltas = [choice["delta"] for chunk in chunks for choice in chunk["choices"]]  # type: ignore[attr-defined]
    assert deltas[0]["role"] == "assistant"
    assert all("role" not in delta for delta in deltas[1:])
    assert all(delta.get("content") != "" for delta in deltas[1:])
    assert len({(chunk["id"], chunk["created"]) for chunk in [*chunks, last]}) == 1
    calls = [call for delta in deltas for call in delta.get("tool_calls", ())]
    assert {call["index"] for call in calls} == {0, 1}
    assert sum("id" in call for call in calls) == 2
    for index in (0, 1):
        parts = [call["function"]["arguments"] for call in calls if call["index"] == index]
        assert "".join(parts) == PARIS
        assert parts[0] == ""


def test_counting_in_a_thread_gives_the_same() -> None:
    """Long texts are counted beside the event loop."""
    long = "word " * 20_000
    assert answered(asks(long), long).usage.completion_tokens == TOKENS.count(long)


class SlowTokens(Tokens):
    def warm(self) -> None:
        time.sleep(0.05)
        super().warm()


async def test_ranks_that_are_not_loaded_are_loaded_beside_the_event_loop() -> None:
    cold = SlowTokens()
    upstream = ScriptedUpstream(["Hello there."], lambda text: [text])
    ticks = 0

    async def tick() -> None:
        nonlocal ticks
        while True:
            await asyncio.sleep(0.001)
            ticks += 1

    ticking = asyncio.create_task(tick())
    events: list[Events] = []
    async with opened(EmulatedUpstream(upstream, cold, EmulationSettings()), asks(max_tokens=2)) as batches:
        async for batch in batches:
            events.append(batch)
    ticking.cancel()
    assert ticks > 0
    assert isinstance(events[0][0], Started)
    assert any(isinstance(event, TextDelta) for batch in events for event in batch)
