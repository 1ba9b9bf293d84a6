"""A schema taken apart into what a validator tries against a value, each with what a look at one takes."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain
from typing import Any, Final, NamedTuple
from urllib.parse import unquote

from .patterns import PatternSize, pattern_size

MAX_DEPTH: Final = 64
# Schemas inside a schema as it is written; a definition that is referred to is compiled by itself and counts
# more. 6,000 compile in 30 ms and take 20 MB. OpenAI allows 5,000 properties.
MAX_PARTS: Final = 6_000
DEFINITION: Final = 8
# All patterns together, in the units of gptoss_api.text.patterns: 20 ms and 3 MB.
MAX_PATTERNS: Final = 16_000
PATTERN: Final = 60
_MAX_LOOKUPS: Final = 50_000

_REFERENCES: Final = ("$ref", "$dynamicRef", "$recursiveRef")
_ANCHORS: Final = ("$anchor", "$dynamicAnchor", "$id", "id")
_BOUNDS: Final = ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum")
_LEFT_OVER: Final = ("unevaluatedProperties", "unevaluatedItems")
_SURVEYED: Final = frozenset((*_REFERENCES, *_ANCHORS, "$recursiveAnchor", "pattern", "patternProperties"))
_BESIDE: Final = frozenset(
    (*_REFERENCES, "allOf", "anyOf", "oneOf", "not", "if", "then", "else", "dependentSchemas", "dependencies")
)
_BELOW: Final = frozenset(
    (
        *_LEFT_OVER, "properties", "patternProperties", "additionalProperties", "propertyNames", "items",
        "prefixItems", "additionalItems", "contains",
    )
)  # fmt: skip
_COUNTED: Final = frozenset(
    (
        *_BOUNDS, "multipleOf", "enum", "const", "required", "dependentRequired", "dependencies", "not",
        "format", "pattern",
    )
)  # fmt: skip

# Steps of about ten nanoseconds each that jsonschema-rs 0.61 was seen to take.
_LOOK: Final = 3
_NAME: Final = 5
_FRACTION: Final = 100
_MULTIPLE: Final = 150
_ODD_MULTIPLE: Final = 5_000
_OPTION: Final = 50
_FRACTION_OPTION: Final = 500
_FORMAT_LETTER: Final = 20
_PATTERN_LETTER: Final = 1.5
_BACKTRACKING: Final = 60_000
# To find what is left over everything is looked at once more, and then at what that left over.
_LEFT_OVER_TIMES: Final = 3
# An error about "not" quotes the schema; in microseconds.
_BYTE_TOLD: Final = 0.1
# Bytes of what is compiled, seen likewise.
_PART_BYTES: Final = 3_000
_PATTERN_BYTES: Final = 200


class SchemaRefused(ValueError):
    """A client's schema that cannot be used; the message says why."""


class SchemaTooLarge(SchemaRefused):
    """A schema that may be valid, but is larger than what is checked here."""


class Reading(NamedTuple):
    """The steps that a string of n letters takes: ``once + each * n + square * n * n``."""

    once: float = 0
    each: float = 0
    square: float = 0

    def with_(self, other: "Reading", times: int = 1) -> "Reading":
        """Both, the ``other`` so many times."""
        return Reading(*(mine + times * its for mine, its in zip(self, other, strict=True)))

    def steps(self, letters: int) -> float:
        return self.once + (self.each + self.square * letters) * letters


_NO_READING: Final = Reading()
_NO_MEMBERS: Final[Mapping[str, Any]] = {}


