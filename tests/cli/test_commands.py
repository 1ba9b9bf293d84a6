"""What a person types wrong is told with what is near, and shells complete what there is."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from gptoss_api.cli import main
from tests.cli.conftest import clean_environment


def told(*typed: str) -> str:
    """What is said of a command line that cannot be."""
    done = CliRunner().invoke(main, typed, prog_name="gptoss-api")
    assert done.exit_code == 2
    return done.output


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
def test_what_is_near_is_told(typed: list[str], meant: str) -> None:
    last = told(*typed).splitlines()[-1]
    assert "Did you mean" in last
    assert meant in last


def test_where_nothing_is_near_nothing_is_guessed() -> None:
    assert told("frobnicate").endswith("Error: No such command 'frobnicate'.\n")


@pytest.mark.parametrize("group", [[], ["keys"], ["service"]])
def test_no_description_of_a_command_is_cut(group: list[str]) -> None:
    lines = CliRunner().invoke(main, [*group, "--help"], prog_name="gptoss-api").stdout.splitlines()
    described = lines[lines.index("Commands:") + 1 :]
    assert described
    assert [line for line in described if line.endswith("...") or not line.endswith(".")] == []


@pytest.mark.parametrize("command", ["setup", "launch", "completion"])
def test_what_can_be_chosen_is_listed_alike_whether_nothing_or_something_else_is_given(command: str) -> None:
    missing, other = (told(command, *words).partition("Choose one of:\n")[2] for words in ([], ["foo"]))
    assert missing == other != ""
    assert all(line.startswith("  ") and len(line) < 80 for line in missing.splitlines())
    assert "\t" not in missing
    if command != "completion":
        assert "claude-code, opencode" in missing


def completed(*words: str) -> list[str]:
    """What bash is told for the last word."""
    asked = {"COMP_WORDS": " ".join(("gptoss-api", *words)), "COMP_CWORD": str(len(words))}
    done = CliRunner().invoke(
        main, env={**asked, "_GPTOSS_API_COMPLETE": "bash_complete"}, prog_name="gptoss-api"
    )
    return done.output.split()


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
def test_commands_options_and_values_are_completed(words: list[str], offered: list[str]) -> None:
    assert completed(*words) == offered


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_script_asks_the_program_itself(shell: str) -> None:
    done = CliRunner().invoke(main, ["completion", shell], prog_name="gptoss-api")
    assert done.exit_code == 0
    assert f"_GPTOSS_API_COMPLETE={shell}_complete" in done.output


def written_to(home: Path, output: int, *arguments: str) -> "subprocess.CompletedProcess[bytes]":
    return subprocess.run(
        [sys.executable, "-m", "gptoss_api", *arguments],
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=subprocess.PIPE,
        env=clean_environment(home, XDG_STATE_HOME=str(home)),
        timeout=60,
        check=False,
    )


SPOKEN = [["--help"], ["config"], ["usage", "--csv"]]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a file that is full")
@pytest.mark.parametrize("arguments", SPOKEN)
def test_a_full_disk_is_told_without_a_stack_trace(tmp_path: Path, arguments: list[str]) -> None:
    with Path("/dev/full").open("wb") as full:
        done = written_to(tmp_path, full.fileno(), *arguments)
    assert done.returncode == 1
    assert done.stderr.endswith(b"Error: cannot be written: No space left on device\n")
    assert b"Traceback" not in done.stderr


@pytest.mark.skipif(sys.platform == "win32", reason="what a reader that left is told is another thing there")
@pytest.mark.parametrize("arguments", SPOKEN)
def test_a_reader_that_has_left_ends_it_without_a_word(tmp_path: Path, arguments: list[str]) -> None:
    reads, writes = os.pipe()
    os.close(reads)
    try:
        done = written_to(tmp_path, writes, *arguments)
    finally:
        os.close(writes)
    assert done.returncode == 141
    assert b"Error" not in done.stderr
    assert b"Traceback" not in done.stderr


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a file that is full")
def test_a_key_whose_secret_cannot_be_shown_is_told_of(tmp_path: Path) -> None:
    with Path("/dev/full").open("wb") as full:
        done = written_to(tmp_path, full.fileno(), "keys", "create", "anna")
    assert done.returncode == 1
    assert b"The key anna was made, but its secret cannot be written" in done.stderr
    assert b"keys delete anna" in done.stderr


@pytest.mark.skipif(sys.platform == "win32", reason="closes streams as a shell does")
@pytest.mark.parametrize("arguments", ["chat Hello", "login --no-check"])
def test_streams_that_are_closed_cause_no_stack_trace(tmp_path: Path, arguments: str) -> None:
    done = subprocess.run(
        ["/bin/sh", "-c", f"exec {sys.executable} -m gptoss_api {arguments} <&- 2>&1 >&-"],
        capture_output=True,
        env=clean_environment(tmp_path, XDG_STATE_HOME=str(tmp_path), GPTOSS_UPSTREAM="demo", PORT="1"),
        timeout=60,
        check=False,
    )
    assert done.returncode == (1 if "login" in arguments else 0)
    assert b"Traceback" not in done.stdout + done.stderr


def test_what_no_terminal_can_show_is_shown_as_question_marks(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "gptoss_api", "config"],
        capture_output=True,
        env=clean_environment(tmp_path, GPTOSS_CREDENTIALS_FILE="/tmp/\udcff"),
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert b"/tmp/?" in done.stdout


@pytest.mark.parametrize("score", ["nan", "NaN", "-nan", "inf", "-inf", "-0.1", "1.1", "100", "1e999", "x"])
def test_what_is_no_score_is_refused(score: str) -> None:
    assert "--min-score" in told("verify", f"--min-score={score}").splitlines()[-1]
