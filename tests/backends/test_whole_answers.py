"""Servers that are asked for whole answers: for which turns, and that their answers are the same."""

import asyncio
import json
import re
from typing import Any

import pytest

from gptoss_api.core.errors import (
    GatewayError,
    InvalidRequest,
    UpstreamEmpty,
    UpstreamFailure,
    UpstreamIncomplete,
    UpstreamTimeout,
)
from gptoss_api.core.events import Event
from gptoss_api.core.turn import OutputFormat, Tool, ToolChoice
from gptoss_api.dialects.chat import ChatDialect
from gptoss_api.dialects.completions import CompletionsDialect
from gptoss_api.dialects.messages import MessagesDialect
from gptoss_api.dialects.ollama import OllamaDialect
from gptoss_api.dialects.responses import ResponsesDialect
from gptoss_api.routing import Route, Router
from tests.upstreams.chatkit.scripted import Asked, Reply
from tests.upstreams.chatkit.transcripts import Json, sse

from .server import Backend, ask, connected, json_reply, streamed, turn, whole
from .shapes import SHAPES, Answer, Shape
from .test_native import ARGUMENTS, LEAK, WEATHER, gateway_to, logprob

EVERY_SHAPE = pytest.mark.parametrize("shape", SHAPES)
FORM = OutputFormat("json_object")
STRICT = Tool("get_weather", "The weather.", {"type": "object"}, strict=True)


def forms(backend: Backend) -> list[bool]:
    """Whether each answer was asked for as a stream."""
    for asked in backend.asked:
        assert ("stream_options" in asked.body) == asked.body["stream"]
        assert ("text/event-stream" in asked.headers["accept"]) == asked.body["stream"]
    return [asked.body["stream"] for asked in backend.asked]


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"max_tokens": 50},
        {"stop": ("END",)},
        {"tools": (WEATHER,)},
        {"tools": (STRICT,), "tool_choice": ToolChoice("required")},
        {"top_logprobs": 1},
        {"wants_prompt_tokens": True},
    ],
    ids=str,
)
async def test_what_nobody_sees_before_its_end_is_asked_for_as_a_whole(changes: Json) -> None:
    answer = Answer(calls=(("get_weather", ARGUMENTS),)) if "tools" in changes else Answer()
    for whole_answers in (True, False):
        for seen in (True, False):
            backend = Backend("vllm", answer=answer)
            async with gateway_to(backend, whole_answers=whole_answers) as gateway:
                await ask(gateway, turn(streamed=seen, **changes))
            assert forms(backend) == [seen or not whole_answers]


@pytest.mark.parametrize(
    "changes",
    [
        # The client learns which stop string it was, and servers do not always tell.
        {"stop": ("END",), "wants_stop_sequence": True},
        # The limit is on what is shown, which no server counts.
        {"max_tokens": 50, "bounds_shown": True},
        # It is over when its object is, and where white space does not end.
        {"output_format": FORM},
        # Whoever looks at it sees what there is.
        {"followed": True},
    ],
    ids=str,
)
async def test_what_may_be_over_before_the_server_says_so_is_watched(changes: Json) -> None:
    backend = Backend("vllm", answer=Answer(content='{"a": 1}'))
    async with gateway_to(backend, whole_answers=True) as gateway:
        await ask(gateway, turn(streamed=False, **changes))
    assert forms(backend) == [True]


async def test_each_of_several_answers_is_asked_for_as_a_whole() -> None:
    backend = Backend("vllm")
    async with gateway_to(backend, whole_answers=True) as gateway:
        collector, _ = await ask(gateway, turn(streamed=False, n=3))
    assert [choice.text for choice in collector.choices] == ["Hello there."] * 3
    assert forms(backend) == [False] * 3


async def test_an_answer_that_is_asked_for_without_its_stop_strings_is_watched() -> None:
    def reply(asked: Asked) -> Reply:
        answer = Answer("END", "") if "stop" in asked.body else Answer(content="fine END tail")
        return (streamed if asked.body["stream"] else whole)(backend.shape, answer)

    backend = Backend("vllm")
    backend.reply = reply
    async with gateway_to(backend, whole_answers=True) as gateway:
        collector, _ = await ask(gateway, turn(streamed=False, stop=("END",)))
    assert (collector.choices[0].text, collector.choices[0].finish_reason) == ("fine ", "stop")
    assert forms(backend) == [False, True]


