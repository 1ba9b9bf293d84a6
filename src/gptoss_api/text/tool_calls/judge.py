"""Whether what was read is a call: the tools' names, the shapes of a call as JSON, schemas and echoes.

The shapes are those that models learnt elsewhere (docs/design/emulation.md, "Foreign forms", F1, J1 to J3).
"""

import ast
import json
import re
import sys
from collections.abc import Iterable, Mapping
from functools import cached_property
from typing import Any, Final

from msgspec import Struct

from ..json_scalars import UNSEEN
from ..json_stream import JsonBroken, JsonTransducer
from .events import MAX_CALLS, DeclaredTool, Delivery, ParserConfig
from .grammar import MAX_HEADER

_VENDOR: Final = re.compile(r"^(?:functions|tools|assistant)\.")
_JOINTS: Final = str.maketrans("", "", "-_.")
_RECIPIENT: Final = re.compile(r"\bto=(?=\S)")
# Words of a Harmony header that stuck to a name.
_STUCK: Final = re.compile(r"(?:(?:assistant)?(?:commentary|analysis|final)|json|code)+$")

WRAPPER_KEYS: Final = frozenset(
    (
        "name",
        "function",
        "tool",
        "tool_name",
        "arguments",
        "parameters",
        "args",
        "input",
        "tool_calls",
        "type",
        "tool_input",
        "action",
        "action_input",
    )
)
_NAME_KEYS: Final = ("name", "tool_name", "tool", "function", "action")
_ARGUMENT_KEYS: Final = ("arguments", "parameters", "args", "input", "tool_input", "action_input")
_FIRST_KEY: Final = re.compile(rf"[\s{UNSEEN}\[]*\{{[\s{UNSEEN}]*[\"'“]([^\"'“”\\]*)[\"'”]")
_NOT_YET_KEY: Final = re.compile(rf"[\s{UNSEEN}\[]*(?:\{{[\s{UNSEEN}]*(?:[\"'“][^\"'“”\\]*)?)?\Z")
_NAME_VALUE: Final = re.compile(
    r"[\"'“](?:name|tool_name|tool|function|action)[\"'”]\s*:\s*[\"'“]([^\"'“”\\\n]*)[\"'”]"
)
_EXPRESSION: Final = re.compile(r"\s*(?:functions\.|tools\.)?([A-Za-z_][\w.-]*)\s*\(", re.ASCII)
_EXPRESSION_START: Final = re.compile(r"\s*[A-Za-z_][\w.-]*\s*\Z", re.ASCII)
_SPACE: Final = " \t\r\n" + UNSEEN
_BETWEEN: Final = ",;" + _SPACE
LONGEST_START: Final = 600
_LONGEST_EXPRESSION_START: Final = 100

Calls = list[tuple[str, Any]]


class ToolNames:
    """The tools that may be called, found by whatever the model wrote.

    ``clients`` are the client's own names of tools that are shown under others.
    """

    def __init__(self, shown: Iterable[str], clients: Mapping[str, str] = {}) -> None:
        self._shown = frozenset(shown)
        own = {client: name for client, name in clients.items() if name in self._shown}
        self._exact = own | {name: name for name in self._shown}

    @cached_property
    def _loose(self) -> dict[str, str | None]:
        """By what is left of a name that is written otherwise; ``None`` for what may mean two of them."""
        loose: dict[str, str | None] = {}
        for written, name in self._exact.items():
            folded = _fold(written)
            loose[folded] = name if loose.get(folded, name) == name else None
        return loose

    def __bool__(self) -> bool:
        return bool(self._shown)

    def only(self) -> str | None:
        """The tool, where there is just one."""
        return next(iter(self._shown)) if len(self._shown) == 1 else None

    def find(self, written: str) -> str | None:
        """The shown name that ``written`` means (docs/design/emulation.md, "Foreign forms")."""
        if len(written) > MAX_HEADER:
            return None
        name = _RECIPIENT.split(written, maxsplit=1)[-1]
        name = name.strip().split("<|", 1)[0]
        name = (name.split(None, 1) or [""])[0].strip("\"'`")
        if name in self._exact:
            return self._exact[name]
        name = _VENDOR.sub("", name)
        if name in self._exact:
            return self._exact[name]
        return (
            (self._loose.get(_fold(name)) or self._loose.get(_fold(_STUCK.sub("", name)))) if name else None
        )


