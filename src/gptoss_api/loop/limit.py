"""A limit to how long the present task waits, which costs next to nothing where there is none."""

import asyncio
from types import TracebackType


class Limit:
    """Ends what is awaited inside of the block with :class:`TimeoutError` at the moment ``when``, if any.

    Moments are those of the loop's clock. It serves once; as :func:`asyncio.timeout_at`, of which it is the
    plain part, for the many blocks that are hardly ever over time.
    """

    __slots__ = ("_cancelling", "_over", "_task", "_timer", "_when")

    def __init__(self, when: float | None = None) -> None:
        self._when = when
        self._timer: asyncio.TimerHandle | None = None
        self._over = False

    def __enter__(self) -> "Limit":
        task = asyncio.current_task()
        assert task is not None
        self._task = task
        self._cancelling = task.cancelling()
        if self._when is not None:
            self.set(self._when)
        return self

    def set(self, when: float) -> None:
        """The moment is ``when`` from now on; from inside of the block, by whoever."""
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._task.get_loop().call_at(when, self._end)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._timer is None:
            return
        self._timer.cancel()
        if self._over and self._task.uncancel() <= self._cancelling and kind is asyncio.CancelledError:
            raise TimeoutError from error

    def _end(self) -> None:
        self._over = True
        self._task.cancel()
