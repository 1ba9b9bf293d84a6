"""The forms in which people paste cookies, each read down to the values of ``Cookie`` headers.

Understood are, with or without quotes and ``GPTOSS_COOKIE=`` before them: the header's value, headers of
requests and of answers (``Set-Cookie``), names and values in lines or tables, requests copied by browsers
(cURL for POSIX shells and for the Windows command prompt, PowerShell, fetch, HAR) one by one or all at once,
those of other tools (wget, HTTPie), exports of cookies as JSON or ``cookies.txt``, what a browser's console
shows of ``document.cookie``, and objects of JavaScript and Python.
"""

import json
import re
import shlex
from codecs import BOM_UTF16_BE, BOM_UTF16_LE
from collections.abc import Iterable, Iterator
from http.cookiejar import Cookie, CookieJar
from itertools import pairwise
from typing import Any, Final, NamedTuple, TypeVar
from urllib.parse import urlsplit
from urllib.request import Request

from . import programs

T = TypeVar("T")

NAMES: Final = ("user_id", "session")

_SITE: Final = "gpt-oss.com"
_URL: Final = f"https://api.{_SITE}/chatkit"
_VARIABLE: Final = "GPTOSS_COOKIE"
_SETS: Final = "set-cookie"

_INVISIBLE: Final = {
    **dict.fromkeys(map(ord, "\ufeff\u200b\u200c\u200d\u2060\u00ad")),
    **dict.fromkeys(map(ord, "\u00a0\u2007\u202f"), " "),
}
# What a terminal puts around a paste.
_BRACKETS: Final = re.compile(r"\x1b\[20[01]~")
_QUOTES: Final = {
    "'": "'", '"': '"', "`": "`", "\u2018": "\u2019", "\u201c": "\u201d", "\u201e": "\u201c\u201d",
    "\u201a": "\u2018\u2019", "\u00ab": "\u00bb", "\u2019": "\u2019", "\u201d": "\u201d",
}  # fmt: skip

_BEFORE_VARIABLE: Final = re.compile(
    r"(?:(?:PS [^\n>]*>|[\w$%>#:.@/-]+(?:=[^\s'\"]*)?)\s+)*(?:Environment=)?['\"]?(?:\$env:)?"
)
_NAMED_HEADER: Final = re.compile(r"""(['"]?)cookie\1\s*[:=]\s*(?P<value>(['"]).*\3)[,;]?""", re.I | re.S)
# What follows a quoted value in a list or in a program.
_ENDED: Final = re.compile(r"""(['"\u2019\u201d])\s*[;,]\Z""")
# As it is around code in Markdown.
_FENCE: Final = re.compile(r"\A\s*(`{3,8}|~{3,8})[\w+-]*[ \t]*\r?\n(.*?)\r?\n?\1\s*\Z", re.S)
_PROGRAMS: Final = ("curl", "curl.exe", "wget", "http", "https")
_COMMAND: Final = re.compile(
    r"""(?:PS\ [^\n>]*>\s* | [A-Za-z]:\\[^\n>]*>\s* | [^\s'"=;]*[$%#>]\s*)?
    (?:curl(?:\.exe)?|wget|https?(?=\s+(?:-|POST\b|GET\b|['"]?[\w.:/-]*gpt-oss\.com)))\s""",
    re.X,
)
_FETCH: Final = re.compile(r"(?:await\s+)?fetch\(\s*(\"(?:\\.|[^\"\\])*\"|'(?:\\.|[^'\\])*')\s*([,)])\s*")
# The end of one call in a list of them.
_NEXT_CALL: Final = re.compile(r"\)[\s;]*\n\s*(?=(?:await\s+)?fetch\()")
_POWERSHELL: Final = re.compile(r"System\.Net\.Cookie\(|\bInvoke-(?:WebRequest|RestMethod)\b")

# Only outside of other quotes does $' begin one, and a backslash hide the end of a line.
_SHELL: Final = re.compile(
    r"""'[^']*' | "(?:\\.|[^"\\])*" | \$'(?P<ansi>(?:\\.|[^'\\])*)' | (?P<wrap>\\\r?(?:\n|\Z)) | \\.""",
    re.S | re.X,
)
# What is longer is a body, on which shlex would spend time that grows with its square.
_LONGEST_HEADER: Final = 65_536
_ESCAPE: Final = re.compile(r"\\(?:x([0-9a-fA-F]{1,2})|u([0-9a-fA-F]{1,4})|([0-7]{1,3})|(.))", re.S)
_CONTROL: Final = {"n": "\n", "r": "\r", "t": "\t"}

