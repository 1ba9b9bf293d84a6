"""What the gateway adds to servers that call tools themselves: repairs, names, and what they lack."""

import json
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import pytest
from msgspec.structs import replace as replaced

from gptoss_api.core.errors import UnsupportedParameter, UpstreamFailure
from gptoss_api.core.events import Started, TextDelta, ToolCallStarted
from gptoss_api.core.turn import (
    AssistantMessage,
    OutputFormat,
    Tool,
    ToolCall,
    ToolChoice,
    ToolResultMessage,
    UserMessage,
)
from gptoss_api.dialects.chat import ChatDialect
from gptoss_api.dialects.completions import CompletionsDialect
from gptoss_api.dialects.messages import MessagesDialect
from gptoss_api.dialects.openai_errors import openai_error
from gptoss_api.dialects.responses import ResponsesDialect
from gptoss_api.emulation import EmulatedUpstream, EmulationSettings
from gptoss_api.text.tokens import Tokens
from gptoss_api.upstreams.openai_compatible import PROFILES
from tests.upstreams.chatkit.scripted import Reply
from tests.upstreams.chatkit.transcripts import Json, sse

from .server import Backend, ask, connected, streamed, turn
from .shapes import SHAPES, Answer, Shape

EVERY_SHAPE = pytest.mark.parametrize("shape", SHAPES)
EVERY_KIND = pytest.mark.parametrize("shape", PROFILES)

ARGUMENTS = '{"city": "Paris"}'
WEATHER = Tool("get_weather", "The weather.", {"type": "object", "properties": {"city": {"type": "string"}}})
PYTHON = Tool("python", "Runs code.", {"type": "object", "properties": {"code": {"type": "string"}}})
PATCH = Tool(
    "apply_patch", "Changes files.", kind="custom", grammar={"type": "grammar", "definition": "start: x"}
)
LEAK = "<|channel|>commentary to=functions.get_weather <|constrain|>json<|message|>" + ARGUMENTS + "<|call|>"
TOKENS = Tokens()


@asynccontextmanager
async def gateway_to(backend: Backend, **options: Any) -> AsyncIterator[EmulatedUpstream]:
    async with connected(backend, **options) as upstream:
        yield EmulatedUpstream(upstream, TOKENS, EmulationSettings())


@EVERY_SHAPE
@pytest.mark.parametrize("where", ["content", "reasoning"])
async def test_5_a_leaked_call_is_a_call(shape: str, where: str) -> None:
    answer = Answer(content=LEAK) if where == "content" else Answer(content="", reasoning=LEAK)
    async with gateway_to(Backend(shape, answer=answer)) as gateway:
        collector, _ = await ask(gateway, turn(tools=(WEATHER,)))
    (choice,) = collector.choices
    assert [(call.name, call.arguments) for call in choice.tool_calls] == [("get_weather", ARGUMENTS)]
    assert (choice.text, choice.finish_reason) == ("", "tool_calls")


@EVERY_SHAPE
async def test_5_leaked_channels_are_sorted_and_talk_about_them_is_not(shape: str) -> None:
    leaked = Answer(
        reasoning="",
        content="<|channel|>analysis<|message|>Hm.<|end|><|start|>assistant<|channel|>final<|message|>Hi.",
    )
    async with gateway_to(Backend(shape, answer=leaked)) as gateway:
        collector, _ = await ask(gateway, turn())
    assert (collector.choices[0].reasoning, collector.choices[0].text) == ("Hm.", "Hi.")
    for content, question in (
        ("Use `<|channel|>analysis<|message|>` for the analysis channel.", "hello"),
        ("It writes <|channel|>final<|message|> before the answer.", "what does <|channel|> do?"),
    ):
        async with gateway_to(Backend(shape, answer=Answer(content=content))) as gateway:
            collector, _ = await ask(gateway, turn(question))
        assert collector.choices[0].text == content


@EVERY_SHAPE
@pytest.mark.parametrize(
    "written", ["get_weather<|channel|>commentary", "functions.get_weather", "getWeather"]
)
async def test_6_names_are_the_declared_ones(shape: str, written: str) -> None:
    answer = Answer(content="", calls=((written, ARGUMENTS),), finish="tool_calls")
    async with gateway_to(Backend(shape, answer=answer)) as gateway:
        collector, _ = await ask(gateway, turn(tools=(WEATHER,)))
    assert [call.name for call in collector.choices[0].tool_calls] == ["get_weather"]