QUESTION: list[Json] = [{"role": "user", "content": "q"}]
FUNCTION: Json = {"name": "get_weather", "parameters": {"type": "object"}}
CHAT: Json = {"messages": QUESTION, "tools": [{"type": "function", "function": FUNCTION}]}
MESSAGES: Json = {
    "model": "gpt-oss-120b",
    "messages": QUESTION,
    "max_tokens": 99,
    "tools": [{"name": "get_weather", "input_schema": {"type": "object"}}],
    "thinking": {"type": "adaptive"},
}
CLIENTS: dict[str, tuple[Any, Json]] = {
    "chat": (ChatDialect().parse, CHAT),
    "completions": (CompletionsDialect().parse, {"prompt": "q"}),
    "messages": (MessagesDialect().parse, MESSAGES),
    "ollama": (OllamaDialect().chat, CHAT | {"model": "gpt-oss:120b", "stream": False, "think": True}),
    "responses": (ResponsesDialect().parse, {"input": "q", "tools": [{"type": "function"} | FUNCTION]}),
}
ANSWERS = {
    "text": Answer(),
    "calls": Answer("Let me look.", "I look.", (("get_weather", ARGUMENTS),) * 2, "tool_calls"),
    "leaked call": Answer(content=LEAK),
    "leaked thought": Answer(
        "", "<|channel|>analysis<|message|>Hm.<|end|><|start|>assistant<|channel|>final<|message|>Hi"
    ),
    "cut off": Answer(content="Hello th", finish="length"),
    "no usage": Answer(usage=False),
    "long": Answer("A long thought. " * 2000, "A long text. " * 2000),
}
EVERY_ANSWER = pytest.mark.parametrize("answer", ANSWERS.values(), ids=ANSWERS)


async def said(shape: str, client: str, answer: Answer, *, whole_answers: bool) -> Any:
    """What the client gets, without what every answer has of its own: ids, and times."""
    parse, body = CLIENTS[client]
    parsed = parse(json.dumps(body).encode(), {})
    backend = Backend(shape, answer=answer)
    async with gateway_to(backend, whole_answers=whole_answers) as gateway:
        collector, _ = await ask(gateway, parsed.turns[0])
    assert forms(backend) == [not whole_answers]
    return _common(json.loads(parsed.render(collector)))


def _common(value: Any) -> Any:
    if isinstance(value, list):
        return [_common(each) for each in value]
    if not isinstance(value, dict):
        return value
    return {
        name: _common(each)
        for name, each in value.items()
        if not re.search(r"id$|created|completed_at|duration|signature|encrypted", name)
    }


@EVERY_SHAPE
@EVERY_ANSWER
async def test_the_same_answer_gives_the_same_whether_it_comes_whole_or_streamed(
    shape: str, answer: Answer
) -> None:
    asked_whole = await said(shape, "chat", answer, whole_answers=True)
    assert asked_whole == await said(shape, "chat", answer, whole_answers=False)
    assert (
        asked_whole["choices"][0]["message"]["content"] or asked_whole["choices"][0]["message"]["tool_calls"]
    )


@pytest.mark.parametrize("client", CLIENTS)
@EVERY_ANSWER
async def test_every_client_gets_the_same(client: str, answer: Answer) -> None:
    assert await said("vllm", client, answer, whole_answers=True) == await said(
        "vllm", client, answer, whole_answers=False
    )


