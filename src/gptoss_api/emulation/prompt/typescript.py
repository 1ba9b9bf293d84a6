"""JSON Schemas as TypeScript, the form in which gpt-oss was trained to read tools.

A superset of what the Harmony reference renderer writes: the same layout, and besides it ``$ref``,
``anyOf``, ``allOf``, ``const``, enums of any type, limits and odd property names. Renders every JSON
value, in bounded size. Source: docs/design/emulation.md, "Tools as TypeScript".
"""

import json
import re
from collections.abc import Iterable, Mapping
from typing import Any, Final, NamedTuple
from urllib.parse import unquote

_IDENTIFIER: Final = re.compile(r"[A-Za-z_$][A-Za-z0-9_$]*")
_FENCE: Final = re.compile("`{3,}")

# Longer texts are gone through in steps, as one call over megabytes would stop every other thread; here they
# may be divided: in nothing that is replaced.
_STEP: Final = 1 << 16
_JOINT: Final = re.compile(r"[^`*/]")

# Bounds for one tool. OpenAI allows 5 000 properties and 10 levels in a strict schema. A node takes five
# microseconds, as many as so many smaller steps.
_NODES: Final = 8_000
_CHARACTERS: Final = 400_000
_STEPS: Final = 64
# What all tools of a request may have beyond what is written in their schemas, by following references.
_MORE_NODES: Final = 2_000
_NESTING: Final = 24
_READABLE_LEVELS: Final = 3
_COMMENT: Final = 2_000
_LIMIT_COMMENT: Final = 300
_ENUM_VALUES: Final = 1_000
_EXAMPLES: Final = 5

_LIMITS: Final = (
    "minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf", "minLength", "maxLength",
    "pattern", "format", "contentEncoding", "contentMediaType", "minItems", "maxItems", "uniqueItems",
    "minProperties", "maxProperties",
)  # fmt: skip
_UNTRANSLATABLE: Final = (
    "not", "if", "then", "else", "patternProperties", "propertyNames", "contains", "dependentRequired",
    "dependentSchemas", "dependencies", "$dynamicRef",
)  # fmt: skip
_CONDITIONS_ONLY: Final = frozenset({"required", "not", "type", "title", "description", "minProperties"})

# Types as clients write them: JSON Schema's own, Python's and Gemini's.
_TYPES: Final = {
    "string": "string", "str": "string", "integer": "integer", "int": "integer", "number": "number",
    "float": "number", "double": "number", "boolean": "boolean", "bool": "boolean", "null": "null",
    "none": "null", "array": "array", "list": "array", "tuple": "array", "object": "object", "dict": "object",
}  # fmt: skip
_IMPLIED: Final = (
    (("properties", "additionalProperties", "patternProperties", "minProperties", "maxProperties"), "object"),
    (("items", "prefixItems", "minItems", "maxItems", "uniqueItems"), "array"),
    (("pattern", "minLength", "maxLength", "format"), "string"),
    (("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"), "number"),
)

_ENCODER: Final = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"))


def compact(value: object) -> str | None:
    """``value`` as JSON on one line, in the order given; ``None`` where it is nested too deeply to write."""
    try:
        return _ENCODER.encode(value)
    except RecursionError:
        return None


def comment_lines(text: str) -> list[str]:
    """``text`` as comment lines, each with its own ``//``; nothing in it can close a comment or a fence.

    Of a very long text several lines together are one item of the list.
    """
    text = _harmless(text.strip())
    if len(text) <= _STEP:
        return [f"// {line}".rstrip() for line in text.splitlines()]
    blocks: list[str] = []
    at = 0
    while at < len(text):
        end = text.find("\n", at + _STEP) + 1 or len(text)
        blocks.append("\n".join(f"// {line}".rstrip() for line in text[at:end].splitlines()))
        at = end
    return blocks


def _harmless(text: str) -> str:
    if len(text) <= _STEP:
        return _FENCE.sub(_quotes, text).replace("*/", "* /")
    pieces: list[str] = []
    at = 0
    while at < len(text):
        joint = _JOINT.search(text, at + _STEP)
        end = joint.end() if joint else len(text)
        pieces.append(_FENCE.sub(_quotes, text[at:end]).replace("*/", "* /"))
        at = end
    return "".join(pieces)


