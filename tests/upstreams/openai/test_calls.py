"""Deltas of tool calls in every disorder servers bring them in."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gptoss_api.core.events import Event, ToolCallFinished
from gptoss_api.core.result import Collector
from gptoss_api.upstreams.openai.calls import CallAssembler, CallDelta, FunctionDelta
from tests.text.parsing import cut

Told = tuple[str, str, str]


def delta(
    name: str | None = None, arguments: Any = None, index: int | None = None, call_id: Any = None
) -> CallDelta:
    return CallDelta(index, call_id, FunctionDelta(name, arguments))


def told(
    deltas: list[list[CallDelta]], *, truncated: bool = False
) -> tuple[list[tuple[str, str]], list[str]]:
    """Names and arguments of the calls, and the notes; ids are all different, and none is the server's."""
    assembler = CallAssembler()
    events: list[Event] = []
    for batch in deltas:
        events += assembler.add(batch)
    events += assembler.finish(truncated=truncated)
    collector = Collector()
    collector.feed(events)
    calls = collector.choices[0].tool_calls
    assert len({call.id for call in calls}) == len(calls) == assembler.count
    assert not {call.id for call in calls} & {str(each.id) for batch in deltas for each in batch}
    return [(call.name, call.arguments) for call in calls], assembler.notes


A, B = ("f", '{"a": 1}'), ("g", '{"b": [2, "}"]}')


@pytest.mark.parametrize(
    "deltas",
    [
        # whole, numbered
        [[delta(*A, 0, "x")], [delta(*B, 1, "y")]],
        # all in one chunk, with the same number (ollama#15457)
        [[delta(*A, 0, "x"), delta(*B, 0, "y")]],
        [[delta(*A, 0, "x")], [delta(*B, 0, "y")]],
        # neither numbers nor ids
        [[delta(*A), delta(*B)]],
        [[delta(*A)], [delta(*B)]],
        # the same id for all
        [[delta(*A, 0, "call")], [delta(*B, 1, "call")]],
        [[delta(*A, None, "call")], [delta("g", "", None, "call")], [delta(None, B[1], None, "call")]],
        [[delta("f", A[1], None, "call")], [delta("g", "", 0, "call")], [delta(None, B[1], 0, "call")]],
        # numbers from 1, or out of order
        [[delta(*A, 1, "x")], [delta(*B, 2, "y")]],
        [[delta(*A, 5, "x")], [delta(*B, 2, "y")]],
        # the first delta has only a name, the pieces only a number
        [[delta("f", "", 0, "x")], [delta(None, '{"a"', 0)], [delta(None, ": 1}", 0)], [delta(*B, 1, "y")]],
        # pieces without any number
        [
            [delta("f", "", None, "x")],
            [delta(None, '{"a": 1}')],
            [delta("g", "", None, "y")],
            [delta(None, B[1])],
        ],
        # name and id again in every piece
        [[delta("f", '{"a"', 0, "x")], [delta("f", ": 1}", 0, "x")], [delta(*B, 1, "y")]],
        # the name in pieces
        [[delta("", "", 0, "x")], [delta("f", None, 0)], [delta(None, A[1], 0)], [delta(*B, 1, "y")]],
        # the id only later
        [[delta("f", "", 0)], [delta(None, A[1], 0, "x")], [delta(*B, 1, "y")], [delta(None, "", None, "x")]],
        # side by side
        [[delta("f", "", 0, "x"), delta("g", "", 1, "y")], [delta(None, A[1], 0), delta(None, B[1], 1)]],
        [[delta("f", '{"a"', 0, "x")], [delta("g", B[1], 1, "y")], [delta(None, ": 1}", 0)]],
        # arguments as an object, an id as a number
        [[delta("f", {"a": 1}, 0, 17)], [delta(*B, 1, "y")]],
    ],
)
def test_two_calls_are_two_calls(deltas: list[list[CallDelta]]) -> None:
    calls, notes = told(deltas)
    assert [(name, json.loads(arguments)) for name, arguments in calls] == [
        ("f", {"a": 1}),
        ("g", {"b": [2, "}"]}),
    ]
    assert notes == []


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        (None, "{}"),
        ("", "{}"),
        ("null", "{}"),
        ("{}", "{}"),
        ('[{"a": 1}]', '{"a": 1}'),
        ('"{\\"a\\": 1}"', '{"a": 1}'),
        ('{"a": 1}<|call|>', '{"a": 1}'),
        ('{"a": 1}]', '{"a": 1}'),
        ("  {'a': 1,}", '{"a": 1}'),
        ('{"a": "x\ny"}', '{"a": "x\\ny"}'),
        ('{"a": {"b": "x"', '{"a": {"b": "x"}}'),
        ('{"a": "héllo 😀"}', '{"a": "héllo 😀"}'),
        ('```json\n{"a": 1}\n```', '{"a": 1}'),
        ('\n```\n{"a": "```"}\n```\n', '{"a": "```"}'),
        ('```{"a": 1}```', '{"a": 1}'),
        ("~~~json\r\n[{'a': 1,}]\r\n~~~", '{"a": 1}'),
        ("```\n```", "{}"),
    ],
)
def test_arguments_are_a_strict_json_object(written: str | None, meant: str) -> None:
    assert told([[delta("f", written, 0, "x")]]) == ([("f", meant)], [])


