"""Streamed arguments are made to fit their schema in whatever pieces they come; what fits is not changed."""

import json
import random
import time
import tracemalloc
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gptoss_api.text.fitting import MOST_HELD, ArgumentFitter
from gptoss_api.text.schema import Allowance, SchemaRefused, at_once, compile_schema
from gptoss_api.text.schema_places import Places

INTEGER = {"type": "integer"}
STRING = {"type": "string"}
FLAG = {"type": "boolean"}


def obj(*required: str, rest: Any = None, **properties: Any) -> dict[str, Any]:
    closed = {} if rest is None else {"additionalProperties": rest}
    return {"type": "object", "properties": properties, "required": list(required), **closed}


def listed(items: Any, **more: Any) -> dict[str, Any]:
    return {"type": "array", "items": items, **more}


def fed(schema: dict[str, Any], pieces: list[str]) -> tuple[str, int]:
    machine = ArgumentFitter(Places(schema))
    out = "".join([machine.feed(piece) for piece in pieces])
    return out + machine.finish(), machine.repairs


def fitted(schema: dict[str, Any], text: str) -> tuple[str, int]:
    """What becomes of ``text``, which is the same for every way to cut it."""
    whole = fed(schema, [text])
    for size in (1, 2, 3, 5, 8, 13):
        assert fed(schema, [text[at : at + size] for at in range(0, len(text), size)]) == whole, size
    for at in range(len(text)):
        assert fed(schema, [text[:at], text[at:]]) == whole, at
    return whole


