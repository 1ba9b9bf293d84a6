"""A schema is refused for what it unfolds to, which is counted without unfolding it.

Everything here is harmless: just beyond a limit, or never given to a validator.
"""

from collections.abc import Callable, Mapping
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gptoss_api.text.schema import SchemaRefused, SchemaTooLarge, compile_schema
from gptoss_api.text.schema_parts import DEFINITION, MAX_PARTS, MAX_PATTERNS, Part, take_apart
from gptoss_api.text.schema_unfolding import MAX_BESIDE, MAX_UNFOLDED, Unfolding, check_unfolding

Json = dict[str, Any]


def unfolding(source: Any) -> Unfolding:
    return check_unfolding(take_apart(source, 0).parts)


def doubled(levels: int, twice: Callable[[Json], Json], last: Any = True) -> Json:
    """Definitions that each refer twice to the next one."""
    definitions: Json = {f"d{i}": twice({"$ref": f"#/$defs/d{i + 1}"}) for i in range(levels)}
    # In old drafts nothing but the reference counts beside one.
    return {"allOf": [{"$ref": "#/$defs/d0"}], "$defs": {**definitions, f"d{levels}": last}}


OLD = "http://json-schema.org/draft-07/schema#"
TWICE: dict[str, Callable[[Json], Json]] = {
    "anyOf": lambda each: {"anyOf": [each, each]},
    "oneOf": lambda each: {"oneOf": [each, {"allOf": [each]}]},
    "allOf": lambda each: {"allOf": [each, each]},
    "if": lambda each: {"if": each, "then": each},
    "not": lambda each: {"not": each, "else": each, "if": True},
    "properties": lambda each: {"properties": {"a": each, "b": each}},
    "items": lambda each: {"items": each, "contains": each},
    "prefixItems": lambda each: {"prefixItems": [each, each]},
    "old items": lambda each: {"items": [each], "additionalItems": each},
    "patternProperties": lambda each: {"patternProperties": {"a": each}, "additionalProperties": each},
    "propertyNames": lambda each: {"propertyNames": each, "unevaluatedItems": each},
    "dependentSchemas": lambda each: {"dependentSchemas": {"a": each}, "dependencies": {"b": each}},
}


@pytest.mark.parametrize("twice", TWICE.values(), ids=TWICE)
def test_what_unfolds_beyond_the_limit_is_refused(twice: Callable[[Json], Json]) -> None:
    draft = {"$schema": OLD} if twice is TWICE["old items"] else {}
    compile_schema(doubled(8, twice) | draft)
    with pytest.raises(SchemaTooLarge, match=rf"at most {MAX_UNFOLDED} are accepted"):
        compile_schema(doubled(14, twice) | draft)


def test_every_part_is_looked_at_once_however_much_there_is(monkeypatch: pytest.MonkeyPatch) -> None:
    looks: list[Part] = []

    def within(part: Part) -> list[Part]:
        looks.append(part)
        return all_within(part)

    all_within: Callable[[Part], list[Part]] = Part.within.fget  # type: ignore[attr-defined]  # a property
    parts = take_apart(doubled(14, TWICE["properties"]), 0).parts
    monkeypatch.setattr(Part, "within", property(within))
    with pytest.raises(SchemaTooLarge, match="65"):
        check_unfolding(parts)
    assert len(looks) <= 2 * len(parts)


REFERENCES: dict[str, tuple[Callable[[int], str], Callable[[int], Json]]] = {
    "pointer": (lambda i: f"#/$defs/d{i}", lambda i: {}),
    "escaped pointer": (lambda i: f"#/%24defs/%64{i}", lambda i: {}),
    "anchor": (lambda i: f"#a{i}", lambda i: {"$anchor": f"a{i}"}),
    "old anchor": (lambda i: f"#a{i}", lambda i: {"$id": f"#a{i}"}),
}


@pytest.mark.parametrize(("reference", "name"), REFERENCES.values(), ids=REFERENCES)
@pytest.mark.parametrize("keyword", ["$ref", "$dynamicRef"])
def test_however_a_definition_is_referred_to_it_counts(
    keyword: str, reference: Callable[[int], str], name: Callable[[int], Json]
) -> None:
    definitions: Json = {
        f"d{i}": {"items": {"anyOf": [{keyword: reference(i + 1)}, {keyword: reference(i + 1)}]}, **name(i)}
        for i in range(14)
    }
    source = {keyword: reference(0), "$defs": {**definitions, "d14": {"type": "integer", **name(14)}}}
    with pytest.raises(SchemaTooLarge, match=f"at most {MAX_UNFOLDED}"):
        compile_schema(source)


