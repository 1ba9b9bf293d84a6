"""The demo's values conform to the schemas people use."""

import json
import time
from typing import Any

import pytest

from gptoss_api.text.schema import compile_schema
from gptoss_api.text.schema_sample import sample

SCHEMAS: list[dict[str, Any]] = [
    {
        "type": "object",
        "properties": {"city": {"type": "string"}, "n": {"type": "integer", "minimum": 5}},
        "required": ["city", "n"],
    },
    {"type": "array", "items": {"enum": ["x", "y"]}, "minItems": 3},
    {
        "$ref": "#/$defs/node",
        "$defs": {
            "node": {
                "type": "object",
                "properties": {
                    "next": {"anyOf": [{"$ref": "#/$defs/node"}, {"type": "null"}]},
                    "v": {"type": "number", "exclusiveMinimum": 1},
                },
                "required": ["v"],
            }
        },
    },
    {
        "allOf": [
            {"type": "object", "properties": {"a": {"const": 3}}, "required": ["a"]},
            {"properties": {"b": {"type": ["null", "boolean"]}}, "required": ["b"]},
        ]
    },
    {"type": "string", "format": "date-time", "minLength": 20},
    {"type": "number", "multipleOf": 5, "minimum": 7},
    {"type": "string", "maxLength": 2},
    {"type": "number", "maximum": 0},
    {"allOf": [{"$ref": "#/$defs/a"}], "$defs": {"a": {"type": "integer", "minimum": 3}}},
    {},
]


@pytest.mark.parametrize("schema", SCHEMAS)
def test_the_sample_conforms(schema: dict[str, Any]) -> None:
    assert compile_schema(schema).complaints(sample(schema)) == []


def test_endless_recursion_ends() -> None:
    schema = {"type": "object", "properties": {"a": {"$ref": "#"}}, "required": ["a"]}
    assert isinstance(sample(schema), dict)


@pytest.mark.parametrize("required", [[], [f"p{i}" for i in range(50)]])
def test_schemas_that_refer_to_themselves_many_times_take_no_time(required: list[str]) -> None:
    schema = {
        "type": "object",
        "properties": {f"p{i}": {"$ref": "#"} for i in range(50)},
        "required": required,
    }
    assert len(json.dumps(sample(schema))) < 100_000


@pytest.mark.parametrize(
    "schema",
    [
        {"enum": []},
        {"type": "array", "minItems": "x", "maxItems": 0},
        {"required": [1, None]},
        {"allOf": [1]},
        {"$ref": "#/a/b"},
        {"type": []},
        {"properties": 1},
        {"default": ["\ud800"]},
        True,
    ],
)
def test_odd_schemas_do_no_harm(schema: Any) -> None:
    json.dumps(sample(schema))


def many(schema: Any) -> dict[str, Any]:
    inner = {"type": "array", "minItems": 16, "items": schema}
    return {"type": "array", "minItems": 16, "items": inner}


@pytest.mark.parametrize(
    "repeated",
    [
        {"default": "x" * 50_000},
        {"const": ["x"] * 20_000},
        {"examples": [["x"] * 20_000]},
        {"type": "string", "minLength": 10_000},
        {"allOf": [{"a": 1}] * 5_000},
        {"anyOf": [None] * 10_000},
        {"type": "object", "required": [f"p{number}" for number in range(10_000)]},
    ],
)
def test_what_is_repeated_takes_little_room_and_time(repeated: dict[str, Any]) -> None:
    begun = time.thread_time()
    assert len(json.dumps(sample(many(repeated)))) < 300_000
    assert time.thread_time() - begun < 3


@pytest.mark.parametrize("kind", ["integer", "number"])
@pytest.mark.parametrize(
    "limits",
    [
        {"multipleOf": 1e308, "minimum": 1.5e308},
        {"multipleOf": 1e-320, "minimum": 1e300},
        {"multipleOf": 0.5, "minimum": 10**400},
    ],
)
def test_numbers_beyond_all_bounds_do_no_harm(kind: str, limits: dict[str, Any]) -> None:
    json.dumps(sample({"type": kind, **limits}), allow_nan=False)