_POWERSHELL_TEXT: Final = r'"((?:`.|[^"`])*)"'
_POWERSHELL_COOKIE: Final = re.compile(
    rf"System\.Net\.Cookie\(\s*{_POWERSHELL_TEXT}\s*,\s*{_POWERSHELL_TEXT}"
    rf"(?:\s*,\s*{_POWERSHELL_TEXT})?(?:\s*,\s*{_POWERSHELL_TEXT})?\s*\)"
)
_POWERSHELL_HEADER: Final = re.compile(rf'"cookie"\s*=\s*{_POWERSHELL_TEXT}', re.I)
_POWERSHELL_URL: Final = re.compile(rf"-Uri\s+{_POWERSHELL_TEXT}")
_POWERSHELL_CALL: Final = re.compile(r"(?=\bInvoke-(?:WebRequest|RestMethod)\b)")

# Not a value such as https://gpt-oss.com, which DevTools put on a line of its own.
_HEADER: Final = re.compile(r"\s*:?([A-Za-z][\w-]*):(?!//)(.*)")
# Not a piece of a value.
_BARE_HEADER: Final = re.compile(r":?(?:[a-z][a-z0-9_-]{0,39}|[A-Z][A-Za-z_-]{0,39})")
_NETSCAPE: Final = re.compile(
    r"(?:#HttpOnly_)?(?P<domain>[\w.-]+)\s+(?:TRUE|FALSE)\s+(?P<path>\S+)\s+(?:TRUE|FALSE)\s+[\d.]+\s+"
    r"(?P<name>\S+)\s+(?P<value>\S+)",
    re.I,
)
# Where requests stand in JSON that browsers copy.
_FOLLOWED: Final = ("log", "entries", "request", "headers", "cookies", "requestheaders", "requestcookies")
# The pieces of an object in JavaScript or Python; what is between them is of no matter.
_LITERAL: Final = re.compile(
    r"""(?P<text>'(?:\\.|[^'\\])*' | "(?:\\.|[^"\\])*" | `(?:\\.|[^`\\])*`) | (?P<last>,(?=\s*[}\])]))
    | (?P<word>[A-Za-z_$][\w$]*)(?P<key>(?=\s*:))?""",
    re.S | re.X,
)
_LITERAL_WORDS: Final = {"True": "true", "False": "false", "None": "null", "undefined": "null"}
_OBJECT: Final = re.compile(r"(?:(?:const|let|var)\s+)?[A-Za-z_]\w*\s*(?::[^=\n{]*)?=\s*(?=[{\[])")
# Not within the date of Expires.
_NEXT_SET: Final = re.compile(rf",\s*(?=[\w.-]+=)|\n(?=(?:{'|'.join(NAMES)})=)", re.I)
# How curl -v and mails mark the lines of a request and of an answer.
_MARK: Final = re.compile(r"^[<>](?:[ \t]|$)", re.M)
# What tells a browser to forget a cookie.
_FORGOTTEN: Final = re.compile(
    r";\s*(?:max-age=(?:0|-\d+)\s*(?:;|$)|expires=[^;]*\b(?:19[0-9][0-9])\b)", re.I
)
_DOMAIN: Final = re.compile(r";\s*domain=\s*\.?([^;\s]+)", re.I)
# JavaScript's and Python's in one; \\u{…} is rare enough.
_LITERAL_ESCAPE: Final = re.compile(r"\\(?:u([0-9a-fA-F]{4})|x([0-9a-fA-F]{2})|(.))", re.S)


class PastedCookie(NamedTuple):
    """One cookie of an export; without a domain it is taken for one of the site."""

    name: str
    value: str
    domain: str = ""
    path: str = "/"


def decoded(data: bytes) -> str:
    """The text of a file or a pipe, which on Windows may be UTF-16; raises ``UnicodeDecodeError``."""
    return data.decode("utf-16" if data.startswith((BOM_UTF16_LE, BOM_UTF16_BE)) else "utf-8-sig")


