"""The demo's values conform to the schemas people use."""

import json
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
        True,
    ],
)
def test_odd_schemas_do_no_harm(schema: Any) -> None:
    json.dumps(sample(schema))
