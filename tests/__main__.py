"""Runs the tests as ``make test`` does, or with ``measure`` first, as ``make measure`` does.

A test that fails beside others is run once more by itself: what a busy machine disturbed passes then,
and is named.
"""

import subprocess
import sys
from typing import Final

# pytest's exit codes for tests that failed and for a selection that holds none.
_FAILED: Final = 1
_NOTHING: Final = 5
_COMMAND: Final = (sys.executable, "-m", "pytest", "--hypothesis-profile=ci")

_AGAIN: Final = ("--last-failed", "--last-failed-no-failures=none", "--exitfirst", "-rA")

# Processes and tests of each part: on two cores, of four processes two usually wait.
_Part = tuple[tuple[str, ...], str]
_TOGETHER: Final[tuple[_Part, ...]] = (
    (("-n", "4"), "not alone and not waits"),
    (("-n", "2", "--dist", "loadfile"), "waits"),
)
_ALONE: Final[tuple[_Part, ...]] = (((), "alone"),)


def main(arguments: list[str]) -> int:
    """The exit code of pytest: that of the first part that failed, after which none is run."""
    parts = _TOGETHER
    if arguments[:1] == ["measure"]:
        parts, arguments = _ALONE, arguments[1:]
    found_none = True
    for processes, marks in parts:
        code = _run(*processes, "-m", marks, *arguments)
        if code == _FAILED:
            print("\nOnce more, by themselves: the tests that failed", flush=True)
            code = _run(*_AGAIN, "-m", marks, *arguments) and _FAILED
        if code not in (0, _NOTHING):
            return code
        found_none = found_none and code == _NOTHING
    return _NOTHING if found_none else 0


def _run(*arguments: str) -> int:
    return subprocess.run([*_COMMAND, *arguments]).returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