class Part:
    """One schema inside a schema.

    ``here`` are the parts applied to the same value, ``alternatives`` those of them of which not all need to
    fit, ``times`` how often each of these is looked at; ``left_over`` is applied to what no other part looked
    at, and a ``leaf`` leads to no part at all. ``steps`` is what any value takes, ``number``, ``structure``
    and ``reading`` what a number, an array or object and a string take besides. ``errors`` is how many faults
    a value can have here, ``telling`` the microseconds to write down what they are about.
    """

    __slots__ = (
        "additional", "alternatives", "contains", "errors", "here", "items", "leaf", "left_over", "members",
        "names", "number", "patterned", "prefix", "reading", "scalar", "steps", "structure", "telling",
        "times", "unique",
    )  # fmt: skip

    def __init__(self) -> None:
        self.steps: float = _LOOK
        self.number: float = 0
        self.structure: float = 0
        self.reading = _NO_READING
        self.leaf = True
        self.errors = 1
        self.telling: float = 0
        self.times = 1
        self.unique = False
        self.here: Sequence[Part] = ()
        self.alternatives: Sequence[Part] = ()
        self.members: Mapping[str, Part] = _NO_MEMBERS
        self.patterned: Sequence[tuple[Reading, Part]] = ()
        self.additional: Part | None = None
        self.names: Part | None = None
        self.prefix: Sequence[Part] = ()
        self.items: Part | None = None
        self.contains: Part | None = None
        self.left_over: Sequence[Part] = ()
        # What was found out about it, by those who want to keep it here.
        self.scalar: Any = None

    @property
    def beside(self) -> Sequence["Part"]:
        """What is applied to the same value."""
        return (*self.here, *self.alternatives)

    @property
    def within(self) -> list["Part"]:
        """Every part that a look with this one may lead to."""
        single = (self.additional, self.names, self.items, self.contains)
        found = [*self.here, *self.alternatives, *self.members.values(), *self.prefix, *self.left_over]
        found += (part for part in single if part is not None)
        found += (part for _, part in self.patterned)
        return found


# What says nothing, or nothing that leads anywhere: true, false, {}.
_BARE: Final = Part()


class Taken(NamedTuple):
    """The ``parts`` that a validator can come to, the root first, and the ``bytes`` they take compiled.

    ``patterns`` are all that stand anywhere in the schema.
    """

    parts: list[Part]
    bytes: int
    patterns: Sequence[str] = ()


def take_apart(source: Any, size: int) -> Taken:
    """What a schema of ``size`` bytes consists of.

    Raises:
        SchemaRefused: where a reference leads to another document or to nothing.
        SchemaTooLarge: for a schema that is nested too deeply or has too many parts or patterns.
    """
    survey = _Survey(source)
    builder = _Builder(survey, size)
    size = builder.size * _PART_BYTES + (MAX_PATTERNS - survey.room) * _PATTERN_BYTES
    return Taken(builder.parts, size, tuple(survey.patterns))


class _Survey:
    """What stands anywhere in a schema: anchors, schemas with an id, patterns."""

    def __init__(self, source: Any) -> None:
        self.root = source
        self.anchors: dict[str, list[dict[str, Any]]] = {}
        self.documents: list[Any] = [source]
        self.recursive: list[dict[str, Any]] = []
        self.patterns: dict[str, PatternSize] = {}
        self.room = MAX_PATTERNS
        level = [source]
        for _ in range(MAX_DEPTH):
            following: list[Any] = []
            for node in level:
                if isinstance(node, dict):
                    if not _SURVEYED.isdisjoint(node):
                        self._look_at(node)
                    following += [child for child in node.values() if isinstance(child, dict | list)]
                elif isinstance(node, list):
                    following += [child for child in node if isinstance(child, dict | list)]
            if not following:
                return
            level = following
        raise SchemaTooLarge(f"the schema is nested deeper than {MAX_DEPTH} levels")

    def _look_at(self, node: dict[str, Any]) -> None:
        for keyword in _REFERENCES:
            target = node.get(keyword)
            if isinstance(target, str) and not target.startswith("#"):
                raise SchemaRefused(
                    f"{keyword} '{target[:100]}' points outside the schema; only references that start with "
                    "# are followed"
                )
        for keyword in _ANCHORS:
            name = node.get(keyword)
            if isinstance(name, str):
                self.anchors.setdefault(name.removeprefix("#"), []).append(node)
                if keyword in ("$id", "id") and node is not self.root:
                    self.documents.append(node)
        if node.get("$recursiveAnchor") is True:
            self.recursive.append(node)
        if isinstance(pattern := node.get("pattern"), str):
            self._measure(pattern)
        for pattern in _named(node, "patternProperties"):
            self._measure(pattern)

    def _measure(self, pattern: str) -> None:
        if pattern in self.patterns:
            return
        if len(pattern) <= MAX_PATTERNS:
            self.patterns[pattern] = size = pattern_size(pattern)
            self.room -= PATTERN + size.size
        if len(pattern) > MAX_PATTERNS or self.room < 0:
            raise SchemaTooLarge(
                f"the patterns of the schema are too large, the one that begins with '{pattern[:60]}' "
                f"included: with counted repetitions written out they have more than {MAX_PATTERNS} "
                "characters, and a set of many characters counts as several. Use fewer or simpler patterns, "
                "or maxLength instead of {1,1000}"
            )


