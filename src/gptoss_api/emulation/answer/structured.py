"""Finds the JSON value a model meant in what it wrote (docs/design/emulation.md, "Structured output")."""

import json
import re
from collections.abc import Iterator
from typing import Any, Final

from msgspec import Struct

from ...text.coercion import Misfit
from ...text.json_stream import JsonBroken, JsonTransducer
from ...text.schema import Schema
from .checking import Fitter

# More values than a model can write. Making them keeps everything else in the process waiting.
MAX_VALUES: Final = 150_000
_MARKS: Final = (",", "[", "{")
# Starts of values that are tried at most: text full of stray braces is no answer.
_ATTEMPTS: Final = 64
_STARTS: Final = re.compile(r"[{\[]")
_BRACKETS: Final = re.compile(r"[{}\[\]]")
# Half of a surrogate pair: the transducer makes a valid character of it.
_HALF: Final = re.compile(r"\\u[dD][89a-fA-F]|[\ud800-\udfff]")
_FENCE: Final = re.compile(r"(?P<run>`{3,}+|~{3,}+)[^\n]*+\n")


class JsonMismatch(Exception):
    """No acceptable value was found: ``complaints`` say why in words, ``prose`` that there was no JSON."""

    def __init__(self, complaints: list[str], *, prose: bool) -> None:
        super().__init__("; ".join(complaints))
        self.complaints = complaints
        self.prose = prose


class _Unfinished(Exception):
    """What stands inside an unfinished value is a part of it and no answer of its own."""


class _Candidate(Struct):
    value: Any
    text: str


def find_json(text: str, schema: Schema, name: str = "", *, cut: bool = False) -> str:
    """The JSON text of the answer in ``text``.

    Fences and prose around it are dropped; of several values the last acceptable one counts, as the
    first may be quoted input. A value is acceptable as it is, unwrapped, or with a free change of form.
    Where the text was ``cut`` before the model ended it, missing brackets are not added.

    Raises:
        JsonMismatch: when there is none.
        Unchecked: when that cannot be found out in time.
    """
    if _is_crowded(text):
        raise JsonMismatch([f"the answer has more than {MAX_VALUES} values"], prose=False)
    complaints: list[str] = []
    fitter = Fitter()
    found = list(_candidates(text, cut))
    for candidate in reversed(found):
        for value in _variants(candidate.value, name):
            try:
                fitted = fitter.fit(schema, value)
                return candidate.text if fitted is candidate.value else json.dumps(fitted, ensure_ascii=False)
            except Misfit as misfit:
                complaints = complaints or misfit.complaints
    raise JsonMismatch(complaints or ["there is no JSON in the answer"], prose=not found)


def _is_crowded(text: str) -> bool:
    if sum(map(text.count, _MARKS)) <= MAX_VALUES:
        return False
    outside_strings = text.replace("\\\\", "").replace('\\"', "").split('"')[::2]
    return sum(part.count(mark) for part in outside_strings for mark in _MARKS) > MAX_VALUES


def _candidates(text: str, cut: bool) -> Iterator[_Candidate]:
    whole = _unfenced(text.strip()).strip()
    if _HALF.search(whole) is None:
        try:
            yield _Candidate(json.loads(whole, parse_constant=_no_constant), whole)
            return
        except (ValueError, RecursionError):
            pass
    position = 0
    try:
        # A lone string, number or literal has no brackets by which it could be found in other text.
        if whole and _STARTS.match(whole) is None:
            scalar, length = _read(whole, cut)
            if scalar is not None and not whole[length:].strip():
                yield scalar
                return
        for _ in range(_ATTEMPTS):
            start = _STARTS.search(whole, position)
            if start is None:
                return
            candidate, length = _read(whole[start.start() :], cut)
            alone, size = _read_strictly(whole, start.start())
            if alone is not None and size < length and _are_values(whole[start.start() + size :], cut):
                candidate, length = alone, size
            if candidate is not None:
                yield candidate
            position = start.start() + max(1, length)
    except _Unfinished:
        return


def _read(text: str, cut: bool) -> tuple[_Candidate | None, int]:
    """The value at the beginning of ``text``, if it can be read, and how many characters were.

    Raises:
        _Unfinished: where the text ends in the middle of a value.
    """
    transducer = JsonTransducer()
    strict = transducer.feed(text)
    try:
        strict += transducer.finish()
        if cut and transducer.missing:
            raise _Unfinished
        return _Candidate(json.loads(strict), strict), transducer.consumed
    except JsonBroken as broken:
        if broken.truncated:
            raise _Unfinished from None
    return None, transducer.consumed


def _read_strictly(text: str, at: int) -> tuple[_Candidate | None, int]:
    """The value of valid JSON at ``at``, and how many characters it has."""
    try:
        value, end = _DECODER.raw_decode(text, at)
    except (ValueError, RecursionError):
        return None, 0
    written = text[at:end]
    return (None, 0) if _HALF.search(written) else (_Candidate(value, written), end - at)


def _are_values(text: str, cut: bool) -> bool:
    """Whether ``text`` is values of its own, with words around them.

    If it is, the valid value before it ended where it seemed to. Else that was a quote which should have been
    escaped, and the brackets that close the value come last in ``text``.
    """
    position, values = 0, 0
    while bracket := _BRACKETS.search(text, position):
        if bracket[0] in "}]" or values == _ATTEMPTS:
            return False
        candidate, length = _read(text[bracket.start() :], cut)
        if candidate is None:
            return False
        values += 1
        position = bracket.start() + length
    return values > 0


def _unfenced(text: str) -> str:
    """What is inside ``text`` if all of it is one code fence."""
    fence = _FENCE.match(text)
    if fence is None or not text.endswith(fence["run"]):
        return text
    return text[fence.end() :].rstrip(fence["run"][0])


def _no_constant(constant: str) -> Any:
    raise ValueError(constant)


_DECODER: Final = json.JSONDecoder(parse_constant=_no_constant)


def _variants(value: Any, name: str) -> Iterator[Any]:
    """The value itself and what it may be wrapped around."""
    yield value
    match value:
        case [single]:
            yield single
        case {**items} if len(items) == 1 and name in items:
            yield items[name]
        case str():
            try:
                yield json.loads(value)
            except (ValueError, RecursionError):
                return
