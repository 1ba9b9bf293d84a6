"""Event loops for tests in which hours pass at once."""

import asyncio
from typing import Any


class Loop(asyncio.SelectorEventLoop):
    """An event loop whose time passes when the test says so."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 1000.0
        self.errors: list[dict[str, Any]] = []
        self.set_exception_handler(lambda loop, context: self.errors.append(context))

    def time(self) -> float:
        return self.now

    def settle(self, *calls: Any) -> None:
        """Makes a call of a function with arguments, and all that follows from it."""
        if calls:
            self.call_soon(*calls)
        for _ in range(100):
            self.call_soon(self.stop)
            self.run_forever()
            if not self._ready:  # type: ignore[attr-defined]
                assert not self.errors
                return
        raise AssertionError("something goes round in circles")

    def pass_time(self, seconds: float) -> None:
        """In small steps: timers that follow from others are kept too."""
        end = self.now + seconds
        while self.now < end:
            self.now = min(self.now + 0.5, end)
            self.settle()

    @property
    def timers(self) -> list[asyncio.TimerHandle]:
        return [timer for timer in self._scheduled if not timer.cancelled()]  # type: ignore[attr-defined]