def _fold(name: str) -> str:
    return name.casefold().translate(_JOINTS)


NO_TOOLS: Final = ToolNames(())


class Verdict(Struct, frozen=True):
    """Calls as (shown name, arguments' JSON text), and what a strict tool's schema says against them."""

    calls: tuple[tuple[str, str], ...]
    complaint: str = ""


class Judge:
    """Judges blocks by one request's tools; the client's text is normalised once, when first needed."""

    def __init__(self, config: ParserConfig) -> None:
        self.config = config
        shown = () if config.mode == "none" else config.tools
        self.names = NO_TOOLS
        if shown:
            self.names = ToolNames(
                (name for name in shown if not config.names or name in config.names), config.clients
            )
        self.required = config.mode in ("required", "named")
        self.most_calls = MAX_CALLS if config.parallel else 1
        self._client: str | None = None

    @cached_property
    def _keyed_opener(self) -> re.Pattern[str]:
        # Hardly any answer needs it, and no two conversations have the same.
        key = re.escape(self.config.key) if self.config.key else r"\Z.\Z"
        other = rf"[^<>]{{0,{MAX_HEADER}}}"
        return re.compile(rf"<[ \t]{{0,2}}tool[_-]call\s{other}{key}{other}>", re.IGNORECASE)

    def tool(self, name: str) -> DeclaredTool:
        return self.config.tools[name]

    def bare_tool(self) -> str | None:
        """The tool whose bare arguments may be the whole answer (form J2)."""
        return self.names.only() if self.required else None

    def streams(self, name: str, first_key: str) -> bool:
        """Whether an object with this first key can only be the tool's arguments."""
        if first_key not in WRAPPER_KEYS:
            return True
        return first_key not in ("name", "function") and first_key in self._properties(name)

    def keyed(self, name: str | None, value: Any, written: str) -> Verdict | None:
        """The calls of a block that need not validate; ``written`` is its strict JSON text."""
        if name is not None:
            return self.named(name, value, written)
        calls = unwrap(_loosened(value), self.names)
        return self._delivered(calls, "") if calls else None

    def named(self, name: str, value: Any, written: str) -> Verdict:
        """The same of a block whose header names the tool."""
        if isinstance(value, str | list):
            value, written = _loosened(value), ""
        if value is None:
            value, written = {}, "{}"
        wrapped = unwrap(value, self.names, name)
        first = next(iter(value), "") if isinstance(value, dict) else ""
        as_is: Calls = [(name, value)]
        order = (
            [as_is, wrapped]
            if self.streams(name, first) or first in self._properties(name)
            else [wrapped, as_is]
        )
        complaint = ""
        for calls in order:
            if not calls or not all(isinstance(arguments, dict) for _, arguments in calls):
                continue
            try:
                return self._mended(calls, written if calls is as_is else "", value)
            except ValueError as error:
                complaint = complaint or str(error) or "the arguments do not fit the schema"
        if not isinstance(value, dict) and wrapped is None:
            complaint = complaint or "the arguments are not an object"
        chosen = wrapped if wrapped and order[0] is wrapped else as_is
        told = any(self.tool(called).strict or not isinstance(given, dict) for called, given in chosen)
        return self._delivered(chosen, complaint if told else "", written if chosen is as_is else "")

    def without_arguments(self, name: str) -> Verdict:
        """A call by its header alone."""
        return self.named(name, {}, "{}")

    def unkeyed(self, calls: Calls | None, raw: str) -> Verdict | None:
        """The calls of a block without the key: every one must validate, and it must be no echo."""
        if not calls or self._is_echo(raw) or self.swallowed_call(raw) >= 0:
            return None
        try:
            return self._mended(calls, "", None)
        except ValueError:
            return None

    def swallowed_call(self, raw: str) -> int:
        """Where in an unkeyed block a real call begins: broken quotes made it part of a string; else -1."""
        found = self._keyed_opener.search(raw, 1)
        return found.start() if found else -1

    def message(self, text: str) -> Verdict | None:
        """The calls that a whole message (or a fence's content) is: J1, J2 and J3."""
        if verdict := self.unkeyed(message_calls(text, self.names), text):
            return verdict
        if not self.required:
            return None
        if verdict := self.unkeyed(expression_calls(text, self.names), text):
            return verdict
        name = self.bare_tool()
        if name is None:
            return None
        try:
            value = decode(text)
        except ValueError:
            return None
        return self.unkeyed([(name, value)], text) if isinstance(value, dict) else None

    def valid(self, name: str, json_text: str) -> bool:
        """Whether arguments that were completed by closing brackets may be delivered."""
        try:
            value = read_strict(json_text)
            self._mend(name, value)
        except ValueError:
            return False
        return isinstance(value, dict)

    def _mended(self, calls: Calls, written: str, value: Any) -> Verdict:
        texts = []
        for name, arguments in calls:
            mended = self._mend(name, arguments)
            same = bool(written) and mended == value
            texts.append((name, written if same else json.dumps(mended, ensure_ascii=False)))
        return Verdict(tuple(texts))

    def _mend(self, name: str, arguments: Any) -> Any:
        try:
            return self.config.mend(name, arguments)
        except RecursionError:
            raise ValueError("the arguments are nested too deeply") from None

    def _delivered(self, calls: Calls, complaint: str, written: str = "") -> Verdict:
        return Verdict(
            tuple((name, written or json.dumps(value, ensure_ascii=False)) for name, value in calls),
            complaint,
        )

    def _properties(self, name: str) -> Any:
        schema = self.tool(name).schema
        properties = schema.get("properties") if schema else None
        return properties if isinstance(properties, dict) else {}

    def _is_echo(self, raw: str) -> bool:
        if self._client is None:
            text = self.config.client_text
            self._client = "".join((text if isinstance(text, str) else text()).split())
        return "".join(raw.split()) in self._client


