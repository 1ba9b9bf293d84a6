"""What a person is told to type is what their shell finds."""

import shlex
import subprocess
import sysconfig
from collections.abc import Iterator
from pathlib import Path

import pytest

from gptoss_api.core import program

SCRIPTS = Path(sysconfig.get_path("scripts"))
PLAIN = "/usr/bin:/bin"


@pytest.fixture(autouse=True)
def anew() -> Iterator[None]:
    program.command.cache_clear()
    yield
    program.command.cache_clear()


def version_told_by(command: str, folder: Path) -> str:
    return subprocess.check_output(["sh", "-c", f"{command} --version"], cwd=folder, text=True)


def test_a_program_on_the_path_is_called_by_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", f"{SCRIPTS}:{PLAIN}")
    assert program.command() == "gptoss-api"


def test_one_in_a_folder_below_is_called_by_its_path_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", PLAIN)
    folder = SCRIPTS.parents[1]
    monkeypatch.chdir(folder)
    assert program.command() == str((SCRIPTS / "gptoss-api").relative_to(folder))
    assert version_told_by(program.command(), folder).startswith("gptoss-api ")


def test_one_elsewhere_is_called_by_its_whole_path(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", PLAIN)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    assert program.command() == shlex.quote(str(SCRIPTS / "gptoss-api"))
    assert version_told_by(program.command(), tmp_path).startswith("gptoss-api ")


def test_another_program_of_that_name_on_the_path_is_not_meant(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    other = tmp_path / "gptoss-api"
    other.write_text("#!/bin/sh\n")
    other.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{PLAIN}")
    monkeypatch.chdir(tmp_path)
    assert program.command() != "gptoss-api"


def test_without_a_script_the_interpreter_runs_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("sysconfig.get_path", lambda name: str(tmp_path))
    assert program.command().endswith(" -m gptoss_api")
    assert version_told_by(program.command(), tmp_path).startswith("gptoss-api ")
