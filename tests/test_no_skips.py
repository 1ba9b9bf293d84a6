"""What lacks a part does not pass: continuous integration fails, elsewhere a line says so."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]

MISSING_PARTS = """
import pytest

def test_program():
    pytest.skip("needs redis-server")

def test_module():
    pytest.importorskip("no_such_module")

@pytest.mark.skipif(True, reason="needs node")
def test_condition():
    pass

def test_whole():
    pass
"""
UNABLE = """
import pytest

def test_it():
    pytest.skip("no IPv6 loopback here")
"""


def run(folder: Path, test_file: str, plugin: str) -> list[str]:
    """What pytest writes about a file when ``plugin`` is on."""
    (folder / "pytest.ini").write_text("[pytest]\n")
    (folder / "test_it.py").write_text(test_file)
    command = [sys.executable, "-m", "pytest", "-q", "-p", plugin, "-p", "no:cacheprovider"]
    done = subprocess.run(
        [*command, "-c", folder / "pytest.ini", folder], cwd=ROOT, capture_output=True, text=True
    )
    return done.stdout.strip().splitlines()


def summary(folder: Path, test_file: str) -> str:
    """The last line where skips are failures."""
    return run(folder, test_file, "tests.no_skips")[-1]


def test_tests_that_lack_a_part_fail(tmp_path: Path) -> None:
    assert summary(tmp_path, MISSING_PARTS).startswith("2 failed, 1 passed, 1 error")


def test_a_file_that_lacks_a_part_fails(tmp_path: Path) -> None:
    said = summary(tmp_path, 'import pytest\npytest.skip("needs nginx", allow_module_level=True)\n')
    assert said.startswith("1 error")


def test_what_the_system_cannot_do_may_be_skipped(tmp_path: Path) -> None:
    assert summary(tmp_path, UNABLE).startswith("1 skipped")


def test_elsewhere_one_line_says_what_was_not_run_and_why(tmp_path: Path) -> None:
    lines = run(tmp_path, MISSING_PARTS, "tests.skip_summary")
    (line,) = [line for line in lines if line.startswith("NOT RUN")]
    assert line.startswith("NOT RUN: 3 tests were skipped: ")
    assert "needs redis-server (1)" in line
    assert "needs node (1)" in line


def test_a_run_without_skips_says_nothing_of_them(tmp_path: Path) -> None:
    assert "NOT RUN" not in "".join(run(tmp_path, "def test_it(): pass\n", "tests.skip_summary"))
