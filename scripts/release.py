"""Builds what is published into ``dist/`` and tries it: ``make release``.

The archives (wheel and sources), a bill of materials (CycloneDX), the notes of the release and the checksums
of all. Then the wheel is installed with pip into empty environments of every supported Python that this
machine has, and each answers real requests; and with the oldest dependencies that the metadata allows, where
tests of what leans on them run too.
"""

import hashlib
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[1]
DIST: Final = ROOT / "dist"
TRIAL: Final = ROOT / "scripts" / "trial.py"
# Tests of what other packages do for us.
LEANING: Final = (
    "tests/config",
    "tests/cli/test_commands.py",
    "tests/cli/test_keys.py",
    "tests/cli/test_usage.py",
    "tests/dialects/chat",
    "tests/dialects/messages",
    "tests/text/test_ecma.py",
    "tests/text/test_schema.py",
)
PYTHONS: Final = ("3.11", "3.12", "3.13", "3.14")


def main() -> int:
    shutil.rmtree(DIST, ignore_errors=True)
    source, wheel = build()
    check_archives(source, wheel)
    bill = list_materials()
    notes = write_notes(version_of(wheel))
    write_checksums(source, wheel, bill, notes)
    for file in sorted(DIST.iterdir()):
        print(f"{file.stat().st_size:>9}  {file.name}")
    with tempfile.TemporaryDirectory() as folder:
        tried = [*install_with_pip(wheel, Path(folder)), install_oldest(wheel, Path(folder))]
    print(f"Answers were right with {', '.join(tried)}.")
    return 0


def run(*command: str | Path, folder: Path = ROOT) -> str:
    """What ``command`` printed.

    Raises:
        SystemExit: It failed; what it printed is shown.
    """
    done = subprocess.run(command, cwd=folder, text=True, capture_output=True)
    if done.returncode:
        print(done.stdout, done.stderr, sep="\n", file=sys.stderr)
        raise SystemExit(f"{' '.join(map(str, command))} failed")
    return done.stdout


def build() -> tuple[Path, Path]:
    """The archive of the sources and the wheel, which is built from that archive and no other file."""
    hatchling = (sys.executable, "-m", "hatchling", "build")
    run(*hatchling, "--target", "sdist", "--directory", DIST)
    (source,) = DIST.glob("*.tar.gz")
    with tempfile.TemporaryDirectory() as folder:
        with tarfile.open(source) as archive:
            archive.extractall(folder, filter="data")
        (unpacked,) = Path(folder).iterdir()
        run(*hatchling, "--target", "wheel", "--directory", DIST, folder=unpacked)
    (wheel,) = DIST.glob("*.whl")
    with tempfile.TemporaryDirectory() as folder:
        run(*hatchling, "--target", "wheel", "--directory", folder)
        (direct,) = Path(folder).iterdir()
        if direct.read_bytes() != wheel.read_bytes():
            raise SystemExit("The wheel of the archive differs from that of the working copy")
    return source, wheel


def check_archives(source: Path, wheel: Path) -> None:
    """What the archives hold: the tracked files of the project, and of the package, and sound metadata."""
    run(sys.executable, "-m", "twine", "check", "--strict", source, wheel)
    tracked = set(run("git", "ls-files", "--cached", "--others", "--exclude-standard").splitlines())
    with tarfile.open(source) as archive:
        packed = {member.name.split("/", 1)[1] for member in archive if member.isfile()}
    if packed - {"PKG-INFO"} != tracked:
        raise SystemExit(f"The archive of the sources differs in {sorted(packed - {'PKG-INFO'} ^ tracked)}")
    package = {name.removeprefix("src/") for name in tracked if name.startswith("src/")}
    with zipfile.ZipFile(wheel) as installed:
        held = {name for name in installed.namelist() if ".dist-info/" not in name}
    if held != package:
        raise SystemExit(f"The wheel differs from the package in {sorted(held ^ package)}")


