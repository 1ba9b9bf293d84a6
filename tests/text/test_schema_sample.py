"""The demo's values conform to the schemas people use."""

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
