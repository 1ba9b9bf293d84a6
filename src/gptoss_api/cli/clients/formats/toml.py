"""TOML, edited as text: values are read by Python's own parser, which also judges every edit."""

import contextlib
import json
import re
import tomllib
from collections.abc import Iterator
from itertools import islice
from typing import Any, Final

from .edits import MISSING, CannotEdit, Edit, Json, Put, Standing, found, same

# Far more than lines of a file that look alike.
_MOST_TRIES: Final = 50
_BARE: Final = re.compile(r"[A-Za-z0-9_-]+")


class Toml:
    """Edits of keys at the top, of keys in tables, and of whole tables of plain values."""

    def is_empty(self, text: str) -> bool:
        return not text.strip("\ufeff \t\r\n")

    def standing(self, text: str, edit: Edit) -> Standing:
        put = _put(edit)
        tree = _parse(text)
        for length in range(1, len(put.path)):
            there = found(tree, put.path[:length])
            if there is not MISSING and not isinstance(there, dict):
                raise CannotEdit(f"{'.'.join(put.path[:length])} is not a table")
        there = found(tree, put.path)
        if there is MISSING:
            return Standing.FREE
        return Standing.SAME if same(there, put.value) else Standing.OTHER

    def apply(self, text: str, edit: Edit) -> tuple[str, Json]:
        put = _put(edit)
        tree = _parse(text)
        there, holder = found(tree, put.path), found(tree, put.path[:-1])
        lines = _lines(text)
        before: dict[str, Json] = {}
        if there is not MISSING:
            before["value"] = there
            made = _with_value(lines, put)
        elif isinstance(put.value, dict):
            made = iter([_with_table(lines, put.path, put.value)])
        elif len(put.path) == 1:
            made = iter([[_entry(put, lines), *lines]])
        elif holder is MISSING:
            before["made"] = True
            made = iter([_with_table(lines, put.path[:-1], {put.path[-1]: put.value})])
        else:
            made = _with_key(lines, put)
        return _judged(text, made, tree, put.path, put.value), before

    def revert(self, text: str, edit: Edit, before: Json) -> str:
        put = _put(edit)
        tree = _parse(text)
        lines = _lines(text)
        if "value" in before:
            old = Put(put.path, before["value"])
            return _judged(text, _with_value(lines, old), tree, old.path, old.value)
        without = _without_table(lines, put.path) if isinstance(put.value, dict) else _without_key(lines, put)
        text = _judged(text, without, tree, put.path, MISSING)
        if before.get("made") and found(_parse(text), put.path[:-1]) == {}:
            bare = _without_table(_lines(text), put.path[:-1])
            text = _judged(text, bare, _parse(text), put.path[:-1], MISSING)
        return text


def _put(edit: Edit) -> Put:
    if not isinstance(edit, Put):
        raise TypeError(edit)
    return edit


def _parse(text: str) -> dict[str, Any]:
    try:
        return tomllib.loads(text.removeprefix("\ufeff").replace("\r\n", "\n"))
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise CannotEdit(f"it is not TOML: {error}") from None


def _lines(text: str) -> list[str]:
    """Lines with their ends, of which the last one may have none."""
    return re.findall(r"[^\n]*\n|[^\n]+", text.removeprefix("\ufeff"))


def _judged(text: str, tries: Iterator[list[str]], tree: Json, path: tuple[str, ...], value: Json) -> str:
    """The first of the ``tries`` that says what the tree said with ``value`` at ``path``, and nothing else.

    A line that looks like a key or a header may be one of a longer string.
    """
    wanted = _copy(tree)
    holder = wanted
    for name in path[:-1]:
        holder = holder.setdefault(name, {})
    if value is MISSING:
        del holder[path[-1]]
    else:
        holder[path[-1]] = value
    wanted = _pruned(wanted)
    mark = "\ufeff" if text.startswith("\ufeff") else ""
    for lines in islice(tries, _MOST_TRIES):
        made = mark + "".join(lines)
        with contextlib.suppress(CannotEdit):
            if same(_pruned(_parse(made)), wanted):
                return made
    raise CannotEdit(f"the form in which it has {path[0]!r} is not understood")


