"""Streamed and whole answers: what the events of a turn become, strictly in the types of Anthropic's SDK."""

import json
from collections.abc import Sequence
from typing import Any

import pytest
from anthropic.types import Message, RawMessageStreamEvent
from anthropic.types.beta import BetaMessage, BetaRawMessageDeltaEvent, BetaRawMessageStreamEvent
from hypothesis import given
from hypothesis import strategies as st

from gptoss_api.core.errors import UpstreamFailure, UpstreamIncomplete
from gptoss_api.core.events import (
    ContextEdited,
    Event,
    Finished,
    FinishReason,
    ReasoningDelta,
    RefusalDelta,
    Started,
    TextDelta,
    ToolCallDelta,
    ToolCallFinished,
    ToolCallStarted,
)
from gptoss_api.core.result import Collector
from gptoss_api.dialects.messages.signatures import Signer
from tests.dialects.events import THOUGHT_AND_TEXT, USAGE, named_events, rendered
from tests.dialects.strict import strictly

from .asking import parse

STARTED = Started("test", "gpt-oss-120b", prompt_tokens=11)
ID = "0123456789abcdef01234567"


def call(index: int, *arguments: str, name: str = "weather") -> list[Event]:
    pieces = [ToolCallDelta(index, piece) for piece in arguments]
    return [ToolCallStarted(index, f"call_{ID}", name), *pieces, ToolCallFinished(index)]


def streamed(events: Sequence[Event], batch: int = 1, **body: Any) -> list[Any]:
    """The data of every event; their names and types are checked."""
    said = []
    for name, data in named_events(rendered(parse(body).renderer(), events, batch)):
        assert data["type"] == name
        if name != "ping":
            strictly(RawMessageStreamEvent, data)
        said.append(data)
    return said


def whole(events: Sequence[Event], **body: Any) -> dict[str, Any]:
    collector = Collector()
    collector.feed(events)
    said: dict[str, Any] = json.loads(parse(body).render(collector))
    strictly(Message, said)
    return said


def reassembled(said: Sequence[Any]) -> dict[str, Any]:
    """The message that a client makes of a stream. Blocks come one after the other."""
    message: dict[str, Any] = {}
    block: dict[str, Any] | None = None
    arguments = ""
    for event in said:
        match event["type"]:
            case "message_start":
                message = event["message"]
            case "content_block_start":
                assert block is None
                assert event["index"] == len(message["content"])
                block, arguments = event["content_block"], ""
            case "content_block_delta":
                assert block is not None
                assert event["index"] == len(message["content"])
                delta = event["delta"]
                if delta["type"] == "input_json_delta":
                    arguments += delta["partial_json"]
                else:
                    member = delta["type"].removesuffix("_delta")
                    block[member] += delta[member]
            case "content_block_stop":
                assert block is not None
                if block["type"] == "tool_use":
                    assert arguments
                    block["input"] = json.loads(arguments)
                message["content"].append(block)
                block = None
            case "message_delta":
                message |= event["delta"]
                message["usage"] |= event["usage"]
    return message


def test_a_thought_and_a_text() -> None:
    events: list[Event] = [STARTED, *THOUGHT_AND_TEXT[1:]]
    said = streamed(events, model="claude-sonnet-5")
    assert [event["type"] for event in said] == [
        "message_start", "ping",
        "content_block_start", *2 * ["content_block_delta"], "content_block_delta", "content_block_stop",
        "content_block_start", *2 * ["content_block_delta"], "content_block_stop",
        "message_delta", "message_stop",
    ]  # fmt: skip
    start = said[0]["message"]
    assert (start["usage"]["input_tokens"], start["model"], start["content"]) == (11, "claude-sonnet-5", [])
    message = reassembled(said)
    thought, text = message["content"]
    assert thought == {
        "type": "thinking",
        "thinking": "They greet.",
        "signature": Signer(b"a secret of the tests").sign("They greet."),
    }
    assert text["text"] == 'Hello "world"\n'
    assert (message["stop_reason"], message["stop_sequence"], message["stop_details"]) == (
        "end_turn",
        None,
        None,
    )