def version_of(wheel: Path) -> str:
    return wheel.name.split("-")[1]


def list_materials() -> Path:
    """The software bill of materials: what a pinned installation consists of, with hashes."""
    bill = DIST / "sbom.cdx.json"
    command = Path(sys.executable).with_name("cyclonedx-py")
    pins = ROOT / "requirements" / "run.txt"
    options = ("--output-reproducible", "--validate", "--of", "JSON", "--mc-type", "application")
    run(command, "requirements", pins, "--pyproject", ROOT / "pyproject.toml", *options, "-o", bill)
    return bill


def write_notes(version: str) -> Path:
    """The section of the changelog about ``version``."""
    text = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    found = re.search(rf"(?ms)^## \[{re.escape(version)}\][^\n]*\n(.+?)(?=^## |\Z)", text)
    if not found:
        raise SystemExit(f"CHANGELOG.md has no section about {version}")
    notes = DIST / "release-notes.md"
    notes.write_text(found[1].strip() + "\n", encoding="utf-8")
    return notes


def write_checksums(*files: Path) -> None:
    lines = (f"{hashlib.sha256(file.read_bytes()).hexdigest()}  {file.name}\n" for file in files)
    (DIST / "SHA256SUMS").write_text("".join(lines))


def install_with_pip(wheel: Path, folder: Path) -> Iterator[str]:
    """Tries the wheel, as pip installs it, with each supported Python; yields their names."""
    for version in PYTHONS:
        python = shutil.which(f"python{version}")
        if python is None or subprocess.run((python, "--version"), capture_output=True).returncode:
            print(f"python{version} is not on this machine", flush=True)
            continue
        place = folder / version
        run(python, "-m", "venv", place)
        run(place / "bin" / "pip", "install", "--quiet", "--disable-pip-version-check", wheel)
        try_out(place)
        yield f"Python {version}"


def install_oldest(wheel: Path, folder: Path) -> str:
    """Tries the wheel and its extras with the oldest dependencies that its metadata allows."""
    place, pins = folder / "oldest", folder / "oldest.txt"
    uv = (Path(sys.executable).with_name("uv"), "--quiet", "--no-config")
    run(*uv, "pip", "compile", "pyproject.toml", "--all-extras", "--resolution", "lowest-direct", "-o", pins)
    run(*uv, "venv", "--python", f"python{PYTHONS[0]}", place)
    python = place / "bin" / "python"
    run(*uv, "pip", "install", "--python", python, "-r", pins)
    run(*uv, "pip", "install", "--python", python, "--no-deps", wheel)
    try_out(place, "redis.asyncio", "opentelemetry.sdk.trace")
    tools = folder / "tools.txt"
    pinned = (ROOT / "requirements" / "dev.txt").read_text(encoding="utf-8")
    tools.write_text("".join(f"{pin}\n" for pin in re.findall(r"(?m)^\S+==[^\\\n]+", pinned)))
    run(*uv, "pip", "install", "--python", python, "-r", tools, "--overrides", pins)
    marks = "not alone and not waits"
    run(python, "-m", "pytest", "-q", "-n", "2", "-p", "no:cacheprovider", "-m", marks, *LEANING)
    return f"the oldest dependencies on Python {PYTHONS[0]}"


def try_out(place: Path, *modules: str) -> None:
    """Lets the installation in ``place`` serve, and asks it; it sees nothing of this working copy."""
    kept = {name: os.environ[name] for name in ("PATH", "LANG", "SYSTEMROOT") if name in os.environ}
    home = place / "home"
    home.mkdir()
    command: Sequence[str | Path] = (place / "bin" / "python", "-I", TRIAL, *modules)
    done = subprocess.run(command, cwd=home, env=kept | {"HOME": str(home)}, text=True, capture_output=True)
    if done.returncode:
        raise SystemExit(f"{place.name}: {done.stdout}{done.stderr}")


if __name__ == "__main__":
    sys.exit(main())
