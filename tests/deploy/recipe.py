"""Carries a Dockerfile out without Docker: its steps, in roots that borrow programs from one of this machine.

Only what deploy/Dockerfile uses is understood. Each stage is a root of its own; the base images are replaced
by ``base``, a root with Python, which stays as it is. Needs the right to mount.
"""

import json
import os
import re
import shlex
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Final

# What the base lends; the rest of a root is what the steps wrote.
_LENT: Final = ("bin", "etc", "lib", "lib64", "sbin", "usr")
_SCRIPT: Final = """
set -eu
mount --make-rprivate /
mount --bind "$WRITTEN" "$ROOT"
for name in $LENT; do
    if [ -d "$ROOT/$name" ] && ! [ -L "$ROOT/$name" ]; then
        mount --bind "$BASE/$name" "$ROOT/$name"
        mount -o remount,bind,ro "$ROOT/$name"
    fi
done
if [ -n "$READ_ONLY" ]; then
    mount -o remount,bind,ro "$ROOT"
    mount -t tmpfs -o uid=10001,gid=10001,mode=700 tmpfs "$ROOT$VOLUME"
fi
mount -t proc proc "$ROOT/proc"
mount -t tmpfs -o mode=1777 tmpfs "$ROOT/tmp"
mount -t tmpfs -o mode=755 tmpfs "$ROOT/dev"
for device in null zero urandom random; do
    touch "$ROOT/dev/$device"
    mount --bind "/dev/$device" "$ROOT/dev/$device"
done
if [ -z "$READ_ONLY" ]; then
    for file in /etc/resolv.conf /etc/ssl/certs/ca-certificates.crt; do
        if [ -e "$file" ] && [ -e "$ROOT$file" ]; then mount --bind "$file" "$ROOT$file"; fi
    done
fi
exec chroot --userspec="$OWNER" "$ROOT" /usr/bin/env -i "$@"
"""
# Images of Python have it by this name.
_PYTHON: Final = '#!/bin/sh\nexec /usr/bin/python3 "$@"\n'


@dataclass(slots=True)
class Stage:
    """A root that is made: what the steps wrote, and beside it what the base lends."""

    base: Path
    folder: Path
    environment: dict[str, str] = field(
        default_factory=lambda: {"PATH": "/usr/local/bin:/usr/bin:/bin:/shims"}
    )
    place: str = "/"
    user: str = "0:0"
    volume: str = ""
    entrypoint: list[str] = field(default_factory=list)
    command: list[str] = field(default_factory=list)
    health: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        (self.folder / "root").mkdir(parents=True)
        for name in ("proc", "tmp", "dev", "shims"):
            (self.written / name).mkdir(parents=True)
        for name in _LENT:
            if (self.base / name).is_symlink():
                (self.written / name).symlink_to((self.base / name).readlink())
            elif (self.base / name).is_dir():
                (self.written / name).mkdir()
        shim = self.written / "shims/python"
        shim.write_text(_PYTHON)
        shim.chmod(0o755)

    @property
    def written(self) -> Path:
        return self.folder / "written"

    def made(self) -> list[Path]:
        """Every file that the steps made."""
        folders = [path for path in self.written.iterdir() if path.name not in (*_LENT, "shims")]
        return [file for folder in folders for file in folder.rglob("*") if not file.is_dir()]

    def inside(self, path: str) -> Path:
        """Where on this machine what the steps wrote to ``path`` is."""
        return self.written / os.path.normpath(os.path.join("/", self.place, path)).lstrip("/")  # noqa: PTH118

    def start(
        self,
        command: list[str],
        log: Path,
        environment: Mapping[str, str] = MappingProxyType({}),
        *,
        read_only: bool = False,
    ) -> "subprocess.Popen[bytes]":
        """``command`` in this root; a read-only one has nothing writable but /tmp and the volume."""
        variables = {
            "PATH": os.environ["PATH"],
            "BASE": str(self.base),
            "LENT": " ".join(_LENT),
            "WRITTEN": str(self.written),
            "ROOT": str(self.folder / "root"),
            "OWNER": self.user,
            "VOLUME": self.volume,
            "READ_ONLY": "yes" if read_only else "",
        }
        given = [f"{name}={value}" for name, value in {**self.environment, **environment}.items()]
        moved = ["/bin/sh", "-c", 'cd "$0" && exec "$@"', self.place, *command]
        with log.open("ab") as output:
            return subprocess.Popen(
                ["unshare", "--mount", "/bin/sh", "-c", _SCRIPT, "recipe", *given, *moved],
                env=variables,
                stdout=output,
                stderr=output,
            )


def can_mount(folder: Path) -> bool:
    """Whether this process may put one folder in the place of another."""
    trial = ["unshare", "--mount", "mount", "--bind", str(folder), str(folder)]
    return os.geteuid() == 0 and subprocess.run(trial, capture_output=True).returncode == 0


def carry_out(dockerfile: Path, context: Path, base: Path, folder: Path, build: Mapping[str, str]) -> Stage:
    """The last stage of ``dockerfile``. ``build`` are variables of the steps that are no part of the recipe.

    Raises:
        RuntimeError: for a step that fails, with what it said.
    """
    stages: dict[str, Stage] = {}
    stage: Stage | None = None
    for name, rest in _steps(dockerfile.read_text()):
        if name == "ARG":
            continue
        if name == "FROM":
            stage = Stage(base, folder / f"stage{len(stages)}")
            stages[rest.partition(" AS ")[2] or str(len(stages))] = stage
            continue
        assert stage is not None
        match name:
            case "ENV":
                for word in shlex.split(rest):
                    variable, _, value = word.partition("=")
                    stage.environment[variable] = value
            case "WORKDIR":
                stage.place = rest
                stage.inside(rest).mkdir(parents=True, exist_ok=True)
            case "COPY":
                _copy(stage, stages, context, rest)
            case "RUN":
                log = folder / "log"
                if stage.start(["/bin/sh", "-c", rest], log, build).wait() != 0:
                    raise RuntimeError(f"RUN {rest}\n{log.read_text()[-4000:]}")
            case "USER":
                stage.user = rest
            case "VOLUME":
                stage.volume = rest
            case "ENTRYPOINT":
                stage.entrypoint = json.loads(rest)
            case "CMD":
                stage.command = json.loads(rest)
            case "HEALTHCHECK":
                stage.health = json.loads(rest[rest.index("[") :])
            case "LABEL" | "EXPOSE":
                pass
            case _:
                raise RuntimeError(f"{name} is not understood")
    assert stage is not None
    return stage


def _steps(text: str) -> list[tuple[str, str]]:
    lines = re.sub(r"(?m)^\s*#.*\n", "", text)
    joined = re.sub(r"\\\n\s*", "", lines)
    return [(name, rest) for line in joined.splitlines() if line for name, _, rest in [line.partition(" ")]]


def _copy(stage: Stage, stages: Mapping[str, Stage], context: Path, rest: str) -> None:
    words = rest.split()
    options = dict(word[2:].split("=", 1) for word in words if word.startswith("--"))
    *sources, target = [word for word in words if not word.startswith("--")]
    for source in sources:
        found = stages[options["from"]].inside(source) if "from" in options else context / source
        into = stage.inside(target)
        if found.is_dir():
            shutil.copytree(
                found,
                into,
                symlinks=True,
                dirs_exist_ok=True,
                ignore=shutil.ignore_patterns("__pycache__") if "from" not in options else None,
            )
        else:
            if target.endswith("/"):
                into = into / found.name
            into.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(found, into)
        if owner := options.get("chown"):
            user, _, group = owner.partition(":")
            os.chown(into, int(user), int(group))
