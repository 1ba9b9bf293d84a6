"""JSON with comments and trailing commas, edited as text.

What JSON leaves out is after Microsoft's JSONC, as Visual Studio Code, Zed, opencode and Qwen Code read it.
"""

import json
import re
from dataclasses import dataclass, field
from typing import Final

from .edits import MISSING, Add, CannotEdit, Edit, Json, Put, Standing, found, same

# Of anything that a person writes by hand.
_DEEPEST: Final = 60
_INDENT: Final = 2
_TRIVIA: Final = re.compile(r"(?:[\s\ufeff]+|//[^\n]*|/\*.*?\*/)*", re.DOTALL)
_REST_OF_LINE: Final = re.compile(r"(?:[ \t]*(?:/\*(?:(?!\*/)[^\n])*\*/|//[^\n\r]*))+")
_STRING: Final = re.compile(r'"(?:[^"\\\x00-\x1f]|\\.)*"')
_SCALAR: Final = re.compile(r"-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?|true|false|null")


@dataclass(slots=True)
class _Node:
    """A value at ``start`` to ``end`` of the text; its ``items`` are those of an object or a list."""

    start: int
    end: int
    value: Json
    items: "list[_Item]" = field(default_factory=list)


@dataclass(slots=True)
class _Item:
    """A member or element from ``start`` on; ``comma`` is where the one behind it is, or -1."""

    start: int
    name: str
    node: _Node
    comma: int = -1


class _Parser:
    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0

    def whole(self) -> _Node:
        self._skip()
        node = self._value(0)
        self._skip()
        if self._at != len(self._text):
            raise self._not_json()
        return node

    def _not_json(self) -> CannotEdit:
        return CannotEdit(f"it is not JSON in line {self._text.count(chr(10), 0, self._at) + 1}")

    def _skip(self) -> None:
        found = _TRIVIA.match(self._text, self._at)
        self._at = found.end() if found else self._at

    def _token(self, pattern: re.Pattern[str]) -> str:
        found = pattern.match(self._text, self._at)
        if found is None:
            raise self._not_json()
        self._at = found.end()
        return found[0]

    def _is(self, mark: str) -> bool:
        if self._text.startswith(mark, self._at):
            self._at += len(mark)
            return True
        return False

    def _value(self, depth: int) -> _Node:
        start = self._at
        if depth > _DEEPEST:
            raise CannotEdit(f"it is nested deeper than {_DEEPEST} levels")
        if self._is("{"):
            node = _Node(start, 0, {})
            self._items(node, "}", depth)
        elif self._is("["):
            node = _Node(start, 0, [])
            self._items(node, "]", depth)
        elif self._text.startswith('"', start):
            node = _Node(start, 0, self._said(_STRING))
        else:
            node = _Node(start, 0, self._said(_SCALAR))
        node.end = self._at
        return node

    def _said(self, pattern: re.Pattern[str]) -> Json:
        token = self._token(pattern)
        try:
            return json.loads(token)
        except ValueError:
            raise self._not_json() from None

    def _items(self, node: _Node, close: str, depth: int) -> None:
        self._skip()
        while not self._is(close):
            if node.items and node.items[-1].comma < 0:
                raise self._not_json()
            item = _Item(self._at, "", node)
            if close == "}":
                item.name = self._said(_STRING)
                if item.name in node.value:
                    raise CannotEdit(f"it says {item.name!r} twice")
                self._skip()
                self._token(re.compile(":"))
                self._skip()
            item.node = self._value(depth + 1)
            if close == "}":
                node.value[item.name] = item.node.value
            else:
                node.value.append(item.node.value)
            node.items.append(item)
            self._skip()
            if self._is(","):
                item.comma = self._at - 1
                self._skip()


