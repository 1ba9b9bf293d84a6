"""What it takes to check one value against a schema, found out without checking it.

A validator cannot be stopped once it is at work, and every alternative of a schema is tried on every value
inside it. What is tried is counted instead: each pair of a part and a value once, however often it is tried.
"""

from collections.abc import Sequence
from typing import Any, Final, NamedTuple, Protocol

from .schema_parts import Part, Reading

# Numbers that need arithmetic of any length.
_HUGE: Final = 2**63
_HUGE_STEPS: Final = 100_000
_EXTREME: Final = 30
_MEMBER: Final = 10
_UNIQUE: Final = 20
# An error holds a copy of its value and writes it out; in microseconds.
_ERROR: Final = 30
_PER_VALUE: Final = 1.0


class Cost(NamedTuple):
    """``steps`` of about ten nanoseconds to find out whether a value fits.

    ``errors`` and ``first_error`` are the microseconds that it takes to say everything that is wrong with
    it, or the first thing. All are estimates from above.
    """

    steps: float
    errors: float
    first_error: float


_NOTHING: Final = Cost(0, 0, 0)


class Room(Protocol):
    """How much may be counted; see :class:`gptoss_api.text.schema.Allowance`."""

    pairs: int
    stack: int


class TooMuch(Exception):
    """Already counting takes too long, or a validator's stack might not do."""


class Costs:
    """Counts for one schema and one value, and what is made of it.

    What may be counted goes off the ``pairs`` of parts and values; its ``stack`` is how many of them may be
    looked at one because of the other: as deep is a validator's stack.
    """

    def __init__(self, room: Room) -> None:
        self._room = room
        self._known: dict[tuple[int, int], Cost] = {}
        self._sizes: dict[int, float] = {}

    def of(self, part: Part, value: Any) -> Cost:
        """What a look with ``part`` at ``value`` takes.

        Raises:
            ValueError: where the value is nested too deeply to be looked at.
            TooMuch: where that is not known after so many pairs.
        """
        try:
            return self._of(part, value, self._room.stack)
        except RecursionError:
            raise ValueError("the value is nested too deeply") from None

    def _of(self, part: Part, value: Any, stack: int) -> Cost:
        if not isinstance(value, dict | list):
            return _scalar(part).cost(value)
        place = (id(part), id(value))
        known = self._known.get(place)
        if known is None:
            self._room.pairs -= 1 + len(value)
            if self._room.pairs < 0 or stack <= 0:
                raise TooMuch
            known = self._known[place] = self._structure(part, value, stack - 1)
        return known

    def _structure(self, part: Part, value: dict[str, Any] | list[Any], stack: int) -> Cost:
        steps = part.steps + part.structure + _MEMBER * len(value)
        error = _ERROR + part.telling + _PER_VALUE * self._size(value)
        errors = error * part.errors
        first = error
        if part.unique and isinstance(value, list):
            steps += _UNIQUE * self._size(value)
        for each in part.here:
            cost = self._of(each, value, stack)
            steps += part.times * cost.steps
            errors += cost.errors
            first = max(first, cost.first_error)
        alternatives = 0.0
        for each in part.alternatives:
            cost = self._of(each, value, stack)
            steps += part.times * cost.steps
            alternatives += cost.errors
        # That none fits is said with all that is wrong with each.
        first = max(first, error + alternatives)
        errors += alternatives
        inside = (
            self._object(part, value, stack) if isinstance(value, dict) else self._array(part, value, stack)
        )
        return Cost(steps + inside.steps, errors + inside.errors, max(first, inside.first_error))

    def _object(self, part: Part, value: dict[str, Any], stack: int) -> Cost:
        steps = errors = first = 0.0
        members, additional, names = part.members, part.additional, part.names
        always = [*(each for _, each in part.patterned), *part.left_over, *part.left_over]
        if not (members or always or additional or names):
            return _NOTHING
        for name, member in value.items():
            declared = members.get(name, additional)
            for each in (declared, *always) if always else (declared,):
                if each is not None:
                    cost = self._of(each, member, stack)
                    steps += cost.steps
                    errors += cost.errors
                    first = max(first, cost.first_error)
            if names is not None:
                cost = self._of(names, name, stack)
                steps += cost.steps
                errors += cost.errors
                first = max(first, cost.first_error)
            for reading, _ in part.patterned:
                steps += reading.steps(len(name))
        return Cost(steps, errors, first)

    def _array(self, part: Part, value: list[Any], stack: int) -> Cost:
        steps = errors = first = 0.0
        always = [*part.left_over, *part.left_over]
        if part.contains is not None:
            always += [part.contains] * part.times
        prefix = part.prefix
        if not (prefix or always or part.items):
            return _NOTHING
        for index, item in enumerate(value):
            declared = prefix[index] if index < len(prefix) else part.items
            for each in (declared, *always) if always else (declared,):
                if each is not None:
                    cost = self._of(each, item, stack)
                    steps += cost.steps
                    errors += cost.errors
                    first = max(first, cost.first_error)
        return Cost(steps, errors, first)

    def _size(self, value: Any) -> float:
        """The values inside ``value`` with itself, long strings and numbers counting as many."""
        if not isinstance(value, dict | list):
            return _scalar_size(value)
        known = self._sizes.get(id(value))
        if known is None:
            if isinstance(value, dict):
                known = 1 + sum(map(len, value)) / 8 + sum(map(self._size, value.values()))
            else:
                known = 1 + sum(map(self._size, value))
            self._sizes[id(value)] = known
        return known


class _Scalar(NamedTuple):
    """What looks at strings, numbers and the like take with one part, and those beside it."""

    steps: float
    number: float
    reading: Reading
    errors: int
    first_error: int
    telling: float

    def cost(self, value: Any) -> Cost:
        steps = self.steps
        if isinstance(value, str):
            steps += self.reading.steps(len(value))
        elif isinstance(value, float):
            extreme = value != 0 and not 1e-6 < abs(value) < 1e15
            steps += self.number * (_EXTREME if extreme else 1)
        elif isinstance(value, int) and not -_HUGE <= value < _HUGE:
            steps += self.number * _EXTREME + _HUGE_STEPS
        error = _ERROR + self.telling + _PER_VALUE * _scalar_size(value)
        return Cost(steps, self.errors * error, self.first_error * error)


def _scalar(part: Part) -> _Scalar:
    """What is known of a part once it was asked for."""
    known: _Scalar | None = part.scalar
    if known is None:
        here = [_scalar(each) for each in part.here]
        known = part.scalar = _combined(part, here, [_scalar(each) for each in part.alternatives])
    return known


def _combined(part: Part, here: Sequence[_Scalar], alternatives: Sequence[_Scalar]) -> _Scalar:
    beside = (*here, *alternatives)
    in_alternatives = sum(each.errors for each in alternatives)
    reading = part.reading
    for each in beside:
        reading = reading.with_(each.reading, part.times)
    return _Scalar(
        part.steps + part.times * sum(each.steps for each in beside),
        part.number + part.times * sum(each.number for each in beside),
        reading,
        part.errors + in_alternatives + sum(each.errors for each in here),
        max(1 + in_alternatives, *(each.first_error for each in here), 1),
        max(part.telling, *(each.telling for each in beside), 0),
    )


def _scalar_size(value: Any) -> float:
    if isinstance(value, str):
        return 1 + len(value) / 8
    if isinstance(value, int) and not -_HUGE <= value < _HUGE:
        return _HUGE_STEPS / _UNIQUE
    return 1
