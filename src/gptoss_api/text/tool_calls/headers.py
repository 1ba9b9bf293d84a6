"""The opening tags of calls, and the names of tools in all their spellings."""

import re
from collections.abc import Iterable, Mapping
from typing import Final

from msgspec import Struct

from .markers import MAX_HEADER

_STRAIGHT: Final = str.maketrans({"“": '"', "”": '"', "„": '"', "″": '"', "‘": "'", "’": "'", "＝": "="})
_ATTRIBUTE: Final = re.compile(r"""([\w.-]+)\s*=\s*(?:"([^"]*)"|'([^']*)'|([^\s"'>]+?)(?=\s|/?$))""")
# A name may drag a control token along; any other tag or code inside is no header.
_TAG_END: Final = re.compile(r"(?<!\|)>|<(?!\|)|`")
_BARE_NAME: Final = re.compile(r"[\s:=]+([A-Za-z_][\w.-]*)\s*/?$")
_VENDOR: Final = re.compile(r"^(?:functions|tools|assistant)\.")
_JOINTS: Final = str.maketrans("", "", "-_.")
_RECIPIENT: Final = re.compile(r"\bto=(?=\S)")
# Words of a Harmony header that stuck to a name.
_STUCK: Final = re.compile(r"(?:(?:assistant)?(?:commentary|analysis|final)|json|code)+$")


class TagHeader(Struct, frozen=True):
    """An opening tag: ``kind`` is ``call``, ``wrapper`` (several calls) or ``function``."""

    kind: str
    name: str
    key: str | None
    closed: bool


def tag_end(text: str, at: int, word_end: int) -> tuple[int, str]:
    """Where the tag at ``at`` is over, with what stands between its word and its ``>``.

    ``(-1, "...")``: it may still be a tag, more is needed; ``(-1, "")``: it is none.
    """
    found = _TAG_END.search(text, word_end, at + MAX_HEADER)
    if found is None:
        return -1, "..." if len(text) - at < MAX_HEADER else ""
    if found[0] == ">":
        return found.end(), text[word_end : found.start()]
    if found[0] == "<" and found.end() == len(text):
        return -1, "..."
    return -1, ""


def read_tag(word: str, attributes: str) -> TagHeader:
    """The meaning of ``<word attributes>``; ``attributes`` excludes the final ``>``."""
    text = attributes.translate(_STRAIGHT)
    kind = "function"
    if word.endswith("call"):
        kind = "call"
    elif word.endswith("calls"):
        kind = "wrapper"
    name, key = "", None
    for found in _ATTRIBUTE.finditer(text):
        value = next((group for group in found.groups()[1:] if group is not None), "").strip()
        match found[1].lower():
            case "name":
                name = value
            case "key":
                key = value
    if (
        not name
        and key is None
        and (bare := _BARE_NAME.fullmatch(text.rstrip().replace('"', "").replace("'", "")))
    ):
        name = bare[1]
    return TagHeader(kind, name, key, text.rstrip().endswith("/"))


class ToolNames:
    """The tools that may be called, found by whatever the model wrote.

    ``clients`` are the client's own names of tools that are shown under others.
    """

    def __init__(self, shown: Iterable[str], clients: Mapping[str, str] = {}) -> None:
        self._shown = frozenset(shown)
        own = {client: name for client, name in clients.items() if name in self._shown}
        self._exact = own | {name: name for name in self._shown}
        self._loose: dict[str, str | None] = {}
        for written, name in self._exact.items():
            folded = _fold(written)
            self._loose[folded] = name if self._loose.get(folded, name) == name else None

    def __bool__(self) -> bool:
        return bool(self._shown)

    def only(self) -> str | None:
        """The tool, where there is just one."""
        return next(iter(self._shown)) if len(self._shown) == 1 else None

    def find(self, written: str) -> str | None:
        """The shown name that ``written`` means (docs/design/emulation.md, "Foreign forms")."""
        if len(written) > MAX_HEADER:
            return None
        name = _RECIPIENT.split(written, maxsplit=1)[-1]
        name = name.strip().split("<|", 1)[0]
        name = (name.split(None, 1) or [""])[0].strip("\"'`")
        if name in self._exact:
            return self._exact[name]
        name = _VENDOR.sub("", name)
        if name in self._exact:
            return self._exact[name]
        return (
            (self._loose.get(_fold(name)) or self._loose.get(_fold(_STUCK.sub("", name)))) if name else None
        )


def _fold(name: str) -> str:
    return name.casefold().translate(_JOINTS)