TREE = {
    "$defs": {"Node": obj("size", size=INTEGER, kids=listed({"$ref": "#/$defs/Node"}))},
    "$ref": "#/$defs/Node",
}
MENDED: list[tuple[dict[str, Any], str, str, int]] = [
    (obj(limit=INTEGER), '{"limit":"5"}', '{"limit":5}', 1),
    (obj(limit=INTEGER), '{ "limit" : " 5" , "x": 1 }', '{ "limit" : 5 , "x": 1 }', 1),
    (obj(ratio={"type": "number"}), '{"ratio":"-1.5e3"}', '{"ratio":-1500.0}', 1),
    (obj(on=FLAG, off=FLAG), '{"on":"true","off":"False"}', '{"on":true,"off":false}', 2),
    (obj(zip=STRING), '{"zip":1.50}', '{"zip":"1.50"}', 1),
    (obj(tags=listed(STRING)), '{"tags":"a\\"b"}', '{"tags":["a\\"b"]}', 1),
    (obj(ids=listed(INTEGER)), '{"ids":3,"x":0}', '{"ids":[3],"x":0}', 1),
    (obj(ids=listed(INTEGER)), '{"ids":"[1, \\"2\\"]"}', '{"ids":[1, 2]}', 2),
    (obj(ids=listed(INTEGER)), '{"ids":["1", 2, "x"]}', '{"ids":[1, 2, "x"]}', 1),
    (obj(edits=listed(obj(line=INTEGER))), '{"edits":{"line":"3"}}', '{"edits":[{"line":3}]}', 2),
    (obj(edits={"type": "array"}), '{"edits":{"line":[1]}}', '{"edits":[{"line":[1]}]}', 1),
    (obj(flags=listed(FLAG)), '{"flags":true}', '{"flags":[true]}', 1),
    (obj(at=obj(x=INTEGER)), '{"at":"{\\"x\\": \\"5\\"}","y":1}', '{"at":{"x": 5},"y":1}', 2),
    (obj(at=obj(x=INTEGER)), '{"at":[ {"x": 5} ]}', '{"at":{"x": 5}}', 1),
    (obj(x=INTEGER), '"{\\"x\\": \\"5\\"}"', '{"x": 5}', 2),
    (obj(c={"enum": ["Red", "Blue"]}), '{"c":"red"}', '{"c":"Red"}', 1),
    (obj(c={"type": "string", "enum": ["1", "2"]}), '{"c":2}', '{"c":"2"}', 1),
    (obj(c={"type": "integer", "enum": [1, 2]}), '{"c":"2"}', '{"c":2}', 1),
    (obj(c={"const": "é"}), '{"c":"É"}', '{"c":"é"}', 1),
    (obj(a=STRING, b=STRING), '{"a":null, "b":"x"}', '{"b":"x"}', 1),
    (obj(a=STRING, b=STRING), '{"b":"x", "a":null}', '{"b":"x"}', 1),
    (obj(a={"enum": ["x"]}, b=obj()), '{"a":null,"b":{"c":null}}', '{"b":{"c":null}}', 1),
    (obj(a=STRING), '{ "a" : null }', "{  }", 1),
    (obj(a=STRING, rest=False), '{"x":[1,{"y":"}"}], "a":"b", "z":"\\"}"}', '{"a":"b"}', 2),
    (obj(a=STRING, rest=False), '{"a":"b" , "z" : 1 }', '{"a":"b"  }', 1),
    (obj(rest=INTEGER), '{"a":"1","b":2}', '{"a":1,"b":2}', 1),
    (obj(dry_run=FLAG, rest=False), '{"dryRun":"true"}', '{"dry_run":true}', 2),
    (obj("dry_run", dry_run=FLAG), '{"Dry-Run":true,"x":1}', '{"dry_run":true,"x":1}', 1),
    (obj("a_b", a_b=INTEGER), '{"x":[{"aB":1}],"aB" : "2"}', '{"x":[{"aB":1}],"a_b" : 2}', 2),
    (
        obj("dry_run", dry_run=FLAG, rest=obj("dry_run", dry_run=FLAG)),
        '{"dryRun":true,"a":{"dryRun":"true","x":{}},"b":{"dryRun":0,"dry_run":false},"c":{}}',
        '{"dry_run":true,"a":{"dry_run":true,"x":{}},"b":{"dryRun":0,"dry_run":false},"c":{}}',
        3,
    ),
    (TREE, '{"size":"1","kids":[{"size":"2","kids":null}]}', '{"size":1,"kids":[{"size":2}]}', 3),
    (obj(n={"anyOf": [INTEGER, {"type": "null"}]}), '{"n":"5"}', '{"n":5}', 1),
    (obj(n={"oneOf": [{"const": None}, INTEGER]}), '{"n":"5"}', '{"n":5}', 1),
    (obj(n={"type": ["integer", "null"]}), '{"n":"5"}', '{"n":5}', 1),
    (obj(n={"allOf": [{"type": ["integer", "string"]}, {"type": "number"}]}), '{"n":"5"}', '{"n":5}', 1),
    (obj(n={"allOf": [{"type": ["boolean", "null"]}, {"type": "boolean"}]}), '{"n":"true"}', '{"n":true}', 1),
    (obj(n={"type": "integer", "minimum": 5}), '{"n":"5"}', '{"n":5}', 1),
    (obj(n={"type": "string", "pattern": "^[0-9]+$"}), '{"n":5}', '{"n":"5"}', 1),
    (obj(n={"type": "array", "prefixItems": [STRING, INTEGER]}), '{"n":[1,"2","3"]}', '{"n":["1",2,"3"]}', 2),
    (
        {**obj(n={"type": "array", "items": [INTEGER], "additionalItems": STRING}), "$schema": "draft-07"},
        '{"n":["1",2]}',
        '{"n":[1,"2"]}',
        2,
    ),
    (
        {"type": "object", "allOf": [{"properties": {"a": INTEGER}}], "unevaluatedProperties": False},
        '{"a":"1"}',
        '{"a":1}',
        1,
    ),
    (
        {"type": "object", "properties": {"a": INTEGER}, "unevaluatedProperties": False},
        '{"b":0,"a":"1"}',
        '{"a":1}',
        2,
    ),
    (obj(**{"a/b~c": {"$ref": "#/x~1y/~0z"}}) | {"x/y": {"~z": INTEGER}}, '{"a/b~c":"1"}', '{"a/b~c":1}', 1),
    (obj(a={"$ref": "#"}, b=INTEGER), '{"a":{"a":{"b":"1"}}}', '{"a":{"a":{"b":1}}}', 1),
]


@pytest.mark.parametrize(("schema", "text", "result", "repairs"), MENDED)
def test_what_does_not_fit_is_mended(schema: dict[str, Any], text: str, result: str, repairs: int) -> None:
    assert fitted(schema, text) == (result, repairs)