def _loosened(value: Any) -> Any:
    """The object inside a one-item list or inside JSON text, else the value itself."""
    inner = value[0] if isinstance(value, list) and len(value) == 1 else value
    if isinstance(inner, str):
        try:
            inner = decode(inner)
        except ValueError:
            return value
    return inner if isinstance(inner, dict | list) else value


def deliver(verdict: Verdict, out: Delivery, judge: Judge) -> None:
    """Sends the calls of a verdict, each in one piece, as many as may still be made."""
    calls = verdict.calls[: max(judge.most_calls - out.calls, 0)]
    if verdict.complaint and calls:
        out.problem("E_SCHEMA", verdict.complaint, out.calls)
    for name, json_text in calls:
        index = out.start(name)
        out.arguments(index, json_text)
        out.end(index)


def decode(text: str) -> Any:
    """The value of one lenient JSON text.

    Raises:
        ValueError: where it cannot be read, or something other than space follows.
    """
    machine = JsonTransducer()
    strict = machine.feed(text)
    strict += machine.finish()
    if machine.rest.strip("}]" + _SPACE):
        raise JsonBroken("text follows the JSON", machine.consumed)
    return read_strict(strict)


def read_strict(text: str) -> Any:
    """The value of strict JSON; numbers beyond a float's range become its largest, never infinity.

    Raises:
        ValueError: where it is no JSON.
    """
    return json.loads(text, parse_float=_finite)


def _finite(text: str) -> float:
    return min(max(float(text), -sys.float_info.max), sys.float_info.max)


