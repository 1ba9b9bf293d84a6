"""What is demanded of an answer, told to servers that take whole conversations and call tools themselves."""

import json
from typing import Any

import pytest
from msgspec.structs import replace

from gptoss_api.core.errors import GatewayError, UpstreamSchemaMismatch
from gptoss_api.core.events import Started
from gptoss_api.core.turn import (
    AssistantMessage,
    InstructionMessage,
    Message,
    OutputFormat,
    Tool,
    ToolCall,
    ToolChoice,
    ToolResultMessage,
    UserMessage,
)
from gptoss_api.upstreams.openai_compatible import PROFILES

from .server import Backend, ask, json_reply, streamed, turn
from .shapes import SHAPES, Answer
from .test_native import ARGUMENTS, PYTHON, WEATHER, gateway_to

SCHEMA = {
    "type": "object",
    "properties": {"walk": {"type": "boolean"}, "km": {"type": "number"}},
    "required": ["walk", "km"],
    "additionalProperties": False,
}
FITS = '{"walk": true, "km": 1}'
TOOLS = (WEATHER, PYTHON)
HISTORY: tuple[Message, ...] = (
    InstructionMessage("Be brief."),
    UserMessage("Weather?"),
    AssistantMessage(
        reasoning="Two places.",
        tool_calls=(ToolCall("c1", "get_weather", ARGUMENTS), ToolCall("c2", "python", "{}")),
    ),
    ToolResultMessage("rain", "c1"),
    ToolResultMessage("0", "c2"),
    AssistantMessage("It rains."),
    UserMessage("And in Oslo?"),
    AssistantMessage(tool_calls=(ToolCall("c3", "get_weather", '{"city": "Oslo"}'),)),
    ToolResultMessage("snow", "c3"),
)
REQUIRED: dict[str, Any] = {"tool_choice": ToolChoice("required")}
NAMED: dict[str, Any] = {"tool_choice": ToolChoice("named", ("get_weather",))}
FORM: dict[str, Any] = {"output_format": OutputFormat("json_schema", "walk", SCHEMA, strict=True)}
OBJECT: dict[str, Any] = {"output_format": OutputFormat("json_object")}
DEMANDS = {
    "required": REQUIRED,
    "named": NAMED,
    "json_schema": FORM,
    "json_object": OBJECT,
    "required and json_schema": REQUIRED | FORM,
    "named and json_schema": NAMED | FORM,
}

EVERY_KIND = pytest.mark.parametrize("kind", PROFILES)
EVERY_DEMAND = pytest.mark.parametrize("demand", DEMANDS)


def demanding(demand: str, **changes: Any) -> Any:
    return turn(**({"messages": HISTORY, "tools": TOOLS} | DEMANDS[demand] | changes))


def fitting(demand: str) -> Answer:
    if "json" in demand and "and" not in demand:
        return Answer(content=FITS)
    return Answer(content="", calls=(("get_weather", ARGUMENTS),), finish="tool_calls")


async def sent(kind: str, asked: Any, answer: Answer) -> tuple[Any, Any, Any]:
    """The request for a turn, its answer, and what was told before it."""
    backend = Backend(kind, answer=answer)
    async with gateway_to(backend) as gateway:
        collector, events = await ask(gateway, asked)
    assert len(backend.asked) == 1
    (started,) = [event for event in events if isinstance(event, Started)]
    return backend.asked[0].body, collector.choices[0], started


