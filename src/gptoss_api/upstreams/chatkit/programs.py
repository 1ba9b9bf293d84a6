"""What programs are pasted with: the console of a browser, and Python with its jars of cookies.

Each form is taken apart into texts and literals that :mod:`.pastes` reads.
"""

import re
from collections.abc import Iterator
from typing import Final, NamedTuple

_TEXT: Final = r"""'(?:\\.|[^'\\])*'|"(?:\\.|[^"\\])*"|`(?:\\.|[^`\\])*`"""

# The line that asks, with the browser's sign before it or not.
_ASKED: Final = re.compile(
    r"\A\s*(?:[>»›❯$]{1,3}\s*)?(?:(?:copy|console\.log)\s*\(\s*)?(?:window\.)?document\.cookie\s*\)?\s*;?\s*(?:\n|\Z)"
)
# The sign of an answer, or the place that the browser names of one that was logged.
_ANSWER: Final = re.compile(r"\A\s*(?:<[-·•.]?|[←⇠«]|VM\d+:\d+)\s*(?=['\"`]|[\w.-]+=)")
_SET: Final = re.compile(rf"(?:[>»›❯]{{1,2}}\s*)?(?:window\.)?document\.cookie\s*=\s*({_TEXT})\s*;?\s*", re.S)

_PYTHON: Final = re.compile(
    r"^\s*(?:import|from)\s+(?:requests|httpx|aiohttp|curl_cffi)\b"
    r"|\b(?:requests|httpx|session|client|s)\.(?:get|post|put|request)\(",
    re.M,
)
_CALLED: Final = re.compile(
    r"""\.(?:get|post|put|request)\(\s*(?:['"][A-Z]+['"]\s*,\s*)?['"](https?://[^'"]*)"""
)
_ASSIGNED: Final = re.compile(r"\b(?:cookies|headers)\s*(?::[^=\n]{0,80})?=\s*(?:dict\()?(?=\{)")
# What a brace may stand in without being one, and braces.
_PIECE: Final = re.compile(rf"{_TEXT}|(?P<comment>\#[^\n]*)|(?P<brace>[{{}}])", re.S)
_KEYWORDS: Final = re.compile(
    r"\A(?:[A-Za-z_]\w*\s*(?::[^=\n]*)?=\s*)?"
    rf"dict\(((?:\s*[A-Za-z_]\w*\s*=\s*(?:{_TEXT})\s*(?:,|(?=\))))*)\s*\)\s*\Z",
    re.S,
)
_KEYWORD: Final = re.compile(rf"([A-Za-z_]\w*)\s*=\s*({_TEXT})", re.S)

_JAR: Final = re.compile(
    r"\A<?(?:RequestsCookieJar|CookieJar|LWPCookieJar|MozillaCookieJar|Cookies)\[(.*)\]>?\Z", re.S
)
_IN_JAR: Final = re.compile(
    r"<Cookie (?P<name>[^\s=]+)=(?P<value>\S*) for (?P<domain>[^\s/>]*)\s?(?P<path>/[^\s>]*)?\s?/?>"
    r"|\bCookie\((?P<members>[^()]*)\)"
)
_MEMBER: Final = re.compile(r"\b(name|value|domain|path)=(?:'([^']*)'|\"([^\"]*)\")")


class InJar(NamedTuple):
    """A cookie as Python shows it."""

    name: str
    value: str
    domain: str
    path: str


def console(text: str) -> str | None:
    """What the browser's console answered when it was asked for ``document.cookie``; else ``None``."""
    asked = _ASKED.match(text)
    answer = text[asked.end() :] if asked is not None else text
    shown = _ANSWER.sub("", answer)
    return None if asked is None and shown == answer else shown


def set_by_script(text: str) -> list[str] | None:
    """The literals that are assigned to ``document.cookie``, one after the other; else ``None``."""
    place, found = 0, []
    while (assigned := _SET.match(text, place)) is not None:
        found.append(assigned[1])
        place = assigned.end()
    return found if found and place == len(text) else None


def is_python(text: str) -> bool:
    """Whether it is a program that sends a request."""
    return _PYTHON.search(text) is not None


def called(text: str) -> list[str]:
    """The addresses that a program in Python asks."""
    return _CALLED.findall(text)


def assigned(text: str) -> Iterator[str]:
    """The literals of cookies and headers of a program in Python, without its comments."""
    for start in _ASSIGNED.finditer(text):
        depth, place, literal = 0, start.end(), ""
        for piece in _PIECE.finditer(text, start.end()):
            literal += text[place : piece.start()]
            place = piece.end()
            if piece["comment"] is None:
                literal += piece[0]
            depth += {"{": 1, "}": -1}.get(piece["brace"] or "", 0)
            if not depth:
                yield literal
                break


def keywords(text: str) -> list[tuple[str, str]] | None:
    """The names and literals of ``dict(name='value')``; else ``None``."""
    found = _KEYWORDS.match(text)
    return None if found is None else _KEYWORD.findall(found[1])


def jar(text: str) -> list[InJar] | None:
    """The cookies of a jar as ``str`` or ``repr`` shows it; else ``None``."""
    shown = _JAR.match(text.strip())
    if shown is None:
        return None
    found = []
    for cookie in _IN_JAR.finditer(shown[1]):
        members = {name: one or other for name, one, other in _MEMBER.findall(cookie["members"] or "")}
        given = members or cookie.groupdict(default="")
        found.append(
            InJar(
                given.get("name", ""),
                given.get("value", ""),
                given.get("domain", ""),
                given.get("path") or "/",
            )
        )
    return found
