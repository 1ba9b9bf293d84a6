"""Runs the tests as ``make test`` does: what may have company on two cores, then what measures, by itself."""

import subprocess
import sys
from typing import Final

# pytest's exit code where a selection holds no test.
_NOTHING: Final = 5
_COMMAND: Final = (sys.executable, "-m", "pytest", "--hypothesis-profile=ci")


def main(arguments: list[str]) -> int:
    """The exit code of pytest: of the first of both runs that failed."""
    together = subprocess.run([*_COMMAND, "-n", "2", "-m", "not alone", *arguments]).returncode
    if together not in (0, _NOTHING):
        return together
    alone = subprocess.run([*_COMMAND, "-m", "alone", *arguments]).returncode
    return together if alone == _NOTHING else alone


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