def test_usage_counts_what_was_cached_beside_the_rest() -> None:
    for message in (reassembled(streamed([STARTED, *THOUGHT_AND_TEXT[1:]])), whole(THOUGHT_AND_TEXT)):
        assert message["usage"] == {
            "input_tokens": 9,
            "cache_creation_input_tokens": 0,
            "cache_read_input_tokens": 2,
            "output_tokens": 7,
            "output_tokens_details": {"thinking_tokens": 3},
            "service_tier": "standard",
        }


def test_arguments_arrive_as_deltas_and_never_whole() -> None:
    said = streamed([STARTED, *call(0, '{"city":', '"Paris"}'), Finished("tool_calls"), USAGE])
    starts = [event["content_block"] for event in said if event["type"] == "content_block_start"]
    assert starts == [{"type": "tool_use", "id": f"toolu_{ID}", "name": "weather", "input": {}}]
    pieces = [event["delta"]["partial_json"] for event in said if event["type"] == "content_block_delta"]
    assert pieces == ['{"city":', '"Paris"}']
    assert said[-2]["delta"]["stop_reason"] == "tool_use"


def test_a_call_without_arguments_has_an_empty_object() -> None:
    events: list[Event] = [STARTED, *call(0), Finished("tool_calls"), USAGE]
    assert reassembled(streamed(events))["content"][0]["input"] == {}
    assert whole(events)["content"][0]["input"] == {}


def test_thinking_that_goes_on_after_a_text_is_a_block_of_its_own() -> None:
    events: list[Event] = [
        STARTED,
        ReasoningDelta("a"),
        TextDelta("b"),
        ReasoningDelta("c"),
        *call(0),
        Finished("stop"),
    ]
    content = reassembled(streamed([*events, USAGE]))["content"]
    assert [block["type"] for block in content] == ["thinking", "text", "thinking", "tool_use"]
    signer = Signer(b"a secret of the tests")
    assert [block["signature"] for block in content if block["type"] == "thinking"] == [
        signer.sign("a"),
        signer.sign("c"),
    ]


def test_calls_side_by_side_come_one_after_the_other() -> None:
    events: list[Event] = [
        STARTED,
        ToolCallStarted(0, "call_a", "a"),
        ToolCallStarted(1, "call_b", "b"),
        ToolCallDelta(1, '{"b":1'),
        ToolCallDelta(0, '{"a":1'),
        TextDelta("Meanwhile"),
        ToolCallDelta(1, "}"),
        ToolCallDelta(0, "}"),
        ToolCallFinished(1),
        ToolCallFinished(0),
        Finished("tool_calls"),
        USAGE,
    ]
    content = reassembled(streamed(events))["content"]
    assert [block.get("input") or block["text"] for block in content] == [{"a": 1}, {"b": 1}, "Meanwhile"]


@given(batch=st.integers(1, 20))
def test_batches_change_nothing(batch: int) -> None:
    calls: list[Event] = [STARTED, TextDelta("Looking."), *call(0, '{"city":', '"Paris"}'), *call(1)]
    for events in ([STARTED, *THOUGHT_AND_TEXT[1:]], [*calls, Finished("tool_calls"), USAGE]):
        one_by_one, together = streamed(events), streamed(events, batch)
        one_by_one[0]["message"]["id"] = together[0]["message"]["id"] = ""
        assert one_by_one == together


@pytest.mark.parametrize(
    ("finished", "reason", "sequence"),
    [
        (Finished("stop"), "end_turn", None),
        (Finished("stop", stop_sequence="</b>"), "stop_sequence", "</b>"),
        (Finished("length"), "max_tokens", None),
        (Finished("content_filter"), "end_turn", None),
    ],
)
def test_how_an_answer_ended(finished: Finished, reason: str, sequence: str | None) -> None:
    events: list[Event] = [STARTED, TextDelta("No."), finished, USAGE]
    for message in (reassembled(streamed(events)), whole(events)):
        assert (message["stop_reason"], message["stop_sequence"]) == (reason, sequence)


