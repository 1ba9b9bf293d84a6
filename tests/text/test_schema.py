"""Client schemas are compiled safely and complaints are words a model can act on.

Group 52 of docs/design/cases.md.
"""

import subprocess
import sys
import time
from typing import Any

import pytest

from gptoss_api.text import schema as schema_module
from gptoss_api.text.schema import (
    Check,
    SchemaRefused,
    SchemaTooLarge,
    Unchecked,
    compile_schema,
    json_path,
)


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


def test_the_library_would_not_be_let_out_either() -> None:
    with pytest.raises(ValueError, match="not followed"):
        schema_module._refuse_remote("http://127.0.0.1:1/schema.json")


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


@pytest.mark.parametrize("source", [{"description": "x" * 300_000}, {"items": {"pattern": "a{20000}"}}])
def test_what_is_only_too_large_is_told_apart(source: dict[str, Any]) -> None:
    with pytest.raises(SchemaTooLarge):
        compile_schema(source)


@pytest.mark.parametrize("source", [True, False])
def test_schemas_may_be_true_or_false(source: bool) -> None:
    assert compile_schema(source).is_valid(1) is source


def test_a_reference_may_count_in_a_list_and_not_beyond_its_end() -> None:
    source = {"anyOf": [{"type": "integer"}, {"items": {"$ref": "#/anyOf/0"}}]}
    assert compile_schema(source).is_valid([1])
    for pointer in ("#/anyOf/2", "#/anyOf/x", "#/anyOf/0/type/x"):
        with pytest.raises(SchemaRefused, match="points to nothing"):
            compile_schema({**source, "not": {"$ref": pointer}})


def test_levels_have_a_limit() -> None:
    def nested(levels: int) -> dict[str, Any]:
        source: dict[str, Any] = {}
        for _ in range(levels):
            source = {"items": source}
        return source

    compile_schema(nested(63))
    with pytest.raises(SchemaTooLarge, match="deeper than 64"):
        compile_schema(nested(64))


def test_references_among_many_schemas_with_an_id_have_a_limit() -> None:
    definitions = {f"d{number}": {"$id": f"http://x/{number}", "type": "integer"} for number in range(300)}
    members = {f"p{number}": {"$ref": f"#/$defs/d{number}"} for number in range(200)}
    with pytest.raises(SchemaTooLarge, match="too many references"):
        compile_schema({"properties": members, "$defs": definitions})


def test_two_that_compile_the_same_at_once_keep_one(monkeypatch: pytest.MonkeyPatch) -> None:
    source = {"title": "compiled twice"}
    compile_it = schema_module._compile

    def meanwhile(source: Any, size: int) -> Any:
        monkeypatch.setattr(schema_module, "_compile", compile_it)
        others.append(compile_schema(source))
        return compile_it(source, size)

    others: list[Any] = []
    monkeypatch.setattr(schema_module, "_compile", meanwhile)
    assert [compile_schema(source)] == others


def test_what_the_library_is_of_two_minds_about_does_not_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    class Undecided:
        def is_valid(self, _: object) -> bool:
            return False

        def validate(self, _: object) -> None:
            pass

    schema = compile_schema({"title": "of two minds"})
    monkeypatch.setattr(schema, "validator", Undecided())
    with pytest.raises(Unchecked) as caught:
        schema.complaints(1)
    assert caught.value.fits is False


# What a check may take

ALTERNATIVES = compile_schema({"items": {"anyOf": [{"const": {"n": number}} for number in range(200)]}})
ROWS = compile_schema({"items": {"properties": {"n": {"type": "integer"}}, "required": ["n"]}})


def test_many_alternatives_over_many_items_are_not_tried() -> None:
    assert ALTERNATIVES.is_valid([{"n": 199}] * 10)
    with pytest.raises(Unchecked) as caught:
        ALTERNATIVES.is_valid([{"n": 199}] * 2_000)
    assert caught.value.fits is None


def test_a_fault_that_would_take_long_to_describe_is_not_described() -> None:
    """That none of so many alternatives fits is said with what is wrong with each of them."""
    with pytest.raises(Unchecked) as caught:
        ALTERNATIVES.complaints([{"n": 199}] * 9 + [{"n": number} for number in range(1_000)])
    assert caught.value.fits is None
    wide = compile_schema({"anyOf": [{"required": [f"p{number}"]} for number in range(2_000)]})
    with pytest.raises(Unchecked) as caught:
        wide.complaints({"a": 1})
    assert caught.value.fits is False


def test_of_many_faults_only_the_first_is_described() -> None:
    started = time.thread_time()
    assert ROWS.complaints([{"n": "x"}] * 5_000) == ['$[0].n: "x" is not of type "integer"']
    assert len(ROWS.complaints([{"n": "x"}] * 50)) == 5
    assert time.thread_time() - started < 5


def test_what_one_check_may_take_holds_for_all_it_tries() -> None:
    check = Check(ROWS)
    value = [{"n": 1} for _ in range(1_000)]
    assert check.is_valid(value)
    with pytest.raises(Unchecked):
        all(check.is_valid(value) for _ in range(1_000))


def test_a_megabyte_that_fits_is_checked() -> None:
    assert ROWS.is_valid([{"n": number, "text": "x" * 60} for number in range(12_000)])


HOARDING = """
import resource
from gptoss_api.text.schema import compile_schema
def memory():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * resource.getpagesize()
compile_schema({"pattern": "^.{1,9}$"})
before = memory()
for number in range(60):
    pattern = "^.{1,%d}$" % (1_200 + number)
    compile_schema({"properties": {"a": {"pattern": pattern}}}).is_valid({"a": "xé" * 600})
    compile_schema({"anyOf": [{"title": str(each)} for each in range(number, number + 2_000)]})
print((memory() - before) // 2**20)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="memory is read from /proc")
def test_compiled_schemas_are_kept_only_while_there_is_room() -> None:
    """120 schemas, of which the first kind takes 2 MB each and the second 6 MB."""
    done = subprocess.run([sys.executable, "-c", HOARDING], capture_output=True, text=True, check=True)
    assert int(done.stdout) < 60


def test_schemas_of_everyday_size_are_all_kept() -> None:
    sources = [
        {"title": str(number), "properties": {f"p{each}": {"type": "string"} for each in range(30)}}
        for number in range(40)
    ]
    compiled = [compile_schema(source) for source in sources]
    assert all(compile_schema(source) is schema for source, schema in zip(sources, compiled, strict=True))
