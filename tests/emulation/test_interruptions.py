"""Upstreams that break off, clients that leave, and answers in unusual pieces.

Groups 58 and 60 of docs/design/cases.md; memory stays bounded.
"""

import asyncio

import pytest

from gptoss_api.core.errors import ThreadLost, UpstreamEmpty, UpstreamFailure, UpstreamIncomplete
from gptoss_api.core.events import (
    Event,
    Finished,
    ReasoningDelta,
    Started,
    TextDelta,
    ToolCallFinished,
    Usage,
    UsageReported,
)
from gptoss_api.core.result import Collector
from gptoss_api.core.turn import Turn
from gptoss_api.emulation import EmulatedUpstream, EmulationSettings
from gptoss_api.emulation.answer import output
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

BROKEN = UpstreamIncomplete("the connection broke")


def words(events: list[Event]) -> str:
    return "".join(event.text for event in events if isinstance(event, TextDelta))


# The upstream


@pytest.mark.parametrize(
    ("turn", "said"),
    [
        (asks(), "Hello"),
        (asks(stop=("Hello World",)), "Hello"),
        (asks(tools=[WEATHER]), "One <tool_ca"),
        (asks(tools=[WEATHER]), "One \n\n"),
        (asks(tools=[WEATHER], stop=("END",)), "One EN"),
        (asks("<|end|>"), "One <\\|e"),
        (asks(max_tokens=1000), "One tw"),
        (asks(tools=[WEATHER]), "One ```json\n{"),
    ],
)
def test_text_that_was_held_back_reaches_the_client_before_the_error(turn: Turn, said: str) -> None:
    outcome = answered(turn, [said, BROKEN])
    assert outcome.error is BROKEN
    if outcome.events:
        assert words(outcome.events) == said


@pytest.mark.parametrize(
    "said",
    [
        f"One.\n\n{CALL[:20]}",
        f"One.\n\n{CALL[:50]}",
        f"One.\n\n{CALL}",
        f"One.\n\n{STRICT_CALL[:-30]}",
        f"One.\n\n{block(PARIS, 'get_news')}",
        f'One.\n\n<tool_call>{{"name": "get_weather", "arguments": {PARIS}}}',
    ],
)
def test_a_break_in_or_after_a_call_is_an_error_and_invents_no_end(said: str) -> None:
    outcome = answered(asks(tools=[WEATHER, STRICT]), [said, BROKEN])
    assert outcome.error is BROKEN
    assert not any(isinstance(event, Finished) for event in outcome.events)
    finished = sum(isinstance(event, ToolCallFinished) for event in outcome.events)
    assert finished == (said == f"One.\n\n{CALL}")
    assert words(outcome.events) in ("One.", "")


def test_nothing_leaves_before_an_error_where_nothing_had_left() -> None:
    """Then the failure can still be told by its status, or the turn be tried elsewhere."""
    for turn in (asks(form=schema()), asks(form=OBJECT), asks(tools=[WEATHER]), asks(stop=("{}{}",))):
        assert answered(turn, ["{", BROKEN]).events == []


def test_json_that_is_on_its_way_is_not_completed_after_a_break() -> None:
    outcome = answered(asks(form=OBJECT), ['{"a": 1', BROKEN])
    assert outcome.error is BROKEN
    assert not words(outcome.events).endswith("}")


def test_an_error_after_reasoning_only() -> None:
    outcome = answered(asks(), [Thought("Hm."), BROKEN], [Thought("Hm."), BROKEN])
    assert isinstance(outcome.error, UpstreamEmpty)
    assert any(isinstance(event, ReasoningDelta) for event in outcome.events)


def test_a_thread_that_is_lost_is_replayed_once() -> None:
    turn = asks(tools=[WEATHER, STRICT])
    outcome = answered(turn, block("{}", "get_time"), ThreadLost("gone"), STRICT_CALL)
    assert outcome.calls == [("get_time", PARIS)]
    _, lost, replay = outcome.asked
    assert lost.thread is not None
    assert replay.thread is None
    assert replay.messages[0].text.startswith(outcome.prompts[0])
    assert block("{}", "get_time").replace("KEY", outcome.upstream.key) in replay.messages[0].text
    assert replay.messages[0].text.endswith(lost.messages[0].text)


def test_a_new_thread_cannot_be_lost() -> None:
    failure = ThreadLost("gone")
    assert answered(asks(), failure).error is failure


# Unusual pieces (group 60)


def test_everything_in_one_event() -> None:
    outcome = answered(asks(tools=[WEATHER]), [Thought("Hm."), f"One.\n\n{CALL}\n{CALL}\nTwo."])
    assert (outcome.text, len(outcome.calls)) == ("One.", 2)


def test_reasoning_after_text_and_between_calls() -> None:
    outcome = answered(asks(tools=[WEATHER]), ["One ", Thought("Hm. "), "two.\n", CALL, Thought("Oh."), CALL])
    assert (outcome.text, outcome.choice.reasoning) == ("One two.", "Hm. Oh.")
    assert len(outcome.calls) == 2