@pytest.mark.parametrize(("schema", "text", "result", "repairs"), MENDED)
def test_what_was_mended_needs_no_further_repair(
    schema: dict[str, Any], text: str, result: str, repairs: int
) -> None:
    assert fed(schema, [result])[1] == 0
    try:
        valid = compile_schema(schema).is_valid(json.loads(result))
    except SchemaRefused:
        return
    assert valid or '"x"' in result


KEPT: list[tuple[dict[str, Any], str]] = [
    (obj(n=INTEGER), '{"n":"five"}'),
    (obj(n=INTEGER), '{"n":5.5}'),
    (obj(n=INTEGER), '{"n":true}'),
    (obj(n=FLAG), '{"n":1}'),
    (obj(n=STRING), '{"n":true}'),
    (obj(n=STRING), '{"n":{"a":1}}'),
    (obj(n=STRING), '{"n":1e999}'),
    (obj(n=INTEGER), '{"n":"1e999"}'),
    (obj("n", n=STRING), '{"n":null}'),
    (obj(n={"type": "string", "nullable": True}), '{"n":null}'),
    (obj(n=listed(STRING)), '{"n":[null]}'),
    (obj(n={"type": "integer", "minimum": 9}), '{"n":"5"}'),
    (obj(n={"type": "integer", "not": {"const": 5}}), '{"n":"5"}'),
    (obj(n={"type": "string", "pattern": "^a"}), '{"n":5}'),
    (obj(n={"anyOf": [INTEGER, FLAG]}), '{"n":"5"}'),
    (obj(n={"type": ["integer", "boolean"]}), '{"n":"5"}'),
    (obj(n={"oneOf": [obj(a=INTEGER), obj(b=INTEGER)]}), '{"n":{"a":"1"}}'),
    (obj(n={"type": "integer", "anyOf": [{"$ref": "#/x"}, {"minimum": 3}]}) | {"x": {}}, '{"n":"5"}'),
    (obj(n={"enum": ["Ab", "aB"]}), '{"n":"ab"}'),
    (obj(n={"enum": ["a", 1]}), '{"n":"b"}'),
    (obj(n=listed(STRING, minItems=2)), '{"n":"a"}'),
    (obj(n=listed(obj(a=INTEGER), minItems=2)), '{"n":{"a":1}}'),
    (obj(n=listed(STRING)), '{"n":{"a":1}}'),
    (obj(n=obj(a=INTEGER)), '{"n":"[1]"}'),
    (obj(n=obj(a=INTEGER)), '{"n":[{"a":1},{"a":2}]}'),
    (obj(n=obj(a=INTEGER)), '{"n":"{"}'),
    (obj(dry_run=FLAG), '{"dryRun":"true"}'),
    (obj("dry_run", dry_run=FLAG), '{"dryRun":"true","x":{"dry_run":1},"dry_run":true}'),
    (obj("dry_run", dry_run=FLAG), '{"dryRun":"true","x":["dry_run",{}],"\\u0064ry_run":true}'),
    (obj("a_b", "aB", a_b=FLAG, aB=FLAG), '{"ab":true}'),
    (obj("a_b", a_b=FLAG) | {"patternProperties": {"^a": FLAG}}, '{"aB":true}'),
    (obj(a=FLAG, rest=False) | {"patternProperties": {"^x": FLAG}}, '{"x":true}'),
    (obj("city", city=STRING, rest=False), '{"town": "Rome", "land":[1]}'),
    ({"anyOf": [obj(a=INTEGER)], "properties": {}, "unevaluatedProperties": False}, '{"a":1,"c":2}'),
    (obj(a={"$ref": "#/nowhere"}), '{"a":"1"}'),
    (obj(a={"$ref": "other.json"}), '{"a":"1"}'),
    (obj(a={"$ref": "#name"}), '{"a":"1"}'),
    (obj(a={"$dynamicRef": "#/x", "type": "integer"}), '{"a":"1"}'),
    (obj(a={"$id": "x", "type": "integer"}), '{"a":"1"}'),
    (obj(a={"type": "dict"}, b={"enum": 5}, c={"properties": []}), '{"a":null,"b":null,"c":{"x":null}}'),
    (obj(a={"required": [1], "type": "integer"}, b={"additionalProperties": 1}), '{"a":"1","b":{}}'),
    (obj(a=False, b=True), '{"a":null,"b":null}'),
    ({**obj(a=INTEGER), "$schema": "http://json-schema.org/draft-04/schema#"}, '{"a":"1"}'),
    ({**obj(a={"$ref": "#/x", "type": "integer"}), "x": {}, "$schema": "draft-07"}, '{"a":"1"}'),
    (obj(a={"$ref": "#/x"}) | {"x": {"$ref": "#/y"}, "y": {"$ref": "#/x"}, "$schema": "draft-07"}, '{"a":1}'),
    (obj(a={"allOf": [{"minimum": n} for n in range(70)] + [INTEGER]}), '{"a":"1"}'),
    (obj(n={"type": "integer", "minimum": "x"}), '{"n":"5"}'),
    (obj(n=INTEGER, rest=True), '{"\\q":"5"}'),
    (obj(n=INTEGER), "[1, 2]"),
    (obj(n=INTEGER), '"words"'),
    (obj(n=INTEGER), '{"n":"5'),
    (obj(n=INTEGER), '{"n"'),
    (obj("n", n=INTEGER), '{"x":1,"N":"5'),
    (obj(n=INTEGER), "nonsense {"),
    (obj(n=INTEGER), '{"n":}'),
    (obj(n=INTEGER), '{"n" 5}'),
    (obj(n=INTEGER), '{"n":5]'),
    (obj(n=INTEGER), '{n:"5"}'),
    (obj(n=INTEGER), '{"n":5} and more "5"'),
    (obj(n=INTEGER), '  {"n":5 , "o":[ ] ,"p" :{ }}\n'),
]  # fmt: skip