def _quotes(match: re.Match[str]) -> str:
    return "'" * len(match[0])


class SizeBudget:
    """What the tools of one request may take together beyond what is written in their schemas.

    A schema can say much by few references.
    """

    def __init__(self) -> None:
        self.nodes = _MORE_NODES
        self.characters = _CHARACTERS

    def take(self, nodes: int, characters: int) -> None:
        """Nothing where a schema took less than is written in it."""
        self.nodes = max(0, self.nodes - max(0, nodes))
        self.characters = max(0, self.characters - max(0, characters))


def function_type(name: str, description: str, parameters: object, room: SizeBudget | None = None) -> str:
    """The type of one tool, in Harmony's layout, without a trailing line break; it takes of ``room``."""
    lines = comment_lines(description)
    if parameters is None or _takes_nothing(parameters):
        return "\n".join((*lines, f"type {name} = () => any;"))
    kind = _Renderer(parameters, room or SizeBudget()).rendered()
    lines += kind.comments()
    note = f" // {'; '.join(kind.notes)}" if kind.notes else ""
    return "\n".join((*lines, f"type {name} = (_: {kind.text}) => any;{note}"))


def _takes_nothing(parameters: object) -> bool:
    """An object without a single property, as clients write tools without arguments."""
    return (
        isinstance(parameters, Mapping)
        and parameters.get("type", "object") == "object"
        and not parameters.get("properties")
        and not parameters.get("required")
        # An empty schema admits everything.
        and (parameters.get("additionalProperties") is None or parameters["additionalProperties"] is False)
        and parameters.keys()
        <= {"type", "properties", "required", "additionalProperties", "title", "$schema"}
    )


class _Type(NamedTuple):
    """A type's text; ``notes`` go behind it, ``doc`` and ``above`` before it.

    ``joint`` is its loosest operator, which decides about brackets.
    """

    text: str
    notes: tuple[str, ...] = ()
    doc: str = ""
    above: tuple[str, ...] = ()
    joint: str = ""

    def within(self, operator: str) -> str:
        """The text where ``operator`` binds it: in brackets if its own operator is a looser one."""
        return f"({self.text})" if self.joint and self.joint != operator else self.text

    def comments(self) -> list[str]:
        return [*comment_lines(self.doc), *(line for text in self.above for line in comment_lines(text))]


_ANY: Final = _Type("any")


