"""A client as a child of this process, and a gateway beside it where none runs."""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import FrameType
from typing import Final

from .running import Sighting, look_at

# Seconds for a gateway to start, and to end.
_START: Final = 30.0
_STOP: Final = 10.0
_PAUSE: Final = 0.05
# What shells say for a program that a signal ended, with the number of that added.
_BY_SIGNAL: Final = 128

_PASSED_ON: Final = tuple(
    getattr(signal, name)
    for name in ("SIGINT", "SIGTERM", "SIGHUP", "SIGQUIT", "SIGUSR1", "SIGUSR2", "SIGBREAK")
    if hasattr(signal, name)
)
# The terminal sends these to every program of the job, so that the client has them already.
_OF_THE_TERMINAL: Final = frozenset(
    getattr(signal, name) for name in ("SIGINT", "SIGQUIT") if hasattr(signal, name)
)


class NotStarted(Exception):
    """A program that cannot be started; the message says what to do."""


class Supervisor:
    """Passes signals on to the client meanwhile; without one, a signal ends this process in order."""

    def __init__(self) -> None:
        self._client: subprocess.Popen[bytes] | None = None
        self._gateway: subprocess.Popen[bytes] | None = None
        self._starting = False
        self._late: list[int] = []
        self._before: dict[int, object] = {}

    def __enter__(self) -> "Supervisor":
        for number in _PASSED_ON:
            if signal.getsignal(number) is not signal.SIG_IGN:
                self._before[number] = signal.signal(number, self._received)
        return self

    def __exit__(self, *error: object) -> None:
        if self._gateway is not None:
            self._gateway.terminate()
            try:
                self._gateway.wait(_STOP)
            except subprocess.TimeoutExpired:
                self._gateway.kill()
                self._gateway.wait()
        for number, handler in self._before.items():
            signal.signal(number, handler)  # type: ignore[arg-type]

    def find(self, command: str, install: str) -> str:
        """The program called ``command``.

        Raises:
            NotStarted: where there is none.
        """
        program = shutil.which(command)
        if program is None:
            raise NotStarted(f"There is no program {command!r} on the PATH; to install it: {install}")
        return program

    def start_gateway(self, address: str, folder: Path, config_file: str | None) -> Sighting:
        """Starts a gateway and waits until it answers at ``address``; its log goes into ``folder``.

        Raises:
            NotStarted: with what it said, where it does not.
        """
        log = folder / "gateway.log"
        command = [sys.executable, "-m", "gptoss_api", "serve"]
        command += ["--config", config_file] if config_file else []
        with log.open("wb") as output:
            self._gateway = subprocess.Popen(  # noqa: S603
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                # Not of the terminal's job: Ctrl-C is for the client.
                start_new_session=True,
            )
        deadline = time.monotonic() + _START
        while not (seen := look_at(address)).is_gateway:
            if self._gateway.poll() is not None or time.monotonic() > deadline:
                said = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
                raise NotStarted(f"The gateway did not start: {said[-1] if said else 'it said nothing'}")
            time.sleep(_PAUSE)
        return seen

    def run(self, command: Sequence[str], environment: Mapping[str, str]) -> int:
        """The exit code of the client, as a shell would tell it.

        Raises:
            NotStarted: where it cannot be started.
        """
        self._starting = True
        try:
            self._client = subprocess.Popen(command, env=environment)  # noqa: S603
        except OSError as error:
            raise NotStarted(f"{command[0]} cannot be started ({error.strerror})") from None
        for number in self._late:
            self._client.send_signal(number)
        code = self._client.wait()
        return _BY_SIGNAL - code if code < 0 else code

    def _received(self, number: int, frame: FrameType | None) -> None:
        if self._client is None:
            if self._starting:
                self._late.append(number)
                return
            raise SystemExit(_BY_SIGNAL + number)
        if number in _OF_THE_TERMINAL and _in_the_foreground():
            return
        with contextlib.suppress(OSError):
            self._client.send_signal(number)


def _in_the_foreground() -> bool:
    try:
        return os.tcgetpgrp(sys.stdin.fileno()) == os.getpgrp()
    except (OSError, ValueError, AttributeError):
        return sys.platform == "win32"