@pytest.mark.parametrize(("schema", "text"), KEPT)
def test_nothing_else_is_changed(schema: dict[str, Any], text: str) -> None:
    assert fitted(schema, text) == (text, 0)


def test_only_what_is_in_question_is_held_back() -> None:
    schema = obj(path=STRING, limit=INTEGER, edits=listed(obj(line=INTEGER, text=STRING)))
    machine = ArgumentFitter(Places(schema))
    said = ['{"path": "a/', 'b", "lim', 'it": "', "5", '", "edits": [{"li', 'ne": 1', ', "text": "wor', "ds"]
    left = [machine.feed(piece) for piece in said]
    assert left == [
        '{"path": "a/',
        'b"',
        "",
        "",
        ', "limit": 5, "edits": [{',
        '"line": 1',
        ', "text": "wor',
        "ds",
    ]


def test_a_name_that_is_asked_for_does_not_wait_for_the_object() -> None:
    machine = ArgumentFitter(Places(obj("a_b", "c", a_b=STRING, c=STRING)))
    assert machine.feed('{"c": "x", "a_b": "wor') == '{"c": "x", "a_b": "wor'
    closed = ArgumentFitter(Places(obj("a_b", a_b=STRING, rest=False)))
    assert closed.feed('{"aB": "wor') == '{"a_b": "wor'


def test_of_two_spellings_the_one_that_was_asked_for_counts() -> None:
    schema = obj(dry_run=FLAG, rest=False)
    assert json.loads(fitted(schema, '{"dryRun":true,"dry_run":false}')[0]) == {"dry_run": False}
    assert fitted(schema, '{"dry_run":false,"dryRun":true}') == ('{"dry_run":false}', 1)


def test_what_takes_too_long_to_check_is_not_mended() -> None:
    place = Places({"type": "integer", "minimum": 1}).root
    assert place is not None
    assert place.mended('"5"', at_once()) == "5"
    assert place.mended('"5"', Allowance(pairs=0, stack=0, steps=0, fault_steps=0, errors=0)) is None


@pytest.mark.parametrize(
    ("schema", "begin", "end"),
    [
        (obj(n=obj(a=INTEGER)), '{"n":"{\\"a\\":', '}","m":1}'),
        (obj(n=STRING, rest=False), '{"m":"', '","n":"x"}'),
        (obj("n_m", n_m=STRING), '{"nM":"', '"}'),
        (obj("n_m", n_m=STRING), '{"nM":{"a":"', '"}}'),
        (obj(n=INTEGER), '{"n":"', '"}'),
    ],
)
def test_what_is_too_long_to_hold_back_leaves_as_it_is(schema: dict[str, Any], begin: str, end: str) -> None:
    text = begin + "1" * (3 * MOST_HELD) + end
    assert fed(schema, [text[at : at + 999] for at in range(0, len(text), 999)]) == (text, 0)


