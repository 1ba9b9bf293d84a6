"""Blots secrets out of text: the ones that were configured, and whatever looks like one.

The one table of what secrets look like, for everything that is shown to anybody: the log, errors of every
form, and what the command line prints.
"""

import json
import re
from collections.abc import Iterable
from typing import Final, NamedTuple
from urllib.parse import quote

BLOT: Final = "***"
# What messages say in the place of a value that was given for a secret.
NOT_SHOWN: Final = "the value given"

# Shorter ones are no secrets, and would blot out ordinary words.
_SHORTEST: Final = 4

# Between a name and its value; quotes are escaped where JSON stands inside JSON.
_QUOTE: Final = r"""(?:\\*["'])?"""
_IS: Final = rf"{_QUOTE}\s*[=:]\s*{_QUOTE}"
_VALUE: Final = rf"""(?!{NOT_SHOWN}\b)(?:[^\s;,"'<>&\\]|\\(?!["']))+"""


class _Form(NamedTuple):
    """One form of secrets: ``before`` stays, ``secret`` goes; one of ``signs`` is in every match."""

    signs: tuple[str, ...]
    before: str
    secret: str


_FORMS: Final = (
    # A cookie header holds several pairs; all of its line goes. Of other names one value goes.
    _Form(("cookie",), rf"(?<![a-z])(?:set-)?cookies?{_IS}", r"""(?:[^\r\n"'\\]|\\(?!["']))+"""),
    _Form(
        ("authorization",),
        rf"\b(?:proxy-)?authorization{_IS}(?:(?:bearer|basic|digest|negotiate|token|(?:api)?key)\s+)?",
        _VALUE,
    ),
    _Form(
        ("key",),
        rf"(?:api|access|secret|server|upstream|private)[_ -]?keys?(?:\s+provided)?{_IS}",
        _VALUE,
    ),
    _Form(("session", "user_id"), rf"(?<![a-z])(?:session(?:[_-]?id)?|user_id){_IS}", _VALUE),
    _Form(
        ("password", "passwd", "passphrase", "secret", "token"),
        rf"(?:password|passwd|passphrase|secret|token){_IS}",
        _VALUE,
    ),
    _Form(("bearer",), r"\bbearer\s+", _VALUE),
    # The password in a URL, also where it was taken for a path and lost a slash.
    _Form(("@",), r""":/{1,2}[^\s/:@"']*:""", r"""[^\s/@"']+(?=@)"""),
    # Keys and tokens by the way they begin: Hugging Face, Groq, Cerebras, Together, OpenAI and its like,
    # Fireworks, Replicate, NVIDIA, Google, Amazon Bedrock, and JWTs.
    _Form(("hf_", "gsk_"), r"\b", r"(?:hf|gsk)_[a-z0-9]{8,}"),
    _Form(("csk-", "tgp_", "sk-"), r"\b", r"(?:csk-|tgp_|sk-)[\w-]{8,}"),
    _Form(
        ("fw_", "r8_", "nvapi-", "aiza", "absk"), r"\b", r"(?:(?:fw|r8)_|nvapi-|AIza|ABSK)[a-z0-9_+/=-]{16,}"
    ),
    _Form(("eyj",), r"\b", r"eyJ[\w.+/=-]{8,}"),
)
_SIGNS: Final = tuple(sign for form in _FORMS for sign in form.signs)
_KNOWN: Final = "(?ai:" + "|".join(f"({form.before}){form.secret}" for form in _FORMS) + ")"


class Redactor:
    """Replaces secrets by ``***``.

    Blotted out are the exact ``secrets`` (also escaped as in JSON or in a URL), the values of cookies,
    sessions, user ids, authorisations, keys, passwords and tokens by their names, and keys and tokens by the
    way they begin (``hf_…``, ``gsk_…``, ``sk-…``, ``eyJ…``).
    """

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        self._secrets: set[str] = set()
        self.hide(secrets)

    def hide(self, secrets: Iterable[str]) -> None:
        """Adds secrets to blot out from now on."""
        for secret in secrets:
            if len(secret) >= _SHORTEST:
                self._secrets |= {secret, json.dumps(secret)[1:-1], quote(secret, safe="")}
        # Of two secrets that begin alike the longer one must go as a whole.
        exact = "|".join(map(re.escape, sorted(self._secrets, key=len, reverse=True)))
        # What follows one without a break is part of it: a refreshed value may begin like the old one.
        self._pattern = re.compile(rf"(?:{exact})[\w.+=-]*|{_KNOWN}" if exact else _KNOWN)

    def suspects(self, text: str) -> bool:
        """Whether there may be something to blot out; quick, as there seldom is."""
        lower = text.lower()
        for sign in _SIGNS:
            if sign in lower:
                return True
        return any(secret in text for secret in self._secrets)

    def __call__(self, text: str) -> str:
        return self._pattern.sub(_blot, text) if self.suspects(text) else text


def _blot(match: re.Match[str]) -> str:
    return (match[match.lastindex] if match.lastindex else "") + BLOT