class _Renderer:
    """Renders the schemas of one document, whose local references it follows."""

    def __init__(self, root: object, room: SizeBudget) -> None:
        self._root = root
        self._room = room
        self._written = _written(root)
        self._nodes = min(_NODES, self._written[0] + room.nodes)
        self._characters = min(_CHARACTERS, self._written[1] + room.characters)
        self._open: list[str] = []  # the references being inlined
        # What was written out, with the values it stands for, as those are known by their place in memory.
        self._shown: dict[int, tuple[object, str | None]] = {}
        self._enumerations: dict[int, tuple[object, _Type]] = {}

    def rendered(self) -> _Type:
        """The root's type; what it took beyond what is written is gone from the room."""
        nodes, characters = self._nodes, self._characters
        kind = self.render(self._root, 1, 0)
        self._room.take(
            nodes - self._nodes - self._written[0], characters - self._characters - self._written[1]
        )
        return kind

    def render(self, schema: object, level: int, nesting: int) -> _Type:
        """``level`` counts objects around the value, ``nesting`` schemas of every kind."""
        self._nodes -= 1
        if schema is False:
            return _Type("never")
        if not isinstance(schema, Mapping) or self._nodes < 0 or self._characters < 0 or nesting > _NESTING:
            return _ANY
        if isinstance(schema.get("$ref"), str):
            return self._reference(schema, level, nesting + 1)
        kind = self._structure(schema, level, nesting + 1)
        if schema.get("nullable") is True and kind.text != "any":
            kind = _union((kind, _Type("null")))
        description = schema.get("description")
        doc = description if isinstance(description, str) else kind.doc
        above = (*kind.above, *self._examples(schema), *self._untranslated(schema))
        self._characters -= len(doc) + sum(map(len, above))
        return kind._replace(notes=(*kind.notes, *self._limits(schema)), doc=doc, above=above)

    # References

    def _reference(self, schema: Mapping[str, Any], level: int, nesting: int) -> _Type:
        pointer: str = schema["$ref"]
        target = self._resolve(pointer)
        if target is None:
            return _Type("any", above=self._comment({"$ref": pointer}))
        if pointer in self._open:
            return _Type("any", above=self._comment(target, f"{pointer}, "))
        beside = {key: value for key, value in schema.items() if key != "$ref"}
        if beside and isinstance(target, Mapping):
            self._work(len(target) + len(beside))
            target = {**target, **beside}
        self._open.append(pointer)
        kind = self.render(target, level, nesting)
        self._open.pop()
        return kind

    def _resolve(self, pointer: str) -> object | None:
        """What a local JSON pointer names, ``None`` where it is not local or names nothing."""
        self._work(len(pointer))
        if pointer != "#" and not pointer.startswith("#/"):
            return None
        value = self._root
        for part in pointer.split("/")[1:]:
            step = unquote(part).replace("~1", "/").replace("~0", "~")
            if isinstance(value, Mapping) and step in value:
                value = value[step]
            elif isinstance(value, list) and step.isascii() and step.isdigit() and len(step) < 7:
                if int(step) >= len(value):
                    return None
                value = value[int(step)]
            else:
                return None
        return value

    # Structure

    def _structure(self, schema: Mapping[str, Any], level: int, nesting: int) -> _Type:
        own = self._own(schema, level, nesting)
        joined: list[_Type] = []
        conditions: dict[str, Any] = {}
        for keyword in ("anyOf", "oneOf"):
            variants = schema.get(keyword)
            if not isinstance(variants, list) or not variants:
                continue
            self._work(16 * len(variants))
            if all(
                isinstance(v, Mapping) and v.keys() <= _CONDITIONS_ONLY and "required" in v for v in variants
            ):
                conditions[keyword] = variants
                continue
            typed = [_typed_as(schema.get("type"), variant) for variant in variants]
            joined.append(_union(self._all(typed, level, nesting)))
        if isinstance(parts := schema.get("allOf"), list):
            joined += (kind for kind in self._all(parts, level, nesting) if kind.text != "any" or kind.above)
        if own is not None and not (joined and _says_little(own, schema)):
            joined.insert(0, own)
        kind = _intersection(joined) if joined else _ANY
        if conditions:
            kind = kind._replace(above=(*kind.above, *self._comment(conditions)))
        return kind

    def _all(self, schemas: Iterable[object], level: int, nesting: int) -> list[_Type]:
        return [self.render(schema, level, nesting) for schema in schemas]

    def _own(self, schema: Mapping[str, Any], level: int, nesting: int) -> _Type | None:
        if "const" in schema:
            return self._enumeration([schema["const"]])
        if isinstance(values := schema.get("enum"), list):
            return self._enumeration(values)
        kind = schema.get("type")
        if isinstance(kind, list):
            return _union([self._plain(each, schema, level, nesting) for each in kind]) if kind else _ANY
        if kind is None:
            kind = next((t for keys, t in _IMPLIED if any(key in schema for key in keys)), None)
        return None if kind is None else self._plain(kind, schema, level, nesting)

    def _enumeration(self, values: list[Any]) -> _Type:
        known = self._enumerations.get(id(values))
        if known is None:
            known = self._enumerations[id(values)] = values, _enumeration(values)
        self._characters -= len(known[1].text)
        return known[1]

    def _plain(self, kind: object, schema: Mapping[str, Any], level: int, nesting: int) -> _Type:
        match _TYPES.get(kind.lower()) if isinstance(kind, str) else None:
            case "integer":
                return _Type("number", ("integer",))
            case "array":
                return self._array(schema, level, nesting)
            case "object":
                return self._object(schema, level, nesting)
            case None:
                return _ANY
            case plain:
                return _Type(plain)

    def _array(self, schema: Mapping[str, Any], level: int, nesting: int) -> _Type:
        items = schema.get("items")
        fixed = items if isinstance(items, list) else schema.get("prefixItems")
        if isinstance(fixed, list) and fixed:
            kinds = self._all(fixed, level, nesting)
            rest = items if isinstance(items, Mapping | bool) else schema.get("additionalItems", True)
            texts = [kind.text for kind in kinds]
            if rest is not False:
                texts.append(f"...{self.render(rest, level, nesting).within('[]')}[]")
            return _Type(f"[{', '.join(texts)}]", _inner("items", kinds), above=_docs(kinds))
        kind = self.render(items, level, nesting)
        return _Type(f"{kind.within('[]')}[]", _inner("items", [kind]), above=_docs([kind]))

    def _object(self, schema: Mapping[str, Any], level: int, nesting: int) -> _Type:
        others = schema.get("additionalProperties")
        properties = self._properties(schema, others)
        if not properties:
            if others is False and "patternProperties" not in schema:
                return _Type("{}")
            kind = self.render(others, level, nesting)
            return _Type(f"Record<string, {kind.text}>", _inner("values", [kind]), above=_docs([kind]))
        if level > _READABLE_LEVELS and (shown := self._comment(schema)) and '"$ref"' not in shown[0]:
            # Without indentation deep objects are hard to read. References resolve only here.
            return _Type("object", above=shown)
        needed = set(_required(schema))
        lines = ["{"]
        for name, member in properties.items():
            kind = self.render(member, level + 1, nesting)
            lines += kind.comments()
            note = f" // {'; '.join(kind.notes)}" if kind.notes else ""
            label = name if _IDENTIFIER.fullmatch(name) else compact(name)
            self._characters -= len(name)
            lines.append(f"{label}{'' if name in needed else '?'}: {kind.text},{note}")
        lines.append("}")
        text = "\n".join(lines)
        if isinstance(others, Mapping) and others:
            extra = self.render(others, level, nesting)
            return _Type(f"{text} & Record<string, {extra.text}>", _inner("other values", [extra]), joint="&")
        return _Type(text)

    def _properties(self, schema: Mapping[str, Any], others: object) -> Mapping[str, Any]:
        """The properties by name, with those that are required without being described."""
        properties = schema.get("properties")
        described = properties if isinstance(properties, Mapping) else {}
        required = _required(schema)
        self._work(len(required))
        if others is False:
            return described
        more = {name: others for name in required if name not in described}
        return {**described, **more} if more else described

    def _untranslated(self, schema: Mapping[str, Any]) -> tuple[str, ...]:
        found = {key: schema[key] for key in _UNTRANSLATABLE if key in schema}
        return self._comment(found) if found else ()

    # What is said about a type

    def _work(self, steps: int) -> None:
        self._nodes -= steps // _STEPS

    def _brief(self, value: object, most: int) -> str | None:
        """``value`` as JSON of at most so many characters; nothing longer is written, and nothing twice."""
        if not isinstance(value, Mapping | list):
            text = None if isinstance(value, str) and len(value) > most else compact(value)
        elif (known := self._shown.get(id(value))) is not None:
            text = known[1]
        else:
            text = None if _is_longer(value, _COMMENT) else compact(value)
            self._work(_COMMENT if text is None else len(text))
            self._shown[id(value)] = value, text
        return text if text and len(text) <= most else None

    def _comment(self, value: object, prefix: str = "") -> tuple[str, ...]:
        text = self._brief(value, _COMMENT)
        return (f"{prefix}JSON Schema: {text}",) if text else ()

    def _limits(self, schema: Mapping[str, Any]) -> tuple[str, ...]:
        notes = []
        for keyword in _LIMITS:
            if keyword in schema:
                value = schema[keyword]
                if isinstance(value, str):
                    text: str | None = " ".join(value.split()) if len(value) <= 2 * _LIMIT_COMMENT else None
                else:
                    text = self._brief(value, _LIMIT_COMMENT)
                if text and len(text) <= _LIMIT_COMMENT:
                    notes.append(f"{keyword}: {text}")
        if schema.get("deprecated") is True:
            notes.append("deprecated")
        if "default" in schema and (text := self._brief(schema["default"], _COMMENT)):
            notes.append(f"default: {text}")
        return tuple(notes)

    def _examples(self, schema: Mapping[str, Any]) -> tuple[str, ...]:
        examples = schema.get("examples")
        if not isinstance(examples, list) or not examples:
            return ()
        texts = [text for value in examples[:_EXAMPLES] if (text := self._brief(value, _LIMIT_COMMENT))]
        return ("Examples:", *(f"- {text}" for text in texts)) if texts else ()


