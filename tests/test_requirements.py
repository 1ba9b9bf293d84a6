"""The pinned requirements: complete, hashed, and free of the place they were made in."""

import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
FILES = sorted((ROOT / "requirements").glob("*.txt"), key=lambda file: file.name)


def pins(file: Path) -> list[tuple[Requirement, str]]:
    """Each requirement of a file and its hashes."""
    text = re.sub(r"(?m)^\s*#.*\n", "", file.read_text()).replace("\\\n", " ")
    return [(Requirement(line.split(" --hash", 1)[0]), line) for line in text.splitlines()]


def wanted(name: str) -> list[Requirement]:
    """What pyproject.toml asks for under ``name``: ``run`` or a dependency group."""
    if name == "run":
        return [Requirement(line) for line in PYPROJECT["project"]["dependencies"]]
    entries = PYPROJECT["dependency-groups"][name]
    return [
        requirement
        for entry in entries
        for requirement in (
            wanted(entry["include-group"]) if isinstance(entry, dict) else [Requirement(entry)]
        )
    ]


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_every_pin_has_hashes_and_no_address(file: Path) -> None:
    for requirement, line in pins(file):
        assert re.fullmatch(r"==[^,*]+", str(requirement.specifier)), requirement
        assert requirement.url is None
        assert re.search(r" --hash=sha256:[0-9a-f]{64}\b", line), requirement
    assert not re.search(r"://|^\s*-|file:|\s/", re.sub(r"--hash\S+|#   -c |# via -c ", "", file.read_text()))


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_the_pins_satisfy_the_project(file: Path) -> None:
    pinned = {canonicalize_name(pin.name): pin for pin, _ in pins(file)}
    for requirement in wanted(file.stem):
        pin = pinned[canonicalize_name(requirement.name)]
        assert requirement.specifier.contains(str(pin.specifier).removeprefix("==")), requirement
