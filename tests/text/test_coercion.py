"""Free fixes change the form of a value, never its content: group 46 of docs/design/cases.md."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gptoss_api.text.coercion import coerce
from gptoss_api.text.schema import compile_schema


def obj(**properties: Any) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "additionalProperties": False}


FIXED = [
    ({"type": "integer"}, "5", 5),
    ({"type": "number"}, "1.5", 1.5),
    ({"type": "string"}, 5, "5"),
    ({"type": "boolean"}, "True", True),
    ({"type": "array", "items": {"type": "string"}}, "a", ["a"]),
    ({"type": "array", "items": {"type": "integer"}}, 3, [3]),
    (obj(a={"type": "integer"}), [{"a": 1}], {"a": 1}),
    (obj(a={"type": "integer"}), '{"a": 1}', {"a": 1}),
    ({"type": "array", "items": {"type": "integer"}}, "[1, 2]", [1, 2]),
    ({"enum": ["Red", "Blue"]}, "red", "Red"),
    ({"enum": [1, 2]}, "2", 2),
    ({"const": "Red"}, "red", "Red"),
    ({"enum": ["1", 1]}, "1", "1"),
    ({"enum": ["1", "2"]}, 2, "2"),
    ({"type": ["string", "integer"]}, "1", "1"),
    ({"type": "string"}, 10**400, "1" + "0" * 400),
    (obj(a={"type": "integer"}), {"a": 1, "b": 2}, {"a": 1}),
    (obj(a={"type": "integer"}), {"a": None}, {}),
    (obj(a={"type": ["string", "null"]}) | {"required": ["a"]}, {}, {"a": None}),
    (
        obj(a=obj(b={"type": "array", "items": {"type": "integer"}})),
        {"a": {"b": ["1", "2", 3]}},
        {"a": {"b": [1, 2, 3]}},
    ),
]


@pytest.mark.parametrize(("source", "given_value", "fixed"), FIXED)
def test_the_form_is_mended(source: dict[str, Any], given_value: Any, fixed: Any) -> None:
    result = coerce(compile_schema(source), given_value)
    assert result == fixed
    assert type(result) is type(fixed)


REFUSED = [
    ({"type": "integer"}, "five"),
    ({"type": "integer"}, 5.5),
    ({"type": "integer"}, True),
    ({"type": "string", "minLength": 1}, ""),
    (obj(a={"type": "string"}) | {"required": ["a"]}, {}),
    (obj(a={"type": "string"}) | {"required": ["a"]}, {"a": None}),
    ({"enum": ["a", "A"]}, "á"),
    ({"enum": ["Ab", "aB"]}, "ab"),
    ({"type": ["integer", "boolean"]}, "5"),
    ({"type": "object"}, '{"a":' + "[" * 2_000 + "]" * 2_000 + "}"),
    ({"type": "integer"}, "[" * 2_000),
    ({"enum": ["1", 1]}, "x"),
    ({"type": ["string", "integer"], "minLength": 3}, "1"),
    ({"anyOf": [{"type": "integer"}, {"type": "object"}]}, "5"),
    ({"type": "string"}, float("inf")),
    ({"enum": ["null", "x"]}, float("nan")),
    ({"enum": ["a"]}, None),
    ({"enum": [1, 2]}, "one"),
    ({"type": "integer"}, "true"),
    ({"type": "integer"}, "[1]"),
    ({"type": "object"}, "[1]"),
    ({"type": "object"}, "one"),
    ({"type": "boolean"}, "maybe"),
]


@pytest.mark.parametrize(("source", "given_value"), REFUSED)
def test_nothing_is_guessed(source: dict[str, Any], given_value: Any) -> None:
    with pytest.raises(ValueError, match="does not fit"):
        coerce(compile_schema(source), given_value)


def test_the_given_value_is_left_alone() -> None:
    value = {"a": "1"}
    coerce(compile_schema(obj(a={"type": "integer"})), value)
    assert value == {"a": "1"}


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)


@given(json_values)
def test_what_comes_out_is_always_valid(value: Any) -> None:
    schema = compile_schema(obj(a={"type": "integer"}, b={"type": "array", "items": {"enum": ["x", 1]}}))
    try:
        assert schema.is_valid(coerce(schema, value))
    except ValueError:
        assert not schema.is_valid(value)