class _Builder:
    """Makes the parts that can be reached from a schema's root."""

    def __init__(self, survey: _Survey, size: int) -> None:
        self._survey = survey
        self._bytes = size
        self._known: dict[int, Part] = {}
        self._waiting: list[tuple[dict[str, Any], Part]] = []
        self._definitions: set[str] = set()
        self._lookups = 0
        self._count = 0
        self.parts: list[Part] = []
        root = self._part(survey.root)
        while self._waiting:
            self._fill(*self._waiting.pop())
        if not self.parts:
            self.parts.append(root)

    @property
    def size(self) -> int:
        return self._count + DEFINITION * len(self._definitions)

    def _part(self, source: Any) -> Part:
        part = _BARE
        if isinstance(source, dict) and source:
            known = self._known.get(id(source))
            if known is not None:
                return known
            part = self._known[id(source)] = Part()
            self._waiting.append((source, part))
            self.parts.append(part)
        self._count += 1
        if self.size > MAX_PARTS:
            raise SchemaTooLarge(
                f"the schema has more than {MAX_PARTS} parts, of which a definition that is referred to "
                f"counts as {1 + DEFINITION}"
            )
        return part

    def _parts(self, sources: Iterable[Any]) -> tuple[Part, ...]:
        return tuple([self._part(source) for source in sources])

    def _one(self, source: dict[str, Any], keyword: str) -> Part | None:
        return self._part(source[keyword]) if keyword in source else None

    def _fill(self, source: dict[str, Any], part: Part) -> None:
        part.errors = len(source)
        part.steps += _LOOK * len(source)
        part.unique = source.get("uniqueItems") is True
        if not _BESIDE.isdisjoint(source):
            part.leaf = False
            self._fill_beside(source, part)
        if not _BELOW.isdisjoint(source):
            part.leaf = False
            self._fill_below(source, part)
        if not _COUNTED.isdisjoint(source):
            self._fill_steps(source, part)

    def _fill_beside(self, source: dict[str, Any], part: Part) -> None:
        dependent = {**_named(source, "dependentSchemas"), **_named(source, "dependencies")}
        here = (
            *_listed(source, "allOf"),
            *(source[keyword] for keyword in ("not", "if", "then", "else") if keyword in source),
            *(schema for schema in dependent.values() if not isinstance(schema, list)),
        )
        part.here = (*self._parts(here), *self._referred(source))
        part.alternatives = self._parts(chain(_listed(source, "anyOf"), _listed(source, "oneOf")))

    def _fill_below(self, source: dict[str, Any], part: Part) -> None:
        if members := _named(source, "properties"):
            part.members = {name: self._part(member) for name, member in members.items()}
        part.patterned = tuple(
            (_reading_of(self._survey.patterns[pattern]), self._part(member))
            for pattern, member in _named(source, "patternProperties").items()
        )
        part.additional = self._one(source, "additionalProperties")
        part.names = self._one(source, "propertyNames")
        items = source.get("items")
        part.prefix = self._parts(items if isinstance(items, list) else _listed(source, "prefixItems"))
        part.items = self._one(source, "additionalItems" if isinstance(items, list) else "items")
        part.contains = self._one(source, "contains")
        part.left_over = self._parts(source[keyword] for keyword in _LEFT_OVER if keyword in source)
        part.times = _LEFT_OVER_TIMES if part.left_over else 1

    def _fill_steps(self, source: dict[str, Any], part: Part) -> None:
        dependent = {**_named(source, "dependentRequired"), **_named(source, "dependencies")}
        wanted = len(_listed(source, "required")) + len(dependent)
        wanted += sum(len(names) for names in dependent.values() if isinstance(names, list))
        part.errors += wanted
        part.steps += _NAME * wanted
        for keyword in _BOUNDS:
            part.number += _FRACTION if isinstance(source.get(keyword), float) else 0
        if isinstance(step := source.get("multipleOf"), int | float):
            part.number += _MULTIPLE if 1e-9 < step < 1e9 else _ODD_MULTIPLE
        options = [*_listed(source, "enum"), source.get("const")]
        part.telling = len(options) + (_BYTE_TOLD * self._bytes if "not" in source else 0)
        part.number += _FRACTION_OPTION * sum(isinstance(option, float) for option in options)
        part.structure = _steps_to_compare([option for option in options if isinstance(option, dict | list)])
        if "format" in source:
            part.reading = Reading(0, _FORMAT_LETTER)
        if isinstance(pattern := source.get("pattern"), str):
            part.reading = part.reading.with_(_reading_of(self._survey.patterns[pattern]))

    # References

    def _referred(self, source: dict[str, Any]) -> Iterator[Part]:
        for keyword in _REFERENCES:
            reference = source.get(keyword)
            if not isinstance(reference, str):
                continue
            targets = self._targets(reference)
            if keyword == "$recursiveRef":
                targets += self._survey.recursive
            if not targets:
                raise SchemaRefused(
                    f"the schema is not valid: {keyword} '{reference[:100]}' points to nothing in it"
                )
            self._definitions.add(reference)
            yield from map(self._part, targets)

    def _targets(self, reference: str) -> list[Any]:
        """Whatever ``reference`` may mean: which of several depends on the draft and on the way there."""
        pointer = unquote(reference[1:])
        if pointer and not pointer.startswith("/"):
            return list(self._survey.anchors.get(pointer, ()))
        documents = self._survey.documents
        self._lookups += len(documents)
        if self._lookups > _MAX_LOOKUPS:
            raise SchemaTooLarge("the schema has too many references and schemas with an $id")
        found = (follow(document, pointer) for document in documents)
        return [target for target in found if isinstance(target, dict | bool)]