async def test_log_probabilities_and_refusals_come_with_a_whole_answer() -> None:
    message = {"role": "assistant", "reasoning": "Hm.", "content": "Hi!", "refusal": "I won't."}
    told = {"content": [logprob("Hi"), logprob("!")]}
    choice = {"index": 0, "message": message, "logprobs": told, "finish_reason": "stop"}
    parsed = ChatDialect().parse(json.dumps({"messages": QUESTION, "logprobs": True}).encode(), {})
    backend = Backend("vllm", json_reply(200, {"choices": [choice]}))
    async with gateway_to(backend, whole_answers=True) as gateway:
        collector, _ = await ask(gateway, parsed.turns[0])
    (answer,) = json.loads(parsed.render(collector))["choices"]
    assert answer["logprobs"]["content"] == told["content"]
    assert {"content": "Hi!", "refusal": "I won't."}.items() <= answer["message"].items()
    assert forms(backend) == [False]


BODY = json.dumps(Shape().body(Answer())).encode()
STREAM = sse(*Shape().events(Answer()))


@pytest.mark.parametrize(
    "reply",
    [
        Reply([BODY], content_type="application/json"),
        # Some servers and proxies send blanks while a model thinks.
        Reply([b" ", 0.02, b"\n", 0.02, b"\r\n  ", BODY, b"\n"], content_type="application/json"),
        Reply([BODY[:30], 0.01, BODY[30:]], content_type="application/json; charset=utf-8"),
        Reply([BODY], content_type="text/plain"),
        Reply([BODY], content_type=""),
        # Others stream whatever they are asked for, and say so or do not.
        Reply([STREAM]),
        Reply([b": ping\n\n", 0.02, STREAM[:99], 0.01, STREAM[99:]]),
        Reply([STREAM], content_type="application/json"),
        Reply([STREAM], content_type=""),
    ],
)
async def test_a_whole_answer_is_read_however_it_comes(reply: Reply) -> None:
    async with connected(Backend("vllm", reply), whole_answers=True) as upstream:
        collector, _ = await ask(upstream, turn(streamed=False))
    (choice,) = collector.choices
    assert (choice.reasoning, choice.text, choice.finish_reason) == (
        "They greet me. ",
        "Hello there.",
        "stop",
    )
    assert collector.usage is not None
    assert (collector.usage.prompt_tokens, collector.usage.completion_tokens) == (40, 12)


def without_reason(reason: str | None) -> Json:
    return {"choices": [{"index": 0, "message": {"content": "Hi"}, "finish_reason": reason}]}


async def test_the_end_of_a_whole_answer_stands_for_an_empty_reason() -> None:
    async with connected(
        Backend("vllm", json_reply(200, without_reason(""))), whole_answers=True
    ) as upstream:
        collector, _ = await ask(upstream, turn(streamed=False))
    assert (collector.choices[0].text, collector.choices[0].finish_reason) == ("Hi", "stop")


@pytest.mark.parametrize(
    ("reply", "failure"),
    [
        (json_reply(200, {"error": {"message": "boom", "code": 500}}), UpstreamFailure),
        (json_reply(200, {"object": "error", "message": "no such field", "code": 400}), InvalidRequest),
        (json_reply(200, without_reason(None)), UpstreamIncomplete),
        (json_reply(200, without_reason("abort")), UpstreamIncomplete),
        (json_reply(200, {"choices": []}), UpstreamEmpty),
        (Reply([BODY[:-9]], content_type="application/json"), UpstreamIncomplete),
        (Reply([BODY[:99], "abort"], content_type="application/json"), UpstreamIncomplete),
        (Reply([], content_type="application/json"), UpstreamEmpty),
        (Reply([b"\n  \n"], content_type="application/json"), UpstreamFailure),
        (Reply([b"<html>Welcome</html>"], content_type="text/html"), UpstreamFailure),
    ],
)
async def test_what_is_no_whole_answer_is_an_error_and_nothing_of_it_is_delivered(
    reply: Reply, failure: type[GatewayError]
) -> None:
    seen: list[Event] = []
    async with connected(Backend("vllm", reply), whole_answers=True) as upstream:
        with pytest.raises(failure):
            await ask(upstream, turn(streamed=False), seen)
    assert seen == []


