"""What is installed: the code, its data and the licences, nothing else."""

import ast
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "src"
DOCUMENTED = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
# More than half of it is what tokens are counted by.
MAX_SIZE = 1_800_000


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(folder)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    (built,) = folder.glob("*.whl")
    return built


def test_the_wheel_holds_every_file_of_the_package(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        inside = {name for name in archive.namelist() if name.startswith("gptoss_api/")}
    files = (file for file in SOURCE.rglob("*") if file.is_file() and "__pycache__" not in file.parts)
    assert inside == {file.relative_to(SOURCE).as_posix() for file in files}


def test_no_message_leads_to_a_page_that_is_not_installed() -> None:
    for file in SOURCE.rglob("*.py"):
        tree = ast.parse(file.read_text(encoding="utf-8"))
        told = {
            ast.get_docstring(node, clean=False) for node in ast.walk(tree) if isinstance(node, DOCUMENTED)
        }
        for node in ast.walk(tree):
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value not in told:
                assert "docs/" not in node.value or node.value.startswith("/docs"), file


def test_every_extra_is_used(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        (metadata,) = (name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
        told = archive.read(metadata).decode()
    extras = re.findall(r"(?m)^Provides-Extra: (\S+)$", told)
    code = "".join(file.read_text(encoding="utf-8") for file in SOURCE.rglob("*.py"))
    assert extras
    for extra in extras:
        packages = re.findall(rf"(?m)^Requires-Dist: ([\w-]+)[^;\n]*; extra == '{extra}'$", told)
        assert packages, extra
        for package in packages:
            module = re.escape(package.replace("-", "."))
            assert re.search(rf"\b(?:import|from) {module}\b", code), package


def test_the_wheel_names_its_licences(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        licences = [name for name in archive.namelist() if "/licenses/" in name]
    assert {Path(name).name for name in licences} == {"LICENSE", "NOTICE"}


def test_the_wheel_stays_small(wheel: Path) -> None:
    assert wheel.stat().st_size < MAX_SIZE