def cookie_headers(text: str) -> list[str]:
    """The values of the ``Cookie`` headers that ``text`` stands for, the newest last; maybe wrapped or none.

    Raises:
        ValueError: for a form that was recognised and cannot be read to its end, or that goes to another
            site; the message does not repeat the text.
    """
    text = _FENCE.sub(r"\2", _BRACKETS.sub("", text).translate(_INVISIBLE))
    text = _without_wrapping(text)
    if text.startswith(("-H", "-b", "--header", "--cookie")):
        text = f"curl {_URL} {text}"
    if text.startswith(("{", "[")):
        return _in_export(_json(text.rstrip(",; \n")))
    if _COMMAND.match(text):
        return _in_command(text)
    if _FETCH.match(text):
        return _in_fetch(text)
    if _POWERSHELL.search(text):
        return _in_powershell(text)
    if (found := _in_program(text)) is not None:
        return found
    if (assigned := _OBJECT.match(text)) is not None:
        return _in_export(_json(text[assigned.end() :].rstrip(",; \n")))
    return _in_table(text) or _in_headers(text) or [text]


def unquoted(text: str) -> str:
    """``text`` without the quotes, straight or typographic, that stand around all of it."""
    text = text.strip()
    while len(text) >= 2 and text[-1] in _QUOTES.get(text[0], ""):
        text = text[1:-1].strip()
    return text


def _without_wrapping(text: str) -> str:
    """``text`` without quotes, a variable or the name of a header around all of it."""
    before = ""
    while text != before:
        before, text = text, text.strip()
        if (header := _NAMED_HEADER.fullmatch(text)) is not None:
            text = header["value"]
        text = unquoted(_assigned(_ENDED.sub(r"\1", text)))
    return text


def _assigned(text: str) -> str:
    """What is assigned to the variable in a line of a shell or of a file, with a command after it or not."""
    before, variable, rest = text.partition(_VARIABLE)
    if not variable or not _BEFORE_VARIABLE.fullmatch(before) or any(f"{name}=" in before for name in NAMES):
        return text
    if before.endswith(("'", '"')):
        rest = rest[1:] if rest.startswith(before[-1]) else rest.removesuffix(before[-1])
    value = re.sub(r"^\s*[=:]?\s*", "", rest)
    closing = _QUOTES.get(value[:1])
    if closing is None and not value.startswith("$'"):
        return value
    if closing is not None and value[0] not in "'\"":
        end = next((place for place, char in enumerate(value[1:], 1) if char in closing), 0)
        word, after = value[1:end], value[end + 1 :]
        if not end:
            raise ValueError(f"The value of {_VARIABLE} ends inside its quotes. Was it cut?")
    else:
        word, *commands = _shell_words(value)
        after = " ".join(commands)
    if any(f"{name}=" in after for name in NAMES):
        raise ValueError(
            f"There are cookies after the value of {_VARIABLE}. Put all of them between the quotes."
        )
    return word


# -- requests that browsers copy ---------------------------------------------------------------------


def _in_command(command: str) -> list[str]:
    requests: list[list[str]] = []
    for word in _shell_words(_without_carets(command)):
        if word in _PROGRAMS or not requests:
            requests.append([])
        requests[-1].append(word)
    to_site = [words for words in requests if any(_goes_to_site(word) for word in words)]
    found = [header for words in to_site for header in _in_options(words)]
    name = "cURL" if any(word in ("curl", "curl.exe") for words in requests for word in words) else "copied"
    return _checked(found, f"{name} command", goes_elsewhere=not to_site)


def _in_options(given: list[str]) -> Iterator[str]:
    words = iter(given)
    # Its headers stand without an option.
    of_httpie = given[0] in ("http", "https")
    for word in words:
        option, equals, value = word.partition("=")
        if option in ("--cookie", "--header"):
            option, value = (
                option[1:3].replace("c", "b").replace("h", "H"),
                value if equals else next(words, ""),
            )
        elif word in ("-b", "-H"):
            value = next(words, "")
        elif of_httpie and word.lower().startswith("cookie:"):
            option, value = "-H", word
        else:
            option, value = word[:2], word[2:]
        if option == "-b":
            yield value
        elif option == "-H" and (header := re.match(r"\s*cookie\s*:(.*)", value, re.I | re.S)) is not None:
            yield header[1]


def _without_carets(command: str) -> str:
    """Undoes the escapes of the Windows command prompt, if the command was copied for it."""
    command = re.sub(r"\^[ \t]*\r?\n", " ", command)
    return re.sub(r"\^(.)", r"\1", command, flags=re.S) if '^"' in command else command


def _shell_words(command: str) -> list[str]:
    """The words of a command line of a POSIX shell; ``shlex`` lacks ``$'…'`` and wrapped lines."""
    try:
        return shlex.split(_SHELL.sub(_for_shlex, command))
    except ValueError:
        raise ValueError("The command ends inside a quoted text. Was it cut?") from None


