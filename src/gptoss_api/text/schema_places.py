"""What a schema demands for certain of the value at one place: as much as its repair has to know.

Only what binds every value there is read: the keywords of the schema itself, of what it refers to, of
``allOf``, and of the only alternative that is not null. Where several alternatives are open nothing is known
of what they say, and of a schema that is not well-formed nothing at all; what is not known is never repaired.
What a value is made into is looked up in the table of :mod:`.coercion`, as for whole values.
"""

from collections.abc import Iterator, Mapping, Sequence
from enum import Enum, auto
from typing import Any, Final
from urllib.parse import unquote

import msgspec

from .coercion import NOTHING, chosen, converted
from .schema import Allowance, Check, Schema, SchemaRefused, Unchecked, compile_schema
from .schema_parts import follow

# Schemas that bind one value together; a validator takes no more either.
_MOST_APPLIED: Final = 64
_TYPES: Final = frozenset(("null", "boolean", "integer", "number", "string", "object", "array"))
_TYPES_OF: Final[dict[type, tuple[str, ...]]] = {
    bool: ("boolean",),
    int: ("integer", "number"),
    float: ("number",),
    str: ("string",),
    list: ("array",),
}
_SCALARS: Final = frozenset(("boolean", "number", "string"))
_ALTERNATIVES: Final = ("anyOf", "oneOf")
_ELSEWHERE: Final = ("$dynamicRef", "$recursiveRef", "$id", "id")
_OF_SCALARS: Final = (
    "type", "enum", "const", "minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf",
    "minLength", "maxLength", "pattern", "format", "not", "if", "then", "else",
)  # fmt: skip
_LEFT_OPEN: Final = frozenset(
    (*_ALTERNATIVES, "not", "if", "dependentSchemas", "patternProperties", "additionalProperties")
)
_JOINTS: Final = str.maketrans("", "", "-_. ")
# The drafts in which a reference is all that counts of its schema, and in which lists are ``items``.
_REFERENCE_ALONE: Final = ("draft-06", "draft-07")
_LISTS_ARE_ITEMS: Final = (*_REFERENCE_ALONE, "2019-09")
_NEWEST: Final = "2020-12"


class Way(Enum):
    """How a value of some type is read: as it is, by its members, whole, or as the one item of a list."""

    AS_IS = auto()
    INSIDE = auto()
    WHOLE = auto()
    LISTED = auto()


class Inner(str):
    """The JSON text of an object or array that stands in another form in the value."""

    __slots__ = ()


class Places:
    """The places of one schema, each made when it is asked for."""

    def __init__(self, source: Mapping[str, Any]) -> None:
        self.source = source
        draft = source.get("$schema", _NEWEST)
        known = isinstance(draft, str) and any(name in draft for name in (*_LISTS_ARE_ITEMS, _NEWEST))
        self.reference_alone = known and any(name in draft for name in _REFERENCE_ALONE)
        self.lists_are_items = known and any(name in draft for name in _LISTS_ARE_ITEMS)
        self._known: dict[tuple[int, ...], Place | None] = {}
        self.root = self.at([source]) if known else None

    def at(self, sources: Sequence[Any]) -> "Place | None":
        """The place that all ``sources`` are about; ``None`` where nothing is known of it."""
        key = tuple(map(id, sources))
        if key not in self._known:
            applied = self._applied(sources)
            self._known[key] = Place(self, applied) if applied else None
        return self._known[key]

    def _applied(self, sources: Sequence[Any]) -> "dict[int, _Applied] | None":
        """The schemas that bind every value but null, each once."""
        found: dict[int, _Applied] = {}
        seen = set[int]()
        waiting = [(source, True) for source in sources]
        while waiting:
            source, binds_null = waiting.pop()
            if source is True or id(source) in seen:
                continue
            seen.add(id(source))
            if not isinstance(source, dict) or not _is_well_formed(source) or len(seen) > _MOST_APPLIED:
                return None
            if source is not self.source and not source.keys().isdisjoint(_ELSEWHERE):
                return None
            reference = source.get("$ref")
            if reference is not None:
                waiting.append((self._target(reference), binds_null))
            if reference is None or not self.reference_alone:
                applied = found[id(source)] = _Applied(source, binds_null)
                waiting += ((each, binds_null) for each in source.get("allOf", ()))
                waiting += applied.only_alternatives()
        return found

    def _target(self, reference: Any) -> Any:
        if not isinstance(reference, str) or not reference.startswith(("#/", "#")):
            return None
        pointer = unquote(reference[1:])
        return follow(self.source, pointer) if not pointer or pointer.startswith("/") else None