def test_a_reference_means_what_it_means_inside_a_schema_with_an_id() -> None:
    inner = {"$id": "http://x/inner", **doubled(14, TWICE["anyOf"])}
    with pytest.raises(SchemaTooLarge, match=f"at most {MAX_UNFOLDED}"):
        compile_schema({"$defs": {"d0": True}, "properties": {"a": inner}})


def test_a_way_back_to_the_root_hides_no_alternatives() -> None:
    source = doubled(14, TWICE["anyOf"], {"properties": {"again": {"$ref": "#"}}})
    with pytest.raises(SchemaTooLarge, match=f"at most {MAX_UNFOLDED}"):
        compile_schema(source)


def test_what_looks_for_what_is_left_over_counts_three_times() -> None:
    """The library compiles and checks what stands beside it again."""

    def nested(levels: int) -> Json:
        schema: Json = {"properties": {"a": True}}
        for _ in range(levels):
            schema = {"allOf": [schema], "unevaluatedProperties": False}
        return schema

    compile_schema(nested(7))
    with pytest.raises(SchemaTooLarge, match=f"at most {MAX_UNFOLDED}"):
        compile_schema(nested(9))


# Recursive schemas


def tree(source: Json) -> Json:
    return {"$defs": source, "$ref": f"#/$defs/{next(iter(source))}"}


def kind_of(number: int, kinds: int) -> Json:
    inside = {"items": {"anyOf": [{"$ref": f"#/$defs/k{each}"} for each in range(kinds)]}}
    return {"properties": {"kind": {"const": number}, "inside": inside}, "required": ["kind", "inside"]}


EXPRESSION = {"$ref": "#/$defs/e"}
RECURSIVE: dict[str, tuple[Json, Any]] = {
    "list": (
        tree({"n": {"properties": {"next": {"anyOf": [{"$ref": "#/$defs/n"}, {"type": "null"}]}}}}),
        {"next": {"next": {"next": None}}},
    ),
    "tree": (
        {"type": "object", "properties": {"children": {"type": "array", "items": {"$ref": "#"}}}},
        {"children": [{"children": []}, {"children": [{"children": []}]}]},
    ),
    "thirty kinds of nodes in each other": (
        tree({f"k{number}": kind_of(number, 30) for number in range(30)}),
        {"kind": 0, "inside": [{"kind": 7, "inside": [{"kind": 29, "inside": []}]}]},
    ),
    "expressions": (
        tree(
            {
                "e": {"anyOf": [{"type": "number"}, {"$ref": "#/$defs/sum"}, {"$ref": "#/$defs/not"}]},
                "sum": {"properties": {"of": {"items": EXPRESSION}}, "required": ["of"]},
                "not": {"properties": {"not": EXPRESSION}, "required": ["not"]},
            }
        ),
        {"of": [1, {"not": {"of": [2, 3]}}]},
    ),
    "recursive anchor": (
        {
            "$schema": "https://json-schema.org/draft/2019-09/schema",
            "$recursiveAnchor": True,
            "properties": {"a": {"$recursiveRef": "#"}},
        },
        {"a": {"a": {}}},
    ),
}


@pytest.mark.parametrize(("source", "value"), RECURSIVE.values(), ids=RECURSIVE)
def test_schemas_that_describe_themselves_are_accepted(source: Json, value: Any) -> None:
    assert unfolding(source).recursive
    assert compile_schema(source).is_valid(value)


@pytest.mark.parametrize(
    "source",
    [
        {"$ref": "#"},
        {"allOf": [{"$ref": "#"}]},
        {"anyOf": [{"type": "string"}, {"not": {"$ref": "#"}}]},
        tree({"a": {"$ref": "#/$defs/b"}, "b": {"if": {"$ref": "#/$defs/a"}}}),
    ],
)
def test_a_reference_that_leads_to_itself_is_no_schema(source: Json) -> None:
    with pytest.raises(SchemaRefused, match="leads back to itself"):
        compile_schema(source)


# Other limits


def chained(length: int) -> Json:
    definitions: Json = {f"d{i}": {"$ref": f"#/$defs/d{i + 1}"} for i in range(length)}
    return tree({**definitions, f"d{length}": {"type": "integer"}})


