"""A program at a real terminal: what a person would type, and what they would see."""

import os
import select
import subprocess
import sys
import termios
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.cli.conftest import clean_environment

SECONDS = 20.0


class Terminal:
    """The person's side of a pseudo terminal."""

    def __init__(self, master: int, process: "subprocess.Popen[bytes]") -> None:
        self.process = process
        self.shown = ""
        self._master = master
        self._seen = 0

    def types(self, text: str) -> None:
        os.write(self._master, text.encode())

    def sees(self, text: str) -> str:
        """Waits until ``text`` is shown after what was seen before; returns what came up to its end."""
        deadline = time.monotonic() + SECONDS
        while (found := self.shown.find(text, self._seen)) < 0:
            left = deadline - time.monotonic()
            assert left > 0, f"{text!r} is not in {self.shown[self._seen :]!r}"
            self._read(left)
        begun, self._seen = self._seen, found + len(text)
        return self.shown[begun : self._seen]

    def ends(self) -> int:
        """Waits for the end of the program; returns its exit code."""
        deadline = time.monotonic() + SECONDS
        while self.process.poll() is None:
            assert time.monotonic() < deadline, self.shown[self._seen :]
            self._read(0.1)
        self._read(0.1)
        return self.process.returncode

    def _read(self, seconds: float) -> None:
        if select.select([self._master], [], [], seconds)[0]:
            try:
                self.shown += os.read(self._master, 65_536).decode("utf-8", "replace")
            except OSError:
                # Linux says so when the other side is closed.
                time.sleep(0.02)


@contextmanager
def running_at_a_terminal(command: list[str], environment: dict[str, str]) -> Iterator[Terminal]:
    """``command``, the terminal its controlling one, so that Ctrl-C is a signal."""
    master, slave = os.openpty()
    # A line wider than the terminal is redrawn in pieces.
    termios.tcsetwinsize(master, (40, 500))
    process = subprocess.Popen(
        command, env=environment, preexec_fn=lambda: os.login_tty(slave), pass_fds=(slave,)
    )
    os.close(slave)
    try:
        yield Terminal(master, process)
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()
        os.close(master)


@contextmanager
def at_a_terminal(home: Path, *arguments: str, **variables: str) -> Iterator[Terminal]:
    """``gptoss-api`` with ``arguments``."""
    given = {"TERM": "xterm", "XDG_STATE_HOME": str(home), "XDG_CACHE_HOME": str(home / "cache"), **variables}
    command = [sys.executable, "-m", "gptoss_api", *arguments]
    with running_at_a_terminal(command, clean_environment(home, **given)) as terminal:
        yield terminal