@EVERY_KIND
async def test_names_that_the_model_takes_for_its_own_are_aliased(shape: str) -> None:
    answer = Answer(content="", calls=(("client_python", '{"code": "1"}'),), finish="tool_calls")
    backend = Backend(shape, answer=answer)
    history = (
        UserMessage("go"),
        AssistantMessage(tool_calls=(ToolCall("c1", "python", '{"code":"0"}'),)),
        ToolResultMessage("0", "c1", "python"),
    )
    async with gateway_to(backend) as gateway:
        collector, _ = await ask(gateway, turn(tools=(PYTHON,), messages=history))
    assert [call.name for call in collector.choices[0].tool_calls] == ["python"]
    body = backend.asked[0].body
    assert [tool["function"]["name"] for tool in body["tools"]] == ["client_python"]
    assert body["messages"][1]["tool_calls"][0]["function"]["name"] == "client_python"


LONG = "mcp__chrome_devtools_mcp_chrome_devtools_performance_analyze_insight"


@pytest.mark.parametrize("name", [LONG, "x" * 128, "server/tool", "server:tool", "météo", "天気", "@a/b.c"])
@pytest.mark.parametrize("kind", ["chat", "functions", "responses", "namespace"])
async def test_names_that_servers_refuse_are_given_back_whole(kind: str, name: str) -> None:
    tool = {"type": "function", "name": name, "parameters": {"type": "object"}}
    namespace = {"type": "namespace", "name": "n", "tools": [tool]}
    tools: dict[str, dict[str, Any]] = {
        "chat": {"tools": [{"type": "function", "function": tool}]},
        "functions": {"functions": [tool]},
        "responses": {"tools": [tool]},
        "namespace": {"tools": [namespace]},
    }
    question = [{"role": "user", "content": "go"}]
    body = json.dumps({"messages": question, "input": question} | tools[kind]).encode()
    dialect: Any = ChatDialect() if kind in ("chat", "functions") else ResponsesDialect()
    parsed = dialect.parse(body, {})
    backend = Backend("vllm")
    async with gateway_to(backend) as gateway:
        await ask(gateway, parsed.turns[0])
        (sent,) = backend.asked[0].body["tools"]
        shown = sent["function"]["name"]
        assert re.fullmatch(r"[A-Za-z0-9_-]{1,64}", shown)
        backend.answer = Answer(content="", calls=((shown, "{}"),), finish="tool_calls")
        collector, _ = await ask(gateway, parsed.turns[0])
    answer = json.loads(parsed.render(collector))
    if kind == "chat":
        assert answer["choices"][0]["message"]["tool_calls"][0]["function"]["name"] == name
    elif kind == "functions":
        assert answer["choices"][0]["message"]["function_call"]["name"] == name
    else:
        (call,) = [item for item in answer["output"] if item["type"] == "function_call"]
        assert (call.get("namespace"), call["name"]) == ("n" if kind == "namespace" else None, name)


@EVERY_KIND
async def test_custom_tools_are_functions_with_one_string(shape: str) -> None:
    patch = '*** Begin Patch\n+"x"'
    arguments = json.dumps({"input": patch})
    backend = Backend(shape, answer=Answer(content="", calls=(("client_apply_patch", arguments),)))
    history = (
        UserMessage("go"),
        AssistantMessage(tool_calls=(ToolCall("c1", "apply_patch", "old patch", "custom"),)),
        ToolResultMessage("done", "c1"),
    )
    async with gateway_to(backend) as gateway:
        collector, _ = await ask(gateway, turn(tools=(PATCH,), messages=history))
    (call,) = collector.choices[0].tool_calls
    assert (call.name, call.kind, call.arguments) == ("apply_patch", "custom", patch)
    body = backend.asked[0].body
    assert body["tools"][0]["function"]["parameters"]["required"] == ["input"]
    assert json.loads(body["messages"][1]["tool_calls"][0]["function"]["arguments"]) == {"input": "old patch"}


