"""Every input that fuzzing has found worth keeping, read once more (``tests/fuzz``)."""

import pytest

from tests.fuzz import corpus
from tests.fuzz.machines import MACHINES, run


@pytest.mark.parametrize("machine", sorted(MACHINES))
def test_kept_inputs_are_read_alike_in_whatever_pieces(machine: str) -> None:
    inputs = corpus.read(machine)
    assert inputs
    for data in inputs:
        run(machine, data)
