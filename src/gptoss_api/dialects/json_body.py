"""Request bodies as JSON objects, whatever clients put into them."""

import json
import math
import re
from typing import Any, Final

import msgspec

from ..core.errors import InvalidRequest

# Deeper than any schema or conversation, shallow enough for every recursive reader behind this one.
MAX_DEPTH: Final = 128
# No parameter is a number of more digits; reading one takes time that grows with their square.
MAX_DIGITS: Final = 1_000

_decode: Final = msgspec.json.Decoder().decode
_SURROGATE: Final = re.compile("[\ud800-\udfff]")


def decode_object(body: bytes) -> dict[str, Any]:
    """The JSON object in ``body``.

    A byte order mark is skipped, half of a surrogate pair (``"\\ud83d"`` alone, as clients that cut
    strings send it) becomes U+FFFD, and of equal keys the last one counts.

    Raises:
        InvalidRequest: for anything else than one JSON object in UTF-8 of at most ``MAX_DEPTH``
            levels; the message says where it breaks.
    """
    if not body.strip():
        raise InvalidRequest("The request has no body; it must be a JSON object.")
    try:
        value = _decode(body)
        # A value of few brackets cannot be deep: most bodies need no second look.
        if body.count(b"{") + body.count(b"[") > MAX_DEPTH:
            _refuse_depth(value)
    except (msgspec.DecodeError, UnicodeDecodeError):
        value = _decode_patiently(body)
    except RecursionError:
        raise _too_deep() from None
    if not isinstance(value, dict):
        raise InvalidRequest(f"The body must be a JSON object, but it is {described(value)}.")
    return value


def described(value: Any) -> str:
    """The JSON type of ``value`` in words, for messages: ``a string``, ``an integer``, ``null`` …"""
    match value:
        case None:
            return "null"
        case bool():
            return "a boolean"
        case str():
            return "a string"
        case int():
            return "an integer"
        case float():
            return "a decimal number"
        case list():
            return "an array"
        case _:
            return "an object"


def _decode_patiently(body: bytes) -> Any:
    """Reads what the fast decoder refuses without need, and says precisely what is wrong otherwise."""
    try:
        text = body.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InvalidRequest(f"The body is not valid UTF-8 at byte {error.start}.") from None
    try:
        value = json.loads(text, parse_constant=_no_constant, parse_float=_finite, parse_int=_whole)
        _refuse_depth(value)
        return json.loads(_SURROGATE.sub("\ufffd", json.dumps(value, ensure_ascii=False)))
    except json.JSONDecodeError as error:
        byte = len(text[: error.pos].encode())
        place = f"line {error.lineno}, column {error.colno}, byte {byte}"
        raise InvalidRequest(f"The body is not valid JSON: {error.msg} ({place}).") from None
    except RecursionError:
        raise _too_deep() from None
    except ValueError as error:
        raise InvalidRequest(f"The body is not valid JSON: {str(error)[:200]}.") from None


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is not a JSON number")


def _finite(digits: str) -> float:
    number = float(digits)
    if math.isinf(number):
        raise ValueError(f"the number {digits[:40]} is too large")
    return number


def _whole(digits: str) -> int:
    if len(digits) > MAX_DIGITS:
        raise ValueError(f"the number {digits[:40]}... is too long")
    return int(digits)


def _refuse_depth(value: Any) -> None:
    level = [value] if isinstance(value, dict | list) else []
    for _ in range(MAX_DEPTH):
        if not level:
            return
        level = [
            child
            for node in level
            for child in (node.values() if type(node) is dict else node)
            if type(child) is dict or type(child) is list
        ]
    if level:
        raise _too_deep()


def _too_deep() -> InvalidRequest:
    return InvalidRequest(f"The body is nested too deeply; at most {MAX_DEPTH} levels are read.")
