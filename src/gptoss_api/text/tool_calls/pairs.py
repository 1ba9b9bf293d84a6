"""Arguments written as elements: ``<parameter=K>``, ``<parameter name="K">``, ``<arg_key>`` (form F4, F2)."""

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from msgspec import Struct

from .shapes import decode

_TOKEN: Final = re.compile(
    r"<(?P<open>parameter(?=\W)|arg_value>)|</(?P<shut>parameter|arg_value)>"
    r"|(?P<cdata><!\[CDATA\[)|(?P<end></(?:function|invoke|tool[_-]?call)>)",
    re.IGNORECASE,
)
_LONGEST: Final = 16
_OPENER: Final = re.compile(
    r"<parameter(?:\s*=\s*|\s+name\s*=\s*)[\"'“]?(?P<key>\s*+[^\"'”>\s]{1,256}+)[\"'”]?+(?:\s[^>]{0,256}+)?+>"
    r"|<arg_key>",
    re.IGNORECASE,
)
_PARAMETER_END: Final = re.compile(r"</parameter>", re.IGNORECASE)
_KEY_END: Final = re.compile(r"</arg_key>", re.IGNORECASE)
_VALUE: Final = re.compile(r"\s*+<arg_value>", re.IGNORECASE)
_VALUE_END: Final = re.compile(r"</arg_value>", re.IGNORECASE)
_CDATA: Final = re.compile(r"<!\[CDATA\[(.*?)\]\]>", re.DOTALL)
_HIDDEN: Final = re.compile(r"\0([0-9]+)\0")


class PairsReader:
    """Reads up to the block's own closing tag, which inside a value or CDATA is just text."""

    def __init__(self) -> None:
        self.done = False
        self.rest = ""
        self.size = 0
        self._pieces: list[str] = []
        self._held = ""
        self._in_value = False
        self._in_cdata = False

    def feed(self, text: str) -> None:
        text = self._held + text
        at, size = 0, len(text)
        while at < size:
            if self._in_cdata:
                end = text.find("]]>", at)
                if end < 0:
                    break
                self._in_cdata, at = False, end + 3
                continue
            found = _TOKEN.search(text, at)
            if found is None:
                break
            at = found.end()
            if found["cdata"]:
                self._in_cdata = True
            elif found["open"]:
                self._in_value = True
            elif found["shut"]:
                self._in_value = False
            elif not self._in_value:
                self.done = True
                self._keep(text[:at])
                self.rest = text[at:]
                return
        tail = max(at, size - _LONGEST)
        self._keep(text[:tail])
        self._held = text[tail:]

    def _keep(self, text: str) -> None:
        self._pieces.append(text)
        self.size += len(text)

    @property
    def raw(self) -> str:
        return "".join(self._pieces) + ("" if self.done else self._held)

    def arguments(self, schema: Mapping[str, Any] | None) -> dict[str, Any]:
        """The pairs, each value read as the type that ``schema`` gives it."""
        properties = schema.get("properties") if schema else None
        if not isinstance(properties, Mapping):
            properties = {}
        arguments: dict[str, Any] = {}
        # Tags inside CDATA are text: hidden while the pairs are told apart.
        hidden: list[str] = []

        def hide(found: re.Match[str]) -> str:
            hidden.append(found[1])
            return f"\0{len(hidden) - 1}\0"

        text = _CDATA.sub(hide, self.raw.replace("\0", ""))
        for pair in _pairs(text):
            value = text[pair.begin : pair.end]
            value = value.strip() if "\0" in value else value.removeprefix("\n").removesuffix("\n")
            shown = _HIDDEN.sub(lambda mark: hidden[int(mark[1])], value)
            arguments[pair.key] = _typed(shown, properties.get(pair.key))
        return arguments

    def stray_text(self) -> bool:
        """Whether anything but pairs stands in the block."""
        text = _CDATA.sub("", self.raw)
        others: list[str] = []
        at = 0
        for pair in _pairs(text):
            others.append(text[at : pair.start])
            at = pair.after
        return bool(_TOKEN.sub("", "".join((*others, text[at:]))).strip())


class _Pair(Struct):
    """An element from ``start`` to ``after``, its value from ``begin`` to ``end``."""

    key: str
    start: int
    begin: int
    end: int
    after: int


def _pairs(text: str) -> Iterator[_Pair]:
    """The pairs in ``text``, in time that grows with its length, whatever is opened and never closed."""
    at = 0
    absent: set[re.Pattern[str]] = set()

    def find(pattern: re.Pattern[str], start: int) -> re.Match[str] | None:
        found = None if pattern in absent else pattern.search(text, start)
        if found is None:
            absent.add(pattern)
        return found

    while opener := _OPENER.search(text, at):
        at = begin = opener.end()
        key, closer = opener["key"], _PARAMETER_END
        if key is None:
            named = find(_KEY_END, at)
            value = named and _VALUE.match(text, named.end())
            if named is None or value is None:
                continue
            key, begin, closer = text[at : named.start()], value.end(), _VALUE_END
        if closed := find(closer, begin):
            at = closed.end()
            yield _Pair(key.strip(), opener.start(), begin, closed.start(), at)


def _typed(text: str, schema: Any) -> Any:
    types = schema.get("type") if isinstance(schema, Mapping) else None
    wanted = {types} if isinstance(types, str) else set(types or ())
    if "string" in wanted:
        return text
    try:
        return decode(text.strip())
    except ValueError:
        return text
