"""One JSON value that was written nearly as JSON demands."""

from typing import Any

import pytest

from gptoss_api.text.loose_json import Unreadable, decode_loosely


@pytest.mark.parametrize(
    ("data", "value"),
    [
        (b'{"a": 1}', {"a": 1}),
        (b'{"a": NaN, "b": 1e999, "c": "x\ty"}', {"a": None, "b": None, "c": "x\ty"}),
        (b'\xef\xbb\xbf["\xff"]', ["\ufffd"]),
        (b'ping\n{"a": ' + b"9" * 5_000 + b"}\n", {"a": None}),
    ],
)
def test_what_is_nearly_json_is_the_value_it_means(data: bytes, value: Any) -> None:
    assert decode_loosely(data) == value


@pytest.mark.parametrize("data", [b"", b"[DONE]", b"{} {}", b"{'a': 1}", b"[1,", b"[" * 2_000])
def test_what_is_not_one_value_is_refused(data: bytes) -> None:
    with pytest.raises(Unreadable):
        decode_loosely(data)
