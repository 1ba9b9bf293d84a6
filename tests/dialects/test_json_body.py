"""Bodies are read as JSON objects, whatever clients put into them, or refused with what is wrong."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gptoss_api.core.errors import InvalidRequest
from gptoss_api.dialects.json_body import MAX_DEPTH, decode_object


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
    assert (caught.value.param, caught.value.code) == (None, None)
    assert len(caught.value.message) < 400


@pytest.mark.parametrize("surrogate", [b"", rb"\ud800"], ids=["fast", "patient"])
def test_depth_has_a_limit(surrogate: bytes) -> None:
    def nested(levels: int) -> bytes:
        return b'{"a":' * (levels - 1) + b'{"b":"' + surrogate + b'"}' + b"}" * (levels - 1)

    decode_object(nested(MAX_DEPTH))
    for levels in (MAX_DEPTH + 1, 5_000, 200_000):
        with pytest.raises(InvalidRequest, match="nested too deeply"):
            decode_object(nested(levels))


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
