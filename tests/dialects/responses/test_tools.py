"""Tools of a request for a response: flat for the model, restored for the client."""

import json
from typing import Any

import pytest

from gptoss_api.core.errors import GatewayError
from gptoss_api.core.turn import AssistantMessage, ToolChoice
from gptoss_api.dialects.openai_errors import openai_error
from gptoss_api.dialects.responses import ResponseRequest, ResponsesDialect
from gptoss_api.dialects.responses.tools import flat_name

WEATHER = {"type": "function", "name": "weather", "parameters": {"type": "object"}, "strict": True}
PATCH = {
    "type": "custom",
    "name": "apply_patch",
    "format": {"type": "grammar", "syntax": "lark", "definition": "x"},
}
AGENTS = {
    "type": "namespace",
    "name": "multi_agent_v1",
    "description": "Work with other agents.",
    "tools": [
        {"type": "function", "name": "spawn", "description": "Starts one.", "parameters": {"type": "object"}},
        {"type": "custom", "name": "send", "description": "Says something."},
    ],
}
SEARCH = {"type": "web_search", "search_context_size": "low"}


def parse(**members: Any) -> ResponseRequest:
    return ResponsesDialect().parse(json.dumps({"input": "Hi", **members}).encode(), {})


def refusal(**members: Any) -> GatewayError:
    with pytest.raises(GatewayError) as caught:
        parse(**members)
    return caught.value


def test_functions_custom_tools_and_namespaces_reach_the_model_under_flat_names() -> None:
    tools = parse(tools=[WEATHER, PATCH, AGENTS]).turn.tools
    assert [(tool.name, tool.kind) for tool in tools] == [
        ("weather", "function"),
        ("apply_patch", "custom"),
        ("multi_agent_v1__spawn", "function"),
        ("multi_agent_v1__send", "custom"),
    ]
    assert tools[0].strict
    assert tools[1].grammar == PATCH["format"]
    assert tools[2].description == "[multi_agent_v1] Work with other agents.\n\nStarts one."
    assert tools[3].description == "Says something."


def test_names_come_back_as_the_client_knows_them() -> None:
    names = parse(tools=[WEATHER, AGENTS]).names
    assert names.restore("multi_agent_v1__spawn") == ("multi_agent_v1", "spawn")
    assert names.restore("weather") == (None, "weather")


def test_long_names_stay_within_the_limit_and_apart() -> None:
    first, second = flat_name("n" * 40, "t" * 40), flat_name("n" * 40, "t" * 39 + "u")
    assert len(first) == len(second) == 64
    assert first != second


def test_pairs_that_read_the_same_when_joined_stay_apart() -> None:
    tools = [
        {"type": "function", "name": "a__b__c"},
        {
            "type": "namespace",
            "name": "a",
            "description": "",
            "tools": [{"type": "function", "name": "b__c"}],
        },
        {
            "type": "namespace",
            "name": "a__b",
            "description": "",
            "tools": [{"type": "function", "name": "c"}],
        },
    ]
    request = parse(tools=tools)
    flat = [tool.name for tool in request.turn.tools]
    assert len(set(flat)) == 3
    assert [request.names.restore(name) for name in flat] == [
        (None, "a__b__c"),
        ("a", "b__c"),
        ("a__b", "c"),
    ]


def test_an_earlier_call_is_shown_under_the_name_its_tool_has_now() -> None:
    call = {
        "type": "function_call",
        "call_id": "a",
        "namespace": "multi_agent_v1",
        "name": "spawn",
        "arguments": "{}",
    }
    for tools in ([AGENTS], []):
        message = parse(input=[call], tools=tools).turn.messages[0]
        assert isinstance(message, AssistantMessage)
        assert message.tool_calls[0].name == "multi_agent_v1__spawn"


def test_hosted_tools_are_dropped_and_reported() -> None:
    kinds = [
        "web_search",
        "web_search_preview",
        "code_interpreter",
        "file_search",
        "image_generation",
        "mcp",
        "tool_search",
        "something_new",
    ]
    turn = parse(tools=[WEATHER, *({"type": kind} for kind in kinds)]).turn
    assert [tool.name for tool in turn.tools] == ["weather"]
    assert {f"tools.{kind}" for kind in kinds} <= set(turn.ignored)


@pytest.mark.parametrize(
    ("tool", "arguments"),
    [
        ({"type": "shell"}, ["commands"]),
        ({"type": "shell", "environment": {"type": "local"}}, ["commands"]),
        ({"type": "local_shell"}, ["command"]),
        ({"type": "apply_patch"}, ["type", "path", "diff"]),
    ],
)
def test_tools_with_a_type_of_their_own_are_offered_as_functions(
    tool: dict[str, Any], arguments: list[str]
) -> None:
    request = parse(tools=[WEATHER, tool])
    offered = request.turn.tools[1]
    assert (offered.name, offered.kind, offered.strict) == (tool["type"], "function", True)
    # What OpenAI's rules for strict schemas want, so that every server takes it.
    parameters = offered.parameters
    assert parameters is not None
    assert list(parameters["properties"]) == parameters["required"] == arguments
    assert parameters["additionalProperties"] is False
    assert request.turn.ignored == ()
    assert json.loads(b"{" + request.frame.echo + b"}")["tools"][1] == tool
    for choice in ({"type": tool["type"]}, {"type": "allowed_tools", "mode": "auto", "tools": [tool]}):
        assert parse(tools=[WEATHER, tool], tool_choice=choice).turn.tool_choice.names == (tool["type"],)


