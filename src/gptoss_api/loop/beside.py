"""Work that would stop the event loop for too long runs in a thread beside it.

Pure Python in a thread gives way to the loop every few milliseconds. There are few threads, so that the
loop never has to wait for many of them, and a separate one for the heaviest work, so that what is of
medium weight does not wait behind it.
"""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Final, ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")

# Weights are in characters of text, or what takes as long. Up to the first, work is done at once: it takes a
# few milliseconds at most, and a thread costs some tenths of one.
LIGHT: Final = 256 * 1024
_HEAVY: Final = 2 * 1024 * 1024

_medium: Final = ThreadPoolExecutor(2, "gptoss-medium")
_heavy: Final = ThreadPoolExecutor(1, "gptoss-heavy")


async def in_thread(weight: int, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """The result of ``work``, done in a thread for work of that ``weight``.

    A caller that is cancelled leaves; work that has begun goes on to its end unheard.
    """
    threads = _medium if weight <= _HEAVY else _heavy
    return await asyncio.get_running_loop().run_in_executor(threads, lambda: work(*args, **kwargs))


async def beside(weight: int, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """The same, but done at once where ``weight`` is small."""
    if weight <= LIGHT:
        return work(*args, **kwargs)
    return await in_thread(weight, work, *args, **kwargs)