def follow(document: Any, pointer: str) -> Any:
    """What a JSON pointer (RFC 6901) leads to, ``None`` where it leads nowhere."""
    for escaped in pointer.split("/")[1:]:
        step = escaped.replace("~1", "/").replace("~0", "~")
        if isinstance(document, dict):
            document = document.get(step)
        elif isinstance(document, list) and step.isascii() and step.isdigit() and len(step) < 7:
            document = document[int(step)] if int(step) < len(document) else None
        else:
            return None
    return document


def _listed(source: dict[str, Any], keyword: str) -> list[Any]:
    value = source.get(keyword)
    return value if isinstance(value, list) else []


def _named(source: dict[str, Any], keyword: str) -> dict[str, Any]:
    value = source.get(keyword)
    return value if isinstance(value, dict) else {}


def _reading_of(size: PatternSize) -> Reading:
    if size.backtracks:
        # At each letter it may look at all the others; jsonschema-rs ends it after so many steps back.
        return Reading(_BACKTRACKING, 0, 1 + 2 * size.positions)
    return Reading(0, _PATTERN_LETTER * (1 + size.positions))


def _steps_to_compare(level: list[Any]) -> float:
    steps: float = 0
    while level:
        steps += _OPTION * len(level) + _FRACTION_OPTION * sum(isinstance(value, float) for value in level)
        structures = [value for value in level if isinstance(value, dict | list)]
        level = []
        for value in structures:
            level += value.values() if isinstance(value, dict) else value
    return steps
