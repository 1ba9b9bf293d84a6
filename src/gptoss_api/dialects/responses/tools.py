"""The tools of a request: functions, custom tools, namespaces of both and tools with a type of their own.

A namespace's members reach the model under flat names; :class:`Names` gives calls their namespace back.
Tools that OpenAI runs itself (``web_search``, ``code_interpreter`` …) do not exist here. Clients such as
Codex send them with every request, so they are dropped and reported, and refused only where the request
insists on them (docs/design/clients.md, "Codex").
"""

from collections.abc import Sequence
from hashlib import blake2b
from typing import Any, Final

from msgspec import Struct

from ...core.errors import ArrayTooLong, InvalidRequest, InvalidValue, UnsupportedValue
from ...core.turn import Tool, ToolChoice
from ..fields import Fields, as_object, as_objects, made_of_all, unknown_value, wrong_type
from ..parameters import read_name, read_parameters
from .client_tools import CLIENT_TOOLS, ClientTool, runs_elsewhere

MAX_TOOLS: Final = 512

_MODES: Final = ("none", "auto", "required")
_SEPARATOR: Final = "__"
_NAME_LENGTH: Final = 64


class Names(Struct, frozen=True):
    """Flat tool names and what clients call them: ``flat`` by (namespace, name), ``called`` the reverse.

    ``typed`` are the tools that the client has under a type of their own, by the names the model knows.
    """

    flat: dict[tuple[str, str], str] = {}
    called: dict[str, tuple[str, str]] = {}
    typed: dict[str, ClientTool] = {}

    def flatten(self, namespace: str | None, name: str) -> str:
        """The name the model sees; also for calls of an earlier turn whose tool is no longer offered."""
        if not namespace:
            return name
        return self.flat.get((namespace, name)) or flat_name(namespace, name)

    def bare(self, name: str) -> str | None:
        """The flat name of the only namespace's member called ``name``."""
        found = [flat for (_, member), flat in self.flat.items() if member == name]
        return found[0] if len(found) == 1 else None

    def restore(self, flat: str) -> tuple[str | None, str]:
        """The namespace, if any, and the name that the client knows."""
        return self.called.get(flat, (None, flat))


class Toolbox(Struct, frozen=True):
    """What a request offers.

    ``echo`` is its tools as the answer repeats them, ``dropped`` the types of hosted tools left out.
    """

    tools: tuple[Tool, ...] = ()
    choice: ToolChoice = ToolChoice()
    names: Names = Names()
    echo: tuple[dict[str, Any], ...] = ()
    dropped: tuple[str, ...] = ()


def flat_name(namespace: str, name: str) -> str:
    """``namespace__name``, shortened to 64 characters with a hash where it is longer."""
    flat = f"{namespace.removesuffix(_SEPARATOR)}{_SEPARATOR}{name}"
    if len(flat) <= _NAME_LENGTH:
        return flat
    digest = blake2b(flat.encode("utf-8", "surrogatepass"), digest_size=4).hexdigest()
    return f"{flat[: _NAME_LENGTH - len(digest) - 1]}_{digest}"


def read_toolbox(body: Fields, added: Sequence[Fields] = ()) -> Toolbox:
    """The body's ``tools`` and ``tool_choice``; ``added`` are tools that came as input items."""
    values = body.array("tools", most=MAX_TOOLS) or ()
    offer = _offer([*as_objects(values, "tools"), *added]) if added else made_of_all(values, _own)
    return Toolbox(
        offer.tools,
        _Chooser(offer.tools, offer.names, offer.dropped).read(body),
        offer.names,
        offer.echo,
        offer.dropped,
    )


def _own(values: Sequence[Any]) -> Toolbox:
    return _offer(as_objects(values, "tools"))


def _offer(items: Sequence[Fields]) -> Toolbox:
    """The tools of ``items``, without a choice."""
    reader = _Reader()
    for item in items:
        reader.read(item)
    tools = tuple(reader.tools.values())
    if len(tools) > MAX_TOOLS:
        raise ArrayTooLong(
            f"Invalid 'tools': array too long. At most {MAX_TOOLS} tools are accepted, namespaces included, "
            f"but got {len(tools)}.",
            param="tools",
        )
    names = Names(reader.flat, {flat: called for called, flat in reader.flat.items()}, reader.typed)
    dropped = tuple(dict.fromkeys(reader.dropped))
    return Toolbox(tools, ToolChoice(), names, tuple(reader.echo), dropped)