def _copy(tree: Json) -> Json:
    return {name: _copy(value) for name, value in tree.items()} if isinstance(tree, dict) else tree


def _pruned(tree: Json) -> Json:
    """Without tables that hold nothing: a header such as ``[a.b]`` makes and unmakes those above it."""
    if not isinstance(tree, dict):
        return tree
    kept = {name: _pruned(value) for name, value in tree.items()}
    return {name: value for name, value in kept.items() if value != {}}


def _ending(lines: list[str]) -> str:
    return "\r\n" if lines and lines[0].endswith("\r\n") else "\n"


def _key(name: str) -> str:
    return name if _BARE.fullmatch(name) else json.dumps(name)


def _shown(value: Json) -> str:
    """A plain value; JSON's strings, numbers and truths are TOML's."""
    return json.dumps(value)


def _entry(put: Put, lines: list[str]) -> str:
    return f"{_key(put.path[-1])} = {_shown(put.value)}{_ending(lines)}"


def _header(path: tuple[str, ...]) -> str:
    return f"[{'.'.join(map(_key, path))}]"


def _with_table(lines: list[str], path: tuple[str, ...], values: dict[str, Json]) -> list[str]:
    end = _ending(lines)
    made = [f"{_header(path)}{end}"]
    made += [f"{_key(name)} = {_shown(value)}{end}" for name, value in values.items()]
    return [*_ended(lines, end), *([end] if lines else []), *made]


def _ended(lines: list[str], end: str) -> list[str]:
    if lines and not lines[-1].endswith("\n"):
        return [*lines[:-1], lines[-1] + end]
    return lines


def _with_key(lines: list[str], put: Put) -> Iterator[list[str]]:
    end = _ending(lines)
    for at in _headers(lines, put.path[:-1]):
        yield [*_ended(lines[: at + 1], end), _entry(put, lines), *lines[at + 1 :]]


def _with_value(lines: list[str], put: Put) -> Iterator[list[str]]:
    if isinstance(put.value, dict):
        raise CannotEdit(f"{put.name} cannot be changed there")
    for at in _keys(lines, put):
        stated = re.match(r"[^=]*=[ \t]*", lines[at])
        rest = re.search(r"[ \t]*(#[^\"']*)?\r?\n?$", lines[at])
        assert stated is not None
        assert rest is not None
        yield [*lines[:at], stated[0] + _shown(put.value) + rest[0], *lines[at + 1 :]]


def _without_key(lines: list[str], put: Put) -> Iterator[list[str]]:
    for at in _keys(lines, put):
        yield [*lines[:at], *lines[at + 1 :]]


def _without_table(lines: list[str], path: tuple[str, ...]) -> Iterator[list[str]]:
    for start in _headers(lines, path):
        end = start + 1
        while end < len(lines) and re.match(r"[ \t]*[A-Za-z0-9_\"-]+[ \t]*=", lines[end]):
            end += 1
        # The empty line that was made before it, too.
        alone = start and not lines[start - 1].strip() and (end == len(lines) or not lines[end].strip())
        yield [*lines[: start - 1 if alone else start], *lines[end:]]


def _headers(lines: list[str], path: tuple[str, ...]) -> Iterator[int]:
    wanted = re.compile(rf"[ \t]*{re.escape(_header(path))}[ \t]*(#.*)?\r?\n?")
    return (number for number, line in enumerate(lines) if wanted.fullmatch(line))


def _keys(lines: list[str], put: Put) -> Iterator[int]:
    name = put.path[-1]
    wanted = re.compile(rf"[ \t]*(?:{re.escape(_key(name))}|\"{re.escape(name)}\")[ \t]*=")
    return (number for number, line in enumerate(lines) if wanted.match(line))
