"""The arrows of docs/architecture.md are those of the imports, and of the contracts that hold them."""

import re
import tomllib
from itertools import pairwise

import grimp

from tests.docs.test_pages import ROOT

PACKAGE = "gptoss_api"
Arrow = tuple[str, str]  # importer, imported


def drawn() -> set[Arrow]:
    """``a, b <- c <- d``: c imports a and b, d imports c."""
    page = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    arrows: set[Arrow] = set()
    for line in re.findall(r"(?m)^[a-z, ]+(?: <- [a-z, ]+)+$", page):
        rooms = [re.split(r",\s*", part.strip()) for part in line.split("<-")]
        for imported, importers in pairwise(rooms):
            arrows |= {(importer, room) for importer in importers for room in imported}
    return arrows


def imports() -> set[Arrow]:
    graph = grimp.build_graph(PACKAGE)
    return {
        (importer, imported)
        for module in graph.modules
        for other in graph.find_modules_directly_imported_by(module)
        if (importer := room(module)) != (imported := room(other)) and importer and imported
    }


def room(module: str) -> str:
    name = module.removeprefix(f"{PACKAGE}.").split(".")[0]
    return "" if name.startswith("__") or name == PACKAGE else name


def within_reach(arrows: set[Arrow]) -> set[Arrow]:
    reached = set(arrows)
    while more := {(a, d) for a, b in reached for c, d in reached if b == c} - reached:
        reached |= more
    return reached


def test_every_arrow_is_an_import_and_every_import_is_within_reach() -> None:
    arrows, real = drawn(), imports()
    assert arrows
    assert arrows - real == set()
    assert real - within_reach(arrows) == set(), "docs/architecture.md does not draw it"


def test_no_arrow_points_up_the_layers() -> None:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    contracts = settings["tool"]["importlinter"]["contracts"]
    layers = next(contract for contract in contracts if contract["type"] == "layers")
    height = {name: at for at, row in enumerate(layers["layers"]) for name in row.split(" | ")}
    excepted = {tuple(map(room, text.split(" -> "))) for text in layers["ignore_imports"]}
    for importer, imported in drawn():
        assert height[importer] < height[imported] or (importer, imported) in excepted
        for contract in contracts:
            if f"{PACKAGE}.{importer}" in contract.get("source_modules", ()):
                assert f"{PACKAGE}.{imported}" not in contract["forbidden_modules"]


def test_every_room_is_described() -> None:
    page = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    described = set(re.findall(r"(?m)^  (\w+)/ ", page))
    folders = (ROOT / "src" / PACKAGE).glob("*/__init__.py")
    assert described == {file.parent.name for file in folders}
