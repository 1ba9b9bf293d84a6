"""Schemas as TypeScript: groups 10 to 12 of docs/design/cases.md."""

import time
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gptoss_api.emulation.prompt.typescript import SizeBudget, comment_lines, function_type


def member(schema: Any, **root: Any) -> str:
    """How a required member ``x`` with ``schema`` is rendered."""
    text = function_type("f", "", {"type": "object", "properties": {"x": schema}, "required": ["x"], **root})
    assert text.startswith("type f = (_: {\n")
    assert text.endswith("\n}) => any;")
    return text.removeprefix("type f = (_: {\n").removesuffix("\n}) => any;")


def test_the_layout_is_harmonys() -> None:
    schema = {
        "type": "object",
        "properties": {
            "city": {"type": "string", "description": "City name, e.g. Paris"},
            "day": {"type": "string", "enum": ["today", "tomorrow"], "default": "today"},
            "max_km": {
                "description": "Upper limit,\nnull for none",
                "anyOf": [{"type": "number", "minimum": 0}, {"type": "null"}],
            },
        },
        "required": ["city"],
    }
    assert function_type("get", "Weather.\nFor one day.", schema) == (
        "// Weather.\n// For one day.\n"
        "type get = (_: {\n"
        "// City name, e.g. Paris\n"
        "city: string,\n"
        'day?: "today" | "tomorrow", // default: "today"\n'
        "// Upper limit,\n// null for none\n"
        "max_km?: number | null, // minimum: 0\n"
        "}) => any;"
    )


@pytest.mark.parametrize(
    "parameters",
    [
        None,
        {},
        {"type": "object"},
        {"type": "object", "properties": {}},
        {"type": "object", "properties": {}, "required": [], "additionalProperties": False},
    ],
)
def test_a_tool_without_arguments_takes_none(parameters: Any) -> None:
    assert function_type("f", "", parameters) == "type f = () => any;"


@pytest.mark.parametrize(
    ("parameters", "shown"),
    [
        ({"type": "string"}, "string"),
        (True, "any"),
        (False, "never"),
        ([], "any"),
        ("x", "any"),
        ({"type": "object", "additionalProperties": True}, "Record<string, any>"),
        ({"type": "object", "additionalProperties": {}}, "Record<string, any>"),
        ({"type": "object", "required": ["ghost"]}, "{\nghost: any,\n}"),
        (
            {"required": ["g"], "additionalProperties": {"type": "string"}},
            "{\ng: string,\n} & Record<string, string>",
        ),
        ({"type": "object", "required": ["g"], "additionalProperties": False}, "{}"),
        ({"$ref": "#"}, "any"),
    ],
)
def test_parameters_that_are_no_object_with_properties(parameters: Any, shown: str) -> None:
    assert f"type f = (_: {shown}) => any;" in function_type("f", "", parameters)


@pytest.mark.parametrize(
    ("schema", "line"),
    [
        ({"type": "integer"}, "x: number, // integer"),
        ({"type": "integer", "minimum": 1, "default": 2}, "x: number, // integer; minimum: 1; default: 2"),
        ({"type": "string", "pattern": "^a\\d$"}, "x: string, // pattern: ^a\\d$"),
        ({"type": "string", "format": "date", "maxLength": 9}, "x: string, // maxLength: 9; format: date"),
        ({"type": "array", "items": {"type": "string"}}, "x: string[],"),
        (
            {"type": "array", "items": {"type": "integer"}, "maxItems": 3},
            "x: number[], // items: integer; maxItems: 3",
        ),
        ({"type": "array"}, "x: any[],"),
        ({"type": "array", "items": {"enum": ["a", "b"]}}, 'x: ("a" | "b")[],'),
        ({"type": "array", "prefixItems": [{"type": "string"}], "items": False}, "x: [string],"),
        ({"type": "array", "items": [{"type": "string"}]}, "x: [string, ...any[]],"),
        ({"type": ["string", "null"]}, "x: string | null,"),
        ({"type": "string", "nullable": True}, "x: string | null,"),
        ({"enum": [1, "1", None, True, 2.5]}, 'x: 1 | "1" | null | true | 2.5,'),
        ({"enum": []}, "x: never,"),
        ({"type": "integer", "enum": [1, 2]}, "x: 1 | 2,"),
        ({"const": {"a": [1]}}, 'x: {"a":[1]},'),
        ({"const": "é"}, 'x: "é",'),
        ({"anyOf": [{"type": "string"}, {"type": "null"}]}, "x: string | null,"),
        ({"oneOf": [{"type": "string"}, {"type": "string"}]}, "x: string,"),
        (
            {"allOf": [{"anyOf": [{"type": "string"}, {"type": "number"}]}, {"const": 1}]},
            "x: (string | number) & 1,",
        ),
        (
            {"type": "string", "anyOf": [{"enum": ["a"]}, {"pattern": "^b"}]},
            'x: "a" | string, // pattern: ^b',
        ),
        ({"type": "object"}, "x: Record<string, any>,"),
        ({"type": "object", "additionalProperties": {}}, "x: Record<string, any>,"),
        ({"properties": {"y": True}, "required": ["y", "z"]}, "x: {\ny: any,\nz: any,\n},"),
        ({"properties": [], "required": "y"}, "x: Record<string, any>,"),
        ({"type": "object", "additionalProperties": {"type": "number"}}, "x: Record<string, number>,"),
        ({"type": "object", "additionalProperties": False}, "x: {},"),
        ({}, "x: any,"),
        (True, "x: any,"),
        (False, "x: never,"),
        ("string", "x: any,"),
        (None, "x: any,"),
        ({"type": "dict"}, "x: Record<string, any>,"),
        ({"type": "STRING"}, "x: string,"),
        ({"type": "List", "items": {"type": "int"}}, "x: number[], // items: integer"),
        ({"type": "file"}, "x: any,"),
        ({"type": 7}, "x: any,"),
        ({"minimum": 3}, "x: number, // minimum: 3"),
        ({"properties": {"y": {"type": "string"}}}, "x: {\ny?: string,\n},"),
        ({"description": "a\n\nb", "type": "string"}, "// a\n//\n// b\nx: string,"),
        ({"type": "string", "examples": ["p", "q"]}, '// Examples:\n// - "p"\n// - "q"\nx: string,'),
        ({"type": "string", "deprecated": True}, "x: string, // deprecated"),
        ({"not": {"type": "string"}}, '// JSON Schema: {"not":{"type":"string"}}\nx: any,'),
        (
            {"type": "object", "patternProperties": {"^a": {"type": "string"}}},
            '// JSON Schema: {"patternProperties":{"^a":{"type":"string"}}}\nx: Record<string, any>,',
        ),
        (
            {
                "anyOf": [
                    {"type": "string", "description": "an id"},
                    {"type": "number", "description": "a row"},
                ]
            },
            "// string: an id\n// number: a row\nx: string | number,",
        ),
        (
            {"properties": {"a": {}}, "anyOf": [{"required": ["a"]}, {"required": ["b"]}]},
            '// JSON Schema: {"anyOf":[{"required":["a"]},{"required":["b"]}]}\nx: {\na?: any,\n},',
        ),
    ],
)
def test_types(schema: Any, line: str) -> None:
    assert member(schema) == line


