"""What still comes after a finish reason: how long it is waited for, and what of it counts."""

import asyncio
import time
from typing import Any

import pytest

from gptoss_api.core.errors import UpstreamIncomplete
from gptoss_api.core.events import Event
from gptoss_api.core.result import Choice
from gptoss_api.upstreams.openai_compatible import wire
from tests.backends.server import Backend, ask, connected, turn
from tests.pulled import opened
from tests.upstreams.chatkit.scripted import Reply, Step
from tests.upstreams.chatkit.transcripts import sse

GRACE = 0.6
USAGE = {"choices": [], "usage": {"prompt_tokens": 3, "completion_tokens": 4}}


@pytest.fixture(autouse=True)
def _short_grace(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wire, "AFTER_ANSWER", GRACE)


def chunk(content: str | None = None, finish: str | None = None, **delta: Any) -> dict[str, Any]:
    if content is not None:
        delta["content"] = content
    return {"choices": [{"index": 0, "delta": delta, "finish_reason": finish}]}


def every_tenth(noise: bytes, times: int) -> list[Step]:
    return [step for _ in range(times) for step in (0.1, noise)]


async def answer(*steps: Step) -> tuple[Choice, float]:
    """The answer that the steps make, and the seconds it took."""
    async with connected(Backend("generic", Reply(steps)), total_timeout=20.0) as upstream:
        started = time.monotonic()
        collector, _ = await ask(upstream, turn())
        return collector.choices[0], time.monotonic() - started


@pytest.mark.parametrize(
    "noise",
    [b": ping\n\n", b"data:\n\n", b"event: ping\ndata: {}\n\n", sse(chunk("")), sse(chunk()), sse(USAGE)],
    ids=["comment", "empty data", "empty object", "empty text", "empty delta", "usage"],
)
async def test_what_says_nothing_buys_no_time(noise: bytes) -> None:
    choice, seconds = await answer(sse(chunk("a"), chunk(finish="stop")), *every_tenth(noise, 40), 30.0)
    assert (choice.text, choice.finish_reason) == ("a", "stop")
    assert GRACE - 0.1 < seconds < GRACE + 1.0


async def test_usage_after_the_end_counts() -> None:
    backend = Backend("generic", Reply([sse(chunk("a"), chunk(finish="stop")), 0.2, sse(USAGE), 30.0]))
    async with connected(backend) as upstream:
        collector, _ = await ask(upstream, turn())
    assert collector.usage is not None
    assert collector.usage.completion_tokens == 4


async def test_silence_after_the_end_is_no_silence_in_the_answer() -> None:
    backend = Backend("generic", Reply([sse(chunk("a"), chunk(finish="stop")), 30.0]))
    async with connected(backend, idle_timeout=GRACE / 3) as upstream:
        collector, _ = await ask(upstream, turn())
    assert (collector.choices[0].text, collector.choices[0].finish_reason) == ("a", "stop")


async def test_what_comes_after_the_grace_is_dropped() -> None:
    late = every_tenth(b": ping\n\n", 15)
    choice, seconds = await answer(sse(chunk("a"), chunk(finish="stop")), *late, sse(chunk("LATE")), 30.0)
    assert (choice.text, choice.finish_reason) == ("a", "stop")
    assert seconds < GRACE + 0.8


@pytest.mark.parametrize(
    ("reasons", "last"),
    [
        (("stop", "stop", "stop"), "stop"),
        (("stop", "stop", "length"), "length"),
        (("length", None, "stop"), "stop"),
        (("odd", "abort", "stop"), "stop"),
        (("tool_calls", "stop", "content_filter"), "content_filter"),
    ],
)
async def test_a_reason_with_every_chunk_ends_nothing_and_the_last_one_counts(
    reasons: tuple[str | None, ...], last: str
) -> None:
    steps: list[Step] = []
    # Longer than the grace in sum.
    for text, reason in zip(("a", "b", "c"), reasons, strict=True):
        steps += [sse(chunk(text, reason)), 0.4]
    choice, _ = await answer(*steps, b"data: [DONE]\n\n")
    assert (choice.text, choice.finish_reason) == ("abc", last)


async def test_a_last_reason_that_means_a_break_is_a_break() -> None:
    with pytest.raises(UpstreamIncomplete, match="abort"):
        await answer(sse(chunk("a", "stop"), chunk("b", "abort")))


@pytest.mark.parametrize(
    "more",
    [
        {"reasoning": "hm"},
        {"refusal": "no"},
        {"tool_calls": [{"index": 0, "id": "x", "function": {"name": "f", "arguments": "{}"}}]},
        {"function_call": {"name": "f", "arguments": "{}"}},
        {"content": "b"},
    ],
    ids=lambda more: next(iter(more)),
)
async def test_whatever_belongs_to_the_answer_is_waited_for(more: dict[str, Any]) -> None:
    steps: list[Step] = [sse(chunk("a", "stop")), 0.4, sse(chunk(**more)), 0.4, sse(chunk("c")), 0.4]
    choice, _ = await answer(*steps, sse(chunk("d")), 0.1)
    assert choice.text.startswith("a")
    assert choice.text.endswith("cd")


async def test_a_slow_reader_loses_nothing_that_came_in_time() -> None:
    steps: list[Step] = [
        sse(chunk("a", "stop")),
        0.1,
        sse(chunk("b", "stop")),
        0.1,
        sse(chunk("c", "stop")),
        30.0,
    ]
    seen: list[Event] = []
    async with connected(Backend("generic", Reply(steps))) as upstream, opened(upstream, turn()) as batches:
        async for batch in batches:
            seen += batch
            await asyncio.sleep(GRACE + 0.2)
    assert "".join(getattr(event, "text", "") for event in seen) == "abc"


async def test_without_an_end_of_the_answer_the_total_timeout_is_the_bound() -> None:
    backend = Backend(
        "generic", Reply([sse(chunk("a")), *every_tenth(b": ping\n\n", 8), sse(chunk("b", "stop"))])
    )
    async with connected(backend) as upstream:
        collector, _ = await ask(upstream, turn())
    assert collector.choices[0].text == "ab"
