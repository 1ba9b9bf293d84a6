"""Blots secrets out of text: the ones that were configured, and whatever looks like one."""

import json
import re
from collections.abc import Iterable
from typing import Final
from urllib.parse import quote

BLOT: Final = "***"

# Shorter ones are no secrets, and would blot out ordinary words.
_SHORTEST: Final = 4

# A cookie header holds several pairs; all of its line goes. Of other names one value goes.
_KNOWN: Final = r"""
    (?P<cookie> (?<![a-z])(?:set-)?cookies?["']?\s*[=:]\s*["']?) [^\r\n"']+
  | (?P<name> \b(?:proxy-)?authorization["']?\s*[=:]\s*["']? (?:(?:bearer|basic|token)\s+)?
      | (?<![a-z]) (?:x-)? (?:api|access|secret)[_-]?keys?["']?\s*[=:]\s*["']?
      | (?<![a-z]) (?:session|user_id|password|secret|(?:\w+_)?token)["']?\s*[=:]\s*["']?
      | \bbearer\s+
    ) [^\s;,"'<>&]+
  | \bhf_[a-z0-9]{8,}
  | \beyJ[\w.+/=-]{8,}
  | \bsk-[\w-]{8,}
"""

# Every match of the above has one of these in it, and most text has none: looking first costs a tenth.
_SIGNS: Final = (
    "cookie", "authorization", "key", "session", "user_id", "password", "secret", "token", "bearer",
    "hf_", "eyj", "sk-",
)  # fmt: skip


class Redactor:
    """Replaces secrets by ``***``.

    Blotted out are the exact ``secrets`` (also escaped as in JSON or in a URL), the values of cookies,
    sessions, user ids, authorisations, keys and tokens by their names, and tokens by their form
    (``hf_…``, ``eyJ…``, ``sk-…``).
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
        known = rf"(?ix:{_KNOWN})"
        # What follows one without a break is part of it: a refreshed value may begin like the old one.
        self._pattern = re.compile(rf"(?:{exact})[\w.+=-]*|{known}" if exact else known)

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
    return (match["cookie"] or match["name"] or "") + BLOT