@pytest.mark.parametrize(
    ("name", "label"),
    [
        ("-i", '"-i"'),
        ("a b", '"a b"'),
        ("class", "class"),
        ("__proto__", "__proto__"),
        ("", '""'),
        ('q"\n', '"q\\"\\n"'),
        ("$x1", "$x1"),
        ("1x", '"1x"'),
        ("été", '"été"'),
    ],
)
def test_property_names_that_are_no_identifiers_are_quoted(name: str, label: str) -> None:
    assert f"\n{label}?: string," in function_type("f", "", {"properties": {name: {"type": "string"}}})


def test_local_references_are_inlined() -> None:
    defs = {"City": {"type": "string", "description": "A city"}, "a/b~c": {"type": "number"}}
    assert member({"$ref": "#/$defs/City"}, **{"$defs": defs}) == "// A city\nx: string,"
    assert member({"$ref": "#/$defs/City", "description": "Home"}, **{"$defs": defs}) == "// Home\nx: string,"
    assert member({"$ref": "#/definitions/a~1b~0c"}, definitions=defs) == "x: number,"
    assert member({"allOf": [{"$ref": "#/$defs/City"}]}, **{"$defs": defs}) == "// A city\nx: string,"


@pytest.mark.parametrize(
    "pointer", ["https://example.com/s.json", "#/$defs/None", "other.json#/a", "#anchor"]
)
def test_other_references_are_any_and_named(pointer: str) -> None:
    assert member({"$ref": pointer}) == f'// JSON Schema: {{"$ref":"{pointer}"}}\nx: any,'


def test_recursion_ends_and_shows_the_schema() -> None:
    node = {"type": "object", "properties": {"next": {"$ref": "#/$defs/Node"}}}
    assert member({"$ref": "#/$defs/Node"}, **{"$defs": {"Node": node}}) == (
        "x: {\n"
        '// #/$defs/Node, JSON Schema: {"type":"object","properties":{"next":{"$ref":"#/$defs/Node"}}}\n'
        "next?: any,\n"
        "},"
    )


def test_a_reference_to_itself_ends() -> None:
    loop = {"A": {"$ref": "#/$defs/B"}, "B": {"$ref": "#/$defs/A"}}
    assert "x: any," in member({"$ref": "#/$defs/A"}, **{"$defs": loop})


def test_more_than_three_levels_are_shown_as_json_schema() -> None:
    schema: dict[str, Any] = {"type": "object", "properties": {"deep": {"type": "string"}}}
    for name in ("c", "b"):
        schema = {"type": "object", "properties": {name: schema}}
    assert member(schema) == (
        "x: {\nb?: {\n"
        '// JSON Schema: {"type":"object","properties":{"deep":{"type":"string"}}}\n'
        "c?: object,\n},\n},"
    )


def test_every_line_of_a_description_is_a_comment() -> None:
    hostile = "*/ end\n```\n</tool_call>\u2028next\x85more\r\nlast " + "x" * 10_000
    lines = comment_lines(hostile)
    assert len(lines) == 6
    assert all(line.startswith("//") for line in lines)
    assert not any("*/" in line or "```" in line for line in lines)