def _for_shlex(match: re.Match[str]) -> str:
    if len(match[0]) > _LONGEST_HEADER:
        return "''"
    if match["wrap"] is not None:
        return " "
    return match[0] if match["ansi"] is None else shlex.quote(_ESCAPE.sub(_unescape, match["ansi"]))


def _unescape(escape: re.Match[str]) -> str:
    hexadecimal, codepoint, octal, char = escape.groups()
    if hexadecimal or codepoint:
        return chr(int(hexadecimal or codepoint, 16))
    return chr(int(octal, 8) & 0xFF) if octal else _CONTROL.get(char, char)


def _in_fetch(text: str) -> list[str]:
    """From one call or several, of which those to other sites are left out."""
    found: list[str] = []
    elsewhere = True
    for part in _NEXT_CALL.split(text):
        call = _FETCH.match(part)
        if call is None or call[2] == ")":
            continue
        url = str(_json(call[1]))
        # Not read where it goes to another site: it may be of any form.
        if _goes_to_site(url):
            elsewhere = False
            found += _in_json(_json(part[call.end() : part.rfind("}") + 1]))
    return _checked(found, "fetch() call", goes_elsewhere=elsewhere)


def _in_powershell(text: str) -> list[str]:
    """From one command or several, of which those to other sites are left out."""
    cookies = (
        PastedCookie(name, value, domain, path or "/")
        for name, value, path, domain in (
            map(_without_backticks, parts) for parts in _POWERSHELL_COOKIE.findall(text)
        )
    )
    found = sent_to_site(cookies)
    urls = [_without_backticks(url) for url in _POWERSHELL_URL.findall(text)]
    for command in _POWERSHELL_CALL.split(text):
        to = [_without_backticks(url) for url in _POWERSHELL_URL.findall(command)]
        if not to or any(map(_goes_to_site, to)):
            found += map(_without_backticks, _POWERSHELL_HEADER.findall(command))
    elsewhere = bool(urls) and not any(map(_goes_to_site, urls))
    return _checked(found, "PowerShell command", goes_elsewhere=elsewhere)


def _without_backticks(text: str) -> str:
    return re.sub(r"`(.)", r"\1", text, flags=re.S)


def _checked(found: list[str], form: str, *, goes_elsewhere: bool) -> list[str]:
    if goes_elsewhere:
        raise ValueError(f"The {form} goes to another site than {_SITE}. Copy the request named chatkit.")
    if not found:
        raise ValueError(
            f"The {form} has no Cookie header. Copy the /chatkit request of a logged-in page as cURL."
        )
    return found


def _goes_to_site(url: str) -> bool:
    try:
        host = urlsplit(url).hostname or ""
    except ValueError:
        return False
    return host == _SITE or host.endswith(f".{_SITE}")


# -- programs ----------------------------------------------------------------------------------------


def _in_program(text: str) -> list[str] | None:
    """From the console of a browser, or from Python; ``None`` for what is neither."""
    if (literals := programs.set_by_script(text)) is not None:
        return _set_on_site([str(_json(literal)) for literal in literals])
    if (cookies := programs.jar(text)) is not None:
        return sent_to_site(PastedCookie(*cookie) for cookie in cookies)
    if (shown := programs.console(text)) is not None:
        return _shown_by_console(_without_wrapping(shown))
    if (pairs := programs.keywords(text)) is not None:
        return _in_export({name: _json(literal) for name, literal in pairs})
    literals = [*programs.assigned(text)] if programs.is_python(text) else []
    if not literals:
        return None
    urls = programs.called(text)
    found = [header for literal in literals for header in _in_json(_json(literal))]
    elsewhere = bool(urls) and not any(map(_goes_to_site, urls))
    return _checked(found, "program", goes_elsewhere=elsewhere)


def _shown_by_console(text: str) -> list[str]:
    if not any(f"{name}=" in text for name in NAMES):
        raise ValueError(
            "The console shows neither of the cookies user_id and session: a page's scripts do not see those "
            "that are HttpOnly. Copy the request named chatkit as cURL."
        )
    return [text]