@EVERY_KIND
@EVERY_DEMAND
async def test_a_demand_is_one_more_instruction_and_the_rest_stays(kind: str, demand: str) -> None:
    plain, _, _ = await sent(kind, turn(messages=HISTORY, tools=TOOLS), Answer())
    body, choice, started = await sent(kind, demanding(demand), fitting(demand))
    profile, wanted = PROFILES[kind], DEMANDS[demand]

    *history, told = body["messages"]
    assert history == plain["messages"]
    assert {"assistant", "tool", "user"} <= {message["role"] for message in history}
    assert told["role"] == ("system" if profile.late_instructions else "user")
    mode = wanted["tool_choice"].mode if "tool_choice" in wanted else "auto"
    form = wanted["output_format"].kind if "output_format" in wanted else "text"
    words = {
        "required": "You must call at least one of your tools now.",
        "named": "You must call the tool get_weather now.",
        "auto": "Your final answer must be a single JSON",
    }
    assert words[mode] in told["content"]
    assert (json.dumps(SCHEMA, separators=(",", ":")) in told["content"]) == (form == "json_schema")

    names = [tool["function"]["name"] for tool in body["tools"]]
    assert names == (["get_weather"] if mode == "named" else ["get_weather", "client_python"])
    native = {"named": {"type": "function", "function": {"name": "get_weather"}}}.get(mode, mode)
    assert body["tool_choice"] == (native if mode in profile.tool_choice else "auto")
    kept = form != "text" and getattr(profile, form)
    assert body.get("response_format", {}).get("type") == (form if kept else None)

    lacking = [] if mode in profile.tool_choice else ["tool_choice"]
    lacking += [] if form == "text" or kept else [form]
    assert list(started.emulated) == lacking
    made = [(call.name, call.arguments) for call in choice.tool_calls]
    assert (choice.text, made) == ((FITS, []) if mode == "auto" else ("", [("get_weather", ARGUMENTS)]))


@EVERY_KIND
@EVERY_DEMAND
@pytest.mark.parametrize("whole", [False, True])
async def test_what_was_not_demanded_is_repaired_in_the_same_form(
    kind: str, demand: str, whole: bool
) -> None:
    wrong = Answer(content="Better not.")
    backend = Backend(kind, streamed(SHAPES[kind], wrong), answer=fitting(demand))
    async with gateway_to(backend) as gateway:
        collector, _ = await ask(gateway, demanding(demand, streamed=not whole))
    first, again = (asked.body for asked in backend.asked)
    assert again["messages"][:-2] == first["messages"]
    answered, told = again["messages"][-2:]
    assert (answered["role"], answered["content"]) == ("assistant", "Better not.")
    assert told["role"] == "user"
    assert {name: value for name, value in again.items() if name != "messages"} == {
        name: value for name, value in first.items() if name != "messages"
    }
    (choice,) = collector.choices
    assert choice.repairs == 1
    if choice.tool_calls:
        assert [call.name for call in choice.tool_calls] == ["get_weather"]
    else:
        assert choice.text == FITS


@EVERY_KIND
async def test_a_form_is_held_to_its_schema_also_where_the_server_has_it(kind: str) -> None:
    backend = Backend(kind, streamed(SHAPES[kind], Answer(content='{"walk": "perhaps"}')))
    backend.answer = Answer(content=FITS)
    async with gateway_to(backend) as gateway:
        collector, _ = await ask(gateway, demanding("json_schema"))
    assert collector.choices[0].text == FITS
    assert "walk" in backend.asked[1].body["messages"][-1]["content"]


@EVERY_KIND
async def test_a_demanded_call_is_held_to_a_strict_schema(kind: str) -> None:
    strict = replace(WEATHER, parameters=SCHEMA, strict=True)
    wrong = Answer(content="", calls=(("get_weather", '{"walk": "perhaps"}'),), finish="tool_calls")
    backend = Backend(kind, streamed(SHAPES[kind], wrong))
    backend.answer = Answer(content="", calls=(("get_weather", FITS),), finish="tool_calls")
    async with gateway_to(backend) as gateway:
        collector, _ = await ask(gateway, demanding("named", tools=(strict,)))
    assert [json.loads(call.arguments) for call in collector.choices[0].tool_calls] == [json.loads(FITS)]
    first, again = (asked.body for asked in backend.asked)
    assert again["messages"][:-1] == first["messages"]
    assert again["tools"] == first["tools"]
    assert "walk" in again["messages"][-1]["content"]