@EVERY_KIND
async def test_a_call_nobody_offered_is_answered_once_with_what_there_is(shape: str) -> None:
    wrong = Answer(content="", calls=(("browser.search", "{}"),), finish="tool_calls")
    right = Answer(content="", calls=(("get_weather", ARGUMENTS),), finish="tool_calls")
    backend = Backend(shape, streamed(SHAPES["vllm"], wrong), answer=right)
    async with gateway_to(backend) as gateway:
        collector, _ = await ask(gateway, turn(tools=(WEATHER,)))
    (choice,) = collector.choices
    assert [call.name for call in choice.tool_calls] == ["get_weather"]
    assert choice.repairs == 1
    assert "The tools are: get_weather" in backend.asked[1].body["messages"][-1]["content"]
    stubborn = Backend(shape, answer=wrong)
    async with gateway_to(stubborn) as gateway:
        with pytest.raises(UpstreamFailure) as raised:
            await ask(gateway, turn())
    assert openai_error(raised.value).code == "upstream_undeclared_tool"
    assert len(stubborn.asked) == 2


@EVERY_KIND
@pytest.mark.parametrize("mode", ["auto", "required", "named", "none"])
async def test_a_tool_choice_is_honoured_by_the_server_or_by_the_gateway(shape: str, mode: Any) -> None:
    choice = ToolChoice(mode, ("get_weather",) if mode == "named" else ())
    native = mode == "none" or mode in PROFILES[shape].tool_choice
    calls = (("get_weather", ARGUMENTS),) if mode in ("required", "named") else ()
    answer = Answer(calls=calls) if native else Answer(content=LEAK)
    backend = Backend(shape, answer=answer)
    async with gateway_to(backend) as gateway:
        collector, events = await ask(gateway, turn(tools=(WEATHER, PYTHON), tool_choice=choice))
    assert len(collector.choices[0].tool_calls) == (mode in ("required", "named"))
    body = backend.asked[0].body
    (started,) = [event for event in events if isinstance(event, Started)]
    assert ("tool_choice" in started.emulated) == (not native)
    if mode == "none":
        assert "tools" not in body
        assert collector.choices[0].text == "Hello there."
    else:
        names = [tool["function"]["name"] for tool in body["tools"]]
        assert names == (["get_weather"] if mode == "named" else ["get_weather", "client_python"])
        wanted = {"type": "function", "function": {"name": "get_weather"}} if mode == "named" else mode
        assert body["tool_choice"] == (wanted if native else "auto")


@EVERY_KIND
@pytest.mark.parametrize("kind", ["json_object", "json_schema"])
async def test_a_format_is_kept_by_the_server_or_by_the_gateway(shape: str, kind: Any) -> None:
    schema = {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]}
    wanted = OutputFormat(kind, "thing", schema if kind == "json_schema" else None)
    native = getattr(PROFILES[shape], kind)
    backend = Backend(shape, answer=Answer(content='{"a": 1}'))
    async with gateway_to(backend) as gateway:
        collector, _ = await ask(gateway, turn(output_format=wanted))
    assert json.loads(collector.choices[0].text) == {"a": 1}
    assert ("response_format" in backend.asked[0].body) == native


@EVERY_KIND
async def test_several_choices_are_asked_for_one_by_one(shape: str) -> None:
    backend = Backend(shape)
    async with gateway_to(backend) as gateway:
        collector, _ = await ask(gateway, turn(n=2))
    assert [choice.text for choice in collector.choices] == ["Hello there."] * 2
    assert len(backend.asked) == 2
    assert not any("n" in asked.body for asked in backend.asked)


@EVERY_KIND
async def test_options_pass_through_and_others_are_reported(shape: str) -> None:
    options = {"temperature": 0.3, "seed": 7, "top_k": 40, "store": True, "logit_bias": {"1": 2}}
    backend = Backend(shape)
    async with gateway_to(backend) as gateway:
        _, events = await ask(gateway, turn(options=options, stop=("END",)))
    (started,) = [event for event in events if isinstance(event, Started)]
    body = backend.asked[0].body
    left_out = PROFILES[shape].unsupported & set(options)
    assert {name: body[name] for name in options if name in body} == {
        name: value for name, value in options.items() if name not in left_out
    }
    assert set(started.ignored) == left_out
    assert body["stop"] == ["END"]


HOSTED = [
    {"type": "web_search_call", "status": "completed", "action": {"type": "search", "query": "x"}},
    {"type": "file_search_call", "status": "completed", "queries": ["x"], "results": None},
    {"type": "code_interpreter_call", "status": "completed", "code": "1", "outputs": None},
    {"type": "function_call", "call_id": "c1", "name": "get_weather", "arguments": "{}"},
]