class _Applied:
    """One schema that binds a place; ``open`` are its alternatives that are several."""

    __slots__ = ("binds_null", "open", "source")

    def __init__(self, source: dict[str, Any], binds_null: bool) -> None:
        self.source = source
        self.binds_null = binds_null
        self.open: dict[str, Any] = {}

    def only_alternatives(self) -> Iterator[tuple[Any, bool]]:
        for keyword in _ALTERNATIVES:
            alternatives = self.source.get(keyword)
            if alternatives is None:
                continue
            others = [each for each in alternatives if not _is_null(each)]
            if len(others) == 1:
                yield others[0], self.binds_null and len(alternatives) == 1
            else:
                self.open[keyword] = alternatives

    def refuses_null(self) -> bool:
        source = self.source
        if not self.binds_null or source.get("nullable") is True:
            return False
        if "type" in source and "null" not in _types(source):
            return True
        return any(None not in options for options in _options(source))


class Place:
    """What is demanded of one value.

    ``types`` are those it may have (``None``: any), ``options`` the values it may be; ``null`` says that it
    may be null.
    """

    def __init__(self, places: Places, applied: "dict[int, _Applied]") -> None:
        self._places = places
        self._applied = tuple(applied.values())
        sources = [each.source for each in self._applied]
        self._sources = sources
        self.types: frozenset[str] | None = None
        for source in sources:
            if "type" in source:
                types = _types(source)
                self.types = types if self.types is None else _common(self.types, types)
        self.options = next((options for source in sources for options in _options(source)), None)
        self.null = not any(each.refuses_null() for each in self._applied)
        self._ways: dict[str, Way] = {}
        self._schema: Schema | bool | None = None
        self._members: Members | None = None
        self._by_name: dict[str, Place | None] = {}
        self._by_index: dict[int, Place | None] = {}
        lists = (source.get(keyword) for source in sources for keyword in ("items", "prefixItems"))
        # From this index on all items have the same place.
        self._alike = max((len(items) for items in lists if isinstance(items, list)), default=0)

    def way(self, kind: str) -> Way:
        """How a value of the type ``kind`` is read (every number is a ``number``)."""
        known = self._ways.get(kind)
        if known is None:
            known = self._ways[kind] = self._way(kind)
        return known

    def _way(self, kind: str) -> Way:
        if kind == "null":
            return Way.AS_IS if self.null else Way.WHOLE
        if self._allows(kind):
            if kind in _SCALARS:
                return Way.AS_IS if self.options is None else Way.WHOLE
            matters = self.members.matter if kind == "object" else self._lists_matter
            return Way.INSIDE if matters else Way.AS_IS
        match self._wanted, kind:
            case (("integer" | "number" | "boolean" | "object"), "string"):
                return Way.WHOLE
            case "string", "number":
                return Way.WHOLE
            case "object", "array":
                return Way.WHOLE
            case "array", "object":
                item = self.item(0)
                fits = self._takes_one and (item is None or item._allows("object"))
                return Way.LISTED if fits else Way.AS_IS
            case "array", _:
                return Way.WHOLE
        return Way.AS_IS

    def _allows(self, kind: str) -> bool:
        types = self.types
        return types is None or kind in types or (kind == "number" and "integer" in types)

    @property
    def _wanted(self) -> str | None:
        """The only type that is no null."""
        others = [] if self.types is None else [name for name in self.types if name != "null"]
        return others[0] if len(others) == 1 else None

    # What becomes of a value

    def mended(self, written: str, allowance: Allowance) -> str | None:
        """JSON text in the place of ``written`` that fits here; ``None`` where it fits, or nothing does.

        Of an object or an array only the form is changed: it is an :class:`Inner` that is to be read here.
        """
        try:
            value = msgspec.json.decode(written)
        except (msgspec.DecodeError, RecursionError):
            return None
        result = value
        if not self._has_type(value):
            result = NOTHING if self._wanted is None else converted(value, self._wanted, written)
        if isinstance(result, dict | list):
            return self._restructured(value, result, written, allowance)
        if result is not NOTHING and self.options is not None and not _is_one_of(result, self.options):
            result = chosen(result, self.options)
        if result is NOTHING or result is value or not self._accepts(result, allowance):
            return None
        return msgspec.json.encode(result).decode()

    def _restructured(self, value: Any, result: Any, written: str, allowance: Allowance) -> str | None:
        if isinstance(value, str) and result != [value]:
            return Inner(value)
        if isinstance(value, list):
            return Inner(written.strip()[1:-1].strip())
        item = self.item(0)
        if not self._takes_one or (item is not None and not item._accepts(value, allowance)):
            return None
        return f"[{written}]"

    def _has_type(self, value: Any) -> bool:
        types = self.types
        if types is None or (isinstance(value, float) and "integer" in types and value.is_integer()):
            return True
        return not types.isdisjoint(_TYPES_OF[type(value)])

    def _accepts(self, value: Any, allowance: Allowance) -> bool:
        """Whether a scalar fits everything that is said here of scalars."""
        if self._schema is None:
            self._schema = self._schema_of_scalars()
        if isinstance(self._schema, bool):
            return self._schema and self._has_type(value)
        try:
            return Check(self._schema, allowance).is_valid(value)
        except Unchecked:
            return False

    def _schema_of_scalars(self) -> Schema | bool:
        """``True`` where the types say it all, ``False`` where it cannot be found out."""
        bounds = [
            {name: value for name, value in source.items() if name in _OF_SCALARS} | each.open
            for each, source in zip(self._applied, self._sources, strict=True)
        ]
        if not any(bound.keys() - {"type"} for bound in bounds):
            return True
        if any("$" in name for bound in bounds for name in _names(bound)):
            return False
        root = self._places.source
        draft = {"$schema": root["$schema"]} if "$schema" in root else {}
        try:
            return compile_schema({**draft, "allOf": bounds})
        except SchemaRefused:
            return False

    # What is inside

    @property
    def members(self) -> "Members":
        """What is demanded of an object here."""
        if self._members is None:
            self._members = Members(self._sources)
        return self._members

    def member(self, name: str) -> "Place | None":
        """The place of the property ``name``."""
        if name not in self.members.declared:
            return self._at(self.members.sources(name))
        if name not in self._by_name:
            self._by_name[name] = self._at(self.members.sources(name))
        return self._by_name[name]

    def item(self, index: int) -> "Place | None":
        """The place of a list's item."""
        index = min(index, self._alike)
        if index not in self._by_index:
            found = [item for source in self._sources for item in self._items(source, index)]
            self._by_index[index] = self._at(found)
        return self._by_index[index]

    def _at(self, sources: list[Any]) -> "Place | None":
        return self._places.at(sources) if sources else None

    def _items(self, source: dict[str, Any], index: int) -> list[Any]:
        items, rest = source.get("items"), "items"
        listed = source.get("prefixItems")
        if self._places.lists_are_items:
            listed = items if isinstance(items, list) else None
            rest = "items" if listed is None else "additionalItems"
        if isinstance(listed, list) and index < len(listed):
            return [listed[index]]
        return [source[rest]] if isinstance(source.get(rest), dict) else []

    @property
    def _lists_matter(self) -> bool:
        return any("items" in source or "prefixItems" in source for source in self._sources)

    @property
    def _takes_one(self) -> bool:
        return all(_is_at_most(source.get("minItems", 0), 1) for source in self._sources)


