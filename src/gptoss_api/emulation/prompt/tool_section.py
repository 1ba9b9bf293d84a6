"""The ``# Tools`` section: what can be called and how a call is written.

The list of signatures depends on the tools alone and is cached between requests; the rules carry the
conversation's key. Source: docs/design/emulation.md, "The prompt", "Forms of a call" and "Styles".
"""

import hashlib
from collections import OrderedDict
from collections.abc import Callable, Iterable
from threading import Lock
from typing import Any, Final, Generic, Literal, Protocol, TypeVar

import msgspec
from msgspec import Struct

from ...core.turn import Tool, Turn
from ...text.memo import Memo
from .names import NameMap
from .neutralise import ClientText
from .typescript import SizeBudget, compact, function_type

Style = Literal["ts", "harmony", "json"]

_INTRO: Final = "The application can run these tools for you:"
_RULES: Final = """\
To use one, write this block as plain text in your final answer:

<tool_call key="{key}" name="TOOL_NAME">
{{"argument": "value"}}
</tool_call>

- The block holds exactly one JSON object with the arguments: double quotes, \\n for line breaks, no code \
fence, no comments.
- Keep key="{key}" unchanged; the application ignores blocks without it.
- For independent calls write several blocks one after another.
- You may put a short sentence before the first block. After the last block stop: the application runs the \
calls and sends each result back as a <tool_result>.
- If no tool is needed, answer normally without any block.

"""

# Bytes of tools whose digest is remembered. They take some times their JSON, and something for themselves.
_DIGESTS: Final = 8 * 1024 * 1024
_TIMES: Final = 8
_BESIDE: Final = 500
# A signature list of ten agent tools is about 10 kB; the bound is on lists, clients repeat theirs.
_CACHED: Final = 64
# Characters of the largest list that is cached: one that leaves room in the model's window.
_LARGEST: Final = 1024 * 1024


class ToolList(Struct, frozen=True):
    """The tools of one request: ``text`` up to the rules, cleaned; ``id`` names exactly this text.

    ``shown`` are the names of the tools on offer as the model knows them.
    """

    tools: tuple[Tool, ...]
    shown: tuple[str, ...]
    names: NameMap
    text: str
    id: str
    control_tokens: bool
    tags: bool


_digests: Final[Memo[tuple[int, ...], tuple[bytes, tuple[Tool, ...]]]] = Memo(_DIGESTS)


def rules(key: str) -> str:
    """How a call is written, for the conversation whose key is ``key``."""
    return _RULES.format(key=key)


def tools_digest(tools: tuple[Tool, ...]) -> bytes:
    """A hash of everything the client said about its tools; the same tools are hashed once."""
    # What is remembered keeps the tools, so that nothing else can have their identities.
    same = tuple(map(id, tools))
    if (known := _digests.get(same)) is not None:
        return known[0]
    try:
        data = msgspec.json.encode(tools)
    except (ValueError, OverflowError, RecursionError):
        return _patient_digest(tools)
    digest = hashlib.blake2b(data, digest_size=16).digest()
    _digests.put(same, (digest, tools), _TIMES * len(data) + _BESIDE)
    return digest


def _patient_digest(tools: tuple[Tool, ...]) -> bytes:
    """The same for lone surrogates, huge integers and deep nesting: not what msgspec writes."""
    state = hashlib.blake2b(digest_size=16)
    for tool in tools:
        parts = (tool.name, tool.description, compact([tool.parameters, tool.grammar]) or "", tool.kind)
        state.update(repr(parts).encode("utf-8", "surrogatepass"))
    return state.digest()


def offered_tools(turn: Turn) -> tuple[Tool, ...]:
    """The tools the answer may use, each name once, in the client's order."""
    if not turn.tools or turn.tool_choice.mode == "none":
        return ()
    wanted = turn.tool_choice.names
    offered = {tool.name: tool for tool in reversed(turn.tools) if not wanted or tool.name in wanted}
    return tuple(reversed(offered.values()))


class _Rendered(Protocol):
    @property
    def text(self) -> str: ...


T = TypeVar("T", bound=_Rendered)


class ToolCache(Generic[T]):
    """The least recently used descriptions of tools, by digest, style and choice."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._lists: OrderedDict[tuple[bytes, str, tuple[str, ...], bool], T] = OrderedDict()
        # Large requests are planned in threads.
        self._lock = Lock()

    def get(self, turn: Turn, style: str, digest: bytes, make: Callable[[], T]) -> T:
        choice = turn.tool_choice
        place = (digest, style, choice.names, choice.mode == "none")
        with self._lock:
            if (known := self._lists.get(place)) is not None:
                self._lists.move_to_end(place)
                return known
        made = make()
        if len(made.text) <= _LARGEST:
            with self._lock:
                self._lists[place] = made
                if len(self._lists) > self._size:
                    self._lists.popitem(last=False)
        return made


NO_TOOLS: Final = ToolList((), (), NameMap({}, {}), "", "tools:", control_tokens=False, tags=False)
_cache: Final[ToolCache[ToolList]] = ToolCache(_CACHED)


def tool_list(turn: Turn, style: Style, digest: bytes) -> ToolList:
    """The list for ``turn``, whose tools have ``digest``; rendered once for equal tools."""
    return _cache.get(turn, style, digest, lambda: _tool_list(turn, style))


def _tool_list(turn: Turn, style: Style) -> ToolList:
    names = NameMap.of(tool.name for tool in turn.tools)
    tools = offered_tools(turn)
    client = ClientText()
    text = client.inside(_rendered(tools, names, style), json=style == "json") if tools else ""
    identity = hashlib.blake2b(text.encode(), digest_size=8).hexdigest()
    shown = tuple([names.shown(tool.name) for tool in tools])
    return ToolList(tools, shown, names, text, f"tools:{identity}", client.control_tokens, client.tags)


def _rendered(tools: Iterable[Tool], names: NameMap, style: Style) -> str:
    if style == "json":
        lines = ",\n".join(_as_json(tool, names) for tool in tools)
        return f"# Tools\n\n{_INTRO}\n\n```json\n[{lines}]\n```\n\n"
    room = SizeBudget()
    types = "\n\n".join(
        function_type(names.shown(tool.name), tool.description, parameters_of(tool), room) for tool in tools
    )
    if style == "harmony":
        return (
            f"# Tools\n\n## functions\n\nnamespace functions {{\n\n{types}\n\n}} // namespace functions\n\n"
        )
    return f"# Tools\n\n{_INTRO}\n\n```ts\n{types}\n```\n\n"


def _as_json(tool: Tool, names: NameMap) -> str:
    shown = {
        "name": names.shown(tool.name),
        "description": tool.description,
        "parameters": parameters_of(tool),
    }
    return compact({key: value for key, value in shown.items() if value not in ("", None)}) or "{}"


def parameters_of(tool: Tool) -> dict[str, Any] | None:
    """The schema shown for ``tool``; a custom tool is a function with one string ``input``."""
    if tool.kind == "function":
        return tool.parameters
    text = {"type": "string", "description": _input_description(tool.grammar)}
    return {"type": "object", "properties": {"input": text}, "required": ["input"]}


def _input_description(grammar: dict[str, Any] | None) -> str:
    """Both shapes of OpenAI's ``format``: with the grammar inside, and flat as in the Responses API."""
    form = grammar or {}
    inner = form.get("grammar")
    content = inner if isinstance(inner, dict) else form
    definition = content.get("definition")
    if not isinstance(definition, str) or not definition:
        return "Free text, as it is."
    return f"Text that follows this {content.get('syntax') or 'formal'} grammar:\n{definition}"
