"""Edits of other programs' configuration files, as text: what is not ours keeps every byte and comment."""

from typing import Final

from .edits import Add, Block, CannotEdit, Edit, Format, Json, Put, Standing, Whole
from .jsonc import Jsonc
from .plain import Plain
from .toml import Toml
from .yaml import Yaml

# By the names under which receipts keep them.
FORMATS: Final[dict[str, Format]] = {
    "json": Jsonc(),
    "json-list": Jsonc("[]"),
    "plain": Plain(),
    "toml": Toml(),
    "yaml": Yaml(),
}

__all__ = ["FORMATS", "Add", "Block", "CannotEdit", "Edit", "Format", "Json", "Put", "Standing", "Whole"]
