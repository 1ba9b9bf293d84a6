"""Text completions: prompts in, texts out, nothing ignored silently."""

import json
from typing import Any

import pytest
from openai.types import Completion

from gptoss_api.core.errors import GatewayError, UpstreamFailure, UpstreamIncomplete
from gptoss_api.core.events import ChoiceStarted, Event, Finished, ReasoningDelta, TextDelta
from gptoss_api.core.result import Collector
from gptoss_api.core.turn import UserMessage
from gptoss_api.dialects.completions import CompletionRequest, CompletionsDialect
from gptoss_api.dialects.openai_errors import openai_error

from ..events import STARTED, THOUGHT_AND_TEXT, USAGE, data_events, rendered
from ..strict import strictly

TWO_CHOICES: list[Event] = [
    STARTED,
    ReasoningDelta("Hm."),
    TextDelta("one"),
    Finished("stop"),
    ChoiceStarted(1),
    TextDelta("two"),
    Finished("length"),
    USAGE,
]


def parse(**members: Any) -> CompletionRequest:
    return CompletionsDialect().parse(json.dumps(members).encode(), {})


def collected(events: list[Event]) -> Collector:
    collector = Collector()
    collector.feed(events)
    return collector


def test_a_prompt_goes_up_as_it_is_and_is_not_cut_at_sixteen_tokens() -> None:
    (turn,) = parse(prompt="Once upon a time").turns
    assert turn.messages == (UserMessage("Once upon a time"),)
    assert turn.max_tokens is None
    assert turn.show_reasoning is False


def test_each_prompt_is_a_turn_of_its_own() -> None:
    turns = parse(prompt=["a", "b"], n=2, stop=["x"], max_tokens=5, temperature=0.1).turns
    assert [turn.messages for turn in turns] == [(UserMessage("a"),), (UserMessage("b"),)]
    assert {(turn.n, turn.stop, turn.max_tokens) for turn in turns} == {(2, ("x",), 5)}
    assert turns[0].options == {"temperature": 0.1}


@pytest.mark.parametrize(
    ("members", "param", "code"),
    [
        ({}, "prompt", "missing_required_parameter"),
        ({"prompt": None}, "prompt", "invalid_type"),
        ({"prompt": []}, "prompt", "empty_array"),
        ({"prompt": ["a", " "]}, "prompt[1]", "invalid_value"),
        ({"prompt": [1, 2]}, "prompt", "unsupported_value"),
        ({"prompt": [[1, 2]]}, "prompt", "unsupported_value"),
        ({"prompt": ["a", {}]}, "prompt[1]", "invalid_type"),
        ({"prompt": ["a"] * 100, "n": 2}, "prompt", "array_above_max_length"),
        ({"prompt": "a", "suffix": "b"}, "suffix", "unsupported_parameter"),
        ({"prompt": "a", "best_of": 3}, "best_of", "unsupported_parameter"),
        ({"prompt": "a", "logprobs": 0}, "logprobs", "unsupported_parameter"),
        ({"prompt": "a", "max_tokens": 0}, "max_tokens", "integer_below_min_value"),
        ({"prompt": "a", "echo": "yes"}, "echo", "invalid_type"),
        ({"prompt": "a", "stream_options": {}}, "stream_options", None),
    ],
)
def test_what_cannot_be_done_is_refused_by_name(members: Any, param: str, code: str | None) -> None:
    with pytest.raises(GatewayError) as caught:
        parse(**members)
    assert (openai_error(caught.value).status, caught.value.param, openai_error(caught.value).code) == (
        400,
        param,
        code,
    )


@pytest.mark.parametrize(
    "harmless", [{"suffix": ""}, {"best_of": 1}, {"logprobs": False}, {"logprobs": None}]
)
def test_values_that_ask_for_nothing_are_accepted(harmless: Any) -> None:
    assert len(parse(prompt="a", **harmless).turns) == 1


def test_a_whole_answer_has_the_shape_of_the_reference() -> None:
    answer = json.loads(parse(prompt="a", n=2).render(collected(TWO_CHOICES)))
    strictly(Completion, answer)
    assert answer["id"].startswith("cmpl-")
    assert answer["object"] == "text_completion"
    assert [(c["index"], c["text"], c["finish_reason"]) for c in answer["choices"]] == [
        (0, "one", "stop"),
        (1, "two", "length"),
    ]
    assert answer["usage"]["total_tokens"] == 18


def test_echo_puts_the_prompt_before_each_of_its_texts() -> None:
    request = parse(prompt=["first ", "second "], echo=True)
    answer = json.loads(request.render(collected(TWO_CHOICES)))
    assert [choice["text"] for choice in answer["choices"]] == ["first one", "second two"]
    chunks = data_events(rendered(request.renderer(), TWO_CHOICES))[:-1]
    texts = ["", ""]
    for chunk in chunks:
        for choice in chunk["choices"]:
            texts[choice["index"]] += choice["text"]
    assert texts == ["first one", "second two"]


@pytest.mark.parametrize("batch", [1, 3, 99])
def test_a_stream_is_the_same_object_piece_by_piece(batch: int) -> None:
    request = parse(prompt="a", stream=True, stream_options={"include_usage": True})
    *chunks, done = data_events(rendered(request.renderer(), THOUGHT_AND_TEXT, batch))
    assert done == "[DONE]"
    assert {(chunk["id"], chunk["object"]) for chunk in chunks} == {(chunks[0]["id"], "text_completion")}
    assert [chunk["choices"][0]["text"] for chunk in chunks[:-1]] == ["Hello", ' "world"\n', ""]
    assert [chunk["choices"][0]["finish_reason"] for chunk in chunks[:-1]] == [None, None, "stop"]
    assert [chunk["usage"] for chunk in chunks[:-1]] == [None, None, None]
    assert chunks[-1]["choices"] == []
    assert chunks[-1]["usage"]["completion_tokens"] == 7


def test_without_include_usage_there_is_none() -> None:
    chunks = data_events(rendered(parse(prompt="a", stream=True).renderer(), THOUGHT_AND_TEXT))
    assert all("usage" not in chunk for chunk in chunks[:-1])


def test_a_broken_stream_ends_with_an_error_and_no_finish() -> None:
    renderer = parse(prompt="a", stream=True).renderer()
    events = data_events(
        renderer.feed([STARTED, TextDelta("Ha")]) + renderer.fail(UpstreamFailure("Broken."))
    )
    assert events[-1]["error"]["code"] == "upstream_error"
    assert events[0]["choices"][0]["finish_reason"] is None


def test_an_answer_without_an_end_is_no_answer() -> None:
    with pytest.raises(UpstreamIncomplete):
        parse(prompt="a").render(collected([STARTED, TextDelta("Ha")]))
