"""The tools of a request and which of them the answer may use."""

from collections.abc import Callable, Sequence
from typing import Any, Final, Literal

from msgspec import Struct

from ...core.errors import InvalidRequest, InvalidValue
from ...core.turn import Tool, ToolChoice
from ..fields import Fields, as_object, as_objects, made_of_all, unknown_value, wrong_type
from ..parameters import read_name, read_parameters

MAX_TOOLS: Final = 128

_MODES: Final = ("none", "auto", "required")
_KINDS: Final = ("function", "custom")


class Toolbox(Struct, frozen=True):
    """What a request offers. ``legacy`` says that it came as ``functions`` and wants its answer so."""

    tools: tuple[Tool, ...] = ()
    choice: ToolChoice = ToolChoice()
    legacy: bool = False


def read_toolbox(body: Fields) -> Toolbox:
    """A body's ``tools`` and ``tool_choice``, or their older form ``functions`` and ``function_call``."""
    tools = made_of_all(body.array("tools", most=MAX_TOOLS) or (), _tools)
    functions = _unique(body.objects("functions", most=MAX_TOOLS), _legacy_function)
    if tools and functions:
        raise InvalidRequest("'functions' is the older form of 'tools'; send one of them.", param="functions")
    choice = _tool_choice(body, tools)
    legacy_choice = _function_call(body, functions)
    if functions:
        return Toolbox(functions, legacy_choice, legacy=True)
    return Toolbox(tools, choice)


def _tools(values: Sequence[Any]) -> tuple[Tool, ...]:
    return _unique(as_objects(values, "tools"), _tool)


def _tool(item: Fields) -> Tool:
    kind = item.required_choice("type", _KINDS)
    described = _inner(item, kind)
    if kind == "function":
        return _function(described, strict=True)
    custom = described
    return Tool(
        name=read_name(custom),
        description=custom.string("description") or "",
        kind="custom",
        grammar=custom.mapping("format"),
    )


def _legacy_function(item: Fields) -> Tool:
    return _function(item, strict=False)


def _function(function: Fields, *, strict: bool) -> Tool:
    name, strict = read_name(function), bool(strict and function.boolean("strict"))
    return Tool(
        name=name,
        description=function.string("description") or "",
        parameters=read_parameters(function, name, strict=strict),
        strict=strict,
    )


def _inner(item: Fields, kind: str) -> Fields:
    """What ``item`` says of its tool. Clients that speak Responses too put it on the item itself."""
    flat = kind not in item.members and "name" in item.members
    return item if flat else item.required_object(kind)


def _unique(items: Sequence[Fields], read: Callable[[Fields], Tool]) -> tuple[Tool, ...]:
    """Each tool once: a repeated definition is harmless, a contradicting one is not."""
    by_name: dict[str, Tool] = {}
    for item in items:
        tool = item.made(read)
        if by_name.setdefault(tool.name, tool) != tool:
            path = (item if "name" in item.members else _inner(item, tool.kind)).at("name")
            raise InvalidValue(f"Invalid '{path}': another tool is already named '{tool.name}'.", param=path)
    return tuple(by_name.values())


def _tool_choice(body: Fields, tools: Sequence[Tool]) -> ToolChoice:
    match body.get("tool_choice"):
        case None:
            return ToolChoice()
        case "none":
            return ToolChoice("none")
        case "auto":
            return ToolChoice("auto")
        case "required":
            _need_tools(tools)
            return ToolChoice("required")
        case str(other):
            raise unknown_value("tool_choice", other, _MODES)
        case dict(members):
            _need_tools(tools)
            return _chosen_tools(Fields(members, "tool_choice"), tools)
        case other:
            raise wrong_type("tool_choice", "one of 'none', 'auto' and 'required', or an object", other)


def _chosen_tools(choice: Fields, tools: Sequence[Tool]) -> ToolChoice:
    kind = choice.required_choice("type", (*_KINDS, "allowed_tools"))
    if kind != "allowed_tools":
        return ToolChoice("named", (_offered(choice, kind, tools),))
    allowed = choice.required_object("allowed_tools")
    mode: Literal["auto", "required"] = (
        "required" if allowed.required_choice("mode", ("auto", "required")) == "required" else "auto"
    )
    path = allowed.at("tools")
    names = []
    for index, value in enumerate(allowed.required_array("tools", least=1)):
        item = as_object(value, f"{path}[{index}]")
        names.append(_offered(item, item.required_choice("type", _KINDS), tools))
    return ToolChoice(mode, tuple(dict.fromkeys(names)))


def _offered(choice: Fields, kind: str, tools: Sequence[Tool]) -> str:
    """The tool that ``choice`` names, e.g. ``{"type": "function", "function": {"name": …}}``."""
    named = _inner(choice, kind)
    name = named.required_string("name")
    if not any(tool.name == name and tool.kind == kind for tool in tools):
        raise InvalidValue(
            f"Tool choice '{name[:100]}' not found in 'tools' parameter.", param=named.at("name")
        )
    return name


def _need_tools(tools: Sequence[Tool]) -> None:
    if not tools:
        raise InvalidRequest(
            "Invalid value for 'tool_choice': 'tool_choice' is only allowed when 'tools' are specified.",
            param="tool_choice",
        )


def _function_call(body: Fields, functions: Sequence[Tool]) -> ToolChoice:
    match body.get("function_call"):
        case None | "auto":
            return ToolChoice()
        case "none":
            return ToolChoice("none")
        case str(other):
            raise unknown_value("function_call", other, ("none", "auto"))
        case dict(members):
            name = Fields(members, "function_call").required_string("name")
        case other:
            raise wrong_type("function_call", "one of 'none' and 'auto', or an object", other)
    if not functions:
        raise InvalidRequest(
            "Invalid value for 'function_call': it is only allowed when 'functions' are specified.",
            param="function_call",
        )
    if not any(function.name == name for function in functions):
        raise InvalidValue(
            f"Function call '{name[:100]}' not found in 'functions' parameter.", param="function_call.name"
        )
    return ToolChoice("named", (name,))
