"""Bodies are read as JSON objects, whatever clients put into them, or refused with what is wrong."""

import json
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gptoss_api.core.errors import InvalidRequest
from gptoss_api.dialects import json_body
from gptoss_api.dialects.json_body import MAX_DEPTH, MAX_VALUES, decode_object
from gptoss_api.dialects.openai_errors import openai_error


@pytest.mark.parametrize(
    ("body", "value"),
    [
        (b"{}", {}),
        (b' \r\n\t{"a": [1, 2.5, null, true, "x"]} ', {"a": [1, 2.5, None, True, "x"]}),
        (b'\xef\xbb\xbf{"a": 1}', {"a": 1}),
        (b'{"a": 1, "a": 2}', {"a": 2}),
        (rb'{"a": "\ud83d\ude42"}', {"a": "\U0001f642"}),
        (rb'{"a": "cut \ud83d"}', {"a": "cut \ufffd"}),
        (rb'{"a": "\ude42 cut", "\ud83d": 1}', {"a": "\ufffd cut", "\ufffd": 1}),
        (rb'{"a": "\u0000\u2028"}', {"a": "\x00\u2028"}),
        (b'{"a": 123456789012345678901234567890}', {"a": 123456789012345678901234567890}),
    ],
)
def test_an_object(body: bytes, value: Any) -> None:
    assert decode_object(body) == value


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (b"", "no body"),
        (b"  \n", "no body"),
        (b"[]", "an array"),
        (b'"x"', "a string"),
        (b"1", "an integer"),
        (b"1.5", "a decimal number"),
        (b"null", "null"),
        (b"true", "a boolean"),
        (b"{", "line 1, column 2, byte 1"),
        (b'{"a": 1,\n "b": }', "line 2, column 7, byte 15"),
        ('{"é": tru}'.encode(), "byte 7"),
        (b"{'a': 1}", "line 1, column 2"),
        (b'{"a": 1} x', "Extra data"),
        (b'{"a": NaN}', "NaN"),
        (b'{"a": -Infinity}', "-Infinity"),
        (b'{"a": 1e999}', "1e999"),
        (b'{"a": ' + b"9" * 5000 + b"}", "999... is too long"),
        (b'{"a": "\xff"}', "UTF-8 at byte 7"),
        (b"\xff\xfe{\x00}\x00", "UTF-8 at byte 0"),
    ],
)
def test_anything_else_is_refused_with_a_place_or_a_reason(body: bytes, says: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        decode_object(body)
    assert says in caught.value.message
    assert (caught.value.param, openai_error(caught.value).code) == (None, None)
    assert len(caught.value.message) < 400


@pytest.mark.parametrize("surrogate", [b"", rb"\ud800"], ids=["fast", "patient"])
def test_depth_has_a_limit(surrogate: bytes) -> None:
    def nested(levels: int) -> bytes:
        return b'{"a":' * (levels - 1) + b'{"b":"' + surrogate + b'"}' + b"}" * (levels - 1)

    decode_object(nested(MAX_DEPTH))
    for levels in (MAX_DEPTH + 1, 5_000, 200_000):
        with pytest.raises(InvalidRequest, match="nested too deeply"):
            decode_object(nested(levels))


@pytest.mark.parametrize("item", [b"[]", b"{}", b"1", b'""', b'"\\\\"', b'{"a":"\\"},{"}', b"[[[]]]"])
def test_a_crowd_of_values_is_refused_before_they_are_made(item: bytes) -> None:
    crowd = b'{"a":[' + b",".join([item] * MAX_VALUES) + b"]}"
    start = time.thread_time()
    with pytest.raises(InvalidRequest, match="more than 150000 values") as caught:
        decode_object(crowd)
    assert time.thread_time() - start < 0.5
    assert openai_error(caught.value).code == "too_many_values"
    # Its text may be broken further on: that is not looked for.
    with pytest.raises(InvalidRequest, match="more than 150000 values"):
        decode_object(crowd[:-1] + b"?")


@pytest.mark.parametrize("unit", [",", "[", "{", '",', '\\",', "\\", '\\"', "],[", '":{"', "é,"])
def test_what_stands_in_strings_is_no_crowd(unit: str) -> None:
    text = unit * 200_000
    assert decode_object(json.dumps({"a": [text, 1, text]}, ensure_ascii=False).encode()) == {
        "a": [text, 1, text]
    }


def test_a_long_conversation_and_a_prompt_of_tokens_are_no_crowd() -> None:
    turns = [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b", "name": "c"}] * 10_000
    assert decode_object(json.dumps({"messages": turns}).encode()) == {"messages": turns}
    tokens = [*range(131_072)]
    assert decode_object(json.dumps({"prompt": tokens}).encode()) == {"prompt": tokens}


_PIECES = st.sampled_from(['"', "\\", ",", "[", "{", "}", "a", '\\"', "é"])


@given(st.lists(st.lists(_PIECES, max_size=6).map("".join), max_size=30), st.integers(1, 9))
def test_values_are_counted_the_same_however_a_body_is_divided(texts: list[str], size: int) -> None:
    value = {"a": texts, "b": [dict.fromkeys(texts, 1)]}
    body = json.dumps(value, ensure_ascii=False).encode()
    marks = 5 + max(len(texts) - 1, 0) + max(len(set(texts)) - 1, 0)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(json_body, "_PIECE", size)
        patch.setattr(json_body, "MAX_VALUES", marks)
        assert decode_object(body) == value
        patch.setattr(json_body, "MAX_VALUES", marks - 1)
        with pytest.raises(InvalidRequest, match="values"):
            decode_object(body)


@pytest.mark.parametrize("unit", ["\\ud83d", "\\n", "\\ud83d\\ude42", "x"])
def test_a_body_full_of_half_characters_is_mended_in_little_time(unit: str) -> None:
    body = b'{"a": "\\ud83d' + unit.encode() * (4_000_000 // len(unit)) + b'"}'
    start = time.thread_time()
    text = decode_object(body)["a"]
    assert time.thread_time() - start < 1.0
    assert text[:1] == "\ufffd"
    assert not any("\ud800" <= character <= "\udfff" for character in set(text))


def test_many_brackets_are_not_depth() -> None:
    value = {"a": [{"b": [number]} for number in range(10_000)]}
    assert decode_object(json.dumps(value).encode()) == value


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


@given(st.dictionaries(st.text(), _JSON, max_size=5), st.booleans())
def test_every_json_object_is_read_as_python_reads_it(value: dict[str, Any], escaped: bool) -> None:
    assert decode_object(json.dumps(value, ensure_ascii=escaped).encode()) == value


@given(st.binary(max_size=40))
def test_any_bytes_are_an_object_or_a_refusal(body: bytes) -> None:
    try:
        value = decode_object(body)
    except InvalidRequest:
        return
    assert isinstance(value, dict)