@pytest.mark.parametrize("item", HOSTED)
async def test_calls_without_a_result_reach_no_server_so(item: Json) -> None:
    question = {"role": "user", "content": "q"}
    body = {"input": [question, item | {"id": "x_1"}, question]}
    backend = Backend("groq")
    async with gateway_to(backend) as gateway:
        await ask(gateway, ResponsesDialect().parse(json.dumps(body).encode(), {}).turn)
    _, call, result, _ = backend.asked[0].body["messages"]
    (made,) = call["tool_calls"]
    said = {"role": "tool", "tool_call_id": made["id"], "content": "(no result was returned)"}
    assert result == said


CODEX = {
    "client_metadata": {"x-codex-installation-id": "told-to-nobody"},
    "reasoning": {"effort": "high", "summary": "auto", "context": "told-to-nobody"},
    "include": ["reasoning.encrypted_content"],
    "context_management": [{"type": "told-to-nobody"}],
    "prompt_cache_key": "told-to-nobody",
    "store": False,
    "text": {"verbosity": "low"},
    "tools": [{"type": "web_search"}],
    "some_new_field": "told-to-nobody",
    "temperature": 0.5,
    "top_k": 40,
}
PICTURE = {
    "type": "function_call_output",
    "call_id": "c",
    "output": [{"type": "input_image", "image_url": "data:,"}],
}
SEALED = {"type": "reasoning", "encrypted_content": "of another gateway", "summary": []}
CALLED = {"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"}


@EVERY_KIND
async def test_what_only_responses_has_is_told_to_no_server(shape: str) -> None:
    items = [{"role": "user", "content": "hello"}, SEALED, CALLED, PICTURE]
    asked = ResponsesDialect().parse(json.dumps(CODEX | {"input": items}).encode(), {}).turn
    backend = Backend(shape)
    async with gateway_to(backend) as gateway:
        _, events = await ask(gateway, asked)
    (started,) = [event for event in events if isinstance(event, Started)]
    body = backend.asked[0].body
    assert "told-to-nobody" not in json.dumps(body)
    reasoning = {"effort": "high"} if "reasoning.effort" in PROFILES[shape].effort else None
    assert body.get("reasoning") == reasoning
    own = {"model", "messages", "stream", "stream_options", "reasoning_effort", "reasoning"}
    assert body.keys() - own - {"chat_template_kwargs"} == {"temperature", "top_k"}
    assert set(started.ignored) == {
        "client_metadata",
        "reasoning.summary",
        "reasoning.context",
        "context_management",
        "prompt_cache_key",
        "verbosity",
        "tools.web_search",
        "some_new_field",
        "input.encrypted_content",
        "input.input_image",
    }


@EVERY_KIND
@pytest.mark.parametrize("dialect", [ChatDialect, CompletionsDialect])
async def test_nor_where_it_came_to_another_endpoint(dialect: Any, shape: str) -> None:
    asked = {"messages": [{"role": "user", "content": "hello"}], "prompt": "hello"}
    extra = {name: CODEX[name] for name in ("client_metadata", "context_management", "include")}
    body: Any = asked | extra | {"top_k": 40}
    if dialect is ChatDialect:
        del body["prompt"]
        body["reasoning"] = {"summary": "auto", "generate_summary": "auto", "max_tokens": 9}
    parsed = dialect().parse(json.dumps(body).encode(), {})
    backend = Backend(shape)
    async with gateway_to(backend) as gateway:
        await ask(gateway, parsed.turns[0])
    sent = backend.asked[0].body
    assert sent["top_k"] == 40
    assert not sent.keys() & extra.keys()
    assert sent.get("reasoning", {}).keys() <= {"max_tokens", "effort"}


@EVERY_KIND
async def test_an_effort_wins_over_fields_that_cannot_hold_it(shape: str) -> None:
    backend = Backend(shape)
    odd = {"reasoning": "odd", "chat_template_kwargs": ["odd"]}
    async with gateway_to(backend) as gateway:
        await ask(gateway, turn(effort="low", options=odd))
    sent = backend.asked[0].body
    for form in PROFILES[shape].effort:
        field, _, member = form.partition(".")
        if field == "chat_template_kwargs":
            member = "reasoning_effort"
        assert (sent[field][member] if member else sent[field]) == "low"


