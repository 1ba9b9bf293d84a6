"""No private name of another package is relied on: its next release may lack it."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

SOURCE = Path(__file__).parents[1] / "src"


def private(name: str) -> bool:
    return name.startswith("_") and not re.fullmatch(r"_|__\w+__", name)


def used(tree: ast.AST) -> Iterator[str]:
    """Private names that are read from something."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Load):
            yield node.attr
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            yield from (alias.name for alias in node.names)
            yield from (node.module or "").split(".")
        elif isinstance(node, ast.Import):
            yield from (part for alias in node.names for part in alias.name.split("."))


def defined(tree: ast.AST) -> Iterator[str]:
    """Names that are given to something here."""
    for node in ast.walk(tree):
        match node:
            case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
                yield node.name
            case ast.Attribute(ctx=ast.Store()):
                yield node.attr
            case ast.Name(ctx=ast.Store()):
                yield node.id


def test_every_private_name_is_the_projects_own() -> None:
    trees = {file: ast.parse(file.read_text(encoding="utf-8")) for file in SOURCE.rglob("*.py")}
    own = {name for tree in trees.values() for name in defined(tree)}
    foreign = {(file.name, name) for file, tree in trees.items() for name in used(tree) if private(name)}
    # What CPython documents under such a name.
    documented = {"_exit", "_replace"}
    assert not {(file, name) for file, name in foreign if name not in own | documented}