def test_a_block_that_is_interrupted_by_reasoning() -> None:
    outcome = answered(asks(tools=[WEATHER]), [CALL[:30], Thought("Hm."), CALL[30:]])
    assert outcome.calls == [("get_weather", PARIS)]


# Clients (group 58)


@pytest.mark.parametrize(
    ("turn", "answer"),
    [
        (asks(), [Forever("word ")]),
        (asks(tools=[WEATHER]), [Forever("word ")]),
        (asks(tools=[WEATHER]), ['<tool_call key="KEY" name="get_weather">\n{"city": "', Forever("word ")]),
        (
            asks(tools=[STRICT]),
            [Thought("x"), '<tool_call key="KEY" name="get_time">\n{"city": "', Forever("a")],
        ),
        (asks(form=schema()), [Thought("x"), Forever("word ")]),
        (asks(max_tokens=100_000), [Forever("word ")]),
    ],
)
async def test_a_client_that_leaves_ends_the_upstream_turn(turn: Turn, answer: list[Step]) -> None:
    upstream = ScriptedUpstream([answer], lambda text: [text])
    async with opened(EmulatedUpstream(upstream, TOKENS, EmulationSettings()), turn) as batches:
        async for _ in batches:
            break
        assert upstream.open_turns == 1
    assert upstream.open_turns == 0
    assert upstream.aborted == [True]


async def test_a_client_that_leaves_while_a_repair_is_under_way() -> None:
    upstream = ScriptedUpstream(
        [[Thought("x"), block("{}", "get_time")], [Forever(" ")]], lambda text: [text], patient=True
    )

    async def read() -> None:
        emulated = EmulatedUpstream(upstream, TOKENS, EmulationSettings())
        async with opened(emulated, asks(tools=[STRICT])) as batches:
            async for _ in batches:
                pass

    reading = asyncio.create_task(read())
    while len(upstream.asked) < 2:
        await asyncio.sleep(0)
    reading.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reading
    assert upstream.open_turns == 0


async def test_a_choice_that_was_never_read_opens_nothing() -> None:
    upstream = ScriptedUpstream([], lambda text: [text])
    async with opened(EmulatedUpstream(upstream, TOKENS, EmulationSettings()), asks()):
        pass
    assert upstream.asked == []


# What comes together leaves together


async def test_text_that_comes_with_the_end_leaves_with_it() -> None:
    upstream = ScriptedUpstream(["Hello"], lambda text: [text], batch=10)
    async with opened(EmulatedUpstream(upstream, TOKENS, EmulationSettings()), asks()) as answer:
        given = [[type(event) for event in batch] async for batch in answer]
    assert given == [[Started, TextDelta, Finished, UsageReported]]


@pytest.mark.parametrize("batch", range(1, 6))
async def test_text_that_comes_with_the_end_is_kept_where_the_usage_comes_apart(batch: int) -> None:
    answer: list[Step] = ["Hello", Finished("stop"), UsageReported(Usage(3, 4))]
    upstream = ScriptedUpstream([answer], lambda text: [text], batch=batch)
    collector = Collector()
    async with opened(EmulatedUpstream(upstream, TOKENS, EmulationSettings()), asks()) as batches:
        async for events in batches:
            collector.feed(events)
    assert collector.choices[0].text == "Hello"
    assert collector.usage is not None
    assert len(upstream.asked) == 1


def test_text_that_came_with_the_end_is_told_before_a_failure_after_it() -> None:
    outcome = answered(asks(), ["Hello", Finished("stop"), BROKEN])
    assert words(outcome.events) == "Hello"


# Answers without end


@pytest.mark.parametrize(
    ("turn", "answer"),
    [
        (asks(), [Forever("word " * 1000)]),
        (asks(stop=("never",)), [Forever("word " * 1000)]),
        (asks(tools=[WEATHER]), [Forever("word " * 1000)]),
    ],
)
def test_an_answer_without_end_is_an_error(
    turn: Turn, answer: list[Step], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(output, "MAX_ANSWER", 100_000)
    outcome = answered(turn, answer)
    assert isinstance(outcome.error, UpstreamFailure)
    assert "does not end" in outcome.error.message
    assert outcome.error.retryable is False
    assert outcome.upstream.aborted == [True]


def test_a_call_without_end_is_cut_at_a_mebibyte() -> None:
    outcome = answered(
        asks(tools=[WEATHER]),
        ['<tool_call key="KEY" name="get_weather">\n{"city": "', Forever("word " * 20_000)],
    )
    [(_, arguments)] = outcome.calls
    assert 1_000_000 < len(arguments) <= 1024 * 1024
    assert outcome.reason == "length"
    assert outcome.upstream.aborted == [True]


def test_text_without_end_after_a_call_is_not_read() -> None:
    outcome = answered(asks(tools=[WEATHER]), [CALL, Forever("word " * 10)])
    assert (outcome.calls, outcome.reason) == ([("get_weather", PARIS)], "tool_calls")
    assert outcome.upstream.aborted == [True]