def call_shaped(text: str, names: ToolNames, settled: bool) -> bool | None:
    """Whether a message that begins with ``text`` may be a call as JSON; ``None``: not known yet.

    ``settled`` says that more text would not be looked at.
    """
    key = _FIRST_KEY.match(text)
    if key is None:
        return None if not settled and _NOT_YET_KEY.match(text) else False
    if key[1] not in WRAPPER_KEYS:
        return False
    found = _NAME_VALUE.search(text)
    if found is None:
        return False if settled else None
    return names.find(found[1]) is not None


def expression_shaped(text: str, names: ToolNames) -> bool | None:
    """Whether a message that begins with ``text`` may be ``NAME(...)``; ``None``: not known yet."""
    found = _EXPRESSION.match(text, 0, _LONGEST_EXPRESSION_START)
    if found:
        return names.find(found[1]) is not None
    return None if len(text) < _LONGEST_EXPRESSION_START and _EXPRESSION_START.match(text) else False


def unwrap(value: Any, names: ToolNames, header_name: str | None = None) -> Calls | None:
    """The calls that ``value`` describes, ``None`` where it describes none.

    ``header_name`` is the tool that an enclosing header names; a name inside then only counts if it
    is that of a tool, too.
    """
    if isinstance(value, str):
        try:
            value = decode(value)
        except ValueError:
            return None
    if isinstance(value, list):
        calls: Calls = []
        for item in value:
            inner = unwrap(item, names, header_name) if isinstance(item, dict) else None
            if inner is None:
                return None
            calls += inner
        return calls or None
    if not isinstance(value, dict):
        return None
    if isinstance(value.get("tool_calls"), list):
        return unwrap(value["tool_calls"], names)
    if isinstance(value.get("function"), dict):
        return unwrap(value["function"], names, header_name)
    name_key = next((key for key in _NAME_KEYS if isinstance(value.get(key), str)), None)
    name = names.find(value[name_key]) if name_key else header_name
    if name is None:
        return None
    argument_key = next((key for key in _ARGUMENT_KEYS if key in value), None)
    if name_key == "action" and argument_key != "action_input":
        return None  # Plenty of answers have an action.
    if argument_key is None:
        return [(name, {})] if name_key and set(value) <= {name_key, "id", "type"} else None
    arguments = value[argument_key]
    if isinstance(arguments, str):
        try:
            arguments = decode(arguments) if arguments.strip() else {}
        except ValueError:
            return None
    if isinstance(arguments, list) and len(arguments) == 1:
        arguments = arguments[0]
    if arguments is None:
        arguments = {}
    return [(name, arguments)] if isinstance(arguments, dict) else None


def message_calls(text: str, names: ToolNames) -> Calls | None:
    """The calls of a message that is nothing but call-shaped JSON: a value, or several in a row."""
    calls: Calls = []
    while text.strip(_BETWEEN):
        machine = JsonTransducer()
        strict = machine.feed(text.lstrip(_BETWEEN))
        try:
            strict += machine.finish()
        except JsonBroken:
            return None
        inner = unwrap(read_strict(strict), names)
        if inner is None or len(calls) > 128:
            return None
        calls += inner
        text = machine.rest
    return calls or None


def expression_calls(text: str, names: ToolNames) -> Calls | None:
    """The call that ``NAME(key=value)`` or ``functions.NAME({...})`` means."""
    found = _EXPRESSION.match(text)
    name = names.find(found[1]) if found else None
    inside = text.strip().removesuffix(";")
    if found is None or name is None or not inside.endswith(")"):
        return None
    body = text.strip()[len(found[0].lstrip()) :].removesuffix(";")[:-1].strip()
    if body.startswith("{"):
        try:
            return [(name, decode(body))]
        except ValueError:
            return None
    try:
        tree = ast.parse(f"f({body})", mode="eval").body
        if not isinstance(tree, ast.Call) or tree.args:
            return None
        arguments = {word.arg: ast.literal_eval(word.value) for word in tree.keywords if word.arg}
        json.dumps(arguments, allow_nan=False)
    except (SyntaxError, ValueError, TypeError, MemoryError, RecursionError):
        return None
    return [(name, arguments)] if len(arguments) == len(tree.keywords) else None