class _Reader:
    def __init__(self) -> None:
        self.tools: dict[str, Tool] = {}
        self.flat: dict[tuple[str, str], str] = {}
        self.typed: dict[str, ClientTool] = {}
        self.echo: list[dict[str, Any]] = []
        self.dropped: list[str] = []

    def read(self, item: Fields) -> None:
        kind = item.required_string("type")
        match kind:
            case "function" | "custom":
                tool, echo = item.made(_tool)
                self._add(tool, item)
                self.echo.append(echo)
            case "namespace":
                self.echo.append(self._namespace(item))
            case _ if kind in CLIENT_TOOLS and not runs_elsewhere(item.members):
                self._add(CLIENT_TOOLS[kind].tool, item, "type")
                self.typed[kind] = CLIENT_TOOLS[kind]
                self.echo.append(item.members)
            case _:
                self.dropped.append(kind)

    def _namespace(self, item: Fields) -> dict[str, Any]:
        namespace = read_name(item)
        about = item.string("description") or ""
        members = []
        for member in item.objects("tools", most=MAX_TOOLS):
            member.required_choice("type", ("function", "custom"))
            tool, echo = member.made(_tool)
            members.append(echo)
            flat = flat_name(namespace, tool.name)
            if flat in self.tools and (namespace, tool.name) not in self.flat:
                # Another pair of names reads the same when joined.
                flat = flat_name(namespace, f"{tool.name}_{len(self.tools)}")
            self.flat[namespace, tool.name] = flat
            # The model sees no namespaces: the first member says what they have in common.
            lead = f"[{namespace}] {about}\n\n" if about and len(members) == 1 else ""
            self._add(
                Tool(
                    name=flat,
                    description=lead + tool.description,
                    parameters=tool.parameters,
                    strict=tool.strict,
                    kind=tool.kind,
                    grammar=tool.grammar,
                ),
                member,
            )
        return {"type": "namespace", "name": namespace, "description": about, "tools": members}

    def _add(self, tool: Tool, item: Fields, member: str = "name") -> None:
        """Offers ``tool``, whose name stands in ``member`` of ``item``."""
        if self.tools.setdefault(tool.name, tool) != tool:
            path = item.at(member)
            raise InvalidValue(f"Invalid '{path}': another tool is already named '{tool.name}'.", param=path)


def _tool(item: Fields) -> tuple[Tool, dict[str, Any]]:
    """A tool and how the answer repeats it. The nested form of chat completions is understood too."""
    kind = item.required_string("type")
    if isinstance(item.get(kind), dict):
        item = item.required_object(kind)
    name = read_name(item)
    description = item.string("description") or ""
    echo: dict[str, Any] = {"type": kind, "name": name, "description": description}
    if kind == "custom":
        grammar = item.mapping("format")
        if grammar is not None:
            echo["format"] = grammar
        return Tool(name, description, kind="custom", grammar=grammar), echo
    strict = item.boolean("strict") or False
    parameters = read_parameters(item, name, strict=strict)
    return Tool(name, description, parameters, strict), echo | {"parameters": parameters, "strict": strict}


class _Chooser:
    """Reads ``tool_choice`` against the tools that are offered."""

    def __init__(self, tools: Sequence[Tool], names: Names, dropped: Sequence[str]) -> None:
        self._kinds: dict[str, str] = {tool.name: tool.kind for tool in tools}
        self._names = names
        self._dropped = dropped

    def read(self, body: Fields) -> ToolChoice:
        match body.get("tool_choice"):
            case None | "auto":
                return ToolChoice()
            case "none":
                return ToolChoice("none")
            case "required":
                self._need_tools()
                return ToolChoice("required")
            case str(other):
                raise unknown_value("tool_choice", other, _MODES)
            case dict(members):
                return self._object(Fields(members, "tool_choice"))
            case other:
                raise wrong_type("tool_choice", "one of 'none', 'auto' and 'required', or an object", other)

    def _object(self, choice: Fields) -> ToolChoice:
        kind = choice.required_string("type")
        if kind == "allowed_tools":
            return self._allowed(choice)
        if kind in self._names.typed:
            return ToolChoice("named", (kind,))
        if kind not in ("function", "custom"):
            raise UnsupportedValue(
                f"Unsupported value: 'tool_choice.type' is '{kind[:64]}', a tool that OpenAI's servers run "
                "and this gateway does not have. Offer it as a function tool.",
                param="tool_choice",
            )
        self._need_tools()
        return ToolChoice("named", (self._offered(choice, kind),))

    def _allowed(self, choice: Fields) -> ToolChoice:
        # Chat completions nest mode and tools one level deeper; clients mix the two forms.
        inner = choice.object("allowed_tools") or choice
        required = inner.required_choice("mode", ("auto", "required")) == "required"
        path = inner.at("tools")
        names: list[str] = []
        for index, value in enumerate(inner.required_array("tools", least=1)):
            item = as_object(value, f"{path}[{index}]")
            kind = item.required_string("type")
            if kind in self._names.typed:
                names.append(kind)
            elif kind in ("function", "custom"):
                names.append(self._offered(item, kind))
            elif kind == "namespace":
                namespace = item.required_string("name")
                names += [flat for (owner, _), flat in self._names.flat.items() if owner == namespace]
        if required:
            if not names:
                raise self._nothing_left()
            return ToolChoice("required", tuple(dict.fromkeys(names)))
        return ToolChoice("auto", tuple(dict.fromkeys(names))) if names else ToolChoice("none")

    def _offered(self, choice: Fields, kind: str) -> str:
        named = choice.required_object(kind) if isinstance(choice.get(kind), dict) else choice
        name = named.required_string("name")
        namespace = named.string("namespace")
        flat = self._names.flatten(namespace, name)
        if not namespace and flat not in self._kinds:
            # OpenAI's form of a choice has no place for a namespace.
            flat = self._names.bare(name) or flat
        if self._kinds.get(flat) != kind:
            raise InvalidValue(
                f"Tool choice '{name[:100]}' not found in 'tools' parameter.", param=named.at("name")
            )
        return flat

    def _need_tools(self) -> None:
        if self._kinds:
            return
        if self._dropped:
            raise self._nothing_left()
        raise InvalidRequest(
            "Invalid value for 'tool_choice': 'tool_choice' is only allowed when 'tools' are specified.",
            param="tool_choice",
        )

    def _nothing_left(self) -> UnsupportedValue:
        return UnsupportedValue(
            "Unsupported value: 'tool_choice' demands a call, but none of the allowed tools exists here: "
            f"{', '.join(self._dropped) or 'hosted tools'} run on OpenAI's servers only. "
            "Offer a function tool.",
            param="tool_choice",
        )
