"""Runs the tests as ``make test`` does, or with ``measure`` first as ``make measure`` does.

``of`` runs those of a folder that has a command of its own.

A test that fails beside others is run once more by itself: what a busy machine disturbed passes then,
and is named.
"""

import subprocess
import sys
from typing import Final

# pytest's exit codes for tests that failed and for a selection that holds none.
_FAILED: Final = 1
_NOTHING: Final = 5
_COMMAND: Final = (sys.executable, "-m", "pytest")
_AGAIN: Final = ("--last-failed", "--last-failed-no-failures=none", "--exitfirst", "-rA")

_PROFILE: Final = "--hypothesis-profile=ci"

# Processes and tests of each part: on two cores, of four processes two usually wait.
_Part = tuple[tuple[str, ...], tuple[str, ...]]
_TOGETHER: Final[tuple[_Part, ...]] = (
    (("-n", "4"), (_PROFILE, "-m", "not alone and not waits")),
    (("-n", "2", "--dist", "loadfile"), (_PROFILE, "-m", "waits")),
)
_PARTS: Final[dict[str, tuple[_Part, ...]]] = {
    "measure": (((), (_PROFILE, "-m", "alone")),),
    "of": (((), ()),),
}


def main(arguments: list[str]) -> int:
    """The exit code of pytest: that of the first part that failed, after which none is run."""
    parts = _TOGETHER
    if arguments and arguments[0] in _PARTS:
        parts, arguments = _PARTS[arguments[0]], arguments[1:]
    found_none = True
    for processes, selection in parts:
        code = _run(*processes, *selection, *arguments)
        if code == _FAILED:
            print("\nOnce more, by themselves: the tests that failed", flush=True)
            code = _run(*_AGAIN, *selection, *arguments) and _FAILED
        if code not in (0, _NOTHING):
            return code
        found_none = found_none and code == _NOTHING
    return _NOTHING if found_none else 0


def _run(*arguments: str) -> int:
    return subprocess.run([*_COMMAND, *arguments]).returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
