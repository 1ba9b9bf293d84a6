"""The two cookies of gpt-oss.com, found in whatever a person pastes.

Understood are ``user_id=…; session=…``, a ``Cookie`` request header alone or among others, and the cURL
command that a browser's DevTools copy, for POSIX shells as well as for the Windows command prompt.
"""

import re
from collections.abc import Iterator
from typing import Final

NAMES: Final = ("user_id", "session")

# RFC 6265 has no blanks, quotes, commas, semicolons or backslashes in a value; browsers allow commas.
_VALUE: Final = re.compile(r"[\x21\x23-\x3a\x3c-\x5b\x5d-\x7e]+")
_ESCAPE: Final = re.compile(r"\\(?:x([0-9a-fA-F]{1,2})|u([0-9a-fA-F]{1,4})|([0-7]{1,3})|(.))", re.S)
_CONTROL: Final = {"n": "\n", "r": "\r", "t": "\t"}
_ACCEPTED: Final = (
    "Expected 'user_id=...; session=...', a Cookie header, or a request copied as cURL from the browser."
)


def parse_cookies(text: str) -> dict[str, str]:
    """The cookies ``user_id`` and ``session`` in ``text``, at least one of them; others are left out.

    Raises :class:`ValueError` with a message that does not repeat any value.
    """
    text = text.strip()
    if not text:
        raise ValueError(f"The cookie text is empty. {_ACCEPTED}")
    if re.match(r"curl(?:\.exe)?\s", text):
        sources = list(_from_curl(text))
        if not sources:
            raise ValueError(
                "The cURL command has no Cookie header. Copy the /chatkit request of a logged-in page."
            )
    else:
        sources = list(_from_headers(text)) or [text]
    found: dict[str, str] = {}
    for source in sources:
        for pair in re.split(r"[;\n]", source):
            name, equals, value = pair.strip().partition("=")
            name = name.strip().lower()
            if not equals or name not in NAMES:
                continue
            found[name] = checked_value(name, value)
    if not found:
        raise ValueError(f"Neither of the cookies user_id and session was found. {_ACCEPTED}")
    return found


def checked_value(name: str, value: str) -> str:
    """A cookie's value without its quotes; raises :class:`ValueError` if it cannot be one."""
    value = value.strip()
    if len(value) >= 2 and value[0] == value[-1] == '"':
        value = value[1:-1]
    if not value:
        raise ValueError(f"The cookie {name} is empty.")
    if not _VALUE.fullmatch(value):
        raise ValueError(f"The cookie {name} has characters that no cookie can have. Was it cut or wrapped?")
    if set(value) <= {".", "*"}:
        raise ValueError(f"The cookie {name} is a placeholder, not a value.")
    return value


def _from_headers(text: str) -> Iterator[str]:
    """The values of ``Cookie`` lines; DevTools may put the value on the line after the name."""
    lines = iter(text.splitlines())
    for line in lines:
        if (header := re.match(r"\s*(?:-H\s+)?['\"]?cookie:(.*)", line, re.I)) is None:
            continue
        value = header[1].strip() or next(lines, "")
        yield value.strip().strip("'\"")


def _from_curl(command: str) -> Iterator[str]:
    words = _shell_words(_without_carets(command))
    for word in words:
        if word in ("-b", "--cookie"):
            yield next(words, "")
        elif word in ("-H", "--header"):
            yield from _from_headers(next(words, ""))
        elif word.startswith("--cookie="):
            yield word.removeprefix("--cookie=")
        elif word.startswith("--header="):
            yield from _from_headers(word.removeprefix("--header="))
        elif word.startswith("-b") and not word.startswith("--"):
            yield word[2:]
        elif word.startswith("-H"):
            yield from _from_headers(word[2:])


def _without_carets(command: str) -> str:
    """Undoes the escapes of the Windows command prompt, if the command was copied for it."""
    command = re.sub(r"\^[ \t]*\r?\n", " ", command)
    return re.sub(r"\^(.)", r"\1", command, flags=re.S) if '^"' in command else command


def _shell_words(command: str) -> Iterator[str]:
    """The words of a command line with the quotes of POSIX shells, ``$'…'`` included."""
    word: list[str] | None = None
    position, end = 0, len(command)
    while position < end:
        char = command[position]
        position += 1
        if char.isspace():
            if word is not None:
                yield "".join(word)
                word = None
            continue
        if char == "\\" and command[position : position + 2].lstrip("\r")[:1] == "\n":
            position = command.index("\n", position) + 1
            continue
        if word is None:
            word = []
        if char == "\\":
            word.append(command[position : position + 1])
            position += 1
        elif char == "$" and command[position : position + 1] == "'":
            quoted, position = _quoted(command, position + 1, "'", escapes=True)
            word.append(_ESCAPE.sub(_unescape, quoted))
        elif char in "'\"":
            quoted, position = _quoted(command, position, char, escapes=char == '"')
            word.append(re.sub(r'\\(["\\$`])', r"\1", quoted) if char == '"' else quoted)
        else:
            word.append(char)
    if word is not None:
        yield "".join(word)


def _quoted(command: str, start: int, quote: str, *, escapes: bool) -> tuple[str, int]:
    """What stands up to the closing quote, and where to go on."""
    position = start
    while position < len(command) and command[position] != quote:
        position += 2 if escapes and command[position] == "\\" else 1
    if position >= len(command):
        raise ValueError("The cURL command ends inside a quoted text. Was it cut?")
    return command[start:position], position + 1


def _unescape(escape: re.Match[str]) -> str:
    hexadecimal, codepoint, octal, char = escape.groups()
    if hexadecimal or codepoint:
        return chr(int(hexadecimal or codepoint, 16))
    return chr(int(octal, 8) & 0xFF) if octal else _CONTROL.get(char, char)
