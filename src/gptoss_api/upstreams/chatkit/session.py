"""What the cookie ``session`` tells about itself: it is signed, not encrypted.

That it has the layout of Starlette's ``SessionMiddleware`` (Base64 of JSON, time, signature) and holds a
token of Hugging Face is an inference (docs/design/gpt-oss-com.md, "Cookies"), so whatever reads it does
without where it is otherwise.
"""

import base64
import binascii
from collections.abc import Iterator
from typing import Any, Final

import msgspec

_TOKEN_NAMES: Final = ("hf_access_token", "access_token")
# Unix seconds between which a cookie of the site can have been signed: 2025 to 2100.
_EARLIEST: Final = 1_735_689_600
_LATEST: Final = 4_102_444_800


class SessionContent(msgspec.Struct, frozen=True):
    """``token`` is the Hugging Face token in it, "" without one; ``signed`` when, in Unix seconds, or 0."""

    token: str = ""
    signed: int = 0

    def __repr__(self) -> str:
        return f"SessionContent(token={'***' if self.token else ''!r}, signed={self.signed})"


def read_session(value: str) -> SessionContent:
    """What the cookie's ``value`` holds, as far as it is of the form that is expected."""
    data, _, rest = value.partition(".")
    try:
        content: Any = msgspec.json.decode(_decoded(data))
    except (msgspec.MsgspecError, ValueError, RecursionError):
        content = None
    return SessionContent(next(_tokens(content), ""), _time(rest.partition(".")[0]))


def _tokens(content: Any) -> Iterator[str]:
    """The tokens in the object or in one of its members."""
    if not isinstance(content, dict):
        return
    for part in (content, *content.values()):
        if isinstance(part, dict):
            for name in _TOKEN_NAMES:
                token = part.get(name)
                if isinstance(token, str) and token.isascii() and token.isprintable() and " " not in token:
                    yield token


def _time(text: str) -> int:
    try:
        signed = int.from_bytes(_decoded(text))
    except ValueError:
        return 0
    return signed if _EARLIEST <= signed < _LATEST else 0


def _decoded(text: str) -> bytes:
    """Base64 in either alphabet, with its padding or not; raises :class:`ValueError`."""
    plain = text.rstrip("=").replace("-", "+").replace("_", "/")
    try:
        return base64.b64decode(plain + "=" * (-len(plain) % 4), validate=True)
    except binascii.Error as error:
        raise ValueError(str(error)) from None
