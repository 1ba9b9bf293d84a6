"""The ranks of o200k_base: one table that processes map and share, and that nobody has to build.

The ranks are OpenAI's; ``scripts/build_ranks.py`` lays them out in ``data/``, see ``data/NOTICE``. First come
little-endian numbers of four bytes each, then text:

- the rank of every two bytes, ``NO_RANK`` where they are no token, at ``first << 8 | second``;
- the slots of a hash table with linear probing: 0 in an empty one, else 1 + the rank of a token in the lower
  ``RANK_BITS`` bits, and above them the upper bits of its CRC-32, whose lower bits are the slot to try first;
- where in the file each token begins, in order of rank, and where the last one ends;
- the tokens.
"""

import hashlib
import os
import stat
import sys
from array import array
from collections.abc import Iterator
from contextlib import suppress
from importlib.resources import files
from itertools import pairwise
from mmap import ACCESS_READ, mmap
from pathlib import Path
from typing import Final
from zlib import crc32

# OpenAI's o200k_base.tiktoken, and our table of it.
SOURCE_SHA256: Final = "446a9538cb6c348e3516120d7c08b09f57c36495e2acfffe59a5bf8b0cfb1a2d"
TABLE_SHA256: Final = "cebab60f41908024cb8549db9d110ee0b7622171c901fb637604ffc6aabc55a2"

TOKENS: Final = 199_998
# Higher than every rank.
NO_RANK: Final = 1 << 30

PAIRS: Final = 1 << 16
SLOTS: Final = 1 << 19
RANK_BITS: Final = 18

_TABLE_FILE: Final = "o200k_base.ranks"
_LAST_SLOT: Final = SLOTS - 1
_RANK: Final = (1 << RANK_BITS) - 1


class RanksDamaged(RuntimeError):
    """The token ranks shipped with the package are missing or not the ones it was built with."""


class Ranks:
    """The tokens by their bytes. ``table`` is laid out as the module says."""

    __slots__ = ("_borders", "_pairs", "_slots", "_table")

    def __init__(self, table: bytes | mmap) -> None:
        self._table = table
        numbers = memoryview(table)[: 4 * (PAIRS + SLOTS + TOKENS + 1)]
        native = numbers.cast("I") if sys.byteorder == "little" else _swapped(numbers)
        self._pairs = native[:PAIRS]
        self._slots = native[PAIRS : PAIRS + SLOTS]
        self._borders = native[PAIRS + SLOTS :]

    def of(self, token: bytes) -> int:
        """The rank of ``token``; ``NO_RANK`` if it is none."""
        slots = self._slots
        digest = crc32(token)
        slot = digest & _LAST_SLOT
        while found := slots[slot]:
            if not (found ^ digest) >> RANK_BITS:
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


def load_ranks() -> Ranks:
    """The shipped ranks, as a map that all processes share; takes a few milliseconds for the checksum.

    Where others can write to the file, or it cannot be mapped, this process gets a copy of 4.6 MB.

    Raises:
        RanksDamaged: if the data file is missing or altered.
    """
    file = files(__package__).joinpath("data", _TABLE_FILE)
    if isinstance(file, Path):
        # What is wrong with the file shows again when it is read.
        with suppress(OSError):
            if (mapped := _map(file)) is not None:
                return Ranks(mapped)
    try:
        table = file.read_bytes()
    except OSError as error:
        raise RanksDamaged(
            f"{_TABLE_FILE} cannot be read ({error.strerror}); reinstall gptoss-api"
        ) from error
    _check(hashlib.sha256(table).hexdigest())
    return Ranks(table)


def _map(path: Path) -> mmap | None:
    """The file as it is now and stays, for all that other users can do; ``None`` if they can do something."""
    with path.open("rb") as file:
        if os.name == "posix":
            status = os.fstat(file.fileno())
            if status.st_uid not in (0, os.geteuid()) or status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
                return None
        _check(hashlib.file_digest(file, "sha256").hexdigest())
        return mmap(file.fileno(), 0, access=ACCESS_READ)


def _check(digest: str) -> None:
    if digest != TABLE_SHA256:
        raise RanksDamaged(
            f"{_TABLE_FILE} is damaged (sha256 {digest}, expected {TABLE_SHA256}); reinstall gptoss-api"
        )


def _swapped(numbers: memoryview) -> memoryview:
    swapped = array("I", numbers.tobytes())
    swapped.byteswap()
    return memoryview(swapped)
