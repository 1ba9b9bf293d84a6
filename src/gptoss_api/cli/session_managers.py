"""The managers of a person's session that keep a program running: systemd's user manager and launchd.

A file that was not written here is left alone.
"""

import os
import plistlib
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

import click

from ..core.program import command as typed

NAME: Final = "gptoss-api"
# What stands near the top of every file that is written here; a file without it is somebody's own.
_MARK: Final = "Written by 'gptoss-api service install'"
_TOP: Final = 256
# Seconds. systemctl waits until the service is ready, which on a slow machine takes a while.
_PATIENCE: Final = 150

_UNIT: Final = """\
# {mark}, which writes it anew each time.
# Your own changes: systemctl --user edit {name}
[Unit]
Description=gptoss-api, an API for gpt-oss
StartLimitIntervalSec=0

[Service]
Type=notify
ExecStart={command}
ExecReload=/bin/kill -HUP $MAINPID
WorkingDirectory=%h
Restart=on-failure
RestartSec=2
# Settings that cannot be used will not do so in two seconds either.
RestartPreventExitStatus=2
WatchdogSec=60
TimeoutStartSec=120
KillMode=mixed
NoNewPrivileges=yes
LockPersonality=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
UMask=0077

[Install]
WantedBy=default.target
"""


class ServiceFailed(click.ClickException):
    """The service manager refused, or there is none; the message says what to do."""


class Service(Protocol):
    """What a session manager runs at its start."""

    @property
    def file(self) -> Path:
        """Where the manager looks for it."""

    def text(self, command: Sequence[str]) -> bytes:
        """What the file of the service holds."""

    def start(self) -> None:
        """Lets the manager read the file and start the service, now and with every session."""

    def stop(self) -> None:
        """Stops the service and lets the manager forget it; the file is still there."""

    def forgotten(self) -> None:
        """The file is gone."""

    def state(self) -> str:
        """What the manager says of the service, in a word or a few."""

    def advice(self) -> str:
        """What a person should know once it runs."""


@dataclass(frozen=True)
class SystemdUser:
    """A unit of systemd's user manager (systemd.unit(5), systemd.service(5))."""

    file: Path

    def text(self, command: Sequence[str]) -> bytes:
        line = " ".join(_quoted(word) for word in command)
        return _UNIT.format(mark=_MARK, name=NAME, command=line).encode()

    def start(self) -> None:
        _told("systemctl", "--user", "daemon-reload")
        _told("systemctl", "--user", "enable", NAME)
        # One that runs already takes the new file.
        _told("systemctl", "--user", "restart", NAME)

    def stop(self) -> None:
        _told("systemctl", "--user", "disable", "--now", NAME)

    def forgotten(self) -> None:
        _told("systemctl", "--user", "daemon-reload")

    def state(self) -> str:
        return _asked("systemctl", "--user", "is-active", NAME) or "unknown"

    def advice(self) -> str:
        return (
            f"Its log: journalctl --user -u {NAME}\n"
            "It runs while you are logged in; also without you after: loginctl enable-linger"
        )


@dataclass(frozen=True)
class LaunchAgent:
    """An agent of macOS' launchd (launchd.plist(5))."""

    file: Path
    log: Path

    @property
    def _domain(self) -> str:
        return f"gui/{os.getuid()}"

    def text(self, command: Sequence[str]) -> bytes:
        agent = plistlib.dumps(
            {
                "Label": NAME,
                "ProgramArguments": list(command),
                "RunAtLoad": True,
                "KeepAlive": {"SuccessfulExit": False},
                "ProcessType": "Background",
                "StandardErrorPath": str(self.log),
                "Umask": 0o077,
            },
            sort_keys=False,
        )
        declaration, _, rest = agent.partition(b"\n")
        return b"%s\n<!-- %s -->\n%s" % (declaration, _MARK.encode(), rest)

    def start(self) -> None:
        # One that runs already has the file of before.
        _asked("launchctl", "bootout", f"{self._domain}/{NAME}")
        _told("launchctl", "bootstrap", self._domain, str(self.file))

    def stop(self) -> None:
        _told("launchctl", "bootout", f"{self._domain}/{NAME}")

    def forgotten(self) -> None:
        """launchd keeps nothing of it."""

    def state(self) -> str:
        found = re.search(r"(?m)^\s*state = (.+)$", _asked("launchctl", "print", f"{self._domain}/{NAME}"))
        return found[1] if found else "not loaded"

    def advice(self) -> str:
        return f"Its log: {self.log}"


def session_manager(options: Sequence[str]) -> Service:
    """The manager of this system. ``options`` are those of ``serve``.

    Raises:
        ServiceFailed: There is none; the message says what to do instead.
    """
    if sys.platform == "darwin":
        library = Path.home() / "Library"
        return LaunchAgent(library / "LaunchAgents" / f"{NAME}.plist", library / "Logs" / f"{NAME}.log")
    if sys.platform == "win32":
        program = subprocess.list2cmdline([*served(options)])
        task = subprocess.list2cmdline(["schtasks", "/create", "/sc", "onlogon", "/tn", NAME, "/tr", program])
        raise ServiceFailed(
            f"Windows has no such services; its task scheduler starts the gateway at logon: {task}"
        )
    if shutil.which("systemctl") is None:
        raise ServiceFailed(
            f"this system has no systemd; let what starts programs here run '{typed()} serve', which stays "
            "in the foreground, writes its log to standard error and ends on SIGTERM"
        )
    configuration = Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config")
    return SystemdUser(configuration / "systemd" / "user" / f"{NAME}.service")


def served(options: Sequence[str]) -> list[str]:
    """The whole command that serves with ``options``."""
    return [sys.executable, "-m", "gptoss_api", "serve", *options]


def refuse_foreign(file: Path) -> None:
    """Raises ``ServiceFailed`` for a file that is there and was not written here."""
    try:
        with file.open("rb") as opened:
            top = opened.read(_TOP)
    except FileNotFoundError:
        return
    except OSError as error:
        raise ServiceFailed(f"{file}: cannot be read: {error.strerror}") from None
    if _MARK.encode() not in top:
        raise ServiceFailed(f"{file} was not written by this command; move it away first")


def _quoted(word: str) -> str:
    """``word`` as systemd reads it back (systemd.service(5), command lines)."""
    for special, written in (("\\", "\\\\"), ('"', '\\"'), ("%", "%%"), ("$", "$$"), ("\n", "\\n")):
        word = word.replace(special, written)
    return f'"{word}"' if re.search(r"[^\w@%+=:,./$-]", word) or not word else word


def _told(*command: str) -> None:
    """Runs ``command``; raises ``ServiceFailed`` with its own words if it fails."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_PATIENCE)  # noqa: S603
    except (OSError, subprocess.TimeoutExpired) as error:
        raise ServiceFailed(f"'{' '.join(command)}' failed: {error}") from None
    if done.returncode:
        said = (done.stderr or done.stdout).strip() or f"exit code {done.returncode}"
        raise ServiceFailed(f"'{' '.join(command)}' failed: {said}")


def _asked(*command: str) -> str:
    """What ``command`` prints, whether it succeeds or not."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_PATIENCE)  # noqa: S603
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip()
