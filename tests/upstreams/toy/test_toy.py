"""A protocol is three files: the toy's is judged as every other."""

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[3]


def test_a_new_protocol_keeps_the_contract() -> None:
    done = subprocess.run(
        [
            *(sys.executable, "-m", "pytest", "-q", "-p", "tests.upstreams.toy.registered"),
            *("-p", "no:cacheprovider", "-k", "toy or script", "tests/upstreams/test_contract.py"),
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    counted = re.search(r"(\d+) passed", done.stdout)
    assert done.returncode == 0, done.stdout
    assert counted is not None
    assert int(counted[1]) >= 12