def _written(schema: object) -> tuple[int, int]:
    """The structures and the characters of strings in ``schema``."""
    nodes = characters = 0
    level = [schema]
    while level:
        structures = [value for value in level if isinstance(value, Mapping | list)]
        nodes += len(structures)
        characters += sum(len(value) for value in level if isinstance(value, str))
        level = []
        for structure in structures:
            if isinstance(structure, Mapping):
                characters += sum(map(len, structure))
                level += structure.values()
            else:
                level += structure
    return nodes, characters


def _is_longer(value: object, most: int) -> bool:
    """Whether the JSON of ``value`` has more than so many characters for sure."""
    level = [value]
    while level and most >= 0:
        following: list[object] = []
        for each in level:
            most -= 2 + len(each) if isinstance(each, str | Mapping | list) else 1
            if most < 0:
                return True
            if isinstance(each, Mapping):
                most -= sum(map(len, each))
                following += each.values()
            elif isinstance(each, list):
                following += each
        level = following
    return most < 0


def _typed_as(kind: object, variant: object) -> object:
    """A variant that leaves its type to the schema around it."""
    if kind is None or not isinstance(variant, Mapping):
        return variant
    if variant.keys() & {"type", "enum", "const", "$ref", "anyOf", "oneOf", "allOf"}:
        return variant
    return {**variant, "type": kind}