class Members:
    """The names that the objects at one place may and must have.

    ``matter`` says that anything is known of them.
    """

    def __init__(self, sources: Sequence[dict[str, Any]]) -> None:
        self._sources = sources
        self.declared = {name for source in sources for name in source.get("properties", ())}
        self.required = dict.fromkeys(name for source in sources for name in source.get("required", ()))
        self._patterned = any(source.get("patternProperties") for source in sources)
        # Each of these refuses every other name.
        self._closed = [
            source.get("properties", {}).keys()
            for source in sources
            if source.get("additionalProperties") is False and not source.get("patternProperties")
        ]
        left_over = any(source.get("unevaluatedProperties") is False for source in sources)
        if left_over and all(source.keys().isdisjoint(_LEFT_OPEN) for source in sources):
            self._closed.append(dict.fromkeys(self.declared).keys())
        typed = any(isinstance(source.get("additionalProperties"), dict) for source in sources)
        self.matter = bool(self.declared or self._closed or typed)
        self._meant: dict[str, str | None] | None = None

    def refuses(self, name: str) -> bool:
        """Whether no object here may have ``name``."""
        return any(name not in names for names in self._closed)

    def meant(self, name: str) -> str | None:
        """The only declared name that an undeclared one differs from in case and joints alone."""
        if self._patterned:
            return None
        if self._meant is None:
            self._meant = {}
            for declared in self.declared:
                folded = _fold(declared)
                self._meant[folded] = None if folded in self._meant else declared
        meant = self._meant.get(_fold(name))
        return None if meant is None or self.refuses(meant) else meant

    def sources(self, name: str) -> list[Any]:
        """The schemas of the property ``name``."""
        found: list[Any] = []
        for source in self._sources:
            properties = source.get("properties", {})
            if name in properties:
                found.append(properties[name])
            elif "patternProperties" in source:
                continue
            elif isinstance(rest := source.get("additionalProperties"), dict):
                found.append(rest)
        return found


