"""Streamed responses: every event valid, numbered without gaps, and the sum is the final object."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gptoss_api.core.errors import (
    ContextLengthExceeded,
    GatewayError,
    InsufficientQuota,
    PromptTooLong,
    RefusedByUpstream,
    UpstreamFailure,
    UpstreamRateLimited,
    UpstreamSchemaMismatch,
    UpstreamUnavailable,
)
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
)
from gptoss_api.core.result import Collector
from gptoss_api.dialects.responses import ResponsesDialect
from gptoss_api.dialects.responses.stream import ResponseStream

from ..events import STARTED, THOUGHT_AND_TEXT, TWO_CALLS, USAGE, named_events, rendered
from ..strict import check_event, check_response

TOOLS = [
    {"type": "function", "name": "weather", "parameters": {"type": "object"}},
    {"type": "custom", "name": "patch", "format": {"type": "text"}},
    {
        "type": "namespace",
        "name": "agents",
        "description": "Other agents.",
        "tools": [{"type": "function", "name": "spawn", "parameters": {"type": "object"}}],
    },
    {"type": "web_search"},
]


def request(**members: Any) -> Any:
    body = {"model": "gpt-oss-120b", "input": "Hi", "tools": TOOLS, **members}
    return ResponsesDialect().parse(json.dumps(body).encode(), {})


def renderer(**members: Any) -> ResponseStream:
    stream = request(**members).renderer()
    assert isinstance(stream, ResponseStream)
    return stream


def checked(stream: bytes) -> list[Any]:
    """The events of a stream, each checked strictly and in its place."""
    events = named_events(stream)
    for number, (name, data) in enumerate(events):
        assert data["type"] == name
        assert data["sequence_number"] == number
        check_event(data)
        if "response" in data:
            check_response(data["response"])
    return [data for _, data in events]


def kinds(events: list[Any]) -> list[str]:
    return [event["type"].removeprefix("response.") for event in events]


def added_up(events: list[Any]) -> list[dict[str, Any]]:
    """The output items as a client builds them from the deltas alone."""
    items: dict[int, dict[str, Any]] = {}
    for event in events:
        match event["type"].removeprefix("response."):
            case "output_item.added":
                assert event["output_index"] == len(items)
                items[event["output_index"]] = json.loads(json.dumps(event["item"]))
            case "content_part.added":
                item = items[event["output_index"]]
                assert event["item_id"] == item["id"]
                assert event["content_index"] == len(item["content"])
                item["content"].append(event["part"])
            case "output_text.delta" | "reasoning_text.delta":
                items[event["output_index"]]["content"][event["content_index"]]["text"] += event["delta"]
            case "refusal.delta":
                items[event["output_index"]]["content"][event["content_index"]]["refusal"] += event["delta"]
            case "function_call_arguments.delta":
                items[event["output_index"]]["arguments"] += event["delta"]
            case "custom_tool_call_input.delta":
                items[event["output_index"]]["input"] += event["delta"]
            case "output_text.done" | "reasoning_text.done":
                part = items[event["output_index"]]["content"][event["content_index"]]
                assert part["text"] == event["text"]
            case "function_call_arguments.done":
                assert items[event["output_index"]]["arguments"] == event["arguments"]
            case "custom_tool_call_input.done":
                assert items[event["output_index"]]["input"] == event["input"]
            case "content_part.done":
                assert items[event["output_index"]]["content"][event["content_index"]] == event["part"]
            case "output_item.done":
                item = items[event["output_index"]]
                if "status" in item:
                    item["status"] = event["item"]["status"]
                if "encrypted_content" in event["item"]:
                    item["encrypted_content"] = event["item"]["encrypted_content"]
                assert item == event["item"]
            case _:
                pass
    return [items[index] for index in sorted(items)]


def test_reasoning_then_text_gives_every_event_of_the_reference_in_order() -> None:
    events = checked(rendered(renderer(), THOUGHT_AND_TEXT))
    assert kinds(events) == [
        "created",
        "in_progress",
        "output_item.added",
        "content_part.added",
        "reasoning_text.delta",
        "reasoning_text.delta",
        "reasoning_text.done",
        "content_part.done",
        "output_item.done",
        "output_item.added",
        "content_part.added",
        "output_text.delta",
        "output_text.delta",
        "output_text.done",
        "content_part.done",
        "output_item.done",
        "completed",
    ]
    final = events[-1]["response"]
    assert final["output"] == added_up(events)
    assert final["output"][0]["content"] == [{"type": "reasoning_text", "text": "They greet."}]
    assert final["output"][1]["content"][0]["text"] == 'Hello "world"\n'
    assert final["status"] == "completed"
    assert final["usage"] == {
        "input_tokens": 11,
        "input_tokens_details": {"cached_tokens": 2, "cache_write_tokens": 0},
        "output_tokens": 7,
        "output_tokens_details": {"reasoning_tokens": 3},
        "total_tokens": 18,
    }


def test_calls_of_functions_and_custom_tools_have_their_own_events_and_ids() -> None:
    events = checked(rendered(renderer(), TWO_CALLS))
    _, message, function, custom = events[-1]["response"]["output"]
    assert message["content"][0]["text"] == "Looking."
    assert function == {
        "id": function["id"],
        "call_id": "call_a",
        "name": "weather",
        "type": "function_call",
        "arguments": '{"city":"Paris"}',
        "status": "completed",
    }
    assert function["id"].startswith("fc_")
    assert custom["type"] == "custom_tool_call"
    assert custom["input"] == "*** Begin Patch\n*** End Patch"
    assert events[-1]["response"]["output"] == added_up(events)


def test_calls_that_grow_side_by_side_keep_their_places() -> None:
    side_by_side: list[Event] = [
        STARTED,
        ToolCallStarted(0, "a", "weather"),
        ToolCallStarted(1, "b", "weather"),
        ToolCallDelta(1, '{"b":'),
        ToolCallDelta(0, "{}"),
        ToolCallDelta(1, "1}"),
        ToolCallFinished(0),
        ToolCallFinished(1),
        Finished("tool_calls"),
        USAGE,
    ]
    events = checked(rendered(renderer(), side_by_side))
    output = events[-1]["response"]["output"]
    assert [item["arguments"] for item in output] == ["{}", '{"b":1}']
    assert output == added_up(events)


def test_a_call_of_a_namespaced_tool_comes_back_with_its_namespace() -> None:
    call: list[Event] = [
        STARTED,
        ToolCallStarted(0, "a", "agents__spawn"),
        ToolCallDelta(0, "{}"),
        ToolCallFinished(0),
        Finished("tool_calls"),
        USAGE,
    ]
    events = checked(rendered(renderer(), call))
    added = next(event for event in events if event["type"] == "response.output_item.added")
    assert (added["item"]["namespace"], added["item"]["name"]) == ("agents", "spawn")
    item = events[-1]["response"]["output"][0]
    assert (item["namespace"], item["name"]) == ("agents", "spawn")


def test_the_answer_repeats_the_tools_it_can_use_and_no_others() -> None:
    final = checked(rendered(renderer(), THOUGHT_AND_TEXT))[-1]["response"]
    assert [tool["type"] for tool in final["tools"]] == ["function", "custom", "namespace"]


def test_a_refusal_is_a_part_of_its_own() -> None:
    events = checked(
        rendered(renderer(), [STARTED, TextDelta("Well."), RefusalDelta("No."), Finished("stop"), USAGE])
    )
    assert [part["type"] for part in events[-1]["response"]["output"][0]["content"]] == [
        "output_text",
        "refusal",
    ]
    assert events[-1]["response"]["output"] == added_up(events)


@pytest.mark.parametrize(
    ("reason", "said"), [("length", "max_output_tokens"), ("content_filter", "content_filter")]
)
def test_a_cut_answer_is_incomplete_and_says_why(reason: FinishReason, said: str) -> None:
    events = checked(
        rendered(renderer(), [STARTED, ReasoningDelta("Hm."), TextDelta("Once"), Finished(reason), USAGE])
    )
    assert events[-1]["type"] == "response.incomplete"
    final = events[-1]["response"]
    assert final["status"] == "incomplete"
    assert final["incomplete_details"] == {"reason": said}
    assert [item["status"] for item in final["output"]] == ["completed", "incomplete"]
    assert final["completed_at"] is None


def test_a_call_cut_in_the_middle_is_incomplete() -> None:
    cut: list[Event] = [
        STARTED,
        ToolCallStarted(0, "a", "weather"),
        ToolCallDelta(0, '{"ci'),
        Finished("length"),
        USAGE,
    ]
    events = checked(rendered(renderer(), cut))
    assert events[-1]["response"]["output"][0]["status"] == "incomplete"
    assert events[-1]["response"]["output"] == added_up(events)


def cut_call(kind: str, text: str, *end: Event) -> list[Event]:
    whole: list[Event] = [ToolCallStarted(0, "a", "weather"), ToolCallDelta(0, "{}"), ToolCallFinished(0)]
    name = "patch" if kind == "custom" else "weather"
    started = ToolCallStarted(1, "b", name, kind)  # type: ignore[arg-type]  # one of its words
    return [STARTED, *whole, started, ToolCallDelta(1, text), *end]


@pytest.mark.parametrize("told", [True, False])
@pytest.mark.parametrize("reason", ["length", "content_filter"])
@pytest.mark.parametrize("kind", ["function", "custom"])
def test_a_cut_call_is_told_alike_streamed_and_whole(kind: str, reason: FinishReason, told: bool) -> None:
    end = [ToolCallFinished(1, complete=False)] if told else []
    cut = cut_call(kind, "rm -rf /tmp/x", *end, Finished(reason), USAGE)
    asked = request()
    events = checked(rendered(asked.renderer(), cut))
    assert events[-1]["type"] == "response.incomplete"
    output = events[-1]["response"]["output"]
    collector = Collector()
    collector.feed(cut)
    whole = json.loads(asked.render(collector))["output"]
    for item in (*output, *whole):
        item["id"] = item["id"][:3]
    assert output == whole
    assert output[0]["status"] == "completed"
    done = [event["item"] for event in events if event["type"] == "response.output_item.done"]
    if kind == "function":
        assert output[1]["status"] == done[1]["status"] == "incomplete"
    else:
        assert output[1]["input"] == "rm -rf /tmp/x"
        assert "custom_tool_call_input.done" not in kinds(events)
        assert len(done) == 1


@pytest.mark.parametrize("cancelled", [True, False])
@pytest.mark.parametrize("kind", ["function", "custom"])
def test_a_call_that_a_break_cut_is_never_told_as_finished(kind: str, cancelled: bool) -> None:
    stream = renderer(background=cancelled)
    data = stream.feed(cut_call(kind, "rm"))
    events = checked(data + (stream.cancel() if cancelled else stream.fail(UpstreamFailure("It broke."))))
    final = check_response(json.loads(stream.final)).model_dump()
    done = [event["item"] for event in events if event["type"] == "response.output_item.done"]
    for items in (final["output"], done):
        told = [(item["type"], item["status"]) for item in items]
        cut = [("function_call", "incomplete")] if kind == "function" else []
        assert told == [("function_call", "completed"), *cut]
    assert "custom_tool_call_input.done" not in kinds(events)


@pytest.mark.parametrize(
    ("failure", "code"),
    [
        (InsufficientQuota("No credits."), "insufficient_quota"),
        (ContextLengthExceeded(9, 8), "context_length_exceeded"),
        (PromptTooLong("Too long."), "context_length_exceeded"),
        (UpstreamRateLimited("Slow down."), "rate_limit_exceeded"),
        (RefusedByUpstream("Odd."), "invalid_prompt"),
        (UpstreamUnavailable("Away."), "server_error"),
    ],
)
def test_a_break_after_the_start_has_the_code_that_clients_act_on(failure: GatewayError, code: str) -> None:
    stream = renderer()
    # The SDK's types do not list all of them; it does not check them either.
    _, last = named_events(stream.feed([STARTED, TextDelta("Half")]) + stream.fail(failure))[-1]
    assert last["response"]["error"] == {"code": code, "message": failure.message}


def test_a_break_after_the_start_ends_with_response_failed_and_keeps_what_came() -> None:
    stream = renderer()
    data = stream.feed([STARTED, TextDelta("Half")]) + stream.fail(UpstreamFailure("It broke."))
    events = checked(data)
    assert events[-1]["type"] == "response.failed"
    final = events[-1]["response"]
    assert final["status"] == "failed"
    assert final["error"] == {"code": "server_error", "message": "It broke."}
    assert final["output"][0]["content"][0]["text"] == "Half"
    assert final["output"][0]["status"] == "incomplete"
    assert not any(kind == "completed" for kind in kinds(events))


def test_a_break_before_the_start_is_an_error_event() -> None:
    events = checked(renderer().fail(UpstreamRateLimited("Slow down.", param=None)))
    assert events == [
        {
            "type": "error",
            "code": "upstream_rate_limited",
            "message": "Slow down.",
            "param": None,
            "error": {
                "message": "Slow down.",
                "type": "rate_limit_error",
                "param": None,
                "code": "upstream_rate_limited",
            },
            "sequence_number": 0,
        }
    ]


def typed_call(name: str, arguments: str, *end: Event, index: int = 0) -> list[Event]:
    half = len(arguments) // 2
    pieces: list[Event] = [ToolCallDelta(index, arguments[:half]), ToolCallDelta(index, arguments[half:])]
    return [ToolCallStarted(index, f"call_{index}", name), *pieces, *end]


TYPED: list[tuple[str, dict[str, Any], dict[str, Any]]] = [
    (
        "shell",
        {"commands": ["ls", "pwd"]},
        {
            "type": "shell_call",
            "action": {"commands": ["ls", "pwd"], "timeout_ms": None, "max_output_length": None},
            "environment": {"type": "local"},
        },
    ),
    (
        "local_shell",
        {"command": ["ls", "-l"]},
        {"type": "local_shell_call", "action": {"type": "exec", "command": ["ls", "-l"], "env": {}}},
    ),
    (
        "apply_patch",
        {"type": "update_file", "path": "a.py", "diff": "@@\n-a\n+b"},
        {
            "type": "apply_patch_call",
            "operation": {"type": "update_file", "path": "a.py", "diff": "@@\n-a\n+b"},
        },
    ),
    (
        "apply_patch",
        {"type": "delete_file", "path": "a.py", "diff": ""},
        {"type": "apply_patch_call", "operation": {"type": "delete_file", "path": "a.py"}},
    ),
]


@pytest.mark.parametrize(("name", "arguments", "members"), TYPED)
def test_calls_of_typed_tools_are_items_of_their_own_type(
    name: str, arguments: dict[str, Any], members: dict[str, Any]
) -> None:
    asked = request(tools=[*TOOLS, {"type": name}])
    first = typed_call(name, json.dumps(arguments), ToolCallFinished(0))
    other = typed_call("weather", '{"city": "Paris"}', ToolCallFinished(1), index=1)
    answer = [STARTED, TextDelta("Look."), *first, *other, Finished("tool_calls"), USAGE]
    events = checked(rendered(asked.renderer(), answer))
    final = events[-1]["response"]
    _, call, function = final["output"]
    assert {**call, "id": ""} == {"id": "", "call_id": "call_0", "status": "completed", **members}
    assert (function["name"], function["arguments"]) == ("weather", '{"city": "Paris"}')
    assert final["output"] == added_up(events)
    assert not any("call_0" in str(event.get("item_id")) for event in events)
    collector = Collector()
    collector.feed(answer)
    whole = check_response(json.loads(asked.render(collector))).model_dump(exclude_unset=True)
    assert [{**item, "id": ""} for item in whole["output"]] == [
        {**item, "id": ""} for item in final["output"]
    ]


def test_a_function_of_such_a_name_stays_a_function() -> None:
    shell = {"type": "function", "name": "shell", "parameters": {"type": "object"}}
    answer = [
        *typed_call("shell", '{"commands": ["ls"]}', ToolCallFinished(0)),
        Finished("tool_calls"),
        USAGE,
    ]
    events = checked(rendered(request(tools=[shell]).renderer(), [STARTED, *answer]))
    assert events[-1]["response"]["output"][0]["type"] == "function_call"


@pytest.mark.parametrize("reason", ["length", "content_filter"])
@pytest.mark.parametrize("told", [True, False])
def test_a_cut_call_of_a_typed_tool_is_not_handed_out(reason: FinishReason, told: bool) -> None:
    asked = request(tools=[{"type": "shell"}])
    end = [ToolCallFinished(0, complete=False)] if told else []
    answer = [STARTED, *typed_call("shell", '{"commands": ["rm -rf /', *end), Finished(reason), USAGE]
    final = checked(rendered(asked.renderer(), answer))[-1]["response"]
    collector = Collector()
    collector.feed(answer)
    whole = json.loads(asked.render(collector))
    assert (final["status"], final["output"]) == (whole["status"], whole["output"]) == ("incomplete", [])


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("shell", "{}"),
        ("shell", '{"commands": []}'),
        ("shell", '{"commands": [1]}'),
        ("shell", "[]"),
        ("shell", "no JSON"),
        ("local_shell", '{"command": {"a": "b"}}'),
        ("apply_patch", '{"type": "move_file", "path": "a", "diff": ""}'),
        ("apply_patch", '{"type": "create_file", "path": 1, "diff": ""}'),
        ("apply_patch", '{"type": "create_file", "path": "a", "diff": null}'),
    ],
)
def test_a_typed_call_that_says_nothing_is_a_failure_and_no_item(name: str, arguments: str) -> None:
    stream = request(tools=[{"type": name}]).renderer()
    data = stream.feed([STARTED, TextDelta("So:")])
    with pytest.raises(UpstreamSchemaMismatch) as caught:
        stream.feed(typed_call(name, arguments, ToolCallFinished(0)))
    events = checked(data + stream.fail(caught.value))
    assert events[-1]["type"] == "response.failed"
    assert [item["type"] for item in events[-1]["response"]["output"]] == ["message"]


def test_one_command_may_be_written_as_a_string() -> None:
    answer = [*typed_call("shell", '{"commands": "ls"}', ToolCallFinished(0)), Finished("tool_calls"), USAGE]
    events = checked(rendered(request(tools=[{"type": "shell"}]).renderer(), [STARTED, *answer]))
    assert events[-1]["response"]["output"][0]["action"]["commands"] == ["ls"]


def test_a_rate_limit_keeps_its_meaning_in_a_failed_response() -> None:
    stream = renderer()
    events = checked(stream.feed([STARTED]) + stream.fail(UpstreamRateLimited("Slow down.")))
    assert events[-1]["response"]["error"]["code"] == "rate_limit_exceeded"


def test_a_response_in_the_background_is_created_queued() -> None:
    stream = renderer(background=True)
    events = checked(stream.queued() + rendered(stream, THOUGHT_AND_TEXT))
    assert kinds(events)[:3] == ["created", "queued", "in_progress"]
    assert events[0]["response"]["status"] == "queued"
    assert events[-1]["response"]["background"] is True


def test_a_cancelled_response_ends_without_an_event_of_its_own() -> None:
    stream = renderer(background=True)
    events = checked(stream.queued() + stream.feed([STARTED, TextDelta("Half")]) + stream.cancel())
    assert kinds(events)[-1] == "output_item.done"
    final = check_response(json.loads(stream.final))
    assert final.status == "cancelled"
    assert final.output_text == "Half"


def test_the_sealed_thought_is_in_the_finished_item_only_where_it_was_asked_for() -> None:
    asked = checked(
        rendered(renderer(include=["reasoning.encrypted_content"], store=False), THOUGHT_AND_TEXT)
    )
    assert asked[-1]["response"]["output"][0]["encrypted_content"].startswith("gptoss1.")
    assert asked[-1]["response"]["output"] == added_up(asked)
    plain = checked(rendered(renderer(), THOUGHT_AND_TEXT))
    assert "encrypted_content" not in plain[-1]["response"]["output"][0]


PIECES: st.SearchStrategy[Event] = st.one_of(
    st.text(max_size=8).map(TextDelta), st.text(max_size=8).map(ReasoningDelta)
)
CALL = st.tuples(st.sampled_from(["function", "custom"]), st.lists(st.text(max_size=6), max_size=4))
TURNS = st.tuples(
    st.lists(PIECES, max_size=12),
    st.lists(CALL, max_size=3),
    st.sampled_from(["stop", "length", "content_filter"]),
)


def as_events(turn: Any) -> list[Event]:
    pieces, calls, reason = turn
    events: list[Event] = [STARTED, *pieces]
    for index, (kind, arguments) in enumerate(calls):
        events.append(ToolCallStarted(index, f"call_{index}", "weather", kind))
        events += [ToolCallDelta(index, text) for text in arguments]
        events.append(ToolCallFinished(index))
    return [*events, Finished("tool_calls" if calls and reason == "stop" else reason), USAGE]


@given(TURNS, st.integers(1, 9))
def test_any_turn_streams_valid_events_that_add_up(turn: Any, batch: int) -> None:
    events = checked(rendered(renderer(), as_events(turn), batch))
    assert events[-1]["response"]["output"] == added_up(events)


@given(TURNS)
def test_batches_change_nothing(turn: Any) -> None:
    asked = request()
    one, many = asked.renderer(), asked.renderer()
    by_one, by_many = rendered(one, as_events(turn), 1), rendered(many, as_events(turn), 99)
    assert [event for _, event in named_events(by_one)] == [event for _, event in named_events(by_many)]


@given(TURNS)
def test_a_whole_answer_says_what_the_stream_of_it_ends_with(turn: Any) -> None:
    pieces, calls, reason = turn
    # A whole answer has one thought and one text; a stream may alternate.
    ordered = sorted(pieces, key=lambda piece: isinstance(piece, TextDelta))
    events = as_events((ordered, calls, reason))
    asked = request()
    collector = Collector()
    collector.feed(events)
    whole = json.loads(asked.render(collector))
    check_response(whole)
    streamed = named_events(rendered(asked.renderer(), events))[-1][1]["response"]
    for answer in (whole, streamed):
        answer.pop("completed_at")
        for item in answer["output"]:
            item.pop("status", None)
    assert whole == streamed
