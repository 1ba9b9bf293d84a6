"""What is put into a file, how it stands there now, and why an edit is not made."""

from enum import Enum, auto
from typing import Any, Final, Protocol

from msgspec import Struct

Json = Any

MISSING: Final = object()


class Standing(Enum):
    """What a file has where an edit goes."""

    FREE = auto()
    SAME = auto()
    OTHER = auto()


class CannotEdit(Exception):
    """The file is not changed; the message says what stands in the way, without a full stop."""


class Put(Struct, frozen=True, tag="put"):
    """``value`` under the keys of ``path``. A ``choice`` is only made where the person made none.

    The members of the value that are ``loose`` are changed by the client itself.
    """

    path: tuple[str, ...]
    value: Json
    choice: bool = False
    loose: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        return ".".join(self.path)


class Add(Struct, frozen=True, tag="add"):
    """``value`` in the list under ``path``; ``same`` are its members that no other element may have."""

    path: tuple[str, ...]
    value: dict[str, Json]
    same: tuple[str, ...]
    choice: bool = False

    @property
    def name(self) -> str:
        told = ", ".join(f"{member} {self.value[member]}" for member in self.same)
        return f"{'.'.join(self.path) or 'an element'} with {told}"


class Block(Struct, frozen=True, tag="block"):
    """Lines of YAML, at the end of the list under ``key`` or of the whole.

    ``taken`` is a pattern that finds another's like it.
    """

    text: str
    taken: str
    name: str
    key: str = ""
    choice: bool = False


class Whole(Struct, frozen=True, tag="whole"):
    """A file of which nobody owns a part."""

    text: str
    choice: bool = False

    @property
    def name(self) -> str:
        return "its text"


Edit = Put | Add | Block | Whole


class Format(Protocol):
    """One format. Texts are those of whole files; ``None`` is no file.

    Every function raises :class:`CannotEdit` for a text that is not understood, or where the edit would
    change anything else.
    """

    def standing(self, text: str, edit: Edit) -> Standing: ...

    def apply(self, text: str, edit: Edit) -> tuple[str, Json]:
        """The text with the edit, and what stood there before, for :meth:`revert`."""
        ...

    def revert(self, text: str, edit: Edit, before: Json) -> str:
        """The text without the edit, which stands there as it was made, and with what stood before."""
        ...

    def is_empty(self, text: str) -> bool:
        """Whether nothing is left but what an empty file says."""
        ...


def found(tree: Json, path: tuple[str, ...]) -> Json:
    """The value under ``path``, or :data:`MISSING`."""
    for name in path:
        if not isinstance(tree, dict) or name not in tree:
            return MISSING
        tree = tree[name]
    return tree


def same(one: Json, other: Json) -> bool:
    """Whether two values are equal, and of equal types: ``1`` is neither ``True`` nor ``1.0`` to a client."""
    if type(one) is not type(other):
        return False
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(value, other[name]) for name, value in one.items())
    if isinstance(one, list):
        return len(one) == len(other) and all(same(*pair) for pair in zip(one, other, strict=True))
    return bool(one == other)
