"""The stream of a response, rule by rule and over every way to cut it."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gptoss_api.core.errors import (
    GatewayError,
    UpstreamEmpty,
    UpstreamFailure,
    UpstreamIncomplete,
    UpstreamRateLimited,
)
from gptoss_api.core.events import Event, Finished, ReasoningDelta, TextDelta, Usage
from gptoss_api.core.redaction import Redactor
from gptoss_api.core.result import Collector
from gptoss_api.core.servers import SERVER_KINDS
from gptoss_api.text.sse import SseDecoder
from gptoss_api.upstreams.responses.wire import ResponsesWire
from tests.upstreams.chatkit.transcripts import payloads, sse

from . import reference
from .reference import Json

THOUGHT_AND_TEXT = [
    *reference.opening(),
    *reference.thinking("They ", "greet."),
    *reference.message_begun("Hel", "lo."),
    *reference.message_done("Hello."),
    reference.completed(reference.thought("They greet."), reference.message("Hello.")),
]
WEATHER = reference.call("get_weather", '{"city":"Paris"}')
A_CALL = [
    *reference.opening(),
    *reference.thinking("Look it up."),
    reference.done(WEATHER, 1),
    reference.completed(reference.thought("Look it up."), WEATHER),
]


def wire(**options: Any) -> ResponsesWire:
    return ResponsesWire(SERVER_KINDS["responses"], **options)


def collected(*events: Json | bytes, **options: Any) -> Any:
    """What a client gets of an answer with a proper end."""
    reading, collector = wire(**options), Collector()
    said = [event if isinstance(event, bytes) else payloads(event)[0] for event in events]
    collector.feed([*reading.feed(said), *reading.finish()])
    (choice,) = collector.choices
    return choice


def test_thoughts_that_are_not_shown_are_told_of_once() -> None:
    said = wire(show_reasoning=False).feed([payloads(event)[0] for event in THOUGHT_AND_TEXT])
    assert [event for event in said if isinstance(event, ReasoningDelta)] == [ReasoningDelta("")]


def failed(*events: Json | bytes, **options: Any) -> GatewayError:
    with pytest.raises(GatewayError) as caught:
        collected(*events, **options)
    return caught.value


def calls_of(choice: Any) -> list[tuple[str, str]]:
    return [(call.name, call.arguments) for call in choice.tool_calls]


def text_delta(text: str, item_id: Any = "m") -> Json:
    return {"type": "response.output_text.delta", "item_id": item_id, "delta": text}


COMPLETED: Json = {"type": "response.completed", "response": {"status": "completed", "output": []}}


def test_a_thought_and_a_text_come_as_they_are_written() -> None:
    reading = wire()
    events = reading.feed(payloads(*THOUGHT_AND_TEXT))
    assert events == [ReasoningDelta("They "), ReasoningDelta("greet."), TextDelta("Hel"), TextDelta("lo.")]
    assert reading.answered
    assert reading.done
    finished, usage = reading.finish()
    assert finished == Finished("stop")
    assert usage.usage == Usage(68, 15, estimated=False)  # type: ignore[union-attr]  # as said above


def test_a_call_that_comes_only_when_it_is_done() -> None:
    choice = collected(*A_CALL)
    assert (choice.reasoning, calls_of(choice)) == ("Look it up.", [("get_weather", '{"city":"Paris"}')])
    assert choice.finish_reason == "tool_calls"
    assert choice.tool_calls[0].id != "call_1"


def test_a_call_that_streams_its_arguments() -> None:
    begun = reference.call("f", "")
    pieces = [
        {"type": "response.function_call_arguments.delta", "item_id": reference.CALL, "delta": piece}
        for piece in ('{"a"', ": 1}")
    ]
    whole = reference.call("f", '{"a": 1}')
    for ending in ([], [reference.done(whole, 0)], [reference.done({**whole, "id": "other"}, 0)]):
        choice = collected(reference.added(begun, 0), *pieces, *ending, reference.completed(whole))
        assert calls_of(choice) == [("f", '{"a": 1}')], ending
    # What is told otherwise at its end stays as it was told first.
    for odd in ('{"b": 2}', {"a": 1}):
        done = reference.done({**whole, "arguments": odd}, 0)
        assert calls_of(collected(reference.added(begun, 0), *pieces, done, COMPLETED)) == [("f", '{"a": 1}')]
    # The rest of the arguments, where deltas stopped early.
    choice = collected(reference.added(begun, 0), pieces[0], reference.completed(whole))
    assert calls_of(choice) == [("f", '{"a": 1}')]


def test_arguments_may_come_before_their_call_is_named() -> None:
    piece = {"type": "response.function_call_arguments.delta", "item_id": reference.CALL, "delta": '{"a": 1}'}
    late = reference.added({**reference.call("f", ""), "arguments": None}, 0)
    assert calls_of(collected(piece, late, COMPLETED)) == [("f", '{"a": 1}')]
    done = reference.done({**reference.call("f", ""), "arguments": None}, 0)
    assert calls_of(collected(piece, done, COMPLETED)) == [("f", '{"a": 1}')]


def test_calls_side_by_side_stay_apart() -> None:
    one, two = reference.call("f", '{"a": 1}', "fc_1"), reference.call("g", '{"b": 2}', "fc_2")
    pieces = [("fc_1", '{"a"'), ("fc_2", '{"b"'), ("fc_1", ": 1}"), ("fc_2", ": 2}")]
    choice = collected(
        *(reference.added({**each, "arguments": ""}, 0) for each in (one, two)),
        *(
            {"type": "response.function_call_arguments.delta", "item_id": item, "delta": piece}
            for item, piece in pieces
        ),
        *(reference.done(each, 0) for each in (one, two, two)),
        reference.completed(one, two),
    )
    assert calls_of(choice) == [("f", '{"a": 1}'), ("g", '{"b": 2}')]


def test_calls_without_any_id_are_calls_all_the_same() -> None:
    bare = {"type": "function_call", "name": "f", "arguments": {"a": 1}}
    choice = collected(reference.completed(bare, bare))
    assert [(name, json.loads(text)) for name, text in calls_of(choice)] == [("f", {"a": 1}), ("f", {"a": 1})]
    assert calls_of(collected(reference.completed(bare | {"arguments": 7}))) == [("f", "{}")]


def test_what_only_the_last_event_has_is_told_once() -> None:
    items = (reference.thought("Hm."), reference.message("Hello."), WEATHER)
    choice = collected(reference.completed(*items))
    assert (choice.reasoning, choice.text, len(choice.tool_calls)) == ("Hm.", "Hello.", 1)
    # Some servers give items other ids there.
    others = (reference.thought("They greet.") | {"id": "rs_9"}, reference.message("Hello.") | {"id": "m_9"})
    choice = collected(*THOUGHT_AND_TEXT[:-1], reference.completed(*others, 7))  # type: ignore[arg-type]  # no item
    assert (choice.reasoning, choice.text) == ("They greet.", "Hello.")


def test_an_end_under_another_id_is_that_of_the_item_of_its_kind() -> None:
    thought = {"type": "response.reasoning_text.delta", "item_id": "r", "delta": "Hm"}
    ended = reference.done({**reference.message("Hello there."), "id": "another"}, 1)
    choice = collected(thought, *reference.message_begun("Hello"), ended, COMPLETED)
    assert (choice.reasoning, choice.text) == ("Hm", "Hello there.")


@pytest.mark.parametrize("identifier", [reference.MESSAGE, "another", None])
def test_the_end_of_a_text_whose_last_deltas_did_not_come(identifier: Any) -> None:
    ended = reference.done({**reference.message("Hello there."), "id": identifier}, 1)
    assert collected(*reference.message_begun("Hello"), ended, COMPLETED).text == "Hello there."
    # One that says something else was already told.
    other = reference.done({**reference.message("Bye."), "id": identifier}, 1)
    assert collected(*reference.message_begun("Hello"), other, COMPLETED).text == "Hello"
    assert collected(*reference.message_begun("Hello"), reference.completed(ended["item"])).text.startswith(
        "Hello"
    )


def test_refusals_and_contents_that_are_plain_texts() -> None:
    refused = {"type": "message", "id": "m", "content": [{"type": "refusal", "refusal": "No."}]}
    delta = {"type": "response.refusal.delta", "item_id": "m", "delta": "No"}
    assert collected(delta, reference.done(refused, 0), COMPLETED).refusal == "No."
    plain = {"type": "message", "id": "m", "content": "Hello."}
    assert collected(reference.completed(plain)).text == "Hello."
    odd = {"type": "message", "id": "m", "content": 7}
    assert collected(text_delta("Hi"), reference.done(odd, 0), COMPLETED).text == "Hi"


def test_a_thought_is_told_in_one_form() -> None:
    summary = {"type": "response.reasoning_summary_text.delta", "item_id": "r", "delta": "short"}
    whole = {"type": "response.reasoning_text.delta", "item_id": "r", "delta": "long"}
    assert collected(summary, whole, summary, COMPLETED).reasoning == "shortshort"
    assert collected(whole, summary, COMPLETED).reasoning == "long"
    only = {"type": "reasoning", "id": "r", "summary": [{"type": "summary_text", "text": "short"}]}
    assert collected(reference.completed(only)).reasoning == "short"


def test_thoughts_that_nobody_is_shown() -> None:
    choice = collected(*THOUGHT_AND_TEXT, show_reasoning=False)
    assert (choice.reasoning, choice.text) == ("", "Hello.")


def test_items_that_mean_nothing_here_are_passed_over() -> None:
    search = {"type": "web_search_call", "id": "ws_1", "action": {"type": "search", "query": "x"}}
    choice = collected(
        reference.added(search, 0),
        reference.added({"type": "function_call", "id": "fc_9"}, 0),
        reference.done(search, 0),
        {"type": "response.web_search_call.completed", "item_id": "ws_1"},
        {"type": "response.output_item.added"},
        {"type": "response.output_item.done"},
        {"type": "response.completed"},
        b"",
        b"[DONE]",
        *THOUGHT_AND_TEXT,
    )
    assert (choice.text, choice.tool_calls) == ("Hello.", [])
    odd = {"type": [], "id": {}, "content": [{"type": "reasoning_text", "text": "Hm."}]}
    choice = collected(reference.done(odd, 0), *THOUGHT_AND_TEXT[:-1], reference.completed(odd))
    assert (choice.reasoning, choice.text) == ("They greet.", "Hello.")


# How it ends


@pytest.mark.parametrize(
    ("members", "reason"),
    [
        ({"status": "incomplete", "incomplete_details": {"reason": "max_output_tokens"}}, "length"),
        ({"status": "incomplete", "incomplete_details": {"reason": "content_filter"}}, "content_filter"),
        ({"status": "completed"}, "stop"),
        ({"status": None}, "stop"),
        # The reference server says of an answer that reached its limit that it is complete.
        ({"usage": {"input_tokens": 1, "output_tokens": 20, "total_tokens": 21}}, "length"),
        ({"usage": {"input_tokens": 1, "output_tokens": 19, "total_tokens": 20}}, "stop"),
        ({"usage": None}, "stop"),
    ],
)
def test_why_an_answer_ended(members: Json, reason: str) -> None:
    ending = reference.completed(reference.message("Hello."), **members)
    ending["type"] = f"response.{members.get('status') or 'completed'}"
    assert collected(*reference.message_begun("Hello."), ending, max_tokens=20).finish_reason == reason


def test_a_call_that_the_limit_cut_is_not_whole() -> None:
    begun = reference.added(reference.call("f", '{"a": '), 0)
    cut = reference.completed(status="incomplete", incomplete_details={"reason": "max_output_tokens"})
    choice = collected(begun, cut | {"type": "response.incomplete"})
    assert (choice.finish_reason, len(choice.tool_calls), choice.whole_calls) == ("length", 1, frozenset())


@pytest.mark.parametrize(
    "ending",
    [
        {"type": "response.incomplete", "response": {"status": "incomplete"}},
        {
            "type": "response.incomplete",
            "response": {"status": "incomplete", "incomplete_details": {"reason": 3}},
        },
        {"type": "response.cancelled", "response": {"status": "cancelled"}},
        {"object": "response", "status": "queued", "output": []},
        None,
    ],
)
def test_an_answer_without_a_good_end_is_incomplete(ending: Json | None) -> None:
    events = [text_delta("Hel")] + ([] if ending is None else [ending])
    assert isinstance(failed(*events), UpstreamIncomplete)


def test_nothing_at_all_is_empty() -> None:
    assert isinstance(failed(), UpstreamEmpty)
    assert isinstance(failed(*reference.opening()), UpstreamEmpty)


@pytest.mark.parametrize(
    ("told", "kind", "said"),
    [
        (
            {"type": "error", "code": "rate_limit_exceeded", "message": "Slow down."},
            UpstreamRateLimited,
            "Slow",
        ),
        ({"type": "error", "error": {"message": "It broke."}}, UpstreamFailure, "It broke."),
        ({"error": {"message": "It broke."}}, UpstreamFailure, "It broke."),
        (
            {"type": "response.failed", "response": {"status": "failed"}},
            UpstreamFailure,
            "the response failed",
        ),
        (
            {"type": "response.failed", "response": {"error": {"code": "server_error", "message": "Gone."}}},
            UpstreamFailure,
            "Gone.",
        ),
        (
            reference.completed(error={"code": "invalid_function_call", "message": "Odd."}),
            UpstreamFailure,
            "Odd.",
        ),
    ],
)
def test_what_a_server_reports_is_the_failure(told: Json, kind: type[GatewayError], said: str) -> None:
    reading = wire()
    assert reading.feed(payloads(text_delta("Hel"), told, text_delta("lo"))) == [TextDelta("Hel")]
    assert isinstance(reading.failure, kind)
    assert said in reading.failure.message
    with pytest.raises(kind):
        reading.finish()


@pytest.mark.parametrize("loose", [True, False])
def test_a_server_that_repeats_a_secret_is_not_quoted(loose: bool) -> None:
    event = b'{"type": "error", "error": {"message": "no key s3cret-0123456789abcdef"}}'
    failure = failed(event + (b" {}" if loose else b""), redact=Redactor(("s3cret-0123456789abcdef",)))
    assert "s3cret" not in failure.message


# What a strict reader refuses


def test_nearly_json_and_several_events_in_one_are_read() -> None:
    many = b"\n".join(payloads(text_delta("Hel"), text_delta("lo")))
    odd = b'{"type": "response.output_text.delta", "item_id": 7, "delta": "!", "logprobs": [NaN]}'
    assert collected(many, odd, b"ping", COMPLETED, b"[DONE]").text == "Hello!"
    assert (
        collected(b'{"type": "response.output_text.delta", "delta": 7} [1]', *THOUGHT_AND_TEXT).text
        == "Hello."
    )
    listed = b"[" + b",".join(payloads(text_delta("Hel"), text_delta("lo"), COMPLETED)) + b"]"
    assert collected(listed).text == "Hello"


def test_halves_of_characters_are_joined() -> None:
    halves = [
        b'{"type": "response.output_text.delta", "item_id": "m", "delta": "%s"}' % half
        for half in (rb"a\ud83d", rb"\ude00b", rb"\ud83d")
    ]
    assert collected(*halves, COMPLETED).text == "a\U0001f600b\ufffd"


def test_an_event_that_cannot_be_read_is_a_gap_unless_the_end_cut_it() -> None:
    assert isinstance(failed(text_delta("Hel"), b'{"type": "resp', text_delta("lo")), UpstreamIncomplete)
    reading = wire()
    reading.feed(payloads(*THOUGHT_AND_TEXT[:-1]))
    assert reading.feed_rest([b'{"type": "resp']) == []
    assert reading.failure is None
    # An error that came before it on the same line is the failure.
    error = b'{"error": {"message": "It broke."}} {"type": '
    assert isinstance(failed(error), UpstreamFailure)
    assert failed(error).message.endswith("It broke.")


def test_an_error_outside_of_any_event_is_one() -> None:
    decoder, reading = SseDecoder(), wire()
    reading.feed(decoder.feed(sse(text_delta("Hel")) + b'{"error": {"message": "Gone."}}\n\n'))
    assert reading.failure is not None
    assert "Gone." in reading.failure.message


# Stop strings, which this API does not have


def test_a_text_ends_before_a_stop_string() -> None:
    choice = collected(text_delta("one END"), text_delta("ING two"), COMPLETED, stop=("ENDING",))
    assert (choice.text, choice.finish_reason, choice.stop_sequence) == ("one ", "stop", "ENDING")
    reading = wire(stop=("END",))
    assert reading.feed(payloads(text_delta("a END b"), text_delta("c"))) == [TextDelta("a ")]
    assert reading.done
    choice = collected(text_delta("the EN"), COMPLETED, stop=("END",))
    assert (choice.text, choice.stop_sequence) == ("the EN", None)
    only_at_the_end = collected(reference.completed(reference.message("a END b")), stop=("END",))
    assert (only_at_the_end.text, only_at_the_end.stop_sequence) == ("a ", "END")


# Bodies


@pytest.mark.parametrize(
    "body",
    [
        json.dumps(reference.response(reference.thought("Hm."), reference.message("Hello."))).encode(),
        sse(
            *THOUGHT_AND_TEXT[:2],
            *reference.thinking("Hm."),
            reference.completed(reference.message("Hello.")),
        ),
        # What only a lenient reader takes.
        json.dumps(
            reference.response(
                reference.thought("Hm."), reference.message("Hello."), temperature=float("nan")
            )
        ).encode(),
    ],
)
def test_an_answer_may_come_as_one_body(body: bytes) -> None:
    reading, collector = wire(), Collector()
    collector.feed([*reading.feed_body(body), *reading.finish()])
    (choice,) = collector.choices
    assert (choice.reasoning, choice.text, choice.finish_reason) == ("Hm.", "Hello.", "stop")


# Every way to cut a stream

STREAMS = st.sampled_from(
    [
        sse(*THOUGHT_AND_TEXT),
        sse(*A_CALL),
        sse(*THOUGHT_AND_TEXT[:-1]),
        sse(*THOUGHT_AND_TEXT, "data: [DONE]"),
        sse(*reference.opening(), text_delta("a END b"), COMPLETED),
        sse(text_delta("é😀"), {"type": "error", "message": "x"}),
    ]
)


def read(chunks: list[bytes]) -> tuple[Any, str]:
    reading, decoder, events = wire(stop=("END",)), SseDecoder(), list[Event]()
    for chunk in chunks:
        events += reading.feed(decoder.feed(chunk))
    events += reading.feed_rest(decoder.finish())
    collector = Collector()
    try:
        events += reading.finish()
    except GatewayError as error:
        collector.feed(events)
        return collector.choices[0].text, repr(error)
    collector.feed(events)
    (choice,) = collector.choices
    return (choice.text, choice.reasoning, calls_of(choice), choice.finish_reason), ""


def singly(stream: bytes) -> list[bytes]:
    return [stream[at : at + 1] for at in range(len(stream))]


@given(STREAMS, st.lists(st.integers(1, 200), min_size=1))
def test_however_a_stream_is_cut_it_says_the_same(stream: bytes, sizes: list[int]) -> None:
    pieces, at = [], 0
    for size in sizes * (len(stream) // sum(sizes) + 1):
        pieces.append(stream[at : at + size])
        at += size
    whole = read([stream])
    assert read(pieces) == whole
    assert read(singly(stream)) == whole


@given(STREAMS, st.integers(0, 10_000))
def test_a_stream_that_breaks_off_never_looks_complete(stream: bytes, at: int) -> None:
    end = stream.find(b"response.completed")
    if end >= 0 and b"END" not in stream:
        assert read([stream[: at % end]])[1]


def test_bytes_that_are_no_text_do_no_harm_in_members_that_nobody_asked_for() -> None:
    whole = {
        "object": "response",
        "status": "completed",
        "output": [{"type": "message", "content": "Hi"}],
        "x": "?",
    }
    body = json.dumps(whole).encode().replace(b'"?"', b'"\xff"')
    reading = wire()
    collector = Collector()
    collector.feed([*reading.feed_body(body), *reading.finish()])
    assert collector.choices[0].finish_reason == "stop"