def _fold(name: str) -> str:
    return name.casefold().translate(_JOINTS)


def _is_well_formed(source: dict[str, Any]) -> bool:
    """Whether the keywords that are read here are what they have to be."""
    types = source.get("type", [])
    if not all(
        isinstance(name, str) and name in _TYPES for name in ([types] if isinstance(types, str) else types)
    ):
        return False
    for keyword in ("enum", "allOf", *_ALTERNATIVES, "required", "prefixItems"):
        if keyword in source and not isinstance(source[keyword], list):
            return False
    for keyword in ("properties", "patternProperties"):
        if keyword in source and not isinstance(source[keyword], dict):
            return False
    if not all(isinstance(name, str) for name in source.get("required", ())):
        return False
    return isinstance(source.get("additionalProperties", True), dict | bool)


def _types(source: dict[str, Any]) -> frozenset[str]:
    types = source.get("type", ())
    return frozenset((types,) if isinstance(types, str) else types)


def _common(one: frozenset[str], other: frozenset[str]) -> frozenset[str]:
    common = one & other
    if ("integer" in one and "number" in other) or ("number" in one and "integer" in other):
        common |= {"integer"}
    return common


def _options(source: dict[str, Any]) -> Iterator[list[Any]]:
    if "enum" in source:
        yield source["enum"]
    if "const" in source:
        yield [source["const"]]


def _is_null(source: Any) -> bool:
    return isinstance(source, dict) and (
        source.get("type") in ("null", ["null"])
        or source.get("enum") == [None]
        or source.get("const", 0) is None
    )


def _is_one_of(value: Any, options: Sequence[Any]) -> bool:
    """As JSON compares: true is no number."""
    return any(isinstance(o, bool) == isinstance(value, bool) and o == value for o in options)


def _is_at_most(value: Any, most: int) -> bool:
    return isinstance(value, int | float) and value <= most


def _names(source: Any) -> Iterator[str]:
    """Every name in a schema."""
    level = [source]
    while level:
        node = level.pop()
        if isinstance(node, dict):
            yield from node
            level += node.values()
        elif isinstance(node, list):
            level += node
