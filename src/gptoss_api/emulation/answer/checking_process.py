"""A program of its own: checks a value that would stop everybody else for too long.

A schema and a value come in as JSON on standard input, what is known of them goes out on standard output, a
line for each step. The system ends the process where it takes more than its time or memory. It is run by its
path, so that nothing is imported that it does not need.
"""

import json
import os
import sys
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final

from gptoss_api.text.coercion import Misfit, coerce
from gptoss_api.text.schema import Check, compile_schema

# Seconds of processor time, and bytes.
MAX_SECONDS: Final = 2
MAX_MEMORY: Final = 512 * 1024 * 1024
_NICENESS: Final = 10
_RECURSION: Final = 5_000


def check_value(source: dict[str, Any] | bool, value: Any, tell: Callable[[dict[str, Any]], None]) -> None:
    """Tells whether ``value`` ``fits``, and if it does not, how it would (``value``) or why it cannot
    (``complaints``), each as soon as it is known."""
    schema = compile_schema(source)
    fits = Check(schema, unlimited=True).is_valid(value)
    tell({"fits": fits})
    if fits:
        return
    try:
        tell({"value": coerce(schema, value, unlimited=True)})
    except Misfit as misfit:
        tell({"complaints": misfit.complaints})


def _limit_itself() -> None:
    sys.setrecursionlimit(_RECURSION)
    with suppress(ImportError, OSError, ValueError):
        import resource  # Windows has none

        os.nice(_NICENESS)
        limits = (
            (resource.RLIMIT_CPU, MAX_SECONDS),
            (resource.RLIMIT_AS, MAX_MEMORY),
            (resource.RLIMIT_CORE, 0),
        )
        for what, most in limits:
            _, hard = resource.getrlimit(what)
            resource.setrlimit(what, (most if hard == resource.RLIM_INFINITY else min(most, hard), hard))


def _tell(verdict: dict[str, Any]) -> None:
    print(json.dumps(verdict), flush=True)


if __name__ == "__main__":
    _limit_itself()
    source, value = json.load(sys.stdin)
    check_value(source, value, _tell)
