"""Continuous integration must not pass because a part of it is missing."""

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


def summary(folder: Path, test_file: str) -> str:
    """The last line that pytest writes about a file when the plugin is on."""
    (folder / "pytest.ini").write_text("[pytest]\n")
    (folder / "test_it.py").write_text(test_file)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "tests.no_skips", "-p", "no:cacheprovider"]
    done = subprocess.run(
        [*command, "-c", folder / "pytest.ini", folder], cwd=ROOT, capture_output=True, text=True
    )
    return done.stdout.strip().splitlines()[-1]


def test_tests_that_lack_a_part_fail(tmp_path: Path) -> None:
    assert summary(tmp_path, MISSING_PARTS).startswith("2 failed, 1 passed, 1 error")


def test_a_file_that_lacks_a_part_fails(tmp_path: Path) -> None:
    said = summary(tmp_path, 'import pytest\npytest.skip("needs nginx", allow_module_level=True)\n')
    assert said.startswith("1 error")


def test_what_the_system_cannot_do_may_be_skipped(tmp_path: Path) -> None:
    assert summary(tmp_path, UNABLE).startswith("1 skipped")
