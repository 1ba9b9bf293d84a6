"""A plain value that conforms to a JSON Schema, for the demo upstream: same schema, same value."""

from collections.abc import Mapping
from math import isfinite
from typing import Any, Final

import msgspec

_DEPTH: Final = 12
_MOST_VALUES: Final = 1_000
# A value takes as long as so many small steps.
_STEPS: Final = 32
# Characters of what schemas give themselves; one such value may be larger.
_ROOM: Final = 100_000
_NAMES: Final = 200
_FORMATS: Final = {
    "date": "2026-01-31",
    "date-time": "2026-01-31T12:00:00Z",
    "time": "12:00:00Z",
    "email": "demo@example.com",
    "uri": "https://example.com/",
    "uuid": "00000000-0000-4000-8000-000000000000",
    "ipv4": "192.0.2.1",
}


def sample(schema: Any) -> Any:
    """A small value for ``schema``: its own default, example or first choice where it has one.

    Patterns, ``not`` and conditions are not solved; validate where it matters.
    """
    return _Sampler(schema).value(schema, _DEPTH)


class _Sampler:
    """Makes one value; schemas that refer to themselves are followed so far and no farther."""

    def __init__(self, root: Any) -> None:
        self._root = root
        self._left = _MOST_VALUES
        self._room = _ROOM
        self._sizes: dict[int, int] = {}

    def value(self, schema: Any, depth: int) -> Any:
        self._left -= 1
        if not isinstance(schema, Mapping) or depth == 0 or self._left < 0:
            return None
        for keyword in ("const", "default"):
            if keyword in schema:
                return self._given(schema[keyword])
        for keyword in ("enum", "examples"):
            if isinstance(schema.get(keyword), list) and schema[keyword]:
                return self._given(schema[keyword][0])
        if isinstance(reference := schema.get("$ref"), str):
            self._work(len(reference))
            return self.value(_resolve(self._root, reference), depth - 1)
        for keyword in ("anyOf", "oneOf"):
            if isinstance(schema.get(keyword), list) and schema[keyword]:
                self._work(len(schema) + len(schema[keyword]))
                return self.value({**schema, keyword: None, **_first(schema[keyword])}, depth - 1)
        if isinstance(schema.get("allOf"), list):
            self._work(len(schema) + _STEPS * len(schema["allOf"]))
            return self.value(_merged(schema, self._root), depth - 1)
        return self._by_type(schema, depth)

    def _work(self, steps: int) -> None:
        self._left -= steps // _STEPS

    def _given(self, value: Any) -> Any:
        """``value``, which the schema names, unless there is no room for more of them."""
        if self._room < 0:
            return None
        if isinstance(value, str):
            self._room -= len(value)
        elif isinstance(value, dict | list):
            if id(value) not in self._sizes:
                self._sizes[id(value)] = _size(value)
            self._room -= self._sizes[id(value)]
        return value

    def _by_type(self, schema: Mapping[str, Any], depth: int) -> Any:
        kind = schema.get("type")
        if isinstance(kind, list):
            kind = next((name for name in kind if name != "null"), "null")
        if kind is None:
            kind = "object" if "properties" in schema else "array" if "items" in schema else "string"
        match kind:
            case "object":
                return self._object(schema, depth)
            case "array":
                return self._array(schema, depth)
            case "integer" | "number":
                return _number(schema, kind)
            case "boolean":
                return True
            case "null":
                return None
            case _:
                return self._given(_string(schema))

    def _array(self, schema: Mapping[str, Any], depth: int) -> list[Any]:
        least = schema.get("minItems")
        count = min(max(least, 1), 16) if isinstance(least, int) else 1
        most = schema.get("maxItems")
        count = min(count, most) if isinstance(most, int) else count
        return [self.value(schema.get("items", {}), depth - 1) for _ in range(count)]

    def _object(self, schema: Mapping[str, Any], depth: int) -> dict[str, Any]:
        properties = _mapping(schema.get("properties"))
        required = schema.get("required")
        required = required[:_NAMES] if isinstance(required, list) else []
        names = [name for name in required if isinstance(name, str)]
        # Without a list of required properties all are given: the demo should show something.
        if not names and self._left > _MOST_VALUES // 2:
            names = list(properties)
        return {name: self.value(properties.get(name, {}), depth - 1) for name in names[:_NAMES]}


def _size(value: Any) -> int:
    try:
        return len(msgspec.json.encode(value))
    except (ValueError, OverflowError, RecursionError):
        return _ROOM


def _number(schema: Mapping[str, Any], kind: str) -> float | int:
    try:
        value = _fitting_number(schema)
        return int(value) if kind == "integer" else value
    except OverflowError:
        return 1


def _fitting_number(schema: Mapping[str, Any]) -> float | int:
    low, high = schema.get("minimum"), schema.get("maximum")
    above = schema.get("exclusiveMinimum")
    value: float | int = 1
    if isinstance(above, int | float) and not isinstance(above, bool) and value <= above:
        value = above + 1
    if isinstance(low, int | float) and value < low:
        value = low
    if isinstance(high, int | float) and value > high:
        value = high
    step = schema.get("multipleOf")
    if isinstance(step, int | float) and step > 0:
        value = step * max(1, -(-value // step))
    return value if isinstance(value, int) or isfinite(value) else 1


def _string(schema: Mapping[str, Any]) -> str:
    text = _FORMATS.get(str(schema.get("format")), "demo")
    shortest = schema.get("minLength")
    if isinstance(shortest, int):
        text = text.ljust(min(shortest, 10_000), "x")
    longest = schema.get("maxLength")
    return text[:longest] if isinstance(longest, int) and longest >= 0 else text


def _first(options: list[Any]) -> Mapping[str, Any]:
    chosen = next((o for o in options if isinstance(o, Mapping) and o.get("type") != "null"), {})
    return chosen if isinstance(chosen, Mapping) else {}


def _merged(schema: Mapping[str, Any], root: Any) -> dict[str, Any]:
    merged: dict[str, Any] = {k: v for k, v in schema.items() if k != "allOf"}
    for part in schema["allOf"]:
        if isinstance(part, Mapping) and isinstance(part.get("$ref"), str):
            part = _resolve(root, part["$ref"])
        if not isinstance(part, Mapping):
            continue
        properties = {**_mapping(merged.get("properties")), **_mapping(part.get("properties"))}
        required = [*(merged.get("required") or ()), *(part.get("required") or ())]
        merged |= part
        if properties:
            merged["properties"] = properties
        if required:
            merged["required"] = list(dict.fromkeys(required))
    return merged


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _resolve(root: Any, reference: str) -> Any:
    node = root
    for step in reference.removeprefix("#").strip("/").split("/") if reference != "#" else ():
        step = step.replace("~1", "/").replace("~0", "~")
        node = node.get(step) if isinstance(node, Mapping) else None
    return node