@given(st.text("a `*/\n\r\u2028", max_size=60), st.integers(1, 9))
def test_how_a_long_description_is_divided_changes_nothing(text: str, step: int) -> None:
    whole = "\n".join(comment_lines(text))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("gptoss_api.emulation.prompt.typescript._STEP", step)
        assert "\n".join(comment_lines(text)) == whole


def test_two_hundred_properties_are_all_there() -> None:
    properties = {f"p{i}": {"type": "integer"} for i in range(200)}
    text = function_type("f", "", {"type": "object", "properties": properties})
    assert text.count("?: number, // integer") == 200


def test_exponential_references_stay_small_and_fast() -> None:
    defs: dict[str, Any] = {"d0": {"type": "string", "description": "y" * 100}}
    for i in range(1, 24):
        ref = {"$ref": f"#/$defs/d{i - 1}"}
        defs[f"d{i}"] = {"type": "object", "properties": {"a": ref, "b": ref}}
    begun = time.thread_time()
    text = function_type("f", "", {"properties": {"x": {"$ref": "#/$defs/d23"}}, "$defs": defs})
    assert len(text) < 2_000_000
    assert time.thread_time() - begun < 5


LONG = ["x"] * 10_000
DEEP = {"properties": {"d": {}}, "x": LONG}
REPEATED: dict[str, Any] = {
    "a default": {"default": LONG},
    "an example": {"examples": [LONG]},
    "a limit": {"minimum": LONG},
    "a pattern": {"pattern": "x y" * 10_000},
    "what has no type": {"not": LONG},
    "names that are needed": {"properties": {"a": {}}, "required": LONG},
    "conditions": {"anyOf": [{"required": []}] * 3_000},
    "choices": {"enum": list(range(10_000))},
    "deep members": {"properties": {"a": {"properties": {"b": {"properties": {"c": DEEP}}}}}},
    "itself": {"properties": {"a": {"$ref": "#/$defs/d"}}, "x": LONG},
    "what stands beside it": dict.fromkeys(map(str, range(10_000)), 0),
}


@pytest.mark.parametrize("shared", REPEATED.values(), ids=REPEATED)
def test_what_many_references_share_is_not_written_out_for_each(shared: dict[str, Any]) -> None:
    members = {f"p{number}": {"$ref": "#/$defs/d", "title": "x"} for number in range(1_500)}
    begun = time.thread_time()
    text = function_type("f", "", {"properties": members, "$defs": {"d": shared}})
    assert time.thread_time() - begun < 3
    assert len(text) < 1_000_000


def doubled(levels: int) -> dict[str, Any]:
    definitions: dict[str, Any] = {f"d{levels}": {"type": "string"}}
    for level in range(levels):
        below = {"$ref": f"#/$defs/d{level + 1}"}
        definitions[f"d{level}"] = {"properties": {"a": below, "b": below}}
    return {"properties": {"x": {"$ref": "#/$defs/d0"}}, "$defs": definitions}


def test_all_tools_of_a_request_share_the_room_for_what_references_repeat() -> None:
    schemas = [doubled(20) for _ in range(100)]
    room = SizeBudget()
    begun = time.thread_time()
    texts = [function_type("f", "", schema, room) for schema in schemas]
    assert time.thread_time() - begun < 3
    assert sum(map(len, texts)) < 200_000


def test_what_is_written_out_by_itself_always_has_room() -> None:
    plain = {"properties": {f"p{number}": {"type": "integer"} for number in range(60)}}
    schemas = [doubled(20), *([plain] * 100)]
    room = SizeBudget()
    texts = [function_type("f", "", schema, room) for schema in schemas]
    assert [text.count("?: number") for text in texts[1:]] == [60] * 100


def test_very_deep_nesting_is_cut() -> None:
    schema: Any = {"type": "string"}
    for _ in range(900):
        schema = {"type": "array", "items": schema}
    assert len(function_type("f", "", {"properties": {"x": schema}})) < 10_000


def test_a_large_enum_is_cut_and_says_so() -> None:
    assert "the first 1000 of 3000 values" in member({"enum": list(range(3000))})


_KEYWORDS = (
    "type properties required items prefixItems anyOf oneOf allOf not if then const enum $ref $defs default "
    "description examples nullable additionalProperties patternProperties minimum pattern format minItems "
    "deprecated title"
)
keywords = st.sampled_from(_KEYWORDS.split())
scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=6)
hints = st.sampled_from(["object", "array", "string", "integer", "#", "#/$defs/a", "#/properties/a", "a"])
json_values: st.SearchStrategy[Any] = st.recursive(
    scalars | hints,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keywords | st.just("a"), inner, max_size=5),
    max_leaves=25,
)


@settings(max_examples=300)
@given(json_values, st.text(max_size=30))
def test_every_json_value_is_rendered(schema: Any, description: str) -> None:
    text = function_type("f", description, schema)
    assert "type f = (" in text
    assert ") => any;" in text
    assert function_type("f", description, schema) == text