@EVERY_KIND
async def test_only_one_call_comes_where_one_was_asked_for(shape: str) -> None:
    calls = (("get_weather", ARGUMENTS), ("get_weather", ARGUMENTS))
    backend = Backend(shape, answer=Answer(content="", calls=calls, finish="tool_calls"))
    async with gateway_to(backend) as gateway:
        collector, _ = await ask(gateway, turn(tools=(WEATHER,), parallel_tool_calls=False))
    assert len(collector.choices[0].tool_calls) == 1
    asked = backend.asked[0].body.get("parallel_tool_calls")
    assert asked is (None if "parallel_tool_calls" in PROFILES[shape].unsupported else False)


async def test_a_named_choice_ends_with_stop_as_at_openai() -> None:
    answer = Answer(content="", calls=(("get_weather", ARGUMENTS),), finish="tool_calls")
    async with gateway_to(Backend("groq", answer=answer)) as gateway:
        choice = ToolChoice("named", ("get_weather",))
        collector, _ = await ask(gateway, turn(tools=(WEATHER,), tool_choice=choice))
    assert collector.choices[0].finish_reason == "stop"


async def test_a_demanded_call_that_leaked_into_the_text_is_still_a_call() -> None:
    answer = Answer(content=LEAK)
    choice = ToolChoice("required")
    async with gateway_to(Backend("ollama", answer=answer)) as gateway:
        collector, _ = await ask(gateway, turn(tools=(WEATHER,), tool_choice=choice))
    assert [call.name for call in collector.choices[0].tool_calls] == ["get_weather"]


async def test_a_call_that_is_demanded_and_does_not_come_is_asked_for() -> None:
    answer = Answer(content="", calls=(("get_weather", ARGUMENTS),))
    backend = Backend("groq", streamed(Shape()), answer=answer)
    async with gateway_to(backend) as gateway:
        collector, _ = await ask(gateway, turn(tools=(WEATHER, PYTHON), tool_choice=ToolChoice("required")))
    assert [call.name for call in collector.choices[0].tool_calls] == ["get_weather"]
    assert backend.asked[1].body["messages"][-1]["content"].endswith("get_weather, client_python.")
    assert backend.asked[1].body["tool_choice"] == "required"


@pytest.mark.parametrize(
    ("server", "member", "told", "known"),
    [
        ("vllm", "stop_reason", "END", "END"),
        ("vllm", "stop_reason", 200012, None),
        ("sglang", "matched_stop", "END", "END"),
        ("generic", "stop_reason", "end_turn", None),  # Not one that was asked for.
        ("generic", "stop_reason", ["END"], None),
    ],
)
async def test_the_stop_string_that_a_server_tells_is_known(
    server: str, member: str, told: Any, known: str | None
) -> None:
    shape = replace(SHAPES[server], extra={member: told})
    async with gateway_to(Backend(server, streamed(shape))) as gateway:
        collector, _ = await ask(gateway, turn(stop=("END",)))
    assert collector.choices[0].stop_sequence == known


class StopsAnywhere(Backend):
    """Looks for stop strings in the thoughts too, as vLLM, SGLang and llama.cpp do."""

    def refusal(self, body: Json) -> Reply | None:
        whole = Answer("the user wants END", "fine END tail")
        return streamed(self.shape, Answer("the user wants ", "") if "stop" in body else whole)


@EVERY_KIND
@pytest.mark.parametrize("path", ["chat", "completions", "messages"])
async def test_a_stop_string_in_the_thoughts_costs_no_answer(shape: str, path: str) -> None:
    question = [{"role": "user", "content": "q"}]
    dialects: dict[str, tuple[Any, Json]] = {
        "chat": (ChatDialect(), {"messages": question, "stop": ["END"]}),
        "completions": (CompletionsDialect(), {"prompt": "q", "stop": "END"}),
        "messages": (
            MessagesDialect(),
            {"messages": question, "model": "gpt-oss-120b", "stop_sequences": ["END"], "max_tokens": 99},
        ),
    }
    dialect, body = dialects[path]
    (asked,) = dialect.parse(json.dumps(body).encode(), {}).turns
    backend = StopsAnywhere(shape)
    async with gateway_to(backend) as gateway:
        collector, _ = await ask(gateway, asked)
    assert (collector.choices[0].text, collector.choices[0].finish_reason) == ("fine ", "stop")
    # Messages must know which one it was, which servers do not always tell.
    assert ["stop" in each.body for each in backend.asked] == (
        [False] if path == "messages" else [True, False]
    )
    assert len({json.dumps(each.body["messages"]) for each in backend.asked}) == 1


