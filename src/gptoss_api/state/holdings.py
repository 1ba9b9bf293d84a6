"""Who holds how much of a space, and who has to let something go."""

from .store import Space


class Holdings:
    """Counts and bytes by owner."""

    def __init__(self) -> None:
        self._held: dict[bytes, tuple[int, int]] = {}
        self._total = 0

    def change(self, owner: bytes, count: int, size: int) -> None:
        """``owner`` holds ``count`` values and ``size`` bytes more, or fewer."""
        counted, held = self._held.get(owner, (0, 0))
        if counted + count:
            self._held[owner] = (counted + count, held + size)
        else:
            del self._held[owner]
        self._total += size

    def excess(self, space: Space, *owners: bytes) -> bytes | None:
        """Whose oldest value has to go: one of ``owners`` that has too much, or who has most if all have.

        ``None`` where everything is within its bounds.
        """
        for owner in owners:
            count, size = self._held.get(owner, (0, 0))
            if count > space.entries or size > space.size:
                return owner
        if self._total > space.total:
            return max(self._held, key=lambda owner: self._held[owner][1])
        return None

    @property
    def owners(self) -> tuple[bytes, ...]:
        return tuple(self._held)