@pytest.mark.parametrize(
    "header", ["<|message|>", "<|constrain|>json<|message|>", "<|channel|>commentary json<|message|>"]
)
def test_the_end_of_a_header_is_no_part_of_the_arguments(header: str) -> None:
    text = f'{header}{{"a": "<|message|>"}}'
    for first in range(len(text)):
        pieces = [[delta("f", text[:first], 0, "x")], [delta(None, text[first:], 0)]]
        assert told(pieces) == ([("f", '{"a": "<|message|>"}')], [])
    assert told([[delta("f", "", 0, "x")], *([delta(None, char, 0)] for char in text)])[1] == []


@pytest.mark.parametrize(
    ("written", "given", "note"),
    [
        ('{"a": ', '{"a": ', "end in the middle"),
        ('{"a": "b', '{"a": "b', "end in the middle"),
        ('{"a": {"b": 1', '{"a": {"b": 1', "end in the middle"),
        ("print(1)", "print(1)", "are not a JSON object"),
        ("[1, 2]", "[1, 2]", "are not a JSON object"),
        ("[" * 2_000, "[" * 2_000, "are not a JSON object"),
        ('```json\n{"a": 1}', '```json\n{"a": 1}', "are not a JSON object"),
        ("```python\nf(1)\n```", "```python\nf(1)\n```", "are not a JSON object"),
        ("[{}] and more", "[{}] and more", "are not a JSON object"),
        ("[{'a': 1," + " " * 10_000 + "}]", "[{'a': 1," + " " * 10_000 + "}]", "are not a JSON object"),
        ("{'a': 1, 'b': ", '{"a": 1, "b": ', "end in the middle"),
    ],
)
def test_what_would_have_to_be_invented_is_given_as_it_is(written: str, given: str, note: str) -> None:
    calls, notes = told([[delta("f", written, 0, "x")]])
    assert calls == [("f", given)]
    assert notes == [f"the arguments of the call to 'f' {note}"]


def test_an_object_in_a_list_is_mended_and_taken_out() -> None:
    assert told([[delta("f", "[{'a': 1,}]", 0, "x")]]) == ([("f", '{"a": 1}')], [])


def test_what_is_mended_goes_on_in_every_piece() -> None:
    pieces = [delta("f", "{'a': 1", 0, "x"), delta(None, ", 'b': ", 0), delta(None, "2}", 0)]
    assert told([[each] for each in pieces]) == ([("f", '{"a": 1, "b": 2}')], [])


def test_nothing_is_closed_that_the_length_limit_cut() -> None:
    calls, notes = told([[delta("f", '{"a": {"b": "x"', 0, "x")]], truncated=True)
    assert calls == [("f", '{"a": {"b": "x"')]
    assert notes == ["the arguments of the call to 'f' end in the middle"]


@pytest.mark.parametrize(
    ("written", "complete"),
    [
        ('{"a": 1}', True),
        ('"{\\"a\\": 1}"', True),
        ('{"a": 1', False),
        ('{"a": ', False),
        ('{"a": nonsense', False),
        ("[1", False),
        ("", False),
    ],
)
def test_a_call_says_whether_the_limit_cut_it(written: str, complete: bool) -> None:
    assembler = CallAssembler()
    assembler.add([delta("f", written, 0, "x")])
    assert assembler.finish(truncated=True)[-1] == ToolCallFinished(0, complete)
    whole = CallAssembler()
    whole.add([delta("f", written, 0, "x")])
    assert whole.finish(truncated=False)[-1] == ToolCallFinished(0)


def test_a_delta_that_belongs_to_no_call_is_passed_over() -> None:
    assert told([[delta(None, "{}")], [delta(*A, 0, "x")]]) == ([A], [])


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-1000, 1000) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
objects = st.dictionaries(st.text(max_size=6), json_values, max_size=4)


@settings(max_examples=200, deadline=None)
@given(st.lists(objects, min_size=1, max_size=4), st.booleans(), st.booleans(), st.integers(0, 1000))
def test_pieces_make_no_difference(values: list[Any], numbered: bool, with_ids: bool, seed: int) -> None:
    texts = [json.dumps(value) for value in values]
    deltas: list[list[CallDelta]] = []
    for index, text in enumerate(texts):
        number = index if numbered else None
        deltas.append([delta(f"tool_{index}", "", number, f"id{index}" if with_ids else None)])
        deltas += [[delta(None, piece, number)] for piece in cut(text, seed + index)]
    calls, notes = told(deltas)
    assert calls == [(f"tool_{index}", text) for index, text in enumerate(texts)]
    assert notes == []
