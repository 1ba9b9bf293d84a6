"""Free fixes: turns a value that almost fits a schema into one that does, without inventing anything.

Only unambiguous changes of form are made ("5" to 5, a lone value to a list of one, an enum value in
the wrong case), each where the validator itself points, and a result counts only if the whole value
is then valid. Strings, numbers and choices are never guessed
(docs/design/emulation.md, "Structured output").
"""

import copy
from collections.abc import Sequence
from math import isfinite
from typing import Any, Final

import msgspec

from .schema import Schema

# Each round fixes one place; a value that needs more is not "almost" right.
_ROUNDS: Final = 64
_NOTHING: Final = object()


def coerce(schema: Schema, value: Any) -> Any:
    """``value`` if it is valid, else a valid value that differs only in form.

    Raises:
        ValueError: when there is none.
    """
    if schema.is_valid(value):
        return value
    fixed = copy.deepcopy(value)
    for _ in range(_ROUNDS):
        errors = schema.errors(fixed)
        if not errors:
            return fixed
        for error in errors:
            candidate = _mend(fixed, error)
            if candidate is not _NOTHING and len(schema.errors(candidate)) < len(errors):
                fixed = candidate
                break
        else:
            break
    raise ValueError("the value does not fit the schema")


def _mend(root: Any, error: Any) -> Any:
    path: Sequence[str | int] = error.instance_path
    kind = error.kind
    match kind.name:
        case "type":
            return _mend_type(root, path, kind.types)
        case "enum":
            return _mend_enum(root, path, kind.options)
        case "additionalProperties":
            value = _at(root, path)
            return _with(root, path, {k: v for k, v in value.items() if k not in kind.unexpected})
        case "required":
            # Only helps where the property may be null: elsewhere the number of errors stays.
            return _with(root, path, {**_at(root, path), kind.property: None})
        case _:
            return _NOTHING


def _mend_type(root: Any, path: Sequence[str | int], types: Sequence[str]) -> Any:
    value = _at(root, path)
    wanted = [name for name in types if name != "null"]
    if value is None and path and isinstance(path[-1], str):
        # An optional property given as null means "not given"; a required one complains again.
        holder = dict(_at(root, path[:-1]))
        del holder[path[-1]]
        return _with(root, path[:-1], holder)
    if len(wanted) != 1:
        return _NOTHING
    converted = _convert(value, wanted[0])
    return _NOTHING if converted is _NOTHING else _with(root, path, converted)


def _convert(value: Any, wanted: str) -> Any:
    match wanted, value:
        case (("integer" | "number"), str()):
            return _number(value, wanted)
        case "string", int() | float() if _is_number(value):
            return msgspec.json.encode(value).decode()
        case "boolean", str() if value.strip().lower() in ("true", "false"):
            return value.strip().lower() == "true"
        case (("object" | "array"), str()):
            return _parsed(value, dict if wanted == "object" else list)
        case "object", [dict() as only]:
            return only
        case "array", _ if value is not None and not isinstance(value, str):
            return [value]
        case _:
            return _NOTHING


def _is_number(value: Any) -> bool:
    """Whether JSON has a number for ``value``."""
    return isfinite(value) if isinstance(value, float) else type(value) is int


def _number(text: str, wanted: str) -> Any:
    try:
        number = msgspec.json.decode(text.strip())
    except msgspec.DecodeError:
        return _NOTHING
    if isinstance(number, bool) or not isinstance(number, int | float):
        return _NOTHING
    return number if wanted == "number" or isinstance(number, int) else _NOTHING


def _parsed(text: str, kind: type) -> Any:
    try:
        parsed = msgspec.json.decode(text)
    except msgspec.DecodeError:
        # A lone word where a list of words is wanted is a list of one.
        return [text] if kind is list else _NOTHING
    if isinstance(parsed, kind):
        return parsed
    return [text] if kind is list else _NOTHING


def _mend_enum(root: Any, path: Sequence[str | int], options: Sequence[Any]) -> Any:
    value = _at(root, path)
    if isinstance(value, str):
        same = [o for o in options if isinstance(o, str) and o.casefold() == value.strip().casefold()]
        if not same:
            parsed = _number(value, "number")
            same = [o for o in options if not isinstance(o, bool | str) and o == parsed]
    elif _is_number(value):
        text = msgspec.json.encode(value).decode()
        same = [o for o in options if o == text]
    else:
        same = []
    return _with(root, path, same[0]) if len(same) == 1 else _NOTHING


def _at(root: Any, path: Sequence[str | int]) -> Any:
    for step in path:
        root = root[step]
    return root


def _with(root: Any, path: Sequence[str | int], value: Any) -> Any:
    """A copy of ``root`` with ``value`` at ``path``; everything else is shared."""
    if not path:
        return value
    step = path[0]
    changed = dict(root) if isinstance(root, dict) else list(root)
    changed[step] = _with(root[step], path[1:], value)  # type: ignore[index]  # a step fits its holder
    return changed
