"""The tools of a request and which of them the answer may use.

Source: docs/design/conformance.md, "Messages".
"""

import re
from collections.abc import Container, Mapping, Sequence
from typing import Any, Final

from msgspec import Struct, field

from ...core.errors import InvalidValue, UnsupportedValue
from ...core.turn import Tool, ToolChoice
from ..fields import Fields, made_of, made_of_all, too_long
from ..parameters import read_parameters
from .conversation import MessageHistory

MAX_TOOLS: Final = 1_024
_LONGEST_NAME: Final = 128
# A line of an instruction that is no more than a name.
_LISTED: Final = re.compile(r"^(?:- )?([A-Za-z][A-Za-z0-9_.-]{1,127})$", re.MULTILINE)
# The characters of instructions that are looked through for names: what is longer fits into no window.
_LOOKED_THROUGH: Final = 2**19
# What Claude Code sends so that a request without a deferred tool has one, too.
_PLACEHOLDER: Final = "DeferredToolPlaceholder"
_TOOL_SEARCH: Final = "tool_search_tool_"
_WEB_SEARCH: Final = "web_search_"
_CHOICES: Final = ("auto", "any", "tool", "none")

_STRING: Final = {"type": "string"}
_EDITOR_COMMANDS: Final = ["view", "create", "str_replace", "insert"]
_EDITING: Final = {
    "path": _STRING,
    "file_text": _STRING,
    "old_str": _STRING,
    "new_str": _STRING,
    "insert_line": {"type": "integer"},
    "view_range": {"type": "array", "items": {"type": "integer"}},
}


class _Known(Struct, frozen=True):
    """A tool that clients run and that Anthropic's models know without a description."""

    description: str
    properties: Mapping[str, Any]
    required: tuple[str, ...] = ()

    @property
    def parameters(self) -> dict[str, Any]:
        return {"type": "object", "properties": dict(self.properties), "required": list(self.required)}


# By what their types begin with, before the date.
_KNOWN: Final = {
    "bash_": _Known(
        "Runs a command in a bash shell that stays open between calls; restart begins a new one.",
        {"command": _STRING, "restart": {"type": "boolean"}},
    ),
    "text_editor_": _Known(
        "Views, creates and edits text files.",
        {"command": {"type": "string", "enum": _EDITOR_COMMANDS}, **_EDITING},
        ("command", "path"),
    ),
    "memory_": _Known(
        "Keeps notes in files below /memories.",
        {
            "command": {"type": "string", "enum": [*_EDITOR_COMMANDS, "delete", "rename"]},
            **_EDITING,
            "insert_text": _STRING,
            "old_path": _STRING,
            "new_path": _STRING,
        },
        ("command",),
    ),
}


class Toolbox(Struct):
    """What a request offers; ``ignored`` names what it offers in vain.

    ``hidden`` are the names of tools that the client would find and knows already.
    ``only_web_search`` says that it has nothing but a search of the web, which nobody here can do.
    """

    tools: tuple[Tool, ...] = ()
    hidden: tuple[str, ...] = ()
    choice: ToolChoice = ToolChoice()
    parallel: bool = True
    ignored: tuple[str, ...] = ()
    only_web_search: bool = False


class _Item(Struct, frozen=True):
    """A tool as it came: ``None`` where a server would have to run it. Without a name its kind is one."""

    tool: Tool | None
    kind: str
    name: str
    deferred: bool


class _Offer(Struct):
    """The tools by name, the paths of their names, and the types of those that are no use."""

    tools: dict[str, Tool] = field(default_factory=dict)
    dropped: dict[str, str] = field(default_factory=dict)

    def add(self, tool: Tool, path: str) -> None:
        """Each tool once: a repeated definition is harmless, a contradicting one is not."""
        if self.tools.setdefault(tool.name, tool) != tool:
            raise InvalidValue(f"'{path}': another tool is already named '{tool.name}'.", param=path)


