"""JSON Schema validation of what a model wrote, with client schemas treated as hostile.

Validation is jsonschema-rs: linear-time patterns, all errors with their paths. No reference is ever
fetched: a schema that names another document is refused at intake (docs/design/emulation.md, "Schemas").
"""

from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from hashlib import blake2b
from typing import Any, Final

import jsonschema_rs
import msgspec

MAX_BYTES: Final = 256 * 1024
MAX_DEPTH: Final = 64
_CACHED: Final = 256
_REFERENCES: Final = ("$ref", "$dynamicRef", "$recursiveRef")


class SchemaRefused(ValueError):
    """A client's schema that cannot be used; the message says why."""


class Schema:
    """A compiled schema. Thread-safe; compile with :func:`compile_schema`."""

    __slots__ = ("_validator", "source")

    def __init__(self, source: dict[str, Any] | bool, validator: Any) -> None:
        self.source = source
        self._validator = validator

    def is_valid(self, value: Any) -> bool:
        """Whether ``value`` fits; one that cannot be checked (:meth:`errors`) does not."""
        try:
            return bool(self._validator.is_valid(value))
        except ValueError:
            return False

    def errors(self, value: Any) -> "list[jsonschema_rs.ValidationError]":
        """Every violation.

        Raises:
            ValueError: where ``value`` is nested too deeply to be looked at or holds half a character.
        """
        return list(self._validator.iter_errors(value))

    def complaints(self, value: Any, most: int = 5) -> list[str]:
        """What is wrong with ``value``, in words a model can act on; empty if it is valid."""
        try:
            return [
                f"{json_path(error.instance_path)}: {error.message[:300]}"
                for _, error in zip(range(most), self._validator.iter_errors(value), strict=False)
            ]
        except ValueError:
            return ["$: the value is nested too deeply, or a string in it is no valid text"]


def json_path(path: Sequence[str | int]) -> str:
    """``$.filters[0].field`` for ``["filters", 0, "field"]``."""
    steps = []
    for step in path:
        if isinstance(step, int):
            steps.append(f"[{step}]")
        elif step.isidentifier():
            steps.append(f".{step}")
        else:
            steps.append(f"[{msgspec.json.encode(step).decode()}]")
    return "$" + "".join(steps)


class _Compiled:
    """The most recently used compiled schemas, by the hash of their JSON text."""

    def __init__(self) -> None:
        self._by_hash: OrderedDict[bytes, Schema] = OrderedDict()

    def get(self, source: dict[str, Any] | bool) -> Schema:
        try:
            encoded = msgspec.json.encode(source)
        except (TypeError, ValueError, RecursionError) as error:
            raise SchemaRefused("the schema is not JSON or is nested too deeply") from error
        key = blake2b(encoded, digest_size=16).digest()
        if (known := self._by_hash.get(key)) is not None:
            self._by_hash.move_to_end(key)
            return known
        if len(encoded) > MAX_BYTES:
            raise SchemaRefused(f"the schema has {len(encoded)} bytes; at most {MAX_BYTES} are accepted")
        _check(source)
        try:
            validator = jsonschema_rs.validator_for(source, retriever=_refuse_remote)
        except (jsonschema_rs.ValidationError, jsonschema_rs.ReferencingError, ValueError) as error:
            raise SchemaRefused(f"the schema is not valid: {_first_line(error)}") from error
        schema = self._by_hash[key] = Schema(source, validator)
        if len(self._by_hash) > _CACHED:
            self._by_hash.popitem(last=False)
        return schema


_compiled = _Compiled()


def compile_schema(source: dict[str, Any] | bool) -> Schema:
    """``source`` ready to validate; compiled schemas are cached.

    Raises:
        SchemaRefused: for an invalid schema, one that refers to another document, one above
            256 KiB or nested deeper than 64 levels.
    """
    return _compiled.get(source)


def _check(source: Any) -> None:
    level: list[Any] = [source]
    for _ in range(MAX_DEPTH):
        following: list[Any] = []
        for node in level:
            if isinstance(node, Mapping):
                for name in _REFERENCES:
                    target = node.get(name)
                    if isinstance(target, str) and not target.startswith("#"):
                        raise SchemaRefused(
                            f"{name} '{target[:100]}' points outside the schema; "
                            "only references that start with # are followed"
                        )
            following.extend(_children(node))
        if not following:
            return
        level = following
    raise SchemaRefused(f"the schema is nested deeper than {MAX_DEPTH} levels")


def _children(node: Any) -> Iterator[Any]:
    if isinstance(node, Mapping):
        yield from (child for child in node.values() if isinstance(child, Mapping | list))
    elif isinstance(node, list):
        yield from (child for child in node if isinstance(child, Mapping | list))


def _refuse_remote(uri: str) -> Any:
    raise ValueError(f"references to other documents are not followed ({uri[:100]})")


def _first_line(error: Exception) -> str:
    return str(error).split("\n", 1)[0][:300]
