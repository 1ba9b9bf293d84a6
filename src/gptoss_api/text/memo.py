"""What was made of a text, remembered for the next time: clients send the same again and again."""

from collections.abc import Hashable, Iterable
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class Memo(Generic[K, V]):
    """Values by what they were made of, the latest used of them.

    Of at most ``size`` bytes in all, and none of more than an eighth of that; what a value takes is for
    :meth:`put` to say. There are two generations: what is not used while one fills goes with the older one.
    All methods may be called from any thread.
    """

    __slots__ = ("_half", "_old", "_used", "_young")

    def __init__(self, size: int) -> None:
        self._half = size // 2
        self._young: dict[K, tuple[V, int]] = {}
        self._old: dict[K, tuple[V, int]] = {}
        self._used = 0

    def get(self, key: K) -> V | None:
        found = self._young.get(key)
        if found is None:
            found = self._old.get(key)
            if found is None:
                return None
            self.put(key, *found)
        return found[0]

    def get_each(self, keys: Iterable[K]) -> list[V | None]:
        """What :meth:`get` gives for each of ``keys``."""
        young, old = self._young.get, self._old
        return [
            found[0] if (found := young(key)) is not None else self.get(key) if key in old else None
            for key in keys
        ]

    def put(self, key: K, value: V, size: int) -> None:
        """``size`` is what ``key`` and ``value`` take, in bytes; a rough guess will do."""
        if size > self._half // 4:
            return
        if (before := self._young.get(key)) is not None:
            self._used -= before[1]
        if self._used + size > self._half:
            self._old, self._young, self._used = self._young, {}, 0
        self._young[key] = (value, size)
        self._used += size
