"""Names of tools as the model sees them, and back.

Names that gpt-oss knows from its training as tools or channels of its own make it answer with native
calls, and names outside OpenAI's alphabet break call headers; both are shown as ``client_…``.
Source: docs/design/emulation.md, "Tool names".
"""

import re
import unicodedata
from collections.abc import Iterable
from typing import Final

from msgspec import Struct

_VALID: Final = re.compile(r"[A-Za-z0-9_-]{1,64}")
_INVALID: Final = re.compile(r"[^A-Za-z0-9_-]+")
_RESERVED: Final = frozenset(
    (
        "python", "browser", "bash", "shell", "apply_patch",
        "functions", "assistant", "analysis", "commentary", "final", "user", "system", "tool",
    )
)  # fmt: skip
_LONGEST: Final = 64
_PREFIX: Final = "client_"
# Of a long name's beginning.
_HEAD: Final = 20
# What NFKD parts from letters, such as accents.
_MARKS: Final = re.compile("[\u0300-\u036f]+")
# Characters of a name that an alias is made from.
_CONSIDERED: Final = 1_024


def needs_alias(name: str) -> bool:
    """Whether ``name`` cannot be shown as it is."""
    lower = name.lower()
    return (
        lower in _RESERVED
        or lower.startswith("container")
        or _VALID.fullmatch(name) is None  # "browser.search" among them
    )


def alias(name: str) -> str:
    """``client_`` and what is left of ``name`` in OpenAI's alphabet, at most 64 characters.

    A long one loses its middle: it begins with its server's name and ends with what tells it from others.
    """
    plain = unicodedata.normalize("NFKD", name[:_CONSIDERED])
    left = _INVALID.sub("_", _MARKS.sub("", plain)) or "tool"
    if len(left) > _LONGEST - len(_PREFIX):
        left = left[:_HEAD] + left[len(_PREFIX) + _HEAD - _LONGEST :]
    return _PREFIX + left


class NameMap(Struct, frozen=True):
    """Client tool name <-> name shown to the model; one to one, and the same for the same list of names."""

    to_model: dict[str, str]
    to_client: dict[str, str]

    @classmethod
    def of(cls, names: Iterable[str]) -> "NameMap":
        """The map for ``names``: usable names keep themselves, equal aliases are numbered in order."""
        return cls({}, {}).extended(names)

    def extended(self, names: Iterable[str]) -> "NameMap":
        """This map with further names, none of which takes a shown name already given."""
        new = [name for name in dict.fromkeys(names) if name not in self.to_model]
        if not new:
            return self
        to_model, to_client = dict(self.to_model), dict(self.to_client)
        # Of each shown name the last number given, as a client may call many tools by the same.
        numbers: dict[str, int] = {}
        for name in sorted(new, key=needs_alias):  # stable: usable names first, else as they came
            shown = stem = alias(name) if needs_alias(name) else name
            while shown in to_client:
                number = numbers[stem] = numbers.get(stem, 1) + 1
                ending = f"_{number}"
                shown = stem[: _LONGEST - len(ending)] + ending
            to_model[name] = shown
            to_client[shown] = name
        return NameMap(to_model, to_client)

    def shown(self, name: str) -> str:
        """What the model sees instead of ``name``; names that are not mapped get their plain alias."""
        if (known := self.to_model.get(name)) is not None:
            return known
        return alias(name) if needs_alias(name) else name

    def client(self, shown: str) -> str | None:
        """The client's name for what the model wrote: a shown name or, failing that, the original one."""
        if (name := self.to_client.get(shown)) is not None:
            return name
        return shown if shown in self.to_model else None