@EVERY_KIND
async def test_a_server_that_ignores_stop_strings_is_cut(shape: str) -> None:
    answer = Answer(content="answer then EN, END tail")
    async with gateway_to(Backend(shape, answer=answer)) as gateway:
        collector, events = await ask(gateway, turn(stop=("END",)))
    (choice,) = collector.choices
    assert (choice.text, choice.finish_reason, choice.stop_sequence) == ("answer then EN, ", "stop", "END")
    (started,) = [event for event in events if isinstance(event, Started)]
    assert "stop" not in started.emulated


async def test_what_may_begin_a_stop_string_stays_before_a_call() -> None:
    answer = Answer(content="I look. EN", calls=(("get_weather", ARGUMENTS),), finish="tool_calls")
    async with gateway_to(Backend("vllm", answer=answer)) as gateway:
        collector, events = await ask(gateway, turn(tools=(WEATHER,), stop=("END",)))
    assert (collector.choices[0].text, len(collector.choices[0].tool_calls)) == ("I look. EN", 1)
    kinds = [type(event) for event in events]
    assert TextDelta not in kinds[kinds.index(ToolCallStarted) :]


def logprob(token: str) -> Json:
    return {"token": token, "logprob": -0.5, "bytes": list(token.encode()), "top_logprobs": []}


@EVERY_KIND
@pytest.mark.parametrize("stream", [False, True])
async def test_log_probabilities_are_passed_on_where_a_server_tells_them(shape: str, stream: bool) -> None:
    body = {
        "messages": [{"role": "user", "content": "q"}],
        "logprobs": True,
        "top_logprobs": 2,
        "stream": stream,
        "stop": ["never"] if stream else None,
    }
    parsed = ChatDialect().parse(json.dumps(body).encode(), {})
    chunks = [
        {"index": 0, "delta": {"reasoning": "Hm."}, "logprobs": {"content": [logprob("Hm.")]}},
        {"index": 0, "delta": {"content": "Hi"}, "logprobs": {"content": [logprob("Hi")]}},
        {"index": 0, "delta": {"content": "!"}, "logprobs": {"content": [logprob("!")]}},
        {"index": 0, "delta": {}, "logprobs": None, "finish_reason": "stop"},
    ]
    backend = Backend(shape, Reply([sse(*({"choices": [each]} for each in chunks))]))
    async with gateway_to(backend) as gateway:
        if not PROFILES[shape].logprobs:
            with pytest.raises(UnsupportedParameter):
                await ask(gateway, parsed.turns[0])
            return
        collector, events = await ask(gateway, parsed.turns[0])
        assert {"logprobs": True, "top_logprobs": 2}.items() <= backend.asked[0].body.items()
        form = OutputFormat("json_object")
        if not PROFILES[shape].json_object:
            with pytest.raises(UnsupportedParameter):
                await ask(gateway, replaced(parsed.turns[0], output_format=form))
    if not stream:
        (choice,) = json.loads(parsed.render(collector))["choices"]
        assert choice["logprobs"] == {"content": [logprob("Hi"), logprob("!")], "refusal": None}
        return
    renderer = parsed.renderer()
    lines = (renderer.feed(events) + renderer.end()).split(b"\n\n")
    told = [json.loads(line[6:])["choices"] for line in lines if line.startswith(b"data: {")]
    said = [
        (c["delta"].get("content"), c["logprobs"]) for choices in told for c in choices if c["delta"] != {}
    ]
    assert [content for content, _ in said if content] == ["Hi", "!"]
    found = [c["logprobs"]["content"] for choices in told for c in choices if c["logprobs"]]
    assert found == [[logprob("Hi")], [logprob("!")]]


async def test_an_empty_answer_is_asked_for_again() -> None:
    backend = Backend("vllm", streamed(Shape(), Answer(content="")))
    async with gateway_to(backend) as gateway:
        collector, _ = await ask(gateway, turn())
    assert collector.choices[0].text == "Hello there."
    assert len(backend.asked) == 2
