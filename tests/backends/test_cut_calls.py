"""Calls that are cut, by a limit or a broken connection, are nowhere handed out as whole ones."""

import json
from typing import Any

import pytest

from gptoss_api.core.errors import UpstreamIncomplete
from gptoss_api.core.result import Collector
from gptoss_api.dialects.responses import ResponsesDialect
from tests.dialects.events import named_events
from tests.dialects.strict import check_event, check_response
from tests.pulled import opened
from tests.upstreams.chatkit.scripted import Reply
from tests.upstreams.chatkit.transcripts import sse

from .server import Backend
from .test_native import gateway_to

CUSTOM = ("sh", '{"input":"rm -rf /tmp/x')
FUNCTION = ("f", '{"a":')
TOOLS: list[dict[str, Any]] = [
    {"type": "custom", "name": "sh"},
    {
        "type": "function",
        "name": "f",
        "parameters": {"type": "object", "properties": {"a": {"type": "integer"}}},
    },
]


def reply(called: tuple[str, str], finish: str | None) -> Reply:
    name, arguments = called
    call = {"index": 0, "id": "c1", "function": {"name": name, "arguments": arguments}}
    chunks = [sse({"choices": [{"delta": {"tool_calls": [call]}}]})]
    if finish is None:
        return Reply([*chunks, "abort"])
    return Reply([*chunks, sse({"choices": [{"delta": {}, "finish_reason": finish}]}, "data: [DONE]")])


async def streamed(answer: Reply) -> tuple[list[Any], Any]:
    """The events of a stream, and the same answer as a whole where it has an end."""
    body = {"model": "gpt-oss-120b", "input": "Go.", "tools": TOOLS, "stream": True}
    request = ResponsesDialect().parse(json.dumps(body).encode(), {})
    renderer, collector = request.renderer(), Collector()
    out: list[bytes] = []
    async with gateway_to(Backend("vllm", answer)) as gateway:
        try:
            async with opened(gateway, request.turn) as batches:
                async for batch in batches:
                    collector.feed(batch)
                    out.append(renderer.feed(batch))
            out.append(renderer.end())
            whole = check_response(json.loads(request.render(collector))).model_dump()
        except UpstreamIncomplete as failure:
            out.append(renderer.fail(failure))
            whole = None
    events = [data for _, data in named_events(b"".join(out))]
    for event in events:
        check_event(event)
    return events, whole


def of_kind(events: list[Any], kind: str) -> list[Any]:
    return [event for event in events if event["type"] == f"response.{kind}"]


@pytest.mark.parametrize("finish", ["length", "content_filter", None])
async def test_a_cut_custom_call_is_only_in_an_incomplete_response(finish: str | None) -> None:
    events, whole = await streamed(reply(CUSTOM, finish))
    assert of_kind(events, "output_item.added")
    assert not of_kind(events, "output_item.done")
    assert not of_kind(events, "custom_tool_call_input.done")
    last = events[-1]
    if finish is None:
        assert (last["type"], last["response"]["output"]) == ("response.failed", [])
    else:
        assert last["type"] == "response.incomplete"
        for output in (last["response"]["output"], whole["output"]):
            assert [item["input"] for item in output] == ["rm -rf /tmp/x"]


@pytest.mark.parametrize("finish", ["length", "content_filter", None])
async def test_a_cut_call_of_a_function_is_incomplete(finish: str | None) -> None:
    events, whole = await streamed(reply(FUNCTION, finish))
    last = events[-1]
    assert last["type"] == ("response.failed" if finish is None else "response.incomplete")
    (done,) = of_kind(events, "output_item.done")
    outputs = [[done["item"]], last["response"]["output"]]
    if whole is not None:
        outputs.append(whole["output"])
    for output in outputs:
        assert [(item["status"], item["arguments"]) for item in output] == [
            ("incomplete", done["item"]["arguments"])
        ]


@pytest.mark.parametrize("called", [("sh", '{"input":"ls"}'), ("f", '{"a":1}')])
async def test_a_call_that_was_whole_before_the_limit_stays_so(called: tuple[str, str]) -> None:
    events, whole = await streamed(reply(called, "length"))
    (done,) = of_kind(events, "output_item.done")
    assert done["item"].get("status", "completed") == "completed"
    assert done["item"].get("input", "ls") == "ls"
    assert whole["output"][0].get("status") in (None, "completed")
