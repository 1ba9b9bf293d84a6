"""Checks what a model wrote without stopping everybody else: at once, or in another process."""

import json
import os
import subprocess
import sys
from threading import BoundedSemaphore
from typing import Any, Final

from ...text.coercion import Misfit, coerce
from ...text.schema import Allowance, Schema, Unchecked, at_once
from . import checking_process

TOO_LONG: Final = (
    "to check it against its schema takes too long. Simplify the schema: fewer alternatives that contain "
    "each other, fewer and simpler patterns"
)

# Checks in a process of their own: at the same time, and for one answer.
_PROCESSES: Final = 2
_PROCESSES_EACH: Final = 4
# Seconds on the clock for seconds of processor time, on a machine that has other work.
_PATIENCE: Final = 5 * checking_process.MAX_SECONDS
_COMMAND: Final = (sys.executable, "-P", checking_process.__file__)
_ENVIRONMENT: Final = ("PATH", "PYTHONPATH", "PYTHONHOME", "LD_LIBRARY_PATH", "SYSTEMROOT")

_processes: Final = BoundedSemaphore(_PROCESSES)


def _briefly() -> Allowance:
    return Allowance(pairs=10_000, stack=200, steps=300_000, fault_steps=30_000, errors=5_000)


class Fitter:
    """Makes what one answer holds fit schemas, a few times in another process where that may take long.

    A ``loose`` one has less time, and no processes, for what is not bound to fit.
    """

    def __init__(self, *, loose: bool = False) -> None:
        self._allowance = _briefly() if loose else at_once()
        self._left = 0 if loose else _PROCESSES_EACH

    def fit(self, schema: Schema, value: Any) -> Any:
        """See :func:`~gptoss_api.text.coercion.coerce`.

        Raises:
            Misfit: where there is no value that fits.
            Unchecked: where that cannot be found out in time.
        """
        try:
            return coerce(schema, value, self._allowance)
        except Unchecked as unchecked:
            known: dict[str, Any] = {} if unchecked.fits is None else {"fits": unchecked.fits}
        if self._left:
            self._left -= 1
            known |= _judged_apart(schema, value)
        match known:
            case {"fits": True}:
                return value
            case {"value": fitted}:
                return fitted
            case {"complaints": complaints}:
                raise Misfit(complaints)
            case {"fits": False}:
                raise Misfit(["$: the value does not fit the schema"])
        raise Unchecked


def _judged_apart(schema: Schema, value: Any) -> dict[str, Any]:
    """What another process finds out in its time: see :func:`.checking_process.check_value`."""
    try:
        given = json.dumps((schema.source, value)).encode()
        with _processes:
            done = subprocess.run(  # noqa: S603  # our own module; what is checked goes in by its input
                _COMMAND,
                input=given,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                env={name: os.environ[name] for name in _ENVIRONMENT if name in os.environ},
                timeout=_PATIENCE,
                check=False,
            )
        # A line that was not ended was not written to its end.
        lines = [json.loads(line) for line in done.stdout.split(b"\n")[:-1]]
        return {name: found for line in lines for name, found in line.items()}
    except (OSError, subprocess.SubprocessError, ValueError, RecursionError, MemoryError):
        return {}