def _set_on_site(headers: Iterable[str], *, elsewhere: bool = False) -> list[str]:
    """The cookies of ``Set-Cookie`` headers, several in one or each in its own.

    Raises:
        ValueError: where all that would be the login is another site's, or is taken back.
    """
    found, others, forgotten = [], elsewhere, False
    for header in (part for joined in headers for part in _NEXT_SET.split(joined)):
        domain = _DOMAIN.search(header)
        if not header.strip().lower().startswith(tuple(f"{name}=" for name in NAMES)):
            continue
        if elsewhere or (domain is not None and not _goes_to_site(f"https://{domain[1]}")):
            others = True
        elif _FORGOTTEN.search(header):
            forgotten = True
        else:
            found.append(header)
    if not found and others:
        raise ValueError(f"The cookies are another site's than {_SITE}. Copy the request named chatkit.")
    if not found and forgotten:
        raise ValueError("The answer takes the login back: it is one to a logout. Log in and copy again.")
    return found


# -- JSON --------------------------------------------------------------------------------------------


def _json(text: str) -> Any:
    for read in (str, _as_json):
        try:
            # Not strict: a value may have been wrapped.
            return json.loads(read(text), strict=False)
        except (ValueError, RecursionError):
            pass
    raise ValueError("The text begins like JSON and is none. Was it cut?")


def _as_json(literal: str) -> str:
    """An object as it is written in JavaScript or Python, in JSON; what is neither stays none."""
    return _LITERAL.sub(_piece_as_json, literal)


def _piece_as_json(piece: re.Match[str]) -> str:
    if (text := piece["text"]) is not None:
        return json.dumps(_LITERAL_ESCAPE.sub(_unescape_literal, text[1:-1]))
    if (word := piece["word"]) is not None:
        return json.dumps(word) if piece["key"] is not None else _LITERAL_WORDS.get(word, word)
    return ""


def _unescape_literal(escape: re.Match[str]) -> str:
    codepoint, hexadecimal, char = escape.groups()
    if digits := codepoint or hexadecimal:
        return chr(int(digits, 16))
    return "" if char == "\n" else _CONTROL.get(char, char)


def _in_export(value: Any) -> list[str]:
    found = list(_in_json(value)) or _set_on_site(_set_in_json(value))
    if not found and isinstance(value, dict) and "log" in value:
        raise ValueError(
            f"The HAR file has no cookies of {_SITE}. Browsers leave cookies out unless told otherwise: "
            'export it "with sensitive data", or copy the request named chatkit as cURL.'
        )
    return found


def _in_json(value: Any) -> Iterator[str]:
    """From a HAR file, an export of cookies, or an object of headers or cookies."""
    if isinstance(value, list):
        yield from _in_json_list(value)
    if not isinstance(value, dict) or not _goes_to_site(str(value.get("url", _URL))):
        return
    texts = {str(name).lower(): text for name, text in value.items() if isinstance(text, str)}
    if "cookie" in texts:
        yield texts["cookie"]
    if pairs := [f"{name}={texts[name]}" for name in NAMES if name in texts]:
        yield "; ".join(pairs)
    for name, member in value.items():
        if name.lower() in _FOLLOWED or name.lower().startswith("request "):
            yield from _in_json(member)


def _set_in_json(value: Any) -> Iterator[str]:
    """The ``Set-Cookie`` headers of an answer."""
    members = value if isinstance(value, list) else [value]
    for member in members:
        match member:
            case {"name": str(name), "value": str(text)} if name.lower() == _SETS:
                yield text
            case dict():
                for name, within in member.items():
                    if name.lower() == _SETS:
                        yield from (text for text in _listed(within) if isinstance(text, str))
                    elif name.lower() in ("headers", "responseheaders") or name.lower().startswith(
                        "response h"
                    ):
                        yield from _set_in_json(within)
            case _:
                pass


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _in_json_list(items: list[Any]) -> Iterator[str]:
    cookies: list[PastedCookie] = []
    for item in items:
        match item:
            case {"name": str(name), "value": str(value)} if name.lower() == "cookie":
                yield value
            case {"name": str(name), "value": str(value)}:
                domain = item.get("domain") or item.get("host") or ""
                cookies.append(PastedCookie(name, value, str(domain), str(item.get("path") or "/")))
            case _:
                yield from _in_json(item)
    yield from sent_to_site(cookies)


def sent_to_site(cookies: Iterable[PastedCookie]) -> list[str]:
    """The header, if any, that a browser with ``cookies`` sends to the site; it judges their age itself."""
    jar = CookieJar()
    for name, value, domain, path in cookies:
        if name.lower() in NAMES:
            jar.set_cookie(_jar_cookie(name.lower(), value, domain or f".{_SITE}", path))
    request = Request(_URL)
    jar.add_cookie_header(request)
    header = request.get_header("Cookie")
    return [header] if header else []