def test_references_behind_each_other_have_a_limit() -> None:
    compile_schema(chained(MAX_BESIDE - 3))
    with pytest.raises(SchemaTooLarge, match=f"more than {MAX_BESIDE} parts"):
        compile_schema(chained(MAX_BESIDE))
    with pytest.raises(SchemaTooLarge, match=f"more than {MAX_BESIDE} parts"):
        compile_schema(chained(600))


def test_as_many_properties_as_openai_takes_are_accepted() -> None:
    compile_schema({"properties": {f"p{i}": {"type": "string"} for i in range(5_000)}})


def test_parts_have_a_limit() -> None:
    with pytest.raises(SchemaTooLarge, match=f"more than {MAX_PARTS} parts"):
        compile_schema({"anyOf": [{} for _ in range(MAX_PARTS)]})
    definitions: Json = {f"d{i}": True for i in range(MAX_PARTS // DEFINITION)}
    with pytest.raises(SchemaTooLarge, match=f"more than {MAX_PARTS} parts"):
        compile_schema(
            {"properties": {name: {"$ref": f"#/$defs/{name}"} for name in definitions}, "$defs": definitions}
        )


EVERYDAY = [
    r"^\d{4}-\d{2}-\d{2}$",
    r"^[a-z0-9]+(?:-[a-z0-9]+)*$",
    r"^[\w.+-]+@[\w-]+\.[\w.-]+$",
    r"^(?=.*[A-Z])(?=.*\d).{8,64}$",
    r"^\p{Lu}\p{L}*$",
    "^.{1,1000}$",
    "^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$",
    r"^((25[0-5]|2[0-4]\d|1?\d?\d)\.){3}(25[0-5]|2[0-4]\d|1?\d?\d)$",
]


def test_everyday_patterns_are_accepted_together() -> None:
    compile_schema({"properties": {f"p{i}": {"pattern": pattern} for i, pattern in enumerate(EVERYDAY)}})


@pytest.mark.parametrize(
    "patterns",
    [
        [f"[a-z]{{{MAX_PATTERNS}}}"],
        ["a" * (MAX_PATTERNS + 1)],
        ["(a{40}){40}{40}"],
        [r"\p{L}{40}"],
        [f"^a{{1,{i}}}$" for i in range(900, 1000)],
        [f"{i}" for i in range(400)],
    ],
)
def test_patterns_have_a_limit(patterns: list[str]) -> None:
    with pytest.raises(SchemaTooLarge, match="maxLength"):
        compile_schema({"items": {"anyOf": [{"pattern": pattern} for pattern in patterns]}})
    with pytest.raises(SchemaTooLarge, match="maxLength"):
        compile_schema({"$defs": {"x": {"patternProperties": dict.fromkeys(patterns, True)}}})


# The counter against a count that follows every reference

NAMES = [f"d{i}" for i in range(6)]


def schemas(refers_to: list[str]) -> st.SearchStrategy[Any]:
    """Schemas that refer only to some definitions."""
    references = [{"$ref": f"#/$defs/{name}"} for name in refers_to]
    leaves = st.sampled_from([True, {}, {"type": "string"}, *references])
    return st.recursive(
        leaves,
        lambda inner: st.fixed_dictionaries(
            {},
            optional={
                "anyOf": st.lists(inner, min_size=1, max_size=3),
                "allOf": st.lists(inner, min_size=1, max_size=2),
                "properties": st.dictionaries(st.sampled_from("ab"), inner, max_size=2),
                "items": inner,
                "not": inner,
            },
        ),
        max_leaves=4,
    )


documents = st.fixed_dictionaries(
    {name: schemas(NAMES[index + 1 :]) for index, name in enumerate(NAMES)}
).map(tree)


def naive(source: Any, root: Mapping[str, Any]) -> int:
    if not isinstance(source, dict):
        return 1
    count = 1
    if "$ref" in source:
        count += naive(root["$defs"][source["$ref"].rpartition("/")[2]], root)
    for keyword in ("anyOf", "allOf"):
        count += sum(naive(each, root) for each in source.get(keyword, ()))
    count += sum(naive(each, root) for each in source.get("properties", {}).values())
    return count + sum(naive(source[keyword], root) for keyword in ("items", "not") if keyword in source)


@given(documents)
@settings(max_examples=200, deadline=None)
def test_the_count_is_that_of_following_every_reference(source: Json) -> None:
    expected = naive(source, source)
    if expected > MAX_UNFOLDED:
        with pytest.raises(SchemaTooLarge):
            unfolding(source)
    else:
        assert unfolding(source) == Unfolding(expected, recursive=False)
