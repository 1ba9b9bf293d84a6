"""Runs the tests as ``make test`` does: what may have company, what waits, then what measures."""

import subprocess
import sys
from typing import Final

# pytest's exit code where a selection holds no test.
_NOTHING: Final = 5
_COMMAND: Final = (sys.executable, "-m", "pytest", "--hypothesis-profile=ci")


# Processes and tests of each part: on two cores, of four processes two usually wait.
_PARTS: Final = (
    ("-n", "4", "-m", "not alone and not waits"),
    ("-n", "2", "--dist", "loadfile", "-m", "waits"),
    ("-m", "alone"),
)


def main(arguments: list[str]) -> int:
    """The exit code of pytest: that of the first part that failed, after which none is run."""
    found_none = True
    for part in _PARTS:
        code = subprocess.run([*_COMMAND, *part, *arguments]).returncode
        if code not in (0, _NOTHING):
            return code
        found_none = found_none and code == _NOTHING
    return _NOTHING if found_none else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