def test_a_shell_in_a_container_of_openai_is_dropped_like_every_hosted_tool() -> None:
    shell = {"type": "shell", "environment": {"type": "container_auto"}}
    turn = parse(tools=[WEATHER, shell]).turn
    assert [tool.name for tool in turn.tools] == ["weather"]
    assert turn.ignored == ("tools.shell",)
    assert openai_error(refusal(tools=[WEATHER, shell], tool_choice={"type": "shell"})).code == (
        "unsupported_value"
    )


def test_a_typed_tool_and_a_function_of_its_name_are_one_too_many() -> None:
    assert refusal(tools=[PATCH, {"type": "apply_patch"}]).param == "tools[1].type"


def test_tools_may_come_as_an_input_item() -> None:
    request = parse(
        input=[
            {"type": "additional_tools", "role": "developer", "tools": [WEATHER]},
            {"role": "user", "content": "Hi"},
        ]
    )
    assert [tool.name for tool in request.turn.tools] == ["weather"]


@pytest.mark.parametrize(
    ("choice", "meant"),
    [
        ("auto", ToolChoice()),
        ("none", ToolChoice("none")),
        ("required", ToolChoice("required")),
        ({"type": "function", "name": "weather"}, ToolChoice("named", ("weather",))),
        ({"type": "custom", "name": "apply_patch"}, ToolChoice("named", ("apply_patch",))),
        (
            {"type": "function", "name": "spawn", "namespace": "multi_agent_v1"},
            ToolChoice("named", ("multi_agent_v1__spawn",)),
        ),
        ({"type": "function", "name": "spawn"}, ToolChoice("named", ("multi_agent_v1__spawn",))),
        (
            {
                "type": "allowed_tools",
                "mode": "required",
                "tools": [{"type": "function", "name": "weather"}, {"type": "web_search"}],
            },
            ToolChoice("required", ("weather",)),
        ),
        (
            {
                "type": "allowed_tools",
                "mode": "auto",
                "tools": [{"type": "namespace", "name": "multi_agent_v1"}],
            },
            ToolChoice("auto", ("multi_agent_v1__spawn", "multi_agent_v1__send")),
        ),
        ({"type": "allowed_tools", "mode": "auto", "tools": [{"type": "web_search"}]}, ToolChoice("none")),
    ],
)
def test_every_choice_is_understood(choice: Any, meant: ToolChoice) -> None:
    assert parse(tools=[WEATHER, PATCH, AGENTS, SEARCH], tool_choice=choice).turn.tool_choice == meant


def test_a_bare_name_that_two_namespaces_have_is_no_choice() -> None:
    others = {**AGENTS, "name": "others"}
    error = refusal(tools=[AGENTS, others], tool_choice={"type": "function", "name": "spawn"})
    assert error.param == "tool_choice.name"


@pytest.mark.parametrize(
    "choice",
    [
        {"type": "web_search"},
        {"type": "mcp", "server_label": "x"},
        {"type": "allowed_tools", "mode": "required", "tools": [{"type": "web_search"}]},
    ],
)
def test_a_hosted_tool_that_is_demanded_is_refused(choice: Any) -> None:
    error = refusal(tools=[WEATHER, SEARCH], tool_choice=choice)
    assert (openai_error(error).status, openai_error(error).code, error.param) == (
        400,
        "unsupported_value",
        "tool_choice",
    )


def test_a_demanded_call_with_only_hosted_tools_is_refused_by_name() -> None:
    error = refusal(tools=[SEARCH], tool_choice="required")
    assert openai_error(error).code == "unsupported_value"
    assert "web_search" in error.message


@pytest.mark.parametrize(
    ("members", "param"),
    [
        ({"tools": [{"name": "x"}]}, "tools[0].type"),
        ({"tools": [{"type": "function"}]}, "tools[0].name"),
        ({"tools": [{"type": "function", "name": "no spaces"}]}, "tools[0].name"),
        ({"tools": [WEATHER, {**WEATHER, "description": "other"}]}, "tools[1].name"),
        ({"tools": [{**AGENTS, "tools": [{"type": "web_search"}]}]}, "tools[0].tools[0].type"),
        ({"tools": [WEATHER], "tool_choice": {"type": "function", "name": "other"}}, "tool_choice.name"),
        ({"tools": [WEATHER], "tool_choice": "sometimes"}, "tool_choice"),
        ({"tool_choice": "required"}, "tool_choice"),
        ({"tools": "all"}, "tools"),
        ({"tools": [{**WEATHER, "parameters": {"$ref": "https://elsewhere/"}}]}, "tools[0].parameters"),
    ],
)
def test_what_is_wrong_with_tools_is_named(members: dict[str, Any], param: str) -> None:
    assert refusal(**members).param == param
