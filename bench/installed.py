"""What an installation takes: packages and bytes."""

from pathlib import Path

import msgspec

from .contenders import GATEWAY, LITELLM, ORIGINAL, WORK

# Every environment has them; nobody installs them for the sake of the program.
_TOOLS = {"pip", "setuptools", "wheel", "pkg_resources", "_distutils_hack"}


class Installed(msgspec.Struct, frozen=True):
    """``dependencies`` counts packages besides the program itself, transitive ones included."""

    bytes: int
    dependencies: int | None


def installations() -> dict[str, Installed]:
    """Those of the programs that were installed into ``bench/.work``."""
    found: dict[str, Installed] = {}
    for name, folder in ((GATEWAY, WORK / "gateway"), (LITELLM, WORK / "litellm")):
        for packages in folder.glob("lib/python*/site-packages"):
            found[name] = _environment(packages)
    modules = WORK / "deno" / "node_modules"
    if modules.exists():
        found[ORIGINAL] = Installed(_size(modules), None)
    return found


def _environment(packages: Path) -> Installed:
    size = count = 0
    for entry in packages.iterdir():
        if entry.name.split("-")[0] in _TOOLS or entry.name == "distutils-precedence.pth":
            continue
        size += _size(entry)
        count += entry.name.endswith(".dist-info")
    return Installed(size, count - 1)


def _size(path: Path) -> int:
    """Bytes on disk without compiled Python files, which are made again on every machine."""
    files = [path] if path.is_file() else (file for file in path.rglob("*") if file.is_file())
    return sum(file.stat().st_size for file in files if file.suffix != ".pyc" and not file.is_symlink())