def test_what_follows_something_too_long_is_mended_again() -> None:
    schema = obj("n_m", n_m=STRING, x=INTEGER, y=obj("n_m", n_m=STRING))
    long = "1" * (2 * MOST_HELD)
    text = f'{{"nM":"{long}","x":"5","y":{{"nM":"a"}}}}'
    expected = text.replace('"5"', "5").replace('{"nM":"a"}', '{"n_m":"a"}')
    assert fed(schema, [text[at : at + 999] for at in range(0, len(text), 999)]) == (expected, 2)


# What validates

NAMES = ["a", "b", "a_b", "aB", "dry_run", "dryRun", "É", "x.y"]
names = st.sampled_from(NAMES)
scalars = (
    st.none() | st.booleans() | st.integers(-3, 12) | st.floats(-3, 12) | st.text('5a"\\é\n ', max_size=4)
    | st.sampled_from(["5", "1.5", "true", "null", "Red", "red", "[1]", '{"a":1}', '"5"', 1e30, 2**70])
)  # fmt: skip
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=4),
    max_leaves=10,
)
TYPES = ["null", "boolean", "integer", "number", "string", "object", "array"]
leaves = st.one_of(
    st.just({}),
    st.booleans(),
    st.builds(lambda t: {"type": t}, st.sampled_from(TYPES)),
    st.builds(lambda t: {"type": t}, st.lists(st.sampled_from(TYPES), min_size=1, max_size=3, unique=True)),
    st.builds(lambda o: {"enum": o}, st.lists(scalars, min_size=1, max_size=3)),
    st.builds(lambda o: {"const": o}, scalars),
    st.sampled_from(
        [{"type": "integer", "minimum": 5}, {"type": "string", "minLength": 2}, {"pattern": "^5"},
         {"$ref": "#"}, {"$ref": "#/$defs/d"}, {"type": "number", "multipleOf": 2}]
    ),
)  # fmt: skip


