"""YAML, edited as text without a parser: lines are added at places that cannot be mistaken, or not at all.

What is ours is found again by its lines, which the clients that have YAML leave as they are.
"""

import re
from typing import Final

from .edits import Block, CannotEdit, Edit, Json, Standing

_ENTRY: Final = re.compile(r"""(?:[A-Za-z0-9_.<][A-Za-z0-9_. <-]*|"[^"\\]*"|'[^']*')[ ]*:(?=[ ]|$)""")
_LISTED: Final = re.compile(r"-(?=[ ]|$)")
_OPENED: Final = re.compile(r"""[\["'{]""")
_CLOSING: Final = {"[": "]", '"': '"', "'": "'", "{": "}"}
_REMARK: Final = re.compile(r"(?:^|[ ]+)#.*$")


class Yaml:
    """Edits at the end of a mapping, of a list at the top, or of a list under a key at the top."""

    def is_empty(self, text: str) -> bool:
        return not text.strip("\ufeff \t\r\n")

    def standing(self, text: str, edit: Edit) -> Standing:
        block = _block(edit)
        lines = _understood(text)
        if _find(lines, block) is not None:
            return Standing.SAME
        if any(re.search(block.taken, line) for line in lines):
            return Standing.OTHER
        _where(lines, block)
        return Standing.FREE

    def apply(self, text: str, edit: Edit) -> tuple[str, Json]:
        block = _block(edit)
        lines = _understood(text)
        if any(re.search(block.taken, line) for line in lines):
            raise CannotEdit(f"it has {block.name} already")
        at, made = _where(lines, block)
        before = {"made": len(made) > len(_split(block.text))}
        end = "\r\n" if "\r\n" in text else "\n"
        mark = "\ufeff" if text.startswith("\ufeff") else ""
        kept = _split(text.removeprefix("\ufeff"), ends=True)
        if at and not kept[at - 1].endswith("\n"):
            kept[at - 1] += end
        return mark + "".join([*kept[:at], *(line + end for line in made), *kept[at:]]), before

    def revert(self, text: str, edit: Edit, before: Json) -> str:
        block = _block(edit)
        lines = _understood(text)
        start = _find(lines, block)
        assert start is not None
        stop = start + len(_split(block.text))
        # The key that was made for it, if nothing else has come under it.
        if before["made"] and lines[start - 1] == f"{block.key}:" and not _goes_on(lines, stop):
            start -= 1
        mark = "\ufeff" if text.startswith("\ufeff") else ""
        kept = _split(text.removeprefix("\ufeff"), ends=True)
        return mark + "".join([*kept[:start], *kept[stop:]])


def _block(edit: Edit) -> Block:
    if not isinstance(edit, Block):
        raise TypeError(edit)
    return edit


def _split(text: str, *, ends: bool = False) -> list[str]:
    """Lines as YAML has them: not at every character at which Python would end one."""
    lines = re.findall(r"[^\n]*\n|[^\n]+", text)
    return lines if ends else [line.rstrip("\r\n") for line in lines]


def _goes_on(lines: list[str], number: int) -> bool:
    """Whether the next line that says something is indented, or an element."""
    said = next((line for line in lines[number:] if _REMARK.sub("", line).strip()), "")
    return said.startswith((" ", "-"))


def _understood(text: str) -> list[str]:
    """The lines, of which each that is not indented is an entry, an element, a remark or empty."""
    lines = _split(text.removeprefix("\ufeff"))
    begun = False
    for number, line in enumerate(lines, 1):
        if line.startswith("---") and not begun and not _REMARK.sub("", line[3:]).strip():
            continue
        if not line.strip() or line.startswith(("#", " ")):
            continue
        begun = True
        stated = _ENTRY.match(line) or _LISTED.match(line)
        value = _REMARK.sub("", line[stated.end() :]).strip() if stated else ""
        if stated is None or (_OPENED.match(value) and not value.endswith(_CLOSING[value[0]])):
            raise CannotEdit(f"the form of line {number} is not understood")
    return lines


def _find(lines: list[str], block: Block) -> int | None:
    """The line on which the block stands, whatever it is indented by."""
    wanted = _split(block.text)
    for start in range(len(lines) - len(wanted) + 1):
        there = lines[start : start + len(wanted)]
        margin = there[0][: len(there[0]) - len(there[0].lstrip(" "))]
        if there == [margin + line for line in wanted]:
            return start
    return None


def _where(lines: list[str], block: Block) -> tuple[int, list[str]]:
    """Before which line the block goes, and its lines as they must be written there."""
    wanted = _split(block.text)
    at_top = [number for number, line in enumerate(lines) if _ENTRY.match(line)]
    is_list = any(_LISTED.match(line) for line in lines) and not at_top
    if not block.key:
        if is_list != bool(_LISTED.match(wanted[0])) and (is_list or at_top):
            raise CannotEdit("it is a list" if is_list else "it is not a list")
        return _end(lines, len(lines)), wanted
    if is_list:
        raise CannotEdit("it is a list")
    stated = re.compile(
        rf"(?:{re.escape(block.key)}|\"{re.escape(block.key)}\"|'{re.escape(block.key)}')[ ]*:"
    )
    start = next((number for number in at_top if stated.match(lines[number])), None)
    if start is None:
        return _end(lines, len(lines)), [f"{block.key}:", *(f"  {line}" for line in wanted)]
    if _REMARK.sub("", lines[start]).rstrip()[-1] != ":":
        raise CannotEdit(f"{block.key} is not a list with each element on lines of its own")
    stop = next((number for number in at_top if number > start), len(lines))
    inside = [line for line in lines[start + 1 : stop] if _REMARK.sub("", line).strip()]
    if inside and not _LISTED.match(inside[0].lstrip(" ")):
        raise CannotEdit(f"{block.key} is not a list")
    margin = inside[0][: len(inside[0]) - len(inside[0].lstrip(" "))] if inside else "  "
    return _end(lines, stop, start + 1), [margin + line for line in wanted]


def _end(lines: list[str], stop: int, start: int = 0) -> int:
    """Behind the last line before ``stop`` that says something."""
    while stop > start and not _REMARK.sub("", lines[stop - 1]).strip():
        stop -= 1
    return stop
