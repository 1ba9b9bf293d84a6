"""What a check takes is counted from above: against what the library really looks at, says and spends."""

import json
import random
import time
from collections.abc import Iterator
from math import inf
from typing import Any

import jsonschema_rs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gptoss_api.text.schema import Allowance
from gptoss_api.text.schema_cost import Cost, Costs, TooMuch
from gptoss_api.text.schema_parts import take_apart

Json = dict[str, Any]
# The least a look is counted as, and an error.
LOOK = 3
ERROR = 30


def cost(source: Any, value: Any, pairs: int = 1_000_000, stack: int = 200) -> Cost:
    return Costs(Allowance(pairs, stack, inf, inf, inf)).of(take_apart(source, 1_000).parts[0], value)


class Looks:
    """Counts how often the library looks at a value with a part that has the keyword ``look``."""

    count = 0

    def __init__(self, *_: object) -> None:
        pass

    def validate(self, _: Any) -> None:
        Looks.count += 1


def watched(source: Any) -> Any:
    """``source`` with the keyword in every schema that is made of something."""
    if isinstance(source, list):
        return [watched(each) for each in source]
    if not isinstance(source, dict):
        return source
    parts = {
        name: {key: watched(member) for key, member in value.items()}
        if name in ("properties", "patternProperties", "dependentSchemas", "$defs")
        else value
        if name in ("enum", "const", "required", "dependentRequired")
        else watched(value)
        for name, value in source.items()
    }
    return {"look": True, **parts}


def looks(source: Any, value: Any, method: str) -> int:
    validator = jsonschema_rs.validator_for(watched(source), keywords={"look": Looks})
    Looks.count = 0
    found = getattr(validator, method)(value)
    if method == "iter_errors":
        list(found)
    return Looks.count


def errors_in(errors: Iterator[Any]) -> int:
    """Errors with those that explain them."""
    count = 0
    for error in errors:
        count += 1
        for explanation in getattr(error.kind, "context", ()):
            count += errors_in(iter(explanation))
    return count


names = st.sampled_from("abc")
scalars = (
    st.none() | st.booleans() | st.integers(-3, 9) | st.sampled_from([0.5, 2.5, "", "a", "abc", "x" * 40])
)
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(names, inner, max_size=3),
    max_leaves=12,
)
simple: Json = {
    "type": st.sampled_from(["object", "array", "string", "integer", ["object", "array", "number"]]),
    "enum": st.lists(scalars, min_size=1, max_size=3, unique_by=json.dumps),
    "const": values,
    "minimum": st.sampled_from([1, 0.5]),
    "maxLength": st.integers(0, 5),
    "pattern": st.sampled_from(["^a", "b{1,9}", "^(?=a)."]),
    "required": st.lists(names, max_size=2, unique=True),
    "uniqueItems": st.booleans(),
    "dependentRequired": st.dictionaries(names, st.lists(names, max_size=2, unique=True), max_size=2),
    "$ref": st.sampled_from(["#/$defs/x", "#/$defs/y"]),
}


ONE = "if then else items contains propertyNames additionalProperties unevaluatedProperties unevaluatedItems"