async def test_a_server_that_gives_only_streams_is_asked_for_them_from_then_on() -> None:
    def reply(asked: Asked) -> Reply:
        if asked.body["stream"]:
            return streamed(backend.shape)
        error = {"message": "This model only supports the stream mode", "type": "invalid_request_error"}
        return json_reply(400, {"error": error})

    backend = Backend("generic")
    backend.reply = reply
    async with gateway_to(backend, whole_answers=True) as gateway:
        for _ in range(2):
            collector, _ = await ask(gateway, turn(streamed=False))
            assert collector.choices[0].text == "Hello there."
    assert forms(backend) == [False, True, True]


async def test_a_refusal_that_a_stream_gets_too_is_that_of_the_request() -> None:
    refused = json_reply(400, {"error": {"message": "tools.0: 'stream' is no name", "type": "bad"}})
    backend = Backend("generic", refused, refused)
    async with gateway_to(backend, whole_answers=True) as gateway:
        with pytest.raises(InvalidRequest, match="no name"):
            await ask(gateway, turn(streamed=False))
        await ask(gateway, turn(streamed=False))
    assert forms(backend) == [False, True, False]


# Times, in seconds: what is far below and far above what is waited for.
SHORT, LONG = 0.1, 30.0


def silent(silence: float, *steps: Any) -> Reply:
    return Reply(steps, content_type="application/json", silence=silence)


async def test_a_server_may_think_longer_than_it_may_be_silent_in_an_answer() -> None:
    backend = Backend("vllm", silent(5 * SHORT, BODY), silent(LONG, BODY))
    async with connected(backend, whole_answers=True, idle_timeout=SHORT) as upstream:
        collector, _ = await ask(upstream, turn(streamed=False))
        assert collector.choices[0].text == "Hello there."
        with pytest.raises(UpstreamTimeout, match="did not answer for"):
            await ask(upstream, turn(streamed=True))


@pytest.mark.parametrize("steps", [(), (b" ",), (BODY[:99],)])
async def test_a_server_that_has_begun_may_be_silent_as_long_as_ever(steps: tuple[bytes, ...]) -> None:
    backend = Backend("vllm", silent(0, *steps, LONG))
    async with connected(backend, whole_answers=True, idle_timeout=SHORT) as upstream:
        with pytest.raises(UpstreamTimeout, match="sent nothing more for"):
            await ask(upstream, turn(streamed=False))


@pytest.mark.parametrize("reply", [silent(LONG), silent(0, LONG), silent(0, *(b" ", SHORT / 2) * 100)])
async def test_the_time_of_a_turn_bounds_a_server_that_does_not_answer(reply: Reply) -> None:
    async with connected(Backend("vllm", reply), whole_answers=True, total_timeout=3 * SHORT) as upstream:
        with pytest.raises(UpstreamTimeout, match="did not complete its answer within"):
            await ask(upstream, turn(streamed=False))


@pytest.mark.parametrize("reply", [silent(LONG), silent(0, LONG), silent(0, BODY[:99], LONG)])
async def test_a_client_that_leaves_takes_the_request_with_it(reply: Reply) -> None:
    backend = Backend("vllm", reply)
    async with connected(backend, whole_answers=True) as upstream:
        asking = asyncio.create_task(ask(upstream, turn(streamed=False)))
        while not backend.asked:
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.05)
        asking.cancel()
        async with asyncio.timeout(1):
            await backend.asked[0].ended.wait()


@pytest.mark.parametrize(
    "reply",
    [
        json_reply(503, {"error": {"message": "busy"}}),
        silent(LONG),
        silent(0, BODY[:99], "abort"),
        json_reply(200, {"error": {"message": "boom", "code": 500}}),
    ],
)
async def test_the_next_server_is_asked_where_no_whole_answer_came(reply: Reply) -> None:
    first, second = Backend("vllm", reply), Backend("vllm")
    async with (
        gateway_to(first, whole_answers=True, total_timeout=3 * SHORT) as one,
        gateway_to(second, whole_answers=True) as other,
    ):
        collector, _ = await ask(Router([Route(one), Route(other, 1)]), turn(streamed=False))
    assert collector.choices[0].text == "Hello there."
    assert (forms(first), forms(second)) == ([False], [False])
