"""A minute of the coverage-guided fuzzing, the same inputs every time (``guided.py`` runs longer ones)."""

import os
import subprocess
from pathlib import Path

import pytest


@pytest.mark.timeout(600)
def test_no_machine_fails_with_anything_but_its_own_errors(tmp_path: Path) -> None:
    python = Path(os.environ["GUIDED"]).absolute()
    command = [str(python), "-m", "tests.fuzz.guided", "--runs", "15000", "--findings", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=590)
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