def test_one_demanded_call_ends_for_the_use_of_a_tool() -> None:
    events: list[Event] = [STARTED, *call(0, "{}"), Finished("stop"), USAGE]
    for message in (reassembled(streamed(events)), whole(events)):
        assert message["stop_reason"] == "tool_use"


def test_a_refusal_in_words_is_a_text_and_one_of_a_filter_a_refusal() -> None:
    words: list[Event] = [STARTED, RefusalDelta("I will not."), Finished("content_filter"), USAGE]
    silence: list[Event] = [STARTED, ReasoningDelta("Hm."), Finished("content_filter"), USAGE]
    for read in (whole, lambda events: reassembled(streamed(events))):
        said = read(words)
        assert (said["content"][0]["text"], said["stop_reason"]) == ("I will not.", "end_turn")
        assert read(silence)["stop_reason"] == "refusal"


def test_a_call_that_was_cut_is_left_out_of_a_whole_answer() -> None:
    cut: list[Event] = [STARTED, TextDelta("So"), *call(0, '{"city":"Pa')[:-1], Finished("length"), USAGE]
    said = whole(cut)
    assert [block["type"] for block in said["content"]] == ["text"]
    assert said["stop_reason"] == "max_tokens"
    # What was sent of it in a stream stays as it is: the client finds that it is no JSON.
    assert streamed(cut)[-3]["type"] == "content_block_stop"


def test_numbers_in_arguments_stay_as_they_were_written() -> None:
    events: list[Event] = [
        STARTED,
        *call(0, '{"n":123456789012345678901234567890}'),
        Finished("tool_calls"),
        USAGE,
    ]
    collector = Collector()
    collector.feed(events)
    assert b'"input":{"n":123456789012345678901234567890}' in parse({}).render(collector)


NO_OBJECTS = ["nope", "[1]", '{"a": 1.0', '{"a": 1}}', "7", '{"a":' * 5_000]


@pytest.mark.parametrize("written", NO_OBJECTS)
def test_arguments_that_are_none_fail_a_whole_answer(written: str) -> None:
    with pytest.raises(UpstreamFailure, match="'weather' with arguments that are no JSON object"):
        whole([STARTED, *call(0, written), Finished("tool_calls"), USAGE])


@pytest.mark.parametrize("written", NO_OBJECTS)
@pytest.mark.parametrize("ended", [True, False])
@pytest.mark.parametrize("reason", ["tool_calls", "stop"])
def test_arguments_that_are_none_fail_a_stream_before_their_block_ends(
    written: str, ended: bool, reason: FinishReason
) -> None:
    calls = call(0, *written) if ended else call(0, *written)[:-1]
    renderer = parse({}).renderer()
    sent = renderer.feed([STARTED, TextDelta("So"), *calls])
    with pytest.raises(UpstreamFailure) as broken:
        renderer.feed([Finished(reason), USAGE])
    said = named_events(sent + renderer.fail(broken.value))
    assert [name for name, _ in said].count("content_block_stop") == 1
    assert said[-1] == (
        "error",
        {
            "type": "error",
            "error": {
                "type": "api_error",
                "message": "The model called 'weather' with arguments that are no JSON object.",
            },
        },
    )


@pytest.mark.parametrize("more", [call(1, "{}"), [TextDelta("On")], [ReasoningDelta("Hm.")]])
def test_what_follows_arguments_that_are_none_is_not_sent(more: list[Event]) -> None:
    renderer = parse({}).renderer()
    with pytest.raises(UpstreamFailure) as broken:
        renderer.feed([STARTED, *call(0, "nope"), *more, Finished("tool_calls"), USAGE])
    names = [name for name, _ in named_events(renderer.fail(broken.value))]
    assert names == ["message_start", "ping", "content_block_start", "content_block_delta", "error"]


