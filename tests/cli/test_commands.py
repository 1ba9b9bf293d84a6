"""What a person types wrong is told with what is near, and shells complete what there is."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.conftest import Run, clean_environment


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        (["sevre"], "serve"),
        (["usge"], "usage"),
        (["keys", "craete"], "create"),
        (["serve", "--prot", "1"], "--port"),
        (["serve", "--max-concurency", "1"], "--max-concurrency"),
        (["config", "--jsn"], "--json"),
    ],
)
def test_what_is_near_is_told(run: Run, typed: list[str], meant: str) -> None:
    done = run(*typed)
    assert done.returncode == 2
    told = done.stderr.splitlines()[-1]
    assert "Did you mean" in told
    assert meant in told


def test_where_nothing_is_near_nothing_is_guessed(run: Run) -> None:
    done = run("frobnicate")
    assert done.returncode == 2
    assert done.stderr.endswith("Error: No such command 'frobnicate'.\n")


def completed(home: Path, *words: str) -> list[str]:
    """What bash is told for the last word."""
    done = subprocess.run(
        [sys.executable, "-m", "gptoss_api"],
        env=clean_environment(
            home,
            COMP_WORDS=" ".join(("gptoss-api", *words)),
            COMP_CWORD=str(len(words)),
            _GPTOSS_API_COMPLETE="bash_complete",
        ),
        capture_output=True,
        text=True,
        timeout=30,
        check=True,
    )
    return done.stdout.split()


@pytest.mark.parametrize(
    ("words", "offered"),
    [
        (["ser"], ["plain,serve", "plain,service"]),
        (["serve", "--max-b"], ["plain,--max-body"]),
        (["serve", "--tool-style", "h"], ["plain,harmony"]),
        (["serve", "--upstream", "gpt"], ["plain,gpt-oss.com"]),
        (["serve", "--config", "x"], ["file,x"]),
        (["keys", "cr"], ["plain,create"]),
        (["completion", "z"], ["plain,zsh"]),
    ],
)
def test_commands_options_and_values_are_completed(
    tmp_path: Path, words: list[str], offered: list[str]
) -> None:
    assert completed(tmp_path, *words) == offered


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_script_asks_the_program_itself(run: Run, shell: str) -> None:
    done = run("completion", shell)
    assert done.returncode == 0
    assert f"_GPTOSS_API_COMPLETE={shell}_complete" in done.stdout
