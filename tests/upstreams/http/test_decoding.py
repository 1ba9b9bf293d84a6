"""Content decoding: the cut of the input never matters, the size of the output is bounded."""

import contextlib
import gzip
import zlib
from collections.abc import Callable
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gptoss_api.upstreams.http.decoding import STEP, CorruptBody, Inflater


def inflate(encoding: str, pieces: list[bytes]) -> tuple[bytes, bool]:
    inflater = Inflater(encoding)
    output = b""
    for piece in pieces:
        output += inflater.decode(piece)
        while inflater.pending:
            step = inflater.decode(b"")
            assert len(step) <= STEP
            output += step
    return output, inflater.finished


def bare(data: bytes) -> bytes:
    return zlib.compress(data)[2:-4]


FORMS: list[tuple[str, Callable[[bytes], bytes]]] = [
    ("gzip", gzip.compress),
    ("gzip", lambda data: gzip.compress(data[:3]) + gzip.compress(data[3:])),
    ("deflate", zlib.compress),
    ("deflate", bare),
    ("deflate", lambda data: zlib.compress(data, 0)),
]


@pytest.mark.parametrize(("encoding", "pack"), FORMS)
@given(data=st.binary(max_size=300), cuts=st.lists(st.integers(0, 400), max_size=6))
def test_any_cut_decodes_to_the_same(
    encoding: str, pack: Callable[[bytes], bytes], data: bytes, cuts: list[int]
) -> None:
    packed = pack(data)
    edges = sorted({0, len(packed), *(min(cut, len(packed)) for cut in cuts)})
    pieces = [packed[a:b] for a, b in pairwise(edges)]
    assert inflate(encoding, pieces) == (data, True)
    assert inflate(encoding, [packed[i : i + 1] for i in range(len(packed))]) == (data, True)


@pytest.mark.parametrize("size", [STEP - 1, STEP, STEP + 1, 5 * STEP])
@pytest.mark.parametrize(("encoding", "pack"), FORMS)
def test_output_larger_than_a_step_comes_whole(
    encoding: str, pack: Callable[[bytes], bytes], size: int
) -> None:
    assert inflate(encoding, [pack(bytes(size))]) == (bytes(size), True)


@pytest.mark.parametrize("surplus", range(0, 300, 7))
def test_output_that_zlib_holds_back_after_its_last_input_is_given_out(surplus: int) -> None:
    # For some sizes zlib has taken every byte of input when a step is full, with output still to come.
    packer = zlib.compressobj(1, wbits=-15)
    packed = packer.compress(bytes(STEP + surplus)) + packer.flush()
    assert inflate("deflate", [packed]) == (bytes(STEP + surplus), True)


@pytest.mark.parametrize(("encoding", "pack"), FORMS)
def test_a_cut_end_is_noticed(encoding: str, pack: Callable[[bytes], bytes]) -> None:
    assert inflate(encoding, [pack(b"some text")[:-1]])[1] is False


@given(st.binary(max_size=100))
def test_garbage_is_corrupt_or_unfinished_but_nothing_else(data: bytes) -> None:
    for encoding in ("gzip", "deflate"):
        with contextlib.suppress(CorruptBody):
            inflate(encoding, [data])


def test_no_input_at_all_is_a_complete_body() -> None:
    assert inflate("gzip", []) == (b"", True)
