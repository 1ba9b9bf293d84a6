"""Request bodies as JSON objects, whatever clients put into them."""

import json
import math
import re
from collections.abc import Callable
from typing import Any, Final

import msgspec

from ..core.errors import InvalidRequest, TooManyValues
from ..text.memo import Memo
from .beginnings import LEAST, Beginnings, ConversationItems

# Deeper than any schema or conversation, shallow enough for every recursive reader behind this one.
MAX_DEPTH: Final = 128
# Members and items. A conversation that fits a model's window has fewer. The decoder stops everything else in
# the process while it makes them.
MAX_VALUES: Final = 150_000
# Longer texts are looked through in pieces of this size.
_PIECE: Final = 64 * 1024
# No parameter is a number of more digits; reading one takes time that grows with their square.
MAX_DIGITS: Final = 1_000

# A body of so many bytes may be the next step of a conversation, whose items came before: messages and tools
# in these members. Those of fewer bytes than here that hold no other objects are read as fast as found.
_GROWN: Final = 4 * 1024
_OF_ITEMS: Final = {"messages": 512, "input": 512}
# Bytes of items that are remembered. Each takes twice its text, something for itself, and for each object,
# array or comma in it.
_REMEMBERED: Final = 8 * 1024 * 1024
_BESIDE: Final = 600
_PER_MARK: Final = 80
# So many bytes tell whether an array is likely to hold nothing but short texts.
_GLANCE: Final = 4 * 1024
# Bytes of whole arrays of them, and what an item of a role and a text takes beside its text.
_BEGUN: Final = 8 * 1024 * 1024
_PER_TEXT: Final = 400

_decode: Final = msgspec.json.Decoder().decode
_members: Final = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_items: Final = msgspec.json.Decoder(list[msgspec.Raw]).decode
_texts: Final = msgspec.json.Decoder(list[dict[str, str]]).decode
# Reads without making anything.
_skim: Final = msgspec.json.Decoder(msgspec.Raw).decode
_MARKS: Final = (b",", b"{", b"[")
_LIST: Final = ord("[")
_SURROGATE: Final = re.compile("[\ud800-\udfff]")


class KnownItem(dict[str, Any]):
    """An item of a conversation, the same for the same bytes: never to be changed.

    ``made`` is what readers made of it, by reader.
    """

    __slots__ = ("made",)

    def __init__(self, members: dict[str, Any]) -> None:
        super().__init__(members)
        self.made: dict[Callable[..., Any], Any] = {}


class KnownItems(list[Any]):
    """The same of a whole array that seldom changes, as that of the tools."""

    __slots__ = ("made",)

    def __init__(self, items: list[Any]) -> None:
        super().__init__(items)
        self.made: dict[Callable[..., Any], Any] = {}


