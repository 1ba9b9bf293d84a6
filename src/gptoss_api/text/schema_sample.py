"""A plain value that conforms to a JSON Schema, for the demo upstream: same schema, same value."""

from collections.abc import Mapping
from typing import Any, Final

_DEPTH: Final = 12
_FORMATS: Final = {
    "date": "2026-01-31",
    "date-time": "2026-01-31T12:00:00Z",
    "time": "12:00:00Z",
    "email": "demo@example.com",
    "uri": "https://example.com/",
    "uuid": "00000000-0000-4000-8000-000000000000",
    "ipv4": "192.0.2.1",
}


def sample(schema: Any, root: Any = None, depth: int = _DEPTH) -> Any:
    """A small value for ``schema``: its own default, example or first choice where it has one.

    Patterns, ``not`` and conditions are not solved; validate where it matters.
    """
    root = schema if root is None else root
    if not isinstance(schema, Mapping) or depth == 0:
        return None
    for keyword in ("const", "default"):
        if keyword in schema:
            return schema[keyword]
    for keyword in ("enum", "examples"):
        if isinstance(schema.get(keyword), list) and schema[keyword]:
            return schema[keyword][0]
    if isinstance(reference := schema.get("$ref"), str):
        return sample(_resolve(root, reference), root, depth - 1)
    for keyword in ("anyOf", "oneOf"):
        if isinstance(schema.get(keyword), list) and schema[keyword]:
            return sample({**schema, keyword: None, **_first(schema[keyword])}, root, depth - 1)
    if isinstance(schema.get("allOf"), list):
        return sample(_merged(schema, root), root, depth - 1)
    return _by_type(schema, root, depth)


def _by_type(schema: Mapping[str, Any], root: Any, depth: int) -> Any:
    kind = schema.get("type")
    if isinstance(kind, list):
        kind = next((name for name in kind if name != "null"), "null")
    if kind is None:
        kind = "object" if "properties" in schema else "array" if "items" in schema else "string"
    match kind:
        case "object":
            return _object(schema, root, depth)
        case "array":
            count = min(max(int(schema.get("minItems") or 0), 1), 16)
            return [sample(schema.get("items", {}), root, depth - 1) for _ in range(count)]
        case "integer" | "number":
            return _number(schema, kind)
        case "boolean":
            return True
        case "null":
            return None
        case _:
            return _string(schema)


def _object(schema: Mapping[str, Any], root: Any, depth: int) -> dict[str, Any]:
    properties = schema.get("properties")
    properties = properties if isinstance(properties, Mapping) else {}
    required = schema.get("required")
    # Without a list of required properties all are given: the demo should show something.
    names = list(required) if isinstance(required, list) and required else list(properties)
    return {name: sample(properties.get(name, {}), root, depth - 1) for name in names[:200]}


def _number(schema: Mapping[str, Any], kind: str) -> float | int:
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
    return int(value) if kind == "integer" else value


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
