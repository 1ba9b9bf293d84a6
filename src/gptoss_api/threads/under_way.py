"""What is on its way to a store that the workers of one machine share, for each of them to see."""

import mmap
from typing import Final

# Bytes of a key that are noted: enough to tell keys apart, which are hashes.
_NOTE: Final = 8
# Keys of one worker: those that wait for the store, and those that are being written.
_MOST: Final = 512
_PART: Final = _NOTE * _MOST
_NOTHING: Final = bytes(_NOTE)


class UnderWay:
    """Memory that a process shares with the workers it forks afterwards: one part for each of ``workers``.

    Only its worker writes into a part and everybody reads all of them, so nobody waits for anybody. A key
    that finds no room is not noted. What a worker noted that died is there until its part is taken anew.
    """

    def __init__(self, workers: int) -> None:
        self._memory = mmap.mmap(-1, workers * _PART)

    def part(self, index: int) -> "Notes":
        """The part of the worker ``index``, emptied."""
        return Notes(self._memory, index * _PART)


class Notes:
    """The keys that one worker has under way, and a look at everybody's."""

    def __init__(self, memory: mmap.mmap, begin: int) -> None:
        self._memory = memory
        self._memory[begin : begin + _PART] = bytes(_PART)
        self._places: dict[bytes, int] = {}
        self._free = list(range(begin, begin + _PART, _NOTE))

    def add(self, key: bytes) -> None:
        if self._free and key not in self._places:
            place = self._places[key] = self._free.pop()
            self._memory[place : place + _NOTE] = key[:_NOTE]

    def remove(self, key: bytes) -> None:
        place = self._places.pop(key, None)
        if place is not None:
            self._memory[place : place + _NOTE] = _NOTHING
            self._free.append(place)

    def __contains__(self, key: bytes) -> bool:
        """Whether any worker has ``key`` under way."""
        return self._memory.find(key[:_NOTE]) >= 0
