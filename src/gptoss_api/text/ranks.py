"""The ranks of o200k_base: one table, laid out so that processes can map and share it.

The ranks are OpenAI's, packed by ``scripts/build_ranks.py``; see ``data/NOTICE``. In the table first come
little-endian numbers of four bytes each, then text:

- the rank of every two bytes, ``NO_RANK`` where they are no token, at ``first << 8 | second``;
- the slots of a hash table with linear probing: 0 in an empty one, else 1 + the rank of a token in the lower
  18 bits, and above them the upper bits of its CRC-32, whose lower bits are the slot to try first;
- where in the table each token begins, in order of rank, and where the last one ends;
- the tokens.
"""

import errno
import hashlib
import lzma
import sys
from array import array
from collections.abc import Iterator
from importlib.resources import files
from itertools import pairwise
from mmap import mmap
from typing import Final
from zlib import crc32

# OpenAI's o200k_base.tiktoken, our packing of it, and our table.
SOURCE_SHA256: Final = "446a9538cb6c348e3516120d7c08b09f57c36495e2acfffe59a5bf8b0cfb1a2d"
PACKED_SHA256: Final = "55c8d4e9628b17746c6eac2ca89b91296df28008139e0b20a24270b1aeeeca2b"
TABLE_SHA256: Final = "cebab60f41908024cb8549db9d110ee0b7622171c901fb637604ffc6aabc55a2"

TOKENS: Final = 199_998
# Higher than every rank.
NO_RANK: Final = 1 << 30

_PACKED_FILE: Final = "o200k_base.ranks.xz"
_PAIRS: Final = 1 << 16
_SLOTS: Final = 1 << 19
_LAST_SLOT: Final = _SLOTS - 1
_RANK_BITS: Final = 18
_RANK: Final = (1 << _RANK_BITS) - 1
_NUMBERS: Final = _PAIRS + _SLOTS + TOKENS + 1

# What says nothing of the file.
_PASSING: Final = frozenset({errno.EMFILE, errno.ENFILE})


class RanksDamaged(RuntimeError):
    """The token ranks shipped with the package are missing or not the ones it was built with."""


class Ranks:
    """The tokens by their bytes. ``table`` is laid out as the module says."""

    __slots__ = ("_borders", "_pairs", "_slots", "_table")

    def __init__(self, table: bytes | mmap) -> None:
        self._table = table
        numbers = memoryview(table)[: 4 * _NUMBERS]
        native = numbers.cast("I") if sys.byteorder == "little" else _swapped(numbers)
        self._pairs = native[:_PAIRS]
        self._slots = native[_PAIRS : _PAIRS + _SLOTS]
        self._borders = native[_PAIRS + _SLOTS :]

    def of(self, token: bytes) -> int:
        """The rank of ``token``; ``NO_RANK`` if it is none."""
        slots = self._slots
        digest = crc32(token)
        slot = digest & _LAST_SLOT
        while found := slots[slot]:
            if not (found ^ digest) >> _RANK_BITS:
                rank = found & _RANK
                if self._table[self._borders[rank - 1] : self._borders[rank]] == token:
                    return rank - 1
            slot = slot + 1 & _LAST_SLOT
        return NO_RANK

    def of_pairs(self, piece: bytes) -> list[int]:
        """The rank of each two neighbouring bytes of ``piece``; ``NO_RANK`` for two that are no token."""
        pairs = self._pairs
        return [pairs[first << 8 | second] for first, second in pairwise(piece)]

    def __iter__(self) -> Iterator[bytes]:
        """All tokens in order of rank."""
        return (self._table[start:end] for start, end in pairwise(self._borders))


def build_table() -> bytes:
    """The table, from the shipped ranks. Takes about 100 ms; gives way to other threads.

    Raises:
        RanksDamaged: if the data file is missing or altered.
        OSError: if no file can be opened now, because there is no descriptor left.
    """
    return lay_out(unpack(_packed()))


def unpack(packed: bytes) -> bytes:
    """One length byte for each token, then all tokens in order of rank."""
    digest = hashlib.sha256(packed).hexdigest()
    if digest != PACKED_SHA256:
        raise RanksDamaged(
            f"{_PACKED_FILE} is damaged (sha256 {digest}, expected {PACKED_SHA256}); reinstall gptoss-api"
        )
    return lzma.decompress(packed)


def lay_out(data: bytes) -> bytes:
    """The table of what :func:`unpack` gives."""
    pairs = array("I", [NO_RANK]) * _PAIRS
    slots = array("I", [0]) * _SLOTS
    borders = array("I")
    start = TOKENS
    for rank in range(TOKENS):
        end = start + data[rank]
        token = data[start:end]
        if len(token) == 2:
            pairs[token[0] << 8 | token[1]] = rank
        digest = crc32(token)
        slot = digest & _LAST_SLOT
        while slots[slot]:
            slot = slot + 1 & _LAST_SLOT
        slots[slot] = digest >> _RANK_BITS << _RANK_BITS | rank + 1
        borders.append(4 * _NUMBERS - TOKENS + start)
        start = end
    borders.append(4 * _NUMBERS - TOKENS + start)
    numbers = pairs + slots + borders
    if sys.byteorder == "big":
        numbers.byteswap()
    return numbers.tobytes() + data[TOKENS:]


def _packed() -> bytes:
    try:
        return files(__package__).joinpath("data", _PACKED_FILE).read_bytes()
    except OSError as error:
        if error.errno in _PASSING:
            raise
        raise RanksDamaged(
            f"{_PACKED_FILE} cannot be read ({error.strerror}); reinstall gptoss-api"
        ) from error


def _swapped(numbers: memoryview) -> memoryview:
    swapped = array("I", numbers.tobytes())
    swapped.byteswap()
    return memoryview(swapped)
