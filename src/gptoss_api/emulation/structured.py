"""Finds the JSON value a model meant in what it wrote (emulation dossier, section 5)."""

import json
import re
from collections.abc import Iterator
from typing import Any, Final

import msgspec
from msgspec import Struct

from ..text.coercion import coerce
from ..text.json_stream import JsonBroken, JsonTransducer
from ..text.schema import Schema

# Starts of values that are tried at most: text full of stray braces is no answer.
_ATTEMPTS: Final = 64
_STARTS: Final = re.compile(r"[{\[]")
_FENCED: Final = re.compile(r"^\s*(?:`{3,}|~{3,})[^\n]*\n(.*?)\n?\s*(?:`{3,}|~{3,})\s*$", re.DOTALL)


class JsonMismatch(Exception):
    """No acceptable value was found: ``complaints`` say why in words, ``prose`` that there was no JSON."""

    def __init__(self, complaints: list[str], *, prose: bool) -> None:
        super().__init__("; ".join(complaints))
        self.complaints = complaints
        self.prose = prose


class _Candidate(Struct):
    value: Any
    text: str


def find_json(text: str, schema: Schema | None, name: str = "") -> str:
    """The JSON text of the answer in ``text``.

    Fences and prose around it are dropped; of several values the last acceptable one counts, as the
    first may be quoted input. A value is acceptable as it is, unwrapped, or with a free change of form.
    Without a ``schema`` any object is acceptable (``json_object``).

    Raises:
        JsonMismatch: when there is none.
    """
    complaints: list[str] = []
    found = list(_candidates(text))
    for candidate in reversed(found):
        if schema is None:
            if isinstance(candidate.value, dict):
                return candidate.text
            continue
        if schema.is_valid(candidate.value):
            return candidate.text
        for value in _variants(candidate.value, name):
            try:
                return _encode(coerce(schema, value))
            except ValueError:
                continue
        complaints = complaints or schema.complaints(candidate.value)
    if not complaints:
        complaints = [
            "there is no JSON object in the answer" if schema is None else "there is no JSON in the answer"
        ]
    raise JsonMismatch(complaints, prose=not found)


def _candidates(text: str) -> Iterator[_Candidate]:
    if (fenced := _FENCED.match(text)) is not None:
        text = fenced[1]
    whole = text.strip()
    try:
        yield _Candidate(json.loads(whole, parse_constant=_no_constant), whole)
        return
    except (ValueError, RecursionError):
        pass
    position = 0
    for _ in range(_ATTEMPTS):
        start = _STARTS.search(text, position)
        if start is None:
            return
        position = start.start() + 1
        transducer = JsonTransducer()
        try:
            strict = transducer.feed(text[start.start() :])
            if not transducer.done:
                strict += transducer.finish()
            value = json.loads(strict)
        except (JsonBroken, ValueError, RecursionError):
            continue
        yield _Candidate(value, strict)
        position = start.start() + max(1, transducer.consumed)


def _no_constant(constant: str) -> Any:
    raise ValueError(constant)


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


def _encode(value: Any) -> str:
    return msgspec.json.encode(value).decode()