def _jar_cookie(name: str, value: str, domain: str, path: str) -> Cookie:
    return Cookie(
        version=0,
        name=name,
        value=value,
        port=None,
        port_specified=False,
        domain=domain.lower(),
        domain_specified=domain.startswith("."),
        domain_initial_dot=domain.startswith("."),
        path=path,
        path_specified=True,
        secure=True,
        expires=None,
        discard=True,
        comment=None,
        comment_url=None,
        rest={},
    )


# -- lines -------------------------------------------------------------------------------------------


def _in_table(text: str) -> list[str]:
    """From ``cookies.txt`` or rows that were copied from a table: name, value, and maybe domain and path."""
    lines = [line for line in text.splitlines() if line.strip()]
    netscape = [row for line in lines if (row := _NETSCAPE.fullmatch(line.strip())) is not None]
    if netscape:
        others = [
            line for line in lines if not line.startswith("#") and not _NETSCAPE.fullmatch(line.strip())
        ]
        cookies = [PastedCookie(row["name"], row["value"], row["domain"], row["path"]) for row in netscape]
        return sent_to_site(_rows(cookies, broken=bool(others)))
    rows = [[cell.strip() for cell in line.split("\t")] for line in lines]
    if not any(row[0].lower() in ("cookie", _SETS, *NAMES) and len(row) > 1 for row in rows):
        return []
    # A wrapped value has parted a row.
    broken = len({min(len(row), 3) for row in rows}) > 1 or len(rows[0]) == 1
    headers = [row[1] for row in rows if row[0].lower() == "cookie"]
    headers = headers or _set_on_site(row[1] for row in rows if row[0].lower() == _SETS and len(row) > 1)
    cookies = [PastedCookie(row[0], unquoted(row[1]), *_place(row)) for row in rows if len(row) > 1]
    return _rows(headers, broken=broken) or sent_to_site(_rows(cookies, broken=broken))


def _place(row: list[str]) -> tuple[str, str]:
    domain, path = (*row[2:4], "", "")[:2]
    return domain, path or "/"


def _rows(found: list[T], *, broken: bool) -> list[T]:
    if broken:
        raise ValueError("Not all lines are rows of the same table. Was a value wrapped?")
    return found


def _in_headers(text: str) -> list[str]:
    """From lines ``Name: value``, or with every value on the line after its name."""
    found: dict[str, list[str]] = {}
    lines = [line.strip() for line in _MARK.sub("", text).splitlines()]
    current: list[str] | None = None
    for line in lines:
        if (header := _HEADER.match(line)) is not None:
            current = found.setdefault(header[1].lower(), [])
            current.append(header[2].strip())
        elif not line:
            current = None if current and current[-1] else current
        elif current is not None:
            # The value comes only now, or it was wrapped.
            current[-1] = f"{current[-1]}\n{line}"
    if not found.keys() & {"cookie", _SETS, *NAMES}:
        found = _in_bare_lines([line for line in lines if line])
    hosts = [host.strip() for name in ("host", "authority") for host in found.get(name, ())]
    elsewhere = bool(hosts) and not any(_goes_to_site(f"https://{host}") for host in hosts)
    if "cookie" in found:
        return _checked(found["cookie"], "request", goes_elsewhere=elsewhere)
    if _SETS in found:
        # Nothing in it is a cookie of the login where none is found: the text is not read once more.
        return _set_on_site(found[_SETS], elsewhere=elsewhere) or [""]
    pairs = [f"{name}={unquoted(found[name][-1])}" for name in NAMES if name in found]
    return ["; ".join(pairs)] if pairs else []


def _in_bare_lines(lines: list[str]) -> dict[str, list[str]]:
    """Names and values in turn, each on a line, from the first line that is a name we look for."""
    looked_for = [
        (name.lower() == _SETS, place)
        for place, (name, value) in enumerate(pairwise([*lines, ""]))
        # Else the end of the line has cut a pair.
        if name.lower() in ("cookie", _SETS, *NAMES) and not value.startswith("=")
    ]
    # What was sent before what was answered.
    _, first = min(looked_for, default=(False, len(lines)))
    names, values = lines[first::2], lines[first + 1 :: 2]
    if len(names) != len(values) or not all(map(_BARE_HEADER.fullmatch, names)):
        raise ValueError("The lines are not names and values in turn. Was a value wrapped?")
    found: dict[str, list[str]] = {}
    for name, value in zip(names, values, strict=True):
        found.setdefault(name.lstrip(":").lower(), []).append(value)
    return found
