"""What a request has cost is the same whether its answer was heard as it came or collected."""

from hypothesis import given
from hypothesis import strategies as st

from gptoss_api.core.account import Meter
from gptoss_api.core.events import (
    ChoiceStarted,
    Event,
    Finished,
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
from gptoss_api.core.result import Collector

ANSWER: list[Event] = [
    Started("test", "gpt-oss-120b", prompt_tokens=11, repairs=1, repaired=("empty",)),
    ReasoningDelta("let me see"),
    TextDelta("a text"),
    RefusalDelta("no"),
    ToolCallStarted(0, "call_1", "look"),
    ToolCallDelta(0, '{"at":'),
    ToolCallDelta(0, '"it"}'),
    ToolCallFinished(0),
    Finished("tool_calls", repairs=2, repaired=("tools", "format")),
    ChoiceStarted(1),
    ReasoningDelta("again, and for longer"),
    TextDelta("another text"),
    Finished("stop", repairs=1),
    UsageReported(Usage(30, 40)),
]


@given(end=st.integers(0, len(ANSWER)), batch=st.integers(1, len(ANSWER)))
def test_a_whole_answer_costs_what_it_costs_as_a_stream(end: int, batch: int) -> None:
    heard, whole, collector = Meter(7), Meter(7), Collector()
    came = ANSWER[:end]
    for at in range(0, end, batch):
        heard.observe(came[at : at + batch])
        collector.feed(came[at : at + batch])
    whole.take(collector)
    assert (whole.usage, whole.started, whole.repairs, whole.repaired, whole.prompt_tokens) == (
        heard.usage,
        heard.started,
        heard.repairs,
        heard.repaired,
        heard.prompt_tokens,
    )
