"""A limit to how long the present task waits, which costs next to nothing where there is none."""

import asyncio
from types import TracebackType
from typing import Any

from .wheel import Deadline


class Limit:
    """Ends what is awaited inside of the block with :class:`TimeoutError` at the moment ``when``, if any.

    Moments are those of the loop's clock. It serves once; as :func:`asyncio.timeout_at`, of which it is the
    plain part, for the many blocks that are hardly ever over time.
    """

    __slots__ = ("_cancelling", "_deadline", "_over", "_task", "_when")

    def __init__(self, when: float | None = None) -> None:
        self._when = when
        self._deadline: Deadline | None = None
        # There is one inside of the block.
        self._task: asyncio.Task[Any] | None = None
        self._over = False

    def __enter__(self) -> "Limit":
        self._task = task = asyncio.current_task()
        assert task is not None
        self._cancelling = task.cancelling()
        if self._when is not None:
            self.set(self._when)
        return self

    def set(self, when: float) -> None:
        """The moment is ``when`` from now on, inside of the block, by whoever; nothing after it."""
        if self._task is None:
            return
        if self._deadline is None:
            self._deadline = Deadline(self._task.get_loop(), self.end)
        self._deadline.set(when)

    def lift(self) -> None:
        """There is no moment any more."""
        if self._deadline is not None:
            self._deadline.drop()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        task, self._task = self._task, None
        if self._deadline is not None:
            self._deadline.drop()
            # It leads back here.
            self._deadline = None
        if self._over and task is not None:
            left = task.uncancel()
            if left <= self._cancelling and kind is asyncio.CancelledError:
                raise TimeoutError from error

    def end(self) -> None:
        """The moment is now; likewise, and once: what is ended may take its time to leave."""
        if self._task is not None and not self._over:
            self._over = True
            self._task.cancel()
