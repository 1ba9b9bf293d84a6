"""Free fixes: turns a value that almost fits a schema into one that does, without inventing anything.

Only unambiguous changes of form are made ("5" to 5, a lone value to a list of one, an enum value in
the wrong case), each where the validator itself points, and a result counts only if the whole value
is then valid. Strings, numbers and choices are never guessed
(docs/design/emulation.md, "Structured output").
"""

from collections.abc import Sequence
from math import isfinite
from typing import Any, Final

import msgspec

from .schema import Allowance, Check, Schema, Unchecked

# Each round fixes one place; a value that needs more is not "almost" right.
_ROUNDS: Final = 64
NOTHING: Final = object()


Path = tuple[str | int, ...]


class Misfit(ValueError):
    """A value that does not fit, also when its form is changed; ``complaints`` say why in words."""

    def __init__(self, complaints: list[str]) -> None:
        super().__init__("the value does not fit the schema")
        self.complaints = complaints


def coerce(schema: Schema, value: Any, allowance: Allowance | None = None, *, unlimited: bool = False) -> Any:
    """``value`` if it is valid, else a valid value that differs only in form; see :class:`Check`.

    Raises:
        Misfit: when there is none.
        Unchecked: where that would take too long to find out.
    """
    check = Check(schema, allowance, unlimited=unlimited)
    if check.is_valid(value):
        return value
    try:
        fixed = _mended(check, value)
    except Unchecked:
        raise Unchecked(fits=False) from None
    except ValueError:
        fixed = NOTHING
    if fixed is NOTHING:
        raise Misfit(check.complaints(value))
    return fixed


def _mended(check: Check, value: Any) -> Any:
    mended: Path | None = None
    for _ in range(_ROUNDS):
        fault = check.fault(value)
        if fault is None:
            return value
        place = tuple(fault.instance_path)
        if mended is not None and place[: len(mended)] == mended:
            # What was changed there was not the whole of it.
            break
        change = _mend(value, place, fault.kind)
        if change is None:
            break
        value, mended = change
    return NOTHING


def _mend(root: Any, path: Path, kind: Any) -> tuple[Any, Path] | None:
    """``root`` with a change against a fault of this ``kind``, and where it has to be right after it."""
    changed, place = NOTHING, path
    match kind.name:
        case "type":
            changed = _mend_type(root, path, kind.types)
        case "enum":
            changed = _mend_options(root, path, kind.options)
        case "const":
            changed = _mend_options(root, path, [kind.expected_value])
        case "additionalProperties":
            unexpected = kind.unexpected
            changed = _with(root, path, {k: v for k, v in _at(root, path).items() if k not in unexpected})
            place = (*path, unexpected[0])
        case "required":
            # Only helps where the property may be null.
            changed = _with(root, path, {**_at(root, path), kind.property: None})
            place = (*path, kind.property)
    return None if changed is NOTHING else (changed, place)


def _mend_options(root: Any, path: Path, options: Sequence[Any]) -> Any:
    option = chosen(_at(root, path), options)
    return NOTHING if option is NOTHING else _with(root, path, option)


def _mend_type(root: Any, path: Path, types: Sequence[str]) -> Any:
    value = _at(root, path)
    wanted = [name for name in types if name != "null"]
    if value is None and path and isinstance(path[-1], str):
        # An optional property given as null means "not given"; a required one complains again.
        holder = dict(_at(root, path[:-1]))
        del holder[path[-1]]
        return _with(root, path[:-1], holder)
    if len(wanted) != 1:
        return NOTHING
    result = converted(value, wanted[0])
    return NOTHING if result is NOTHING else _with(root, path, result)


def converted(value: Any, wanted: str, written: str = "") -> Any:
    """``value`` (``written`` so, where that is known) as the type ``wanted``, or ``NOTHING``."""
    match wanted, value:
        case (("integer" | "number"), str()):
            return _number(value, wanted)
        case "string", int() | float() if _is_number(value):
            return written or msgspec.json.encode(value).decode()
        case "boolean", str() if value.strip().lower() in ("true", "false"):
            return value.strip().lower() == "true"
        case (("object" | "array"), str()):
            return _parsed(value, dict if wanted == "object" else list)
        case "object", [dict() as only]:
            return only
        case "array", _ if value is not None and not isinstance(value, str):
            return [value]
        case _:
            return NOTHING


def _is_number(value: Any) -> bool:
    """Whether JSON has a number for ``value``."""
    return isfinite(value) if isinstance(value, float) else type(value) is int


def _number(text: str, wanted: str) -> Any:
    number = _decoded(text.strip())
    if isinstance(number, bool) or not isinstance(number, int | float):
        return NOTHING
    return number if wanted == "number" or isinstance(number, int) else NOTHING


def _parsed(text: str, kind: type) -> Any:
    parsed = _decoded(text)
    if isinstance(parsed, kind):
        return parsed
    # A lone word where a list of words is wanted is a list of one.
    return [text] if kind is list else NOTHING


def _decoded(text: str) -> Any:
    try:
        return msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError):
        return NOTHING


def chosen(value: Any, options: Sequence[Any]) -> Any:
    """The only one of ``options`` that ``value`` differs from in form alone, else ``NOTHING``."""
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
    return same[0] if len(same) == 1 else NOTHING


def _at(root: Any, path: Path) -> Any:
    for step in path:
        root = root[step]
    return root


def _with(root: Any, path: Path, value: Any) -> Any:
    """A copy of ``root`` with ``value`` at ``path``; everything else is shared."""
    if not path:
        return value
    step = path[0]
    changed = dict(root) if isinstance(root, dict) else list(root)
    changed[step] = _with(root[step], path[1:], value)  # type: ignore[index]  # a step fits its holder
    return changed