def read_toolbox(body: Fields, history: MessageHistory) -> Toolbox:
    """A body's ``tools`` and ``tool_choice``.

    A tool whose loading is deferred is offered where the history refers to it, or where only a server's
    search could find it. Until then its name may stand in an instruction: Claude Code runs it also for a
    model that calls it by that.
    """
    offer = _Offer()
    items = made_of_all(body.array("tools", most=MAX_TOOLS) or (), _items)
    all_found = any(item.kind.startswith(_TOOL_SEARCH) for item in items)
    for index, item in enumerate(items):
        tool = item.tool
        if tool is None:
            offer.dropped[item.name] = item.kind
        elif tool.name != _PLACEHOLDER and (
            not item.deferred or tool.name in history.referred_tools or all_found
        ):
            offer.add(tool, f"tools[{index}].name")
    deferred = any(item.deferred for item in items)
    dropped = tuple(dict.fromkeys(offer.dropped.values()))
    choice, parallel = _tool_choice(body, offer)
    return Toolbox(
        tuple(offer.tools.values()),
        _listed_names(history.instructions, offer.tools) if deferred else (),
        choice,
        parallel,
        ignored=tuple(f"tools.{kind}" for kind in dropped),
        only_web_search=bool(dropped)
        and not offer.tools
        and all(kind.startswith(_WEB_SEARCH) for kind in dropped),
    )


def _listed_names(texts: Sequence[str], known: Container[str]) -> tuple[str, ...]:
    """The names that ``texts`` list and that are not ``known``, no more than there may be tools."""
    names: dict[str, None] = {}
    left = _LOOKED_THROUGH
    for text in texts:
        for found in _LISTED.finditer(text, 0, left):
            if (name := found[1]) not in known:
                names[name] = None
                if len(names) == MAX_TOOLS:
                    return tuple(names)
        left = max(0, left - len(text))
    return tuple(names)


def _items(values: Sequence[Any]) -> list[_Item]:
    return [made_of(value, "tools", index, _item) for index, value in enumerate(values)]


def _item(item: Fields) -> _Item:
    kind = item.string("type") or "custom"
    tool = _tool(item, kind)
    return _Item(tool, kind, item.string("name") or kind, item.boolean("defer_loading") or False)


def _tool(item: Fields, kind: str) -> Tool | None:
    """The tool of ``item``; ``None`` for one that a server would have to run."""
    if kind == "custom":
        name = _name(item)
        strict = item.boolean("strict") or False
        return Tool(
            name=name,
            description=item.string("description") or "",
            parameters=read_parameters(item, name, strict=strict, member="input_schema"),
            strict=strict,
        )
    for stem, known in _KNOWN.items():
        if kind.startswith(stem):
            return Tool(name=_name(item), description=known.description, parameters=known.parameters)
    return None


def _name(item: Fields) -> str:
    name, path = item.required_string("name"), item.at("name")
    if not name:
        raise InvalidValue(f"'{path}' is empty.", param=path)
    if len(name) > _LONGEST_NAME:
        raise too_long(path, name, _LONGEST_NAME)
    return name


def _tool_choice(body: Fields, offer: _Offer) -> tuple[ToolChoice, bool]:
    """The choice, and whether several tools may be called at once."""
    choice = body.object("tool_choice")
    if choice is None:
        return ToolChoice(), True
    parallel = not choice.boolean("disable_parallel_tool_use")
    match choice.required_choice("type", _CHOICES):
        case "auto":
            return ToolChoice(), parallel
        case "none":
            return ToolChoice("none"), parallel
        case "any":
            if offer.tools:
                return ToolChoice("required"), parallel
            if offer.dropped:
                raise _nobody_runs(next(iter(offer.dropped.values())))
            raise InvalidValue("'tool_choice' demands a call, but there are no 'tools'.", param="tool_choice")
        case _:
            name, path = choice.required_string("name"), choice.at("name")
            if name in offer.tools:
                return ToolChoice("named", (name,)), parallel
            if name in offer.dropped:
                raise _nobody_runs(offer.dropped[name])
            raise InvalidValue(f"'{path}': no tool is named '{name[:100]}'.", param=path)


def _nobody_runs(kind: str) -> UnsupportedValue:
    return UnsupportedValue(
        f"'tool_choice' demands '{kind[:100]}', a tool that Anthropic's servers run and this gateway cannot.",
        param="tool_choice",
    )