async def test_a_form_that_never_comes_is_an_error_and_no_answer() -> None:
    async with gateway_to(Backend("vllm", answer=Answer(content='{"walk": "perhaps"}'))) as gateway:
        with pytest.raises(UpstreamSchemaMismatch):
            await ask(gateway, demanding("json_schema"))


@pytest.mark.parametrize(
    ("kind", "demand", "refusal", "left_out"),
    [
        (
            "vllm",
            "json_schema",
            "The provided JSON schema contains features not supported by xgrammar.",
            ["json_schema"],
        ),
        ("groq", "json_object", "json mode cannot be combined with tool/function calling", ["json_object"]),
        ("llamacpp", "required", "Invalid tool_choice: required", ["tool_choice"]),
        (
            "groq",
            "named and json_schema",
            "response_format and tool_choice may not be combined",
            ["json_schema", "tool_choice"],
        ),
    ],
)
async def test_a_field_that_a_server_refuses_is_left_out_as_it_is_told_in_words_too(
    kind: str, demand: str, refusal: str, left_out: list[str]
) -> None:
    refused = json_reply(400, {"error": {"message": refusal, "type": "invalid_request_error"}})
    backend = Backend(kind, refused, answer=fitting(demand))
    async with gateway_to(backend) as gateway:
        collector, events = await ask(gateway, demanding(demand))
        (started,) = [event for event in events if isinstance(event, Started)]
        assert sorted(started.emulated) == left_out
        assert collector.choices[0].text == (FITS if "json" in demand and "and" not in demand else "")
        await ask(gateway, demanding(demand))
    first, second, third = (asked.body for asked in backend.asked)
    assert second["messages"] == first["messages"]
    assert "response_format" not in second
    assert second["tool_choice"] == "auto"
    assert third == first, "another schema may not be refused"


@pytest.mark.parametrize("refusal", ["Invalid value: temperature", "model not found"])
async def test_other_refusals_of_such_a_turn_are_the_clients(refusal: str) -> None:
    backend = Backend("vllm", json_reply(400, {"error": {"message": refusal}}))
    async with gateway_to(backend) as gateway:
        with pytest.raises(GatewayError, match=refusal):
            await ask(gateway, demanding("json_schema"))
    assert len(backend.asked) == 1


async def test_a_server_that_refuses_the_conversation_too_is_asked_no_third_time() -> None:
    refused = json_reply(400, {"error": {"message": "bad json_schema"}})
    backend = Backend("vllm", refused, refused)
    async with gateway_to(backend) as gateway:
        with pytest.raises(GatewayError, match="bad json_schema"):
            await ask(gateway, demanding("json_schema"))
    assert len(backend.asked) == 2


@EVERY_KIND
async def test_where_no_call_is_demanded_a_call_may_come_before_the_form(kind: str) -> None:
    answer = Answer(content="Let me look.", calls=(("get_weather", ARGUMENTS),), finish="tool_calls")
    body, choice, _ = await sent(kind, demanding("json_schema"), answer)
    assert ", or tool calls if you still need information." in body["messages"][-1]["content"]
    assert [call.arguments for call in choice.tool_calls] == [ARGUMENTS]
    assert (choice.text, choice.finish_reason) == ("", "tool_calls")


async def test_a_custom_tool_is_demanded_by_the_name_that_the_model_knows() -> None:
    tool = Tool("python", kind="custom")
    backend = Backend("vllm", answer=Answer(content="", calls=(("client_python", '{"input": "1"}'),)))
    async with gateway_to(backend) as gateway:
        collector, _ = await ask(
            gateway, turn(tools=(tool, WEATHER), tool_choice=ToolChoice("named", ("python",)))
        )
    assert "the tool client_python now" in backend.asked[0].body["messages"][-1]["content"]
    (call,) = collector.choices[0].tool_calls
    assert (call.name, call.kind, call.arguments) == ("python", "custom", "1")
