"""Identifiers are nobody else's, also where processes share what was loaded."""

import re
import subprocess
import sys

import pytest

from gptoss_api.core.identifiers import new_identifier

# Forks after the first was drawn, as a supervisor of workers does.
FORKED = """
import os
from gptoss_api.core.identifiers import new_identifier
new_identifier()
if child := os.fork():
    os.waitpid(child, 0)
print("\\n".join(new_identifier() for _ in range(300)), flush=True)
"""


def test_no_two_are_the_same() -> None:
    made = [new_identifier() for _ in range(1_000)]
    assert all(re.fullmatch("[0-9a-f]{32}", each) for each in made)
    assert len(set(made)) == 1_000


@pytest.mark.skipif(sys.platform == "win32", reason="nothing is forked there")
def test_a_fork_gives_out_its_own() -> None:
    found = subprocess.run([sys.executable, "-c", FORKED], check=True, capture_output=True, text=True)
    made = found.stdout.split()
    assert len(made) == 600
    assert len(set(made)) == 600
