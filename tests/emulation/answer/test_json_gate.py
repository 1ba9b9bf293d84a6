"""When JSON leaves: at once, after validation, or not at all; in pieces of any size."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gptoss_api.core.errors import UpstreamSchemaMismatch
from gptoss_api.emulation.answer.json_gate import MAX_HELD, MAX_SPACE, JsonGate
from gptoss_api.emulation.answer.structured import JsonMismatch
from gptoss_api.text.json_stream import JsonBroken
from gptoss_api.text.schema import compile_schema
from tests.text.parsing import cut, pieces_of

ANY = compile_schema({"type": "object"})


def through(pieces: list[str], *, live: bool = True) -> tuple[str, bool]:
    """What comes out of a gate, or how it fails; and whether it was sent live."""
    gate = JsonGate(ANY, "", live=live)
    out = ""
    try:
        for piece in pieces:
            out += gate.feed(piece)
            if gate.over:
                break
        out += gate.result()
    except JsonBroken:
        return "broken", gate.sent
    except JsonMismatch as mismatch:
        return f"mismatch: {mismatch}", gate.sent
    return out, gate.sent


_documents: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=8,
)
_texts = st.one_of(
    st.lists(
        st.sampled_from(
            ["{", "}", '"a"', ":", ",", "1", " ", "\n", "```json\n", "```", "word ", "'", '{"a": 1}']
        ),
        max_size=10,
    ).map("".join),
    _documents.map(json.dumps),
    _documents.map(lambda value: f"```json\n{json.dumps(value, indent=1)}\n```"),
    _documents.map(lambda value: f"Here: {json.dumps(value)} Done."),
)


@given(_texts, st.booleans(), st.integers(0, 99))
@settings(max_examples=300, deadline=None)
def test_pieces_change_nothing(text: str, live: bool, seed: int) -> None:
    whole = through([text], live=live)
    assert through(pieces_of(text, 1), live=live) == whole
    assert through(cut(text, seed), live=live) == whole


@given(
    st.dictionaries(st.text(max_size=6), _documents, max_size=4),
    st.sampled_from(["{}", "```\n{}\n```", "\n{}"]),
)
@settings(max_examples=100, deadline=None)
def test_every_object_passes_live(value: dict[str, Any], frame: str) -> None:
    out, sent = through(pieces_of(frame.replace("{}", json.dumps(value, ensure_ascii=False)), 3))
    assert sent
    assert json.loads(out) == value


def test_prose_in_braces_is_not_on_its_way() -> None:
    gate = JsonGate(ANY, "", live=True)
    assert gate.feed("{name}, this is it: ") == ""
    assert gate.feed('{"a": 1}') == ""
    assert gate.result() == '{"a": 1}'


def test_the_first_key_is_enough() -> None:
    gate = JsonGate(ANY, "", live=True)
    assert gate.feed('{"na') == ""
    assert gate.feed('me": ') == '{"name": '


def test_another_attempt_starts_anew_unless_something_was_sent() -> None:
    gate = JsonGate(ANY, "", live=True)
    gate.feed("No.")
    gate.restart()
    assert gate.feed('{"a": 1}') == '{"a": 1}'
    assert gate.over
    gate.restart()
    assert gate.over


def test_what_has_no_end_is_not_collected() -> None:
    gate = JsonGate(ANY, "", live=False)
    gate.feed("word " * (MAX_HELD // 5))
    with pytest.raises(UpstreamSchemaMismatch, match="does not end"):
        gate.feed("word")


def test_nothing_follows_what_is_complete() -> None:
    gate = JsonGate(ANY, "", live=True)
    assert gate.feed('{"a": 1}') == '{"a": 1}'
    assert (gate.over, gate.feed("{}"), gate.result()) == (True, "", "")


@pytest.mark.parametrize("size", [1, 7, 1000, 10_000])
def test_white_space_without_end_ends_the_answer_however_it_is_cut(size: int) -> None:
    spaces = " " * (MAX_SPACE - 1)
    for text, over in (
        (f"[1,{spaces}2,{spaces}3", False),
        (f"[1,{spaces} 2]", True),
        (f"[1,{spaces} ", True),
    ):
        gate = JsonGate(ANY, "", live=False)
        for piece in pieces_of(text, size):
            gate.feed(piece)
        assert gate.over == over
        assert gate.raw == (text if not over else f"[1,{spaces} ")


@pytest.mark.parametrize("live", [True, False])
def test_an_answer_is_never_made_of_two(live: bool) -> None:
    draft, right = '{"km": 1, "reason": "draft"}', '{"km": 12, "reason": "far"}'
    text = f"{draft}\n\nCorrected:\n{right}"
    for pieces in ([text], pieces_of(text, 1), pieces_of(text, 7)):
        # What is on its way cannot be taken back; what is held is the last one.
        assert through(pieces, live=live) == ((draft, True) if live else (right, False))
