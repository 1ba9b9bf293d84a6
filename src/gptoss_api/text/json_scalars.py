"""Words outside JSON strings: numbers, literals and bare keys, as models write them."""

import re
from typing import Final

# Characters that show nothing where they stand and are no space for Unicode: around JSON they are.
UNSEEN: Final = "\u00ad\u200b\u200c\u200d\u200e\u200f\u2060\u2061\u2062\u2063\u2064\ufeff"
# Whatever can make up a number or a literal, up to the next structural character.
BARE: Final = re.compile(rf"[^\s{UNSEEN},:{{}}\[\]\"'“”„‘’`/#<>=]*+")
BARE_KEY: Final = re.compile(rf"([A-Za-z_$\d][\w$.-]*+)[\s{UNSEEN}]*+")
LOW: Final = re.compile(r"\\u[dD][c-fC-F][0-9a-fA-F]{2}")
LITERALS: Final = {
    "true": "true",
    "false": "false",
    "null": "null",
    "True": "true",
    "False": "false",
    "None": "null",
    "NaN": "null",
    "nan": "null",
    "Infinity": "null",
    "+Infinity": "null",
    "-Infinity": "null",
}
_NUMBER: Final = re.compile(r"-?(?:0|[1-9][0-9]*+)(?:\.[0-9]++)?(?:[eE][+-]?[0-9]++)?")
_LENIENT: Final = re.compile(r"([+-]?)(0|[1-9][0-9]*+)?(?:\.([0-9]*+))?([eE][+-]?[0-9]++)?")


def plain_number(word: str) -> str | None:
    """``word`` as a JSON number, ``None`` if it is not one.

    ``+1``, ``.5`` and ``5.`` are mended; a leading zero may be a code, not a number, and is refused.
    """
    if _NUMBER.fullmatch(word):
        return word
    found = _LENIENT.fullmatch(word)
    if found is None or not (found[2] or found[3]):
        return None
    sign = "-" if found[1] == "-" else ""
    fraction = f".{found[3]}" if found[3] else ""
    return f"{sign}{found[2] or '0'}{fraction}{found[4] or ''}"
