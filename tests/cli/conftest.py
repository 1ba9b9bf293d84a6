"""The command line as a process of its own."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

Run = Callable[..., "subprocess.CompletedProcess[str]"]


def clean_environment(home: Path, **variables: str) -> dict[str, str]:
    """Nothing of the developer's own settings, and an empty home."""
    return {
        **{name: os.environ[name] for name in ("PATH", "SYSTEMROOT", "TMPDIR") if name in os.environ},
        "HOME": str(home),
        "APPDATA": str(home),
        "LOCALAPPDATA": str(home),
        "XDG_CONFIG_HOME": str(home),
        **variables,
    }


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Runs ``gptoss-api`` with arguments, standard input and environment to its end."""

    def start(*arguments: str, stdin: str = "", **variables: str) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            [sys.executable, "-m", "gptoss_api", *arguments],
            input=stdin,
            env=clean_environment(tmp_path, **variables),
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )

    return start
