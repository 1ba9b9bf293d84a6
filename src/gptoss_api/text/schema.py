"""JSON Schema validation of what a model wrote, with client schemas treated as hostile.

Validation is jsonschema-rs. It cannot be interrupted and keeps the interpreter to itself, so what a schema
takes, and a value with it, is measured before. No reference is ever fetched: a schema that names another
document is refused at intake.
"""

from collections import OrderedDict
from collections.abc import Sequence
from hashlib import blake2b
from math import inf
from threading import Lock
from typing import TYPE_CHECKING, Any, Final

import msgspec
from msgspec import Struct

from .ecma import MalformedPattern, translated
from .schema_cost import Cost, Costs, TooMuch
from .schema_parts import Part, SchemaRefused, SchemaTooLarge, take_apart
from .schema_patterns import with_patterns
from .schema_unfolding import Unfolding, check_unfolding

if TYPE_CHECKING:
    import jsonschema_rs

__all__ = [
    "MAX_BYTES",
    "MAX_CACHED",
    "Allowance",
    "Check",
    "Schema",
    "SchemaRefused",
    "SchemaTooLarge",
    "Unchecked",
    "at_once",
    "compile_schema",
    "json_path",
]

MAX_BYTES: Final = 256 * 1024
# Of all compiled schemas together, estimated from above; one has 30 MB at most and 100 kB as a rule.
MAX_CACHED: Final = 32 * 1024 * 1024
_MAX_ENTRIES: Final = 256
_TEXT_BYTES: Final = 40

_FREE: Final = Cost(0, 0, 0)


class Allowance(Struct):
    """What checks may take together; it grows less with each.

    ``pairs`` of parts of a schema and of a value are counted, ``stack`` of them inside each other. ``steps``
    of ten nanoseconds may be needed to find out whether values fit, ``fault_steps`` to find out what does
    not, which takes longer for each, and ``errors`` microseconds to describe one value.
    """

    pairs: int
    stack: int
    steps: float
    fault_steps: float
    errors: float


def at_once() -> Allowance:
    """For what is checked with everything else in the process waiting: 30 ms at a time."""
    return Allowance(pairs=300_000, stack=200, steps=3_000_000, fault_steps=300_000, errors=20_000)


class Unchecked(Exception):
    """What is to be known of a value would take too long to find out; ``fits`` is false where it does not."""

    def __init__(self, *, fits: bool | None = None) -> None:
        super().__init__("to check this value against this schema would take too long")
        self.fits = fits


class Schema:
    """A compiled schema. Thread-safe; compile with :func:`compile_schema`.

    ``weight`` is how many looks each character of a text may lead to, infinite where that is up to the text.
    ``left_out`` are the patterns that no value is held to, as the engine cannot read them.
    """

    __slots__ = ("left_out", "root", "source", "validator", "weight")

    def __init__(
        self,
        source: dict[str, Any] | bool,
        validator: Any,
        root: Part,
        unfolding: Unfolding,
        left_out: Sequence[str] = (),
    ) -> None:
        self.left_out = left_out
        self.source = source
        self.validator = validator
        self.root = root
        self.weight = inf if unfolding.recursive else unfolding.parts

    def is_valid(self, value: Any) -> bool:
        """See :meth:`Check.is_valid`."""
        return Check(self).is_valid(value)

    def complaints(self, value: Any, most: int = 5) -> list[str]:
        """See :meth:`Check.complaints`."""
        return Check(self).complaints(value, most)


class Check:
    """Looks at a value, and at what is made of it, with an allowance of its own if it is given none.

    ``unlimited`` is for where something else minds the time and the memory.
    """

    def __init__(
        self, schema: Schema, allowance: Allowance | None = None, *, unlimited: bool = False
    ) -> None:
        self._validator = schema.validator
        self._root = schema.root
        self._allowance = allowance or at_once()
        self._costs = None if unlimited else Costs(self._allowance)
        # What was counted is known by its place in memory.
        self._seen: list[Any] = []

    def is_valid(self, value: Any) -> bool:
        """Whether ``value`` fits; one that cannot be looked at does not.

        Raises:
            Unchecked: where that would take too long to find out.
        """
        try:
            return self._is_valid(value, self._cost(value))
        except ValueError:
            return False

    def fault(self, value: Any) -> "jsonschema_rs.ValidationError | None":
        """The first thing that is wrong with ``value``.

        Raises:
            ValueError: where ``value`` is nested too deeply to be looked at or holds half a character.
            Unchecked: where that would take too long to find out.
        """
        cost = self._cost(value)
        if self._is_valid(value, cost):
            return None
        self._allowance.fault_steps -= cost.steps
        if self._allowance.fault_steps < 0 or cost.first_error > self._allowance.errors:
            raise Unchecked(fits=False)
        import jsonschema_rs

        try:
            self._validator.validate(value)
        except jsonschema_rs.ValidationError as error:
            return error
        # Where the library says two things, the one that refuses counts.
        raise Unchecked(fits=False)

    def complaints(self, value: Any, most: int = 5) -> list[str]:
        """What is wrong with ``value``, in words a model can act on; empty if it is valid.

        Raises:
            Unchecked: where that would take too long to find out.
        """
        try:
            first = self.fault(value)
            if first is None:
                return []
            if self._costs is None or self._cost(value).errors > self._allowance.errors:
                return [_complaint(first)]
            return [_complaint(error) for error in self._validator.iter_errors(value)][:most]
        except ValueError:
            return ["$: the value is nested too deeply, or a string in it is no valid text"]

    def _cost(self, value: Any) -> Cost:
        if self._costs is None:
            return _FREE
        self._seen.append(value)
        try:
            return self._costs.of(self._root, value)
        except TooMuch:
            raise Unchecked from None

    def _is_valid(self, value: Any, cost: Cost) -> bool:
        self._allowance.steps -= cost.steps
        if self._allowance.steps < 0:
            raise Unchecked
        return bool(self._validator.is_valid(value))