class Jsonc:
    """Edits of objects and lists in JSON."""

    def __init__(self, empty: str = "{}") -> None:
        self._empty = empty

    def is_empty(self, text: str) -> bool:
        return re.sub(r"[\s\ufeff]", "", text) in ("", "{}", "[]")

    def standing(self, text: str, edit: Edit) -> Standing:
        tree = self._parse(text).value
        match edit:
            case Put(path):
                _refuse_no_object(tree, path)
                there = found(tree, path)
                if there is MISSING:
                    return Standing.FREE
                return Standing.SAME if same(_firm(there, edit), _firm(edit.value, edit)) else Standing.OTHER
            case Add(path, value):
                _refuse_no_object(tree, path)
                there = found(tree, path)
                if there is MISSING:
                    return Standing.FREE
                if not isinstance(there, list):
                    raise CannotEdit(f"{'.'.join(path) or 'it'} is not a list")
                if any(same(element, value) for element in there):
                    return Standing.SAME
                return Standing.OTHER if any(_alike(element, edit) for element in there) else Standing.FREE
            case _:
                raise TypeError(edit)

    def apply(self, text: str, edit: Edit) -> tuple[str, Json]:
        assert isinstance(edit, Put | Add)
        text = text if _TRIVIA.sub("", text) else f"{text}{self._empty}\n"
        root = self._parse(text)
        if isinstance(edit, Add):
            listed = found(root.value, edit.path)
            before = {"made": _missing_from(root.value, edit.path)}
            if listed is MISSING:
                made = self._put(text, root, edit.path, [edit.value])
            else:
                made = _insert(text, _node(root, edit.path), "", edit.value)
        else:
            there = found(root.value, edit.path)
            before = {"made": _missing_from(root.value, edit.path)}
            if there is not MISSING:
                before = {"value": there}
            made = self._put(text, root, edit.path, edit.value)
        _check(made, _with(root.value, edit))
        return made, before

    def revert(self, text: str, edit: Edit, before: Json) -> str:
        assert isinstance(edit, Put | Add)
        root = self._parse(text)
        if "value" in before:
            node = _node(root, edit.path)
            made = _replace(text, node, before["value"])
            _check(made, _with(root.value, Put(edit.path, before["value"])))
            return made
        if isinstance(edit, Add):
            listed = _node(root, edit.path)
            number = next(n for n, item in enumerate(listed.items) if same(item.node.value, edit.value))
            text = _remove(text, listed, number)
        else:
            text = self._take(text, edit.path)
        # Then what was only made to hold it, from the inside out.
        for length in range(len(edit.path) - isinstance(edit, Put), before["made"] - 1, -1):
            if found(self._parse(text).value, edit.path[:length]) in ({}, []):
                text = self._take(text, edit.path[:length])
        _check(text, _without(root.value, edit, before["made"]))
        return text

    def _take(self, text: str, path: tuple[str, ...]) -> str:
        holder = _node(self._parse(text), path[:-1])
        number = next(n for n, item in enumerate(holder.items) if item.name == path[-1])
        return _remove(text, holder, number)

    def _parse(self, text: str) -> _Node:
        return _Parser(text if _TRIVIA.sub("", text) else text + self._empty).whole()

    def _put(self, text: str, root: _Node, path: tuple[str, ...], value: Json) -> str:
        _refuse_no_object(root.value, path)
        node, depth = root, 0
        while depth < len(path):
            item = next((item for item in node.items if item.name == path[depth]), None)
            if item is None:
                for name in reversed(path[depth + 1 :]):
                    value = {name: value}
                return _insert(text, node, path[depth], value)
            node, depth = item.node, depth + 1
        return _replace(text, node, value)


def _firm(value: Json, edit: Put) -> Json:
    if not isinstance(value, dict):
        return value
    return {name: member for name, member in value.items() if name not in edit.loose}


def _alike(element: Json, edit: Add) -> bool:
    return isinstance(element, dict) and all(
        member in element and same(element[member], edit.value[member]) for member in edit.same
    )


def _refuse_no_object(tree: Json, path: tuple[str, ...]) -> None:
    for length in range(len(path)):
        there = found(tree, path[:length])
        if there is not MISSING and not isinstance(there, dict):
            raise CannotEdit(f"{'.'.join(path[:length]) or 'it'} is not an object")


def _missing_from(tree: Json, path: tuple[str, ...]) -> int:
    """How many of the keys exist, with one more: the length of the shortest path that is made."""
    for length in range(1, len(path) + 1):
        if found(tree, path[:length]) is MISSING:
            return length
    return len(path) + 1


def _with(tree: Json, edit: Put | Add) -> Json:
    """What the tree must be after the edit."""
    copy = json.loads(json.dumps(tree))
    if not edit.path:
        return [*copy, edit.value]
    holder = copy
    for name in edit.path[:-1]:
        holder = holder.setdefault(name, {})
    if isinstance(edit, Add):
        holder[edit.path[-1]] = [*holder.get(edit.path[-1], []), edit.value]
    else:
        holder[edit.path[-1]] = edit.value
    return copy


