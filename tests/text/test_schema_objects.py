"""Schemas in which empty objects came as empty arrays."""

import copy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gptoss_api.dialects.chat import ChatDialect
from gptoss_api.dialects.responses import ResponsesDialect
from gptoss_api.text.schema_objects import mend_empty_objects


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ({"type": "object", "properties": []}, {"type": "object", "properties": {}}),
        ({"properties": {"a": []}}, {"properties": {"a": {}}}),
        ({"properties": {"a": {"properties": []}}}, {"properties": {"a": {"properties": {}}}}),
        ({"items": {"properties": []}}, {"items": {"properties": {}}}),
        ({"anyOf": [{"properties": []}]}, {"anyOf": [{"properties": {}}]}),
        ({"$defs": {"a": {"not": []}}}, {"$defs": {"a": {"not": {}}}}),
        ({"additionalProperties": []}, {"additionalProperties": {}}),
    ],
)
def test_an_empty_array_where_only_an_object_can_stand_is_one(written: Any, meant: Any) -> None:
    mend_empty_objects(written)
    assert written == meant


SAME = [
    {"required": [], "enum": [], "items": [], "anyOf": [], "prefixItems": [], "type": []},
    {"const": {"properties": []}, "default": {"properties": []}, "enum": [{"properties": []}]},
    {"properties": {"properties": {"default": []}}},
    {"properties": [{"a": 1}], "not": [1]},
]


@pytest.mark.parametrize("schema", SAME)
def test_other_arrays_stay(schema: Any) -> None:
    before = copy.deepcopy(schema)
    mend_empty_objects(schema)
    assert schema == before


_ANY: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.just([]) | st.text(max_size=2),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["properties", "items", "allOf", "not", "$defs", "a"]), inner)
    ),
)


@given(st.dictionaries(st.sampled_from(["properties", "items", "allOf", "not", "$defs"]), _ANY))
def test_once_is_enough_whatever_it_is(schema: dict[str, Any]) -> None:
    mend_empty_objects(schema)
    before = copy.deepcopy(schema)
    mend_empty_objects(schema)
    assert schema == before


@pytest.mark.parametrize("parameters", [b"[]", b'{"type": "object", "properties": []}'])
@pytest.mark.parametrize("strict", [b"false", b"true"])
def test_tools_of_php_clients_are_taken(parameters: bytes, strict: bytes) -> None:
    tool = b'"name": "f", "strict": %b, "parameters": %b' % (strict, parameters)
    chat = ChatDialect().parse(
        b'{"messages": [{"role": "user", "content": "go"}], '
        b'"tools": [{"type": "function", "function": {%b}}]}' % tool,
        {},
    )
    responses = ResponsesDialect().parse(b'{"input": "go", "tools": [{"type": "function", %b}]}' % tool, {})
    for turn in (chat.turns[0], responses.turns[0]):
        assert turn.tools[0].parameters in ({}, {"type": "object", "properties": {}})
