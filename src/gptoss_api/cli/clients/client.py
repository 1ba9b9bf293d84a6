"""What one client is: where its configuration is, what goes into it, and how it is started with ours."""

import os
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from ...core.catalog import find_model
from .formats import Edit

# The name under which clients that let one choose know the gateway, and the variable with its key.
PROVIDER: Final = "gptoss"
KEY_VARIABLE: Final = "GPTOSS_API_KEY"
# Said for a key where the gateway wants none and the client insists on one.
NO_KEY: Final = "none"
LONGEST_ANSWER: Final = 32_768


@dataclass(frozen=True, slots=True)
class Target:
    """The gateway at ``address``, without ``/v1``, and the model; ``keyed`` is whether it wants a key."""

    address: str
    model: str
    keyed: bool = False

    @property
    def v1(self) -> str:
        return f"{self.address}/v1"

    @property
    def title(self) -> str:
        return find_model(self.model).display_name

    @property
    def window(self) -> int:
        return find_model(self.model).context_window


@dataclass(frozen=True, slots=True)
class Place:
    """A file below the home folder; ``variable`` names the folder instead, ``others`` say it per system.

    With ``xdg`` the first part ``.config`` is what ``XDG_CONFIG_HOME`` says.
    """

    path: str
    variable: str = ""
    xdg: bool = False
    others: Mapping[str, str] = field(default_factory=dict)

    def find(self, environ: Mapping[str, str] | None = None, system: str = sys.platform) -> Path:
        environ = os.environ if environ is None else environ
        path = Path(self.others.get(system, self.path))
        if self.variable and environ.get(self.variable):
            return Path(environ[self.variable]).expanduser() / path.name
        if path.parts[0] == "%APPDATA%":
            return Path(environ.get("APPDATA") or Path.home()) / Path(*path.parts[1:])
        if self.xdg and path.parts[0] == ".config" and environ.get("XDG_CONFIG_HOME"):
            return Path(environ["XDG_CONFIG_HOME"]) / Path(*path.parts[1:])
        return Path.home() / path


@dataclass(frozen=True, slots=True)
class ConfigFile:
    """One file of a client. ``find`` gives its path now, ``edits`` what goes into it.

    ``begin`` is what a new file has besides.
    """

    find: Callable[[], Path]
    format: str
    edits: Callable[[Target], Sequence[Edit]]
    begin: str = ""


@dataclass(frozen=True, slots=True)
class Start:
    """How a client is started: ``arguments`` before the person's own, and further ``environment``."""

    arguments: Sequence[str] = ()
    environment: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Client:
    """A program that people point at the gateway.

    ``key_variable`` is what it reads a key from. ``choose`` says how ours is chosen in it where the person
    has chosen another, ``with_key`` and ``without_key`` what is left to do. ``start`` gets a folder that is
    removed when the client has ended; a client that cannot be started so has ``why_not``. ``alone`` is what
    it is told where the person tells it nothing.
    """

    name: str
    title: str
    command: str
    install: str
    files: Sequence[ConfigFile]
    choose: str
    first: str
    key_variable: str = KEY_VARIABLE
    with_key: str = ""
    without_key: str = ""
    why_not: str = ""
    start: Callable[[Target, Path], Start] | None = None
    alone: Sequence[str] = ()
