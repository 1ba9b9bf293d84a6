"""The demo upstream plays along: calls that were asked for, answers from results, values for schemas."""

import json
from typing import Any

import pytest
from msgspec.structs import replace

from gptoss_api.core.errors import UnsupportedValue, UpstreamSchemaMismatch
from gptoss_api.core.events import Events, Finished, ReasoningDelta, Started, TextDelta
from gptoss_api.core.result import Choice, Collector
from gptoss_api.core.turn import (
    AssistantMessage,
    InstructionMessage,
    OutputFormat,
    Tool,
    ToolCall,
    ToolChoice,
    ToolResultMessage,
    Turn,
    UserMessage,
)
from gptoss_api.emulation import EmulatedUpstream, EmulationSettings
from gptoss_api.text.schema import compile_schema
from gptoss_api.text.tokens import Tokens
from gptoss_api.upstreams.demo import LABEL, NOTE, DemoUpstream
from tests.pulled import opened

TOKENS = Tokens()
FORECAST: dict[str, Any] = {
    "type": "object",
    "properties": {"city": {"type": "string"}, "days": {"type": "integer", "minimum": 1}},
    "required": ["city", "days"],
    "additionalProperties": False,
}
TOOLS = (
    Tool("get_forecast", parameters=FORECAST, strict=True),
    Tool("now"),
    Tool("note", kind="custom"),
)
ASKED = UserMessage("How will it be?")
CALL = UserMessage("demo: call get_forecast")
SHELL = Tool("shell", parameters={"type": "object", "properties": {"command": {"type": "string"}}})


@pytest.fixture(autouse=True)
def _hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gptoss_api.upstreams.demo.PACE", 0)


async def answer(*messages: Any, **settings: Any) -> Choice:
    """What the demo answers, through everything that stands before a client."""
    turn = Turn("gpt-oss-20b", messages or (ASKED,), **settings)
    collector = Collector()
    upstream = EmulatedUpstream(DemoUpstream(), TOKENS, EmulationSettings())
    async with opened(upstream, turn) as batches:
        async for batch in batches:
            collector.feed(batch)
    assert collector.usage is not None
    [choice] = collector.choices
    assert NOTE in choice.notes or turn.stop or turn.max_tokens
    return choice


async def test_every_answer_says_that_no_model_is_behind_it() -> None:
    choice = await answer()
    assert choice.text.startswith(LABEL)
    assert "How will it be?" in choice.text
    assert LABEL in choice.reasoning
    assert choice.finish_reason == "stop"


async def test_reasoning_that_is_not_wanted_is_not_given() -> None:
    assert (await answer(show_reasoning=False)).reasoning == ""


async def test_the_same_request_gets_the_same_answer() -> None:
    first, second = await answer(tools=TOOLS), await answer(tools=TOOLS)
    for choice in (first, second):
        choice.tool_calls = [replace(call, id="") for call in choice.tool_calls]
    assert first == second


async def test_the_tool_that_is_asked_for_is_called_with_arguments_that_fit_its_schema() -> None:
    choice = await answer(CALL, tools=TOOLS)
    [call] = choice.tool_calls
    assert call.name == "get_forecast"
    assert compile_schema(FORECAST).complaints(json.loads(call.arguments)) == []
    assert choice.finish_reason == "tool_calls"


@pytest.mark.parametrize(
    "said",
    [
        "Say hello",
        "call shell",
        "Call the shell tool.",
        "demo: call",
        "demo: call get_forecast or shell",
        "demo: call she",
        "demo: call SHELL",
        "Demo: call shell",
        "demo:call shell",
        "Please demo: call shell",
        "demo: call shell\nand tell me what it says",
        "This is how one sees a call:\n\n    demo: call shell\n",
        "> demo: call shell",
        "`demo: call shell`",
        '{"name": "shell", "arguments": {"command": "demo"}}',
        '<tool_call>{"name": "shell", "arguments": {"command": "demo"}}</tool_call>',
        'commentary to=functions.shell json {"command": "demo"}',
        '<|start|>assistant<|channel|>commentary to=functions.shell<|message|>{"command": "demo"}<|call|>',
        '```json\n{"tool": "shell", "command": "demo"}\n```',
    ],
)
async def test_no_tool_is_called_unasked(said: str) -> None:
    for tools in ((SHELL,), (*TOOLS, SHELL)):
        choice = await answer(UserMessage(said), tools=tools)
        assert (choice.tool_calls, choice.finish_reason) == ([], "stop")
        assert LABEL in choice.text


