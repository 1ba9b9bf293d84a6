"""The two cookies of gpt-oss.com, found in whatever a person pastes; :mod:`.pastes` knows the forms."""

import re
from typing import Final

from .pastes import NAMES, cookie_headers, unquoted

# RFC 6265 has no blanks, quotes, commas, semicolons or backslashes in a value; browsers allow commas.
_VALUE: Final = re.compile(r"[\x21\x23-\x3a\x3c-\x5b\x5d-\x7e]+")
_NAME: Final = re.compile(r"[^\s'\"`\u2018-\u201f\u00ab\u00bb,]+")
# What a Set-Cookie header has without a value.
_FLAGS: Final = ("httponly", "secure", "partitioned")
# A value may go on with the padding of Base64 and what follows it, but not with a pair.
_PAIR: Final = re.compile(rf"(?:{'|'.join(NAMES)})=|[A-Za-z_][\w.$-]*=[^=.\s]", re.I)
_WANTED: Final = re.compile(rf"(?:{'|'.join(NAMES)})=", re.I)
_ACCEPTED: Final = (
    "Expected 'user_id=...; session=...', a Cookie header, or a request copied as cURL from the browser."
)


def parse_cookies(text: str) -> dict[str, str]:
    """The cookies ``user_id`` and ``session`` in ``text``, at least one of them; others are left out.

    Of several values of a cookie the last counts, as it does for the site.

    Raises:
        ValueError: for a text that is not understood to its end, with a message that does not repeat it.
    """
    if not text.strip():
        raise ValueError(f"The cookie text is empty. {_ACCEPTED}")
    found = {
        name: checked_value(name, value) for header in cookie_headers(text) for name, value in _pairs(header)
    }
    if not found:
        raise ValueError(f"Neither of the cookies user_id and session was found. {_ACCEPTED}")
    return found


def checked_value(name: str, value: str) -> str:
    """A cookie's value without its quotes; raises :class:`ValueError` if it cannot be one."""
    value = unquoted(value)
    if not value:
        raise ValueError(f"The cookie {name} is empty.")
    if set(value) <= {".", "*"} or value[0] == "<":
        raise ValueError(f"The cookie {name} is a placeholder, not a value.")
    if not _VALUE.fullmatch(value) or value[0] in "'`" or value[-1] in "'`," or "..." in value:
        raise ValueError(f"The cookie {name} has characters that no cookie can have. Was it cut or wrapped?")
    return value


def _pairs(header: str) -> list[tuple[str, str]]:
    """The wanted cookies of a ``Cookie`` header; where there are any, the rest has to be cookies too."""
    wanted: list[tuple[str, str]] = []
    understood = True
    for part in unquoted(_unwrapped(header)).split(";"):
        name, equals, value = part.strip().partition("=")
        if equals and name.lower() in NAMES:
            wanted.append((name.lower(), value))
        elif name and name.lower() not in _FLAGS:
            understood &= bool(equals) and _NAME.fullmatch(name) is not None
    if wanted and not understood:
        raise ValueError(f"Part of the text is not a cookie. Was it cut or wrapped? {_ACCEPTED}")
    return wanted


def _unwrapped(header: str) -> str:
    """``header`` on one line: pairs on lines of their own are parted, what a line's end cut is joined."""
    whole: list[str] = []
    # The cookie that the last line left off in: enough of it to know whether there is more to come.
    last = ""
    for line in map(str.strip, header.splitlines()):
        complete = "=" in last or last.lower() in _FLAGS
        if (complete and _PAIR.match(line)) or (last and _WANTED.match(line)):
            whole.append("; ")
            last = ""
        whole.append(line)
        _, semicolon, rest = line.rpartition(";")
        last = rest.strip() if semicolon else last + line
        last = "=" if "=" in last else last[:16]
    return "".join(whole)
