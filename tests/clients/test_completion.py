"""``gptoss-api completion`` in the shells that it is for."""

import os
import shutil
import sys
from pathlib import Path

import pytest

from tests.cli.conftest import clean_environment
from tests.cli.terminal import running_at_a_terminal

# How each is started without the developer's own files, and what makes it ready.
SHELLS = {
    "bash": (["bash", "--norc", "--noprofile", "-i"], 'eval "$(gptoss-api completion bash)"'),
    "zsh": (
        ["zsh", "-f", "-i"],
        'autoload -U compinit && compinit -u -D && eval "$(gptoss-api completion zsh)"',
    ),
    "fish": (["fish", "--no-config", "-i"], "gptoss-api completion fish | source"),
}


@pytest.mark.parametrize("shell", SHELLS)
def test_the_tab_key_completes(tmp_path: Path, shell: str) -> None:
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is not installed")
    command, ready = SHELLS[shell]
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = clean_environment(tmp_path, PATH=path, TERM="dumb", XDG_DATA_HOME=str(tmp_path))
    with running_at_a_terminal(command, environment) as terminal:
        terminal.types(f"{ready}; echo re''ady\r")
        terminal.sees("ready\r\n")
        terminal.types("gptoss-api conf\t--max-bo\t2048 --tool-style har\t| grep -E 'BODY|STYLE'\r")
        terminal.sees("2KiB")
        terminal.sees("harmony")
        terminal.sees("command line --tool-style")
        terminal.types("echo; gptoss-api keys cre\t--help\r")
        terminal.sees("Usage: gptoss-api keys create")
        terminal.types("exit\r")
        terminal.ends()
