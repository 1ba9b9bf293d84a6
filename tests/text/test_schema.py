"""Client schemas are compiled safely and complaints are words a model can act on.

Group 52 of docs/design/cases.md.
"""

import time

import pytest

from gptoss_api.text.schema import SchemaRefused, compile_schema, json_path


def test_complaints_name_the_place_and_the_reason() -> None:
    schema = compile_schema(
        {
            "type": "object",
            "properties": {
                "filters": {"type": "array", "items": {"properties": {"field": {"enum": ["a", "b"]}}}}
            },
            "required": ["filters"],
        }
    )
    assert schema.complaints({"filters": [{"field": "z"}]}) == [
        '$.filters[0].field: "z" is not one of "a" or "b"'
    ]
    assert schema.complaints({"filters": []}) == []


def test_at_most_five_complaints_are_given() -> None:
    schema = compile_schema({"type": "array", "items": {"type": "integer"}})
    assert len(schema.complaints(["x"] * 50)) == 5


@pytest.mark.parametrize(
    "source",
    [
        {"$ref": "http://127.0.0.1:1/schema.json"},
        {"properties": {"a": {"$ref": "file:///etc/passwd"}}},
        {"items": [{"$dynamicRef": "other.json"}]},
    ],
)
def test_references_to_other_documents_are_refused_and_never_fetched(source: dict[str, object]) -> None:
    with pytest.raises(SchemaRefused, match="points outside"):
        compile_schema(source)


def test_an_id_does_not_make_a_local_reference_remote() -> None:
    schema = compile_schema(
        {
            "$id": "http://127.0.0.1:1/root.json",
            "$defs": {"n": {"type": "integer"}},
            "properties": {"a": {"$ref": "#/$defs/n"}},
        }
    )
    assert schema.is_valid({"a": 1})
    assert not schema.is_valid({"a": "x"})


@pytest.mark.parametrize(
    ("source", "why"),
    [
        ({"type": "dict"}, "not valid"),
        ({"pattern": "("}, "not valid"),
        ({"description": "x" * 300_000}, "bytes"),
        ({"$ref": "#/$defs/missing"}, "not valid"),
    ],
)
def test_unusable_schemas_are_refused_with_the_reason(source: dict[str, object], why: str) -> None:
    with pytest.raises(SchemaRefused, match=why):
        compile_schema(source)


def test_deep_nesting_is_refused_without_a_crash() -> None:
    source: dict[str, object] = {}
    for _ in range(5_000):
        source = {"not": source}
    with pytest.raises(SchemaRefused):
        compile_schema(source)


def test_a_catastrophic_pattern_is_harmless() -> None:
    schema = compile_schema({"pattern": "^(a+)+$"})
    started = time.thread_time()
    assert not schema.is_valid("a" * 5_000 + "b")
    assert time.thread_time() - started < 5


def test_the_same_schema_is_compiled_once() -> None:
    assert compile_schema({"type": "string"}) is compile_schema({"type": "string"})


def test_json_path_quotes_what_is_no_identifier() -> None:
    assert json_path(["a b", 0, "c"]) == '$["a b"][0].c'


@pytest.mark.parametrize("value", [{"a": "\ud800"}, {"\udfff": 1}])
def test_what_cannot_be_looked_at_is_not_valid(value: object) -> None:
    schema = compile_schema({"type": "object", "additionalProperties": {"type": "string", "minLength": 2}})
    assert not schema.is_valid(value)
    assert schema.complaints(value)


def test_deep_values_do_no_harm() -> None:
    value: list[object] = []
    for _ in range(5_000):
        value = [value]
    assert compile_schema({"type": "object"}).complaints(value)