def composed(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    one = dict.fromkeys(("not", *ONE.split()), inner)
    many = dict.fromkeys(("allOf", "anyOf", "oneOf", "prefixItems"), st.lists(inner, min_size=1, max_size=3))
    named = dict.fromkeys(
        ("properties", "patternProperties", "dependentSchemas"), st.dictionaries(names, inner, max_size=3)
    )
    return st.fixed_dictionaries({}, optional={**one, **many, **named, "required": simple["required"]})


plain = st.fixed_dictionaries({}, optional={name: simple[name] for name in simple if name != "$ref"})
parts = st.recursive(
    st.booleans() | st.fixed_dictionaries({}, optional=simple),
    lambda inner: composed(inner) | inner,
    max_leaves=6,
)
documents = st.builds(
    lambda root, x, y: {"allOf": [root], "$defs": {"x": x, "y": y}}, parts, plain, composed(plain)
)


@given(documents, values)
@settings(max_examples=400, deadline=None)
def test_the_library_looks_no_more_often_than_was_counted(source: Json, value: Any) -> None:
    most = cost(source, value).steps / LOOK
    assert looks(source, value, "is_valid") <= most
    assert looks(source, value, "iter_errors") <= 2 * most


@given(documents, values)
@settings(max_examples=400, deadline=None)
def test_the_library_says_no_more_than_was_counted(source: Json, value: Any) -> None:
    counted = cost(source, value)
    validator = jsonschema_rs.validator_for(source)
    assert errors_in(validator.iter_errors(value)) * ERROR <= counted.errors
    assert errors_in(first_error(validator, value)) * ERROR <= counted.first_error


def first_error(validator: Any, value: Any) -> Iterator[Any]:
    try:
        validator.validate(value)
    except jsonschema_rs.ValidationError as error:
        yield error


AGAIN: Json = {"type": "array", "items": {"$ref": "#"}}
TREE: Json = {"anyOf": [{"type": "integer"}, AGAIN, AGAIN | {"minItems": 1}]}


def nested(levels: int) -> Any:
    value: Any = "x"
    for _ in range(levels):
        value = [value]
    return value


@pytest.mark.parametrize("levels", [3, 6, 9])
def test_what_multiplies_with_the_depth_of_the_value_is_counted(levels: int) -> None:
    """Every pair is looked at once, however often the library would say that it does not fit."""
    counted = cost(TREE, nested(levels), pairs=20 * levels)
    said = errors_in(jsonschema_rs.validator_for(TREE).iter_errors(nested(levels)))
    assert 2**levels < said <= counted.errors / ERROR
    assert counted.steps > 2**levels


def test_many_alternatives_over_many_items_are_counted() -> None:
    source = {"items": {"anyOf": [{"const": number} for number in range(1_000)]}}
    few, many = cost(source, [0] * 10), cost(source, [0] * 1_000)
    assert many.steps > 80 * few.steps
    assert many.steps > LOOK * 1_000_000


def test_counting_itself_has_an_end() -> None:
    source = {"items": {"allOf": [{"items": {"minimum": number}} for number in range(100)]}}
    value = [[number] for number in range(1_000)]
    assert cost(source, value).steps > 0
    with pytest.raises(TooMuch):
        cost(source, value, pairs=50_000)


def test_depth_has_an_end_before_the_stack_of_the_library_has() -> None:
    chain = {"items": {"allOf": [{"$ref": "#"}]}}
    assert cost(chain, nested(60)).steps > 0
    with pytest.raises(TooMuch):
        cost(chain, nested(70))
    with pytest.raises(ValueError, match="too deeply"):
        cost({"items": True}, nested(5_000))


SLOW: dict[str, tuple[Json, Any]] = {
    "structures to choose from": (
        {"items": {"enum": [{"a": number} for number in range(300)]}},
        [{"a": 299}] * 300,
    ),
    "fractions to choose from": ({"items": {"enum": [number + 0.5 for number in range(300)]}}, [299.5] * 30),
    "large whole numbers": ({"uniqueItems": True}, [10**30 + number for number in range(100)]),
    "fractions of fractions": ({"items": {"multipleOf": 0.01}}, [0.07] * 2_000),
    "fine fractions": ({"items": {"multipleOf": 1e-300}}, [0.1] * 200),
    "a pattern that no table holds": (
        {"items": {"pattern": "[ab]*a[ab]{300}c"}},
        ["".join(random.Random(1).choices("ab", k=3_000))],
    ),
    "a pattern that looks ahead from everywhere": (
        {"pattern": "^(?:(?=.*x)a|(?=.*y)a|a)*$"},
        "a" * 1_500,
    ),
    "a pattern that goes back": ({"items": {"pattern": "^(?:a|(?=a)a)*b$"}}, ["a" * 30] * 10),
    "members": (
        {"items": {"properties": {f"p{n}": True for n in range(500)}}},
        [{f"p{n}": 1 for n in range(500)}] * 20,
    ),
    "names": ({"required": [f"p{n}" for n in range(3_000)]}, {f"p{n}": 1 for n in range(3_000)}),
    "unique structures": ({"uniqueItems": True}, [[number, {"a": number}] for number in range(3_000)]),
}  # fmt: skip


@pytest.mark.parametrize(("source", "value"), SLOW.values(), ids=SLOW)
def test_what_the_library_is_slow_at_counts_for_it(source: Json, value: Any) -> None:
    """A step is ten nanoseconds; four times as much is allowed for a machine that has other work."""
    validator = jsonschema_rs.validator_for(source, pattern_options=jsonschema_rs.FancyRegexOptions(20_000))

    def spent() -> float:
        started = time.thread_time()
        validator.is_valid(value)
        return time.thread_time() - started

    assert min(spent() for _ in range(5)) < 4 * (cost(source, value).steps * 1e-8 + 20e-6)
