"""JSON that means a call, in the shapes that models have learnt elsewhere (forms F1, J1 to J3)."""

import ast
import json
import re
import sys
from typing import Any, Final

from ..json_stream import JsonBroken, JsonTransducer
from .headers import ToolNames

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
    )
)
_NAME_KEYS: Final = ("name", "tool_name", "tool", "function")
_ARGUMENT_KEYS: Final = ("arguments", "parameters", "args", "input")
_FIRST_KEY: Final = re.compile(r"[\s\[]*\{\s*[\"'“]([^\"'“”\\]*)[\"'”]")
_NOT_YET_KEY: Final = re.compile(r"[\s\[]*(?:\{\s*(?:[\"'“][^\"'“”\\]*)?)?\Z")
_NAME_VALUE: Final = re.compile(
    r"[\"'“](?:name|tool_name|tool|function)[\"'”]\s*:\s*[\"'“]([^\"'“”\\\n]*)[\"'”]"
)
_EXPRESSION: Final = re.compile(r"\s*(?:functions\.|tools\.)?([A-Za-z_][\w.-]*)\s*\(", re.ASCII)
_EXPRESSION_START: Final = re.compile(r"\s*[A-Za-z_][\w.-]*\s*\Z", re.ASCII)
LONGEST_START: Final = 600
_LONGEST_EXPRESSION_START: Final = 100

Calls = list[tuple[str, Any]]


def decode(text: str) -> Any:
    """The value of one lenient JSON text.

    Raises:
        ValueError: where it cannot be read, or something other than space follows.
    """
    machine = JsonTransducer()
    strict = machine.feed(text)
    strict += machine.finish()
    if machine.rest.strip("}] \t\r\n"):
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
    while text.strip(" \t\r\n,;"):
        machine = JsonTransducer()
        strict = machine.feed(text.lstrip(" \t\r\n,;"))
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