def _says_little(own: _Type, schema: Mapping[str, Any]) -> bool:
    """Whether a type beside ``anyOf`` and the like only repeats what each of these says."""
    return not schema.keys() & {"const", "enum", "properties", "items", "prefixItems"} or own.text == "any"


def _required(schema: Mapping[str, Any]) -> list[str]:
    names = schema.get("required")
    return [name for name in names if isinstance(name, str)] if isinstance(names, list) else []


def _union(kinds: Iterable[_Type]) -> _Type:
    return _joined(list(kinds), "|")


def _intersection(kinds: Iterable[_Type]) -> _Type:
    return _joined(list(kinds), "&")


def _joined(kinds: list[_Type], operator: str) -> _Type:
    if len(kinds) == 1:
        return kinds[0]
    texts = list(dict.fromkeys(kind.within(operator) for kind in kinds))
    notes = tuple(dict.fromkeys(note for kind in kinds for note in kind.notes))
    above = tuple(dict.fromkeys(_docs(kinds, named=True)))
    return _Type(f" {operator} ".join(texts), notes, above=above, joint=operator if len(texts) > 1 else "")


def _docs(kinds: list[_Type], *, named: bool = False) -> tuple[str, ...]:
    """What is said about the parts of a type, each by its name where that is short."""
    lines: list[str] = []
    for kind in kinds:
        if kind.doc:
            short = named and len(kind.text) <= 40 and "\n" not in kind.text
            lines.append(f"{kind.text}: {kind.doc}" if short else f"- {kind.doc}")
        lines += kind.above
    return tuple(lines)


def _inner(where: str, kinds: list[_Type]) -> tuple[str, ...]:
    notes = dict.fromkeys(note for kind in kinds for note in kind.notes)
    return (f"{where}: {', '.join(notes)}",) if notes else ()


def _enumeration(values: list[Any]) -> _Type:
    if not values:
        return _Type("never")
    texts = list(dict.fromkeys(compact(value) or "any" for value in values[:_ENUM_VALUES]))
    notes = (f"the first {_ENUM_VALUES} of {len(values)} values",) if len(values) > _ENUM_VALUES else ()
    return _Type(" | ".join(texts), notes, joint="|" if len(texts) > 1 else "")