def objects(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.fixed_dictionaries(
        {"properties": st.dictionaries(names, inner, max_size=4)},
        optional={
            "type": st.sampled_from(["object", ["object", "null"]]),
            "required": st.lists(names, max_size=2, unique=True),
            "additionalProperties": st.booleans() | inner,
            "patternProperties": st.dictionaries(st.sampled_from(["^a", "y$"]), inner, max_size=1),
            "unevaluatedProperties": st.just(False),
            "minProperties": st.just(1),
            "propertyNames": st.just({"maxLength": 4}),
        },
    )


def schemas(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    several = st.lists(inner, min_size=1, max_size=3)
    return st.one_of(
        objects(inner),
        st.fixed_dictionaries(
            {"items": inner},
            optional={
                "type": st.just("array"), "prefixItems": several, "minItems": st.integers(0, 2),
                "contains": inner, "uniqueItems": st.booleans(),
            },
        ),
        st.builds(lambda word, parts: {word: parts}, st.sampled_from(["allOf", "anyOf", "oneOf"]), several),
        st.builds(lambda one, other: {"anyOf": [one, other]}, inner, st.just({"type": "null"})),
        st.builds(lambda one, other: {**one, "not": other}, objects(inner), inner),
        st.builds(lambda one, two: {"if": one, "then": two, "else": one}, inner, inner),
    )  # fmt: skip


drawn = st.builds(
    lambda root, definition: {**root, "$defs": {"d": definition}},
    objects(st.recursive(leaves, schemas, max_leaves=8)),
    st.recursive(leaves, schemas, max_leaves=3),
)


def cut(text: str, seed: int) -> list[str]:
    """``text`` in pieces of up to five characters, some of them empty."""
    lengths, pieces, at = random.Random(seed), list[str](), 0
    while at < len(text):
        size = lengths.randint(0, 5)
        pieces.append(text[at : at + size])
        at += size
    return pieces


# A thousand schemas, in parts that can be checked side by side.
@pytest.mark.parametrize("part", range(5))
@given(
    schema=drawn,
    value=st.dictionaries(names, values, max_size=5),
    indent=st.sampled_from([None, 1]),
    seed=st.integers(0, 99),
)
@settings(max_examples=200, deadline=None, suppress_health_check=list(HealthCheck))
def test_what_validates_leaves_as_it_came(
    part: int, schema: dict[str, Any], value: Any, indent: int | None, seed: int
) -> None:
    try:
        checked = compile_schema(schema)
    except SchemaRefused:
        return
    text = json.dumps(value, indent=indent)
    whole = fed(schema, [text])
    assert fed(schema, cut(text, seed)) == whole
    result = json.loads(whole[0])
    if checked.is_valid(value):
        assert whole == (text, 0)
        for end in range(0, len(text), 5 + len(text) // 20):
            assert fed(schema, [text[:end]]) == (text[:end], 0)
    else:
        # Nothing is lost without being counted, and what is counted was changed.
        assert (result == value) == (whole[1] == 0)


# Time and memory

MEGABYTES = {
    "a string": (obj(n=STRING), '{"n":"' + "words \\n" * 125_000 + '"}'),
    "a string of quotes": (obj(n=STRING), '{"n":"' + '\\"' * 500_000 + '"}'),
    "many numbers that are strings": (obj(n=listed(INTEGER)), '{"n":[' + '"5",' * 250_000 + "5]}"),
    "many names": (obj(), "{" + ",".join(f'"name {n}":{n}' for n in range(50_000)) + "}"),
    "many names that are refused": (
        obj(rest=False), "{" + ",".join(f'"name {n}":{n}' for n in range(50_000)) + "}",
    ),
    "many names that differ": (
        obj("a_b", a_b=INTEGER, rest=obj("a_b", a_b=INTEGER)),
        "{" + ",".join(f'"name {n}":{{"aB":"{n}"}}' for n in range(30_000)) + "}",
    ),
    "brackets": (obj(), '{"n":' + "[" * 500_000 + "]" * 500_000 + "}"),
    "brackets that are known": (
        obj(n={"$ref": "#/x"}) | {"x": listed({"$ref": "#/x"})}, '{"n":' + "[" * 500_000 + "]" * 500_000,
    ),
    "objects in objects": (
        obj("a_b", a_b=STRING, c={"$ref": "#"}), '{"aB":"","c":' * 70_000 + "{}" + "}" * 70_000,
    ),
    "space": (obj(n=STRING), '{"n":' + " " * 500_000 + '"x"' + "\n" * 500_000 + ',"m":1}'),
    "a name": (obj(n=STRING), '{"' + "n" * 1_000_000 + '":1}'),
}  # fmt: skip


@pytest.mark.alone
@pytest.mark.parametrize("name", MEGABYTES)
def test_a_megabyte_takes_time_in_proportion(name: str) -> None:
    schema, text = MEGABYTES[name]

    def spent(text: str, size: int) -> float:
        machine = ArgumentFitter(Places(schema))
        pieces = [text[at : at + size] for at in range(0, len(text), size)]
        started = time.thread_time()
        for piece in pieces:
            machine.feed(piece)
        return time.thread_time() - started

    # Eight times the text takes up to thirteen times as long where it outgrows the processor's caches,
    # and more beside others; with the square it would be sixty-four.
    for size in (16, 16_384):
        assert spent(text, size) < 32 * max(spent(text[: len(text) // 8], size), 0.02), size


def test_a_megabyte_takes_little_memory() -> None:
    schema = obj("a_b", a_b=STRING, rest=obj(n=INTEGER, rest=False))
    text = '{"x":{"m":"' + "1" * 500_000 + '"},"aB":"' + "1" * 500_000 + '"}'
    pieces = [text[at : at + 1_000] for at in range(0, len(text), 1_000)]
    machine = ArgumentFitter(Places(schema))
    tracemalloc.start()
    try:
        for piece in pieces:
            machine.feed(piece)
        assert tracemalloc.get_traced_memory()[1] < 8 * MOST_HELD
    finally:
        tracemalloc.stop()
