"""``scripts/venv`` says how far it is, and fails as pip fails."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="a script for POSIX shells")

# An interpreter that has everything but what it is asked to install.
PYTHON = """\
#!/bin/sh
case "$*" in
    *"pip install"*--editable*) ;;
    *"pip install"*) {pip} ;;
esac
"""
COLLECTS = "; ".join(
    [
        *(f"echo 'Collecting thing-{number}==1.0 (from -r x)'" for number in range(1, 10)),
        "echo '  Downloading thing-9.whl'",
        "echo 'Processing /some/where/other-1.0-py3-none-any.whl (from -r x)'",
        "echo 'WARNING: pip is old' >&2",
        "echo 'Installing collected packages: thing, other'",
    ]
)


def installing(folder: Path, pip: str) -> "subprocess.CompletedProcess[str]":
    python = folder / "bin/python"
    python.parent.mkdir()
    python.write_text(PYTHON.format(pip=pip))
    python.chmod(0o755)
    command = ["sh", "scripts/venv", "--project", str(folder), "run"]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=30, check=False)


def test_progress_is_told_and_nothing_that_is_nobodys_business(tmp_path: Path) -> None:
    done = installing(tmp_path, COLLECTS)
    assert (done.returncode, done.stderr) == (0, "")
    first, *told = done.stdout.splitlines()
    assert first.startswith("Installing requirements/run.txt (")
    total = first.partition("(")[2].split()[0]
    assert told == [
        f"  5 of {total}: thing-5",
        f"  10 of {total}: other",
        "  unpacking them",
        "  and this project",
    ]
    assert list(tmp_path.glob(".holds-*"))


def test_a_failure_of_pip_is_shown_and_ends_it(tmp_path: Path) -> None:
    done = installing(tmp_path, "echo 'ERROR: no such package' >&2; exit 3")
    assert (done.returncode, done.stderr) == (3, "ERROR: no such package\n")
    assert "this project" not in done.stdout
    assert not list(tmp_path.glob(".holds-*"))