def _without(tree: Json, edit: Put | Add, made: int) -> Json:
    """What the tree must be after the edit was taken back; ``made`` as :func:`_missing_from` gave it."""
    copy = json.loads(json.dumps(tree))
    holder = found(copy, edit.path[:-1] if isinstance(edit, Put) else edit.path)
    if isinstance(edit, Put):
        del holder[edit.path[-1]]
    else:
        del holder[next(n for n, element in enumerate(holder) if same(element, edit.value))]
    for length in range(len(edit.path) - isinstance(edit, Put), made - 1, -1):
        if found(copy, edit.path[:length]) in ({}, []):
            del found(copy, edit.path[: length - 1])[edit.path[length - 1]]
    return copy


def _check(text: str, wanted: Json) -> None:
    if not same(_Parser(text).whole().value, wanted):
        raise CannotEdit("its form is not understood")


def _node(root: _Node, path: tuple[str, ...]) -> _Node:
    for name in path:
        root = next(item.node for item in root.items if item.name == name)
    return root


def _newline(text: str) -> str:
    return "\r\n" if "\r\n" in text else "\n"


def _indent_at(text: str, position: int) -> str:
    """What the line of ``position`` begins with."""
    line = text[text.rfind("\n", 0, position) + 1 : position]
    return line[: len(line) - len(line.lstrip(" \t"))].lstrip("\ufeff")


def _unit(text: str) -> str:
    """By how much the text indents: as its first indented line does."""
    first = re.search(r"^([ \t]+)\S", text, re.MULTILINE)
    if first is None:
        return " " * _INDENT
    return "\t" if first[1].startswith("\t") else first[1][:8]


def _written(text: str, value: Json, indent: str) -> str:
    lines = json.dumps(value, indent=_unit(text), ensure_ascii=False).split("\n")
    return f"{_newline(text)}{indent}".join(lines)


def _replace(text: str, node: _Node, value: Json) -> str:
    return text[: node.start] + _written(text, value, _indent_at(text, node.start)) + text[node.end :]


def _insert(text: str, node: _Node, name: str, value: Json) -> str:
    """A last member or element, on lines of its own unless what holds it is written in one."""
    inside = text[node.start : node.end]
    outer = _indent_at(text, node.start)
    key = f"{json.dumps(name, ensure_ascii=False)}: " if isinstance(node.value, dict) else ""
    if not node.items:
        indent = outer + _unit(text)
        at = node.end - 1
        kept = text[:at].rstrip(" \t\r\n") if "\n" in inside else text[:at]
        member = f"{_newline(text)}{indent}{key}{_written(text, value, indent)}{_newline(text)}{outer}"
        return kept + member + text[at:]
    last = node.items[-1]
    trailing = last.comma >= 0
    end = last.comma + 1 if trailing else last.node.end
    if "\n" not in inside:
        brief = f" {key}{json.dumps(value, ensure_ascii=False)}"
        return text[:end] + ("" if trailing else ",") + brief + ("," if trailing else "") + text[end:]
    indent = _indent_at(text, last.start)
    rest = _REST_OF_LINE.match(text, end)
    line_end = rest.end() if rest and rest.end() < node.end else end
    member = f"{_newline(text)}{indent}{key}{_written(text, value, indent)}"
    return (
        text[:end]
        + ("" if trailing else ",")
        + text[end:line_end]
        + member
        + ("," if trailing else "")
        + text[line_end:]
    )


def _remove(text: str, node: _Node, number: int) -> str:
    """The text without one member or element and its comma, and without a line that only it was on."""
    item = node.items[number]
    cuts = [(item.start, item.node.end)]
    if item.comma >= 0:
        cuts.append((item.comma, item.comma + 1))
    elif number:
        comma = node.items[number - 1].comma
        cuts.append((comma, comma + 1))
    at = item.start - sum(end - start for start, end in cuts if start < item.start)
    for start, end in sorted(cuts, reverse=True):
        text = text[:start] + text[end:]
    line = text.rfind("\n", 0, at) + 1
    line_end = text.find("\n", at) + 1 or len(text)
    if not text[line:line_end].strip():
        return text[:line] + text[line_end:]
    return text[:at].rstrip(" \t") + text[at:] if text[at : at + 1] in ("}", "]") else text
