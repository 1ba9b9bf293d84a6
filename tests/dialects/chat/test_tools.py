"""Tools, legacy functions and every form of tool_choice."""

from typing import Any

import pytest

from gptoss_api.core.turn import Tool, ToolChoice

from .asking import assert_refused, read, turn

PARAMETERS = {"type": "object", "properties": {"city": {"type": "string"}}}


def function(name: str = "f", **more: Any) -> dict[str, Any]:
    return {"type": "function", "function": {"name": name, **more}}


def custom(name: str = "c", **more: Any) -> dict[str, Any]:
    return {"type": "custom", "custom": {"name": name, **more}}


TOOLS = [function("f"), function("g"), custom("c")]


def test_a_function() -> None:
    full = function(description="Does.", parameters=PARAMETERS, strict=True)
    assert turn(tools=[full]).tools == (Tool("f", description="Does.", parameters=PARAMETERS, strict=True),)
    assert turn(tools=[function(description=None, parameters=None, strict=None)]).tools == (Tool("f"),)


def test_a_custom_tool() -> None:
    grammar = {"type": "grammar", "grammar": {"syntax": "lark", "definition": "start: /x/"}}
    assert turn(tools=[custom(description="Text.", format=grammar)]).tools == (
        Tool("c", description="Text.", kind="custom", grammar=grammar),
    )


def test_a_tool_that_is_repeated_is_one() -> None:
    assert turn(tools=[function(), function()]).tools == (Tool("f"),)
    assert turn(tools=[function("browser.search"), custom(name="a.b")]).tools == (
        Tool("browser.search"),
        Tool("a.b", kind="custom"),
    )


def test_parallel_calls() -> None:
    assert turn(tools=TOOLS).parallel_tool_calls
    assert not turn(tools=TOOLS, parallel_tool_calls=False).parallel_tool_calls


@pytest.mark.parametrize(
    ("tools", "param", "code"),
    [
        ([{}], "tools[0].type", "missing_required_parameter"),
        ([{"type": "web_search"}], "tools[0].type", "invalid_value"),
        ([{"type": "function"}], "tools[0].function", "missing_required_parameter"),
        ([{"type": "function", "function": {}}], "tools[0].function.name", "missing_required_parameter"),
        ([function("")], "tools[0].function.name", "invalid_value"),
        ([function("a b")], "tools[0].function.name", "invalid_value"),
        ([function("f\n")], "tools[0].function.name", "invalid_value"),
        ([function("f\u2028")], "tools[0].function.name", "invalid_value"),
        ([function("f" * 129)], "tools[0].function.name", "string_above_max_length"),
        ([function(), function(parameters=[1])], "tools[1].function.parameters", "invalid_type"),
        ([function(), function(strict="yes")], "tools[1].function.strict", "invalid_type"),
        ([function(), function(description="Other.")], "tools[1].function.name", "invalid_value"),
        ([function("f"), custom("f")], "tools[1].custom.name", "invalid_value"),
        (["f"], "tools[0]", "invalid_type"),
        ([function(str(number)) for number in range(129)], "tools", "array_above_max_length"),
    ],
)
def test_a_wrong_tool(tools: Any, param: str, code: str) -> None:
    assert_refused(param, code, tools=tools)


@pytest.mark.parametrize(
    ("asked", "choice"),
    [
        (None, ToolChoice()),
        ("auto", ToolChoice("auto")),
        ("none", ToolChoice("none")),
        ("required", ToolChoice("required")),
        (function("g"), ToolChoice("named", ("g",))),
        (custom("c"), ToolChoice("named", ("c",))),
        (
            {
                "type": "allowed_tools",
                "allowed_tools": {"mode": "auto", "tools": [function("f"), custom("c")]},
            },
            ToolChoice("auto", ("f", "c")),
        ),
        (
            {
                "type": "allowed_tools",
                "allowed_tools": {"mode": "required", "tools": [function("g"), function("g")]},
            },
            ToolChoice("required", ("g",)),
        ),
    ],
)
def test_tool_choice(asked: Any, choice: ToolChoice) -> None:
    assert turn(tools=TOOLS, tool_choice=asked).tool_choice == choice


def allowed(**members: Any) -> dict[str, Any]:
    return {"type": "allowed_tools", "allowed_tools": members}


@pytest.mark.parametrize(
    ("asked", "param", "code"),
    [
        ({}, "tool_choice.type", "missing_required_parameter"),
        ({"type": "any"}, "tool_choice.type", "invalid_value"),
        ({"type": "function"}, "tool_choice.function", "missing_required_parameter"),
        (function("x"), "tool_choice.function.name", "invalid_value"),
        (function("c"), "tool_choice.function.name", "invalid_value"),
        (custom("f"), "tool_choice.custom.name", "invalid_value"),
        (allowed(), "tool_choice.allowed_tools.mode", "missing_required_parameter"),
        (allowed(mode="none"), "tool_choice.allowed_tools.mode", "invalid_value"),
        (allowed(mode="auto"), "tool_choice.allowed_tools.tools", "missing_required_parameter"),
        (allowed(mode="auto", tools=[]), "tool_choice.allowed_tools.tools", "empty_array"),
        (
            allowed(mode="auto", tools=[function("f"), function("x")]),
            "tool_choice.allowed_tools.tools[1].function.name",
            "invalid_value",
        ),
        (True, "tool_choice", "invalid_type"),
    ],
)
def test_a_wrong_tool_choice(asked: Any, param: str, code: str) -> None:
    assert_refused(param, code, tools=TOOLS, tool_choice=asked)


def test_a_choice_among_no_tools() -> None:
    for asked in ("required", function("f")):
        assert_refused("tool_choice", None, "only allowed when 'tools'", tool_choice=asked)
    for harmless in ("none", "auto"):
        assert turn(tools=[], tool_choice=harmless).tools == ()


def test_legacy_functions() -> None:
    request = read(functions=[{"name": "f", "parameters": PARAMETERS}])
    assert request.turn.tools == (Tool("f", parameters=PARAMETERS),)
    assert request.turn.tool_choice == ToolChoice()
    assert not request.turn.parallel_tool_calls
    assert request.shape.legacy_functions


@pytest.mark.parametrize(
    ("asked", "choice"),
    [
        ("auto", ToolChoice()),
        ("none", ToolChoice("none")),
        ({"name": "f"}, ToolChoice("named", ("f",))),
    ],
)
def test_legacy_choice(asked: Any, choice: ToolChoice) -> None:
    assert turn(functions=[{"name": "f"}], function_call=asked).tool_choice == choice


def test_a_wrong_legacy_choice() -> None:
    functions = [{"name": "f"}]
    assert_refused("function_call.name", "invalid_value", functions=functions, function_call={"name": "x"})
    assert_refused("function_call", "invalid_value", functions=functions, function_call="required")
    assert_refused("function_call", None, function_call={"name": "f"})
    assert_refused("functions", None, "older form", functions=functions, tools=TOOLS)
    assert_refused("functions[0].name", "missing_required_parameter", functions=[{}])