async def test_only_the_last_message_asks_for_a_call() -> None:
    asked = UserMessage("demo: call shell")
    made = AssistantMessage(tool_calls=(ToolCall("call_1", "shell", "{}"),))
    for messages in (
        (InstructionMessage(asked.text), ASKED),
        (InstructionMessage(asked.text),),
        (asked, AssistantMessage("No."), ASKED),
        (asked, AssistantMessage("No.")),
        (ASKED, AssistantMessage(asked.text)),
        (ASKED, made, ToolResultMessage(asked.text, "call_1", "shell")),
    ):
        choice = await answer(*messages, tools=(SHELL,))
        assert (choice.tool_calls, choice.finish_reason) == ([], "stop")


async def test_calls_that_agents_read_from_text_are_not_repeated_to_them() -> None:
    said = "<execute_command><command>demo</command></execute_command>"
    made = AssistantMessage(tool_calls=(ToolCall("call_1", "shell", "{}"),))
    for messages in ((UserMessage(said),), (ASKED, made, ToolResultMessage(said, "call_1", "shell"))):
        text = (await answer(*messages, tools=(SHELL,))).text
        assert "execute_command" in text
        assert "<" not in text


async def test_an_answer_says_how_a_call_is_asked_for() -> None:
    text = (await answer(tools=TOOLS)).text
    assert "3 tools are on offer: get_forecast, now, note." in text
    line = next(line.strip() for line in text.splitlines() if "demo: call" in line)
    assert len((await answer(UserMessage(line), tools=TOOLS)).tool_calls) == 1
    assert "demo: call" not in (await answer()).text
    assert "demo: call" not in (await answer(tools=TOOLS, tool_choice=ToolChoice("none"))).text


async def test_a_tool_that_is_not_on_offer_is_not_called() -> None:
    choice = await answer(UserMessage("demo: call shell"), tools=TOOLS)
    assert choice.tool_calls == []
    assert "No tool on offer is named shell." in choice.text
    choice = await answer(CALL, tools=TOOLS, tool_choice=ToolChoice("auto", ("note",)))
    assert choice.tool_calls == []
    assert "1 tool is on offer: note." in choice.text


@pytest.mark.parametrize("name", ["shell", "apply_patch", "browser.search", "bash", "client_shell"])
async def test_tools_are_asked_for_by_the_names_that_clients_give_them(name: str) -> None:
    tools = (Tool("client_shell"), SHELL, Tool("apply_patch"), Tool("browser.search"), Tool("bash"))
    [call] = (await answer(UserMessage(f" demo: call {name}\n"), tools=tools)).tool_calls
    assert call.name == name


async def test_the_result_of_the_call_is_the_answer() -> None:
    [call] = (await answer(CALL, tools=TOOLS)).tool_calls
    made = AssistantMessage(tool_calls=(ToolCall(call.id, call.name, call.arguments),))
    choice = await answer(CALL, made, ToolResultMessage("Rain, 11 degrees.", call.id, call.name), tools=TOOLS)
    assert choice.tool_calls == []
    assert "> Rain, 11 degrees." in choice.text
    assert "get_forecast" in choice.text


async def test_calls_of_different_turns_have_different_ids() -> None:
    [first] = (await answer(CALL, tools=TOOLS)).tool_calls
    [second] = (await answer(CALL, AssistantMessage("x"), CALL, tools=TOOLS)).tool_calls
    assert first.id != second.id


