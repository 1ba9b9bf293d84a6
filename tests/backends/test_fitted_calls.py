"""The arguments of native calls and of calls in text fit their schema alike, streamed and whole."""

from typing import Any

import pytest

from gptoss_api.core.result import Collector
from gptoss_api.core.turn import Tool

from ..emulation.scripted import answered, asks, block
from .server import Backend, ask, turn
from .shapes import Answer
from .test_native import gateway_to

SEARCH = Tool(
    "search",
    parameters={
        "type": "object",
        "properties": {
            "query": {"type": "string"},
            "limit": {"type": "integer"},
            "order": {"enum": ["Newest", "Oldest"]},
            "tags": {"type": "array", "items": {"type": "string"}},
            "dry_run": {"type": "boolean"},
            "page": {"type": "string"},
        },
        "required": ["query", "dry_run"],
        "additionalProperties": False,
    },
)
WRITTEN = (
    '{"query": "cats", "limit": "5", "order": "newest", "tags": "a", "dryRun": "true", "page": null, "x":1}'
)
FITTING = '{"query": "cats", "limit": 5, "order": "Newest", "tags": ["a"], "dry_run": true}'
REPAIRS = 7
NOTE = "arguments of 'search' that did not fit its schema were mended: 7"


def assert_fitted(collector: Collector) -> None:
    choice = collector.choices[0]
    assert [(call.name, call.arguments) for call in choice.tool_calls] == [("search", FITTING)]
    assert (choice.finish_reason, choice.repairs, choice.notes) == ("tool_calls", REPAIRS, (NOTE,))


@pytest.mark.parametrize("shape", ["vllm", "ollama", "llamacpp", "groq", "generic"])
@pytest.mark.parametrize("streamed", [True, False])
async def test_native_arguments_fit(shape: str, streamed: bool) -> None:
    answer = Answer(content="", calls=(("search", WRITTEN),), finish="tool_calls")
    async with gateway_to(Backend(shape, answer=answer)) as gateway:
        collector, _ = await ask(gateway, turn(tools=(SEARCH,), streamed=streamed))
    assert_fitted(collector)


def test_arguments_in_text_fit_in_whatever_pieces_they_come() -> None:
    assert_fitted(answered(asks(tools=[SEARCH]), block(WRITTEN, "search")).collected)


@pytest.mark.parametrize("strict", [True, False])
def test_arguments_that_are_judged_as_a_whole_fit_too_and_count_once(strict: bool) -> None:
    tool = Tool("search", parameters=SEARCH.parameters, strict=strict)
    outcome = answered(asks(tools=[tool], streamed=False), block(WRITTEN, "search"))
    assert outcome.calls == [("search", FITTING)]
    assert (outcome.choice.repairs, len(outcome.upstream.asked)) == (REPAIRS, 1)


def test_arguments_that_fit_leave_no_trace() -> None:
    outcome = answered(asks(tools=[SEARCH]), block(FITTING, "search"))
    assert outcome.calls == [("search", FITTING)]
    assert (outcome.choice.repairs, outcome.choice.notes) == (0, ())


def test_what_stays_invalid_is_delivered_as_it_came() -> None:
    written = '{"q": "cats", "limit": "few"}'
    outcome = answered(asks(tools=[SEARCH]), block(written, "search"))
    assert outcome.calls == [("search", '{"limit": "few", "q": "cats"}')]
    assert outcome.choice.repairs == 0


def test_a_custom_tool_has_no_arguments_to_fit() -> None:
    tool: Any = Tool("note", kind="custom", parameters=SEARCH.parameters)
    outcome = answered(asks(tools=[tool]), block('{"input": "5"}', "note"))
    assert outcome.calls == [("note", "5")]
