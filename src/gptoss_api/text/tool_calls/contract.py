"""What the tool-call parser is told and what it answers."""

from collections.abc import Callable, Mapping
from typing import Any, Literal

from msgspec import Struct

ProblemCode = Literal["E_UNKNOWN_TOOL", "E_BAD_JSON", "E_SCHEMA", "E_TRUNC", "E_HALLU"]


class Content(Struct, frozen=True, gc=False):
    """A piece of the answer's text; never empty."""

    text: str


class Reasoning(Struct, frozen=True, gc=False):
    """A piece of a chain of thought that leaked into the answer."""

    text: str


class CallStart(Struct, frozen=True, gc=False):
    """Call number ``index`` of the tool the prompt shows as ``name`` begins."""

    index: int
    name: str


class CallArgs(Struct, frozen=True, gc=False):
    """A further piece of the arguments' JSON text."""

    index: int
    json_text: str


class CallEnd(Struct, frozen=True, gc=False):
    """``complete`` is false where the arguments are cut or cannot be read as JSON."""

    index: int
    complete: bool = True


class Cancel(Struct, frozen=True, gc=False):
    """Nothing further will be delivered; the upstream can be stopped."""

    reason: str


class Problem(Struct, frozen=True, gc=False):
    """What a repair turn could mend (docs/design/emulation.md, "Repairs").

    ``index`` is the call concerned; its events follow unless it was started before. ``None``: the
    block became text or was cut off.
    """

    code: ProblemCode
    detail: str
    index: int | None = None


ParserEvent = Content | Reasoning | CallStart | CallArgs | CallEnd | Cancel | Problem


class DeclaredTool(Struct, frozen=True):
    """A tool under the name the prompt shows. ``strict`` tools are validated before delivery."""

    schema: Mapping[str, Any] | None = None
    strict: bool = False
    kind: Literal["function", "custom"] = "function"


def _as_is(_name: str, value: Any) -> Any:
    return value


class ParserConfig(Struct, frozen=True):
    """How one answer is to be read.

    ``key`` is the conversation's nonce, ``tools`` the tools by shown name, ``clients`` the shown names by
    the client's own, where they differ. ``mode`` and ``names`` are the tool choice. ``client_text`` is
    everything the client sent (or a function that joins it; asked at most once): an unkeyed block that
    occurs there is an echo. ``mend`` gets a shown name and decoded arguments and gives valid arguments, or
    raises ``ValueError`` saying what is wrong. ``clean_leaks`` is off where the client itself talks about
    control tokens. ``live`` streams arguments as they come, else a call leaves when it is complete.
    ``harmony_only`` reads no form of call but leaked Harmony, for upstreams that have calls of their own.
    ``thought`` is for text that is a chain of thought until a leaked header says otherwise.
    """

    key: str = ""
    tools: Mapping[str, DeclaredTool] = {}
    clients: Mapping[str, str] = {}
    mode: Literal["none", "auto", "required", "named"] = "auto"
    names: tuple[str, ...] = ()
    parallel: bool = True
    client_text: str | Callable[[], str] = ""
    mend: Callable[[str, Any], Any] = _as_is
    clean_leaks: bool = True
    live: bool = True
    harmony_only: bool = False
    thought: bool = False