_known: Final[Memo[bytes, KnownItem]] = Memo(_REMEMBERED)
# Apart from the items: an array that is one is nested deeper than the same array as a member.
_known_tools: Final[Memo[bytes, KnownItems]] = Memo(_REMEMBERED // 4)
_begun: Final = Beginnings(_BEGUN)


def decode_object(body: bytes) -> dict[str, Any]:
    """The JSON object in ``body``; items that came before are :class:`KnownItem`, tools :class:`KnownItems`.

    A byte order mark is skipped, half of a surrogate pair (``"\\ud83d"`` alone, as clients that cut
    strings send it) becomes U+FFFD, and of equal keys the last one counts.

    Raises:
        InvalidRequest: for anything else than one JSON object in UTF-8 of at most ``MAX_DEPTH``
            levels and ``MAX_VALUES`` values; the message says where it breaks.
    """
    if len(body) > MAX_VALUES:
        _refuse_crowd(body)
    if len(body) >= _GROWN:
        try:
            return _decode_by_items(body)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            # Whatever is unusual about it, or wrong, is found out below.
            pass
    try:
        value = _decode(body)
        # A value of few brackets cannot be deep: most bodies need no second look.
        if len(body) > MAX_DEPTH and body.count(b"{") + body.count(b"[") > MAX_DEPTH:
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


def _decode_by_items(body: bytes) -> dict[str, Any]:
    value: dict[str, Any] = {}
    rest: dict[str, Any] = {}
    for name, raw in _members(body).items():
        if name == "tools" and memoryview(raw)[0] == _LIST:
            value[name] = _read_tools(bytes(raw))
            continue
        if name in _OF_ITEMS and memoryview(raw)[0] == _LIST:
            value[name] = _read_conversation(bytes(raw), _OF_ITEMS[name])
            continue
        value[name] = rest[name] = _decode(raw)
    _refuse_depth(rest)
    return value


def _read_conversation(data: bytes, least: int) -> list[Any]:
    if len(data) < LEAST:
        return _read_array(data, least)[0]
    known = _begun.of(data)
    if known is None:
        items, size = _read_array(data, least)
        read = ConversationItems(items, {})
    else:
        beginning, others = known
        if others == b"[]":
            return beginning.items
        items, size = _read_array(others, least)
        size += beginning.size
        read = ConversationItems([*beginning.items, *items], dict(beginning.items.made))
    _begun.put(data, read, size)
    return read


def _read_array(data: bytes, least: int) -> tuple[list[Any], int]:
    """The items of an array, and about what they and their text take in bytes."""
    if data.count(b"{", 0, _GLANCE) * least > _GLANCE:
        try:
            texts = _texts(data)
            return texts, 2 * len(data) + _PER_TEXT * len(texts)
        except msgspec.ValidationError:
            pass
    items = _items(data)
    if len(data) >= least * len(items):
        return _read_items([bytes(item) for item in items], least), _size(data)
    values = _decode(data)
    _refuse_depth(values, MAX_DEPTH - 1)
    return values, _size(data)


def _read_tools(data: bytes) -> KnownItems:
    known = _known_tools.get(data)
    if known is None:
        known = KnownItems(_read_items([bytes(item) for item in _items(data)], 0))
        _known_tools.put(data, known, _size(data))
    return known


def _read_items(items: list[bytes], least: int) -> list[Any]:
    known = _known.get_each(items)
    return [_item(data, least) if read is None else read for data, read in zip(items, known, strict=True)]


def _item(data: bytes, least: int) -> Any:
    """One that did not come before; it is remembered where reading it is work."""
    is_work = len(data) >= least or data.count(b"{") > 1
    value = _decode(data)
    # It stands in a list in the body.
    if data.count(b"{") + data.count(b"[") > MAX_DEPTH - 2:
        _refuse_depth(value, MAX_DEPTH - 2)
    if not is_work or type(value) is not dict:
        return value
    known = KnownItem(value)
    _known.put(data, known, _size(data))
    return known


def _size(data: bytes) -> int:
    return 2 * len(data) + _BESIDE + _PER_MARK * sum(map(data.count, _MARKS))


def _decode_patiently(body: bytes) -> Any:
    """Reads what the fast decoder refuses without need, and says precisely what is wrong otherwise."""
    if not body.strip():
        raise InvalidRequest("The request has no body; it must be a JSON object.")
    try:
        text = body.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InvalidRequest(f"The body is not valid UTF-8 at byte {error.start}.") from None
    try:
        value = json.loads(text, parse_constant=_no_constant, parse_float=_finite, parse_int=_whole)
        _refuse_depth(value)
        return json.loads(_whole_characters(json.dumps(value, ensure_ascii=False)))
    except json.JSONDecodeError as error:
        byte = len(text[: error.pos].encode())
        place = f"line {error.lineno}, column {error.colno}, byte {byte}"
        raise InvalidRequest(f"The body is not valid JSON: {error.msg} ({place}).") from None
    except RecursionError:
        raise _too_deep() from None
    except ValueError as error:
        raise InvalidRequest(f"The body is not valid JSON: {str(error)[:200]}.") from None


def _whole_characters(text: str) -> str:
    """``text`` with U+FFFD for halves of characters, replaced in pieces: a body may be full of them."""
    if _SURROGATE.search(text) is None:
        return text
    pieces = (text[at : at + _PIECE] for at in range(0, len(text), _PIECE))
    return "".join(_SURROGATE.sub("\ufffd", piece) for piece in pieces)


def _refuse_crowd(body: bytes) -> None:
    """Refuses a body of more than ``MAX_VALUES`` values, seen as commas and brackets before they are made."""
    if sum(map(body.count, _MARKS)) <= MAX_VALUES:
        return
    found, at, inside = 0, 0, False
    while at < len(body):
        piece = body[at : at + _PIECE]
        if (len(piece) - len(piece.rstrip(b"\\"))) % 2:
            # An escape is not cut in two.
            piece = body[at : at + _PIECE + 1]
        parts = piece.replace(b"\\\\", b"").replace(b'\\"', b"").split(b'"')
        found += sum(outside.count(mark) for outside in parts[inside::2] for mark in _MARKS)
        if found > MAX_VALUES:
            raise _too_many(body)
        inside ^= len(parts) % 2 == 0
        at += len(piece)


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


def _refuse_depth(value: Any, most: int = MAX_DEPTH) -> None:
    level = [value] if isinstance(value, dict | list) else []
    for _ in range(most):
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


def _too_many(body: bytes) -> InvalidRequest:
    try:
        _skim(body)
    except RecursionError:
        return _too_deep()
    except msgspec.DecodeError:
        pass
    return TooManyValues(
        f"The body holds more than {MAX_VALUES} values (members and items of objects and arrays)."
    )


def _too_deep() -> InvalidRequest:
    return InvalidRequest(f"The body is nested too deeply; at most {MAX_DEPTH} levels are read.")