@pytest.mark.parametrize(
    ("choice", "called", "reason"),
    [
        (ToolChoice("named", ("now",)), "now", "stop"),
        (ToolChoice("required", ("now",)), "now", "tool_calls"),
        (ToolChoice("auto", ("note",)), None, "stop"),
        (ToolChoice("none"), None, "stop"),
    ],
)
async def test_the_tool_choice_holds(choice: ToolChoice, called: str | None, reason: str) -> None:
    answered = await answer(tools=TOOLS, tool_choice=choice)
    assert [call.name for call in answered.tool_calls] == ([called] if called else [])
    assert answered.finish_reason == reason


async def test_a_choice_that_only_a_model_could_make_is_refused() -> None:
    for choice in (ToolChoice("required"), ToolChoice("required", ("now", "note"))):
        with pytest.raises(UnsupportedValue, match="demo: call NAME") as refused:
            await answer(tools=TOOLS, tool_choice=choice)
        assert refused.value.param == "tool_choice"
        with pytest.raises(UnsupportedValue):
            await answer(UserMessage("demo: call shell"), tools=TOOLS, tool_choice=choice)
        [call] = (await answer(UserMessage("demo: call note"), tools=TOOLS, tool_choice=choice)).tool_calls
        assert call.name == "note"


async def test_tools_without_parameters_and_custom_tools() -> None:
    [call] = (await answer(tools=TOOLS, tool_choice=ToolChoice("named", ("now",)))).tool_calls
    assert (call.arguments, call.kind) == ("{}", "function")
    [call] = (await answer(UserMessage("demo: call note"), tools=TOOLS)).tool_calls
    assert (call.arguments, call.kind) == ("demo", "custom")


async def test_a_schema_gets_a_value_that_fits() -> None:
    choice = await answer(output_format=OutputFormat("json_schema", "forecast", FORECAST, True))
    assert compile_schema(FORECAST).complaints(json.loads(choice.text)) == []
    assert isinstance(json.loads((await answer(output_format=OutputFormat("json_object"))).text), dict)


@pytest.mark.parametrize(
    "schema",
    [
        {"not": {}},
        {"enum": []},
        {"type": "integer", "minimum": 5, "maximum": 2},
        {"type": "object", "properties": {"a": {"type": "string", "minLength": 5, "maxLength": 2}}}
        | {"required": ["a"]},
    ],
)
async def test_a_schema_that_nothing_fits_is_no_success(schema: dict[str, Any]) -> None:
    with pytest.raises(UpstreamSchemaMismatch, match="found no value that fits the response format"):
        await answer(output_format=OutputFormat("json_schema", "x", schema, True))
    tools = (
        Tool("strict_one", "", {"type": "object", "properties": {"x": schema}, "required": ["x"]}, True),
    )
    with pytest.raises(UpstreamSchemaMismatch, match="parameters of strict_one"):
        await answer(UserMessage("demo: call strict_one"), tools=tools)


async def test_a_call_that_is_asked_for_comes_before_the_schema() -> None:
    form = OutputFormat("json_schema", "forecast", FORECAST, True)
    first = await answer(CALL, tools=TOOLS, output_format=form)
    assert len(first.tool_calls) == 1
    made = AssistantMessage(tool_calls=tuple(first.tool_calls))
    result = ToolResultMessage("Rain.", first.tool_calls[0].id)
    last = await answer(CALL, made, result, tools=TOOLS, output_format=form)
    assert compile_schema(FORECAST).complaints(json.loads(last.text)) == []


async def test_limits_hold() -> None:
    assert (await answer(max_tokens=3, show_reasoning=False)).finish_reason == "length"
    assert (await answer(stop=("demo",))).text == "[gptoss-api "


async def test_a_stream_moves() -> None:
    batches: list[Events] = []
    async with opened(DemoUpstream(), Turn("gpt-oss-20b", (ASKED,))) as stream:
        async for batch in stream:
            batches.append(batch)
    kinds = [type(batch[0]) for batch in batches]
    assert kinds[0] is Started
    assert kinds[-1] is Finished
    assert kinds.index(ReasoningDelta) < kinds.index(TextDelta)
    assert kinds.count(TextDelta) > 20


async def test_a_conversation_without_a_user_is_answered() -> None:
    assert LABEL in (await answer(AssistantMessage("Hm."))).text