def test_calls_that_the_limit_cut_side_by_side_end_a_stream_like_a_whole_answer() -> None:
    cut: list[Event] = [
        STARTED,
        *call(0, '{"city":"Pa'),
        *call(1, '{"city":"Ro'),
        Finished("length"),
        USAGE,
    ]
    assert whole(cut)["stop_reason"] == "max_tokens"
    said = streamed(cut, len(cut))
    assert said[-2]["delta"]["stop_reason"] == "max_tokens"
    assert [event["type"] for event in said].count("content_block_stop") == 2


def test_arguments_of_blanks_alone_are_an_empty_object() -> None:
    events: list[Event] = [STARTED, *call(0, " ", "\n"), Finished("tool_calls"), USAGE]
    assert reassembled(streamed(events))["content"][0]["input"] == {}
    assert whole(events)["content"][0]["input"] == {}
    assert reassembled(streamed([*events[:-3], *events[-2:]]))["content"][0]["input"] == {}


def test_an_answer_that_never_ended_is_none() -> None:
    with pytest.raises(UpstreamIncomplete):
        whole([STARTED, TextDelta("So")])


def test_a_stream_that_breaks_ends_with_an_error_event() -> None:
    renderer = parse({}).renderer()
    renderer.feed([STARTED, TextDelta("So")])
    assert named_events(renderer.fail(UpstreamFailure("It broke."))) == [
        ("error", {"type": "error", "error": {"type": "api_error", "message": "It broke."}})
    ]


def test_what_was_left_out_of_the_context_is_told() -> None:
    told = (ContextEdited("clear_thinking", 2, 30), ContextEdited("clear_tool_uses", 5, 4000))
    events = [Started("test", "gpt-oss-120b", prompt_tokens=11, context_edits=told), *THOUGHT_AND_TEXT[1:]]
    applied = [
        {"type": "clear_thinking_20251015", "cleared_thinking_turns": 2, "cleared_input_tokens": 30},
        {"type": "clear_tool_uses_20250919", "cleared_tool_uses": 5, "cleared_input_tokens": 4000},
    ]
    collector = Collector()
    collector.feed(events)
    message = json.loads(parse({}).render(collector))
    ((_, delta),) = [
        each for each in named_events(rendered(parse({}).renderer(), events)) if each[0] == "message_delta"
    ]
    for value, model in ((message, BetaMessage), (delta, BetaRawMessageDeltaEvent)):
        assert value["context_management"] == {"applied_edits": applied}
        strictly(model, value)
    truncated = Started("test", "gpt-oss-120b", context_edits=(ContextEdited("truncation", 2, 30),))
    assert "context_management" not in whole([truncated, *THOUGHT_AND_TEXT[1:]])


def test_a_summary_of_the_conversation_is_the_first_block() -> None:
    started = Started("test", "gpt-oss-120b", context_edits=(ContextEdited("compaction", 9, 400, "So far."),))
    endings: list[tuple[list[Event], str]] = [
        ([TextDelta("Done."), Finished("stop"), USAGE], "end_turn"),
        ([Finished("stop"), USAGE], "compaction"),
    ]
    for rest, reason in endings:
        events = [started, *rest]
        collector = Collector()
        collector.feed(events)
        message = json.loads(parse({}).render(collector))
        strictly(BetaMessage, message)
        assert message["content"][0] == {"type": "compaction", "content": "So far."}
        assert message["stop_reason"] == reason
        assert "context_management" not in message
        said = [data for _, data in named_events(rendered(parse({}).renderer(), events))]
        for each in said:
            if each["type"] != "ping":
                strictly(BetaRawMessageStreamEvent, each)
        assert next(each["delta"] for each in said if each["type"] == "content_block_delta") == {
            "type": "compaction_delta",
            "content": "So far.",
        }
        assert [each["index"] for each in said if each["type"] == "content_block_start"] == list(
            range(len(rest) - 1)
        )
        assert said[-2]["delta"]["stop_reason"] == reason