def _complaint(error: "jsonschema_rs.ValidationError") -> str:
    return f"{json_path(error.instance_path)}: {error.message[:300]}"


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
    """The most recently used compiled schemas, by the hash of their JSON text, as many as memory allows."""

    def __init__(self) -> None:
        self._by_hash: OrderedDict[bytes, tuple[Schema, int]] = OrderedDict()
        self._bytes = 0
        self._lock = Lock()

    def get(self, source: dict[str, Any] | bool) -> Schema:
        try:
            encoded = msgspec.json.encode(source)
        except (TypeError, ValueError, RecursionError) as error:
            raise SchemaRefused("the schema is not JSON or is nested too deeply") from error
        key = blake2b(encoded, digest_size=16).digest()
        with self._lock:
            if (known := self._by_hash.get(key)) is not None:
                self._by_hash.move_to_end(key)
                return known[0]
        schema, size = _compile(source, len(encoded))
        with self._lock:
            return self._kept(key, schema, size)

    def _kept(self, key: bytes, schema: Schema, size: int) -> Schema:
        if key in self._by_hash:
            return self._by_hash[key][0]
        self._by_hash[key] = schema, size
        self._bytes += size
        while len(self._by_hash) > 1 and (self._bytes > MAX_CACHED or len(self._by_hash) > _MAX_ENTRIES):
            _, (_, freed) = self._by_hash.popitem(last=False)
            self._bytes -= freed
        return schema


_compiled = _Compiled()


def compile_schema(source: dict[str, Any] | bool) -> Schema:
    """``source`` ready to validate; compiled schemas are cached.

    Raises:
        SchemaRefused: for an invalid schema or one that refers to another document.
        SchemaTooLarge: for one above 256 KiB, nested deeper than 64 levels, or with more in it than
            :mod:`gptoss_api.text.schema_parts` and :mod:`gptoss_api.text.schema_unfolding` accept.
    """
    return _compiled.get(source)


def _compile(source: dict[str, Any] | bool, size: int) -> tuple[Schema, int]:
    if size > MAX_BYTES:
        raise SchemaTooLarge(f"the schema has {size} bytes; at most {MAX_BYTES} are accepted")
    left_out: tuple[str, ...] = ()
    taken = take_apart(source, size)
    unfolding = check_unfolding(taken.parts)
    try:
        validator = _validator(source)
    except SchemaRefused:
        others = _other_patterns(taken.patterns)
        if not others:
            raise
        left_out = tuple(pattern for pattern, other in others.items() if other is None)
        checked = with_patterns(source, others)
        taken = take_apart(checked, size)
        unfolding = check_unfolding(taken.parts)
        validator = _validator(checked)
    schema = Schema(source, validator, taken.parts[0], unfolding, left_out)
    return schema, size * _TEXT_BYTES + taken.bytes


def _validator(source: Any) -> Any:
    """Raises: SchemaRefused, for a schema that is not valid."""
    # Loaded with the first schema: it takes 4 MB, and who only chats sends none.
    import jsonschema_rs

    # Patterns that look around or back are matched with backtracking, all others in linear time.
    patterns = jsonschema_rs.FancyRegexOptions(
        backtrack_limit=20_000, size_limit=4 * 1024 * 1024, dfa_size_limit=256 * 1024
    )
    try:
        return jsonschema_rs.validator_for(source, retriever=_refuse_remote, pattern_options=patterns)
    except (jsonschema_rs.ValidationError, jsonschema_rs.ReferencingError, ValueError) as error:
        raise SchemaRefused(f"the schema is not valid: {_first_line(error)}") from error


def _other_patterns(patterns: Sequence[str]) -> dict[str, str | None]:
    """What stands for patterns that the engine does not read; ``None`` where nothing does.

    Raises:
        SchemaRefused: for what is no pattern at all.
    """
    others: dict[str, str | None] = {}
    for pattern in patterns:
        if _is_read(pattern):
            continue
        try:
            other = translated(pattern)
        except MalformedPattern as malformed:
            raise SchemaRefused(
                f"the schema is not valid: the pattern '{pattern[:100]}' cannot be read: {malformed}"
            ) from None
        others[pattern] = other if _is_read(other) else None
    return others


def _is_read(pattern: str) -> bool:
    try:
        _validator({"pattern": pattern})
    except SchemaRefused:
        return False
    return True


def _refuse_remote(uri: str) -> Any:
    raise ValueError(f"references to other documents are not followed ({uri[:100]})")


def _first_line(error: Exception) -> str:
    return str(error).split("\n", 1)[0][:300]
