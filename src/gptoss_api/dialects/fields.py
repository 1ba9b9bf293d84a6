"""Reads JSON objects of requests member by member, with OpenAI's errors for everything wrong."""

from collections.abc import Callable, Sequence
from typing import Any, Final, Literal, TypeVar

from ..core.errors import (
    ArrayTooLong,
    DecimalTooLarge,
    DecimalTooSmall,
    EmptyArray,
    IntegerTooLarge,
    IntegerTooSmall,
    InvalidType,
    InvalidValue,
    MissingParameter,
    StringTooLong,
)
from .json_body import KnownItem, KnownItems, described

T = TypeVar("T")
G = TypeVar("G")
NumberKind = Literal["integer", "decimal"]

INT64_MIN: Final = -(2**63)
INT64_MAX: Final = 2**63 - 1


class Fields:
    """The members of one JSON object of a request.

    ``path`` is where the object stands (``messages[0]``, "" for the body itself); errors name members
    by their whole path. Readers without ``required`` in their name treat ``null`` like absence.
    """

    __slots__ = ("members", "path")

    def __init__(self, members: dict[str, Any], path: str = "") -> None:
        self.members = members
        self.path = path

    def at(self, name: str) -> str:
        """The path of member ``name``."""
        return f"{self.path}.{name}" if self.path else name

    def made(self, make: "Callable[[Fields], T]") -> T:
        """What ``make`` makes of these members and of nothing else, once for an item that came before."""
        members = self.members
        if type(members) is not KnownItem:
            return make(self)
        made: T | None = members.made.get(make)
        if made is None:
            made = members.made[make] = make(self)
        return made

    def get(self, name: str) -> Any:
        return self.members.get(name)

    def required(self, name: str) -> Any:
        """The member's value, which may be ``None``.

        Raises:
            MissingParameter: where there is no such member.
        """
        try:
            return self.members[name]
        except KeyError:
            raise missing(self.at(name)) from None

    def string(self, name: str) -> str | None:
        value = self.members.get(name)
        if value is not None and not isinstance(value, str):
            raise wrong_type(self.at(name), "a string", value)
        return value

    def required_string(self, name: str) -> str:
        value = self.required(name)
        if not isinstance(value, str):
            raise wrong_type(self.at(name), "a string", value)
        return value

    def boolean(self, name: str) -> bool | None:
        value = self.members.get(name)
        if value is not None and not isinstance(value, bool):
            raise wrong_type(self.at(name), "a boolean", value)
        return value

    def integer(self, name: str, low: int = INT64_MIN, high: int = INT64_MAX) -> int | None:
        """A whole number; ``100.0`` is one, as JSON has only one kind of number."""
        value = self.members.get(name)
        if value is None:
            return None
        if isinstance(value, float) and value.is_integer():
            value = int(value)
        if not isinstance(value, int) or isinstance(value, bool):
            raise wrong_type(self.at(name), "an integer", value)
        _check_range(self.at(name), "integer", value, low, high)
        return value

    def number(self, name: str, low: float, high: float) -> float | None:
        value = self.members.get(name)
        if value is None:
            return None
        if not isinstance(value, int | float) or isinstance(value, bool):
            raise wrong_type(self.at(name), "a number", value)
        _check_range(self.at(name), "decimal", value, low, high)
        return value

    def choice(self, name: str, choices: Sequence[str]) -> str | None:
        """One of ``choices``."""
        return None if self.members.get(name) is None else self.required_choice(name, choices)

    def required_choice(self, name: str, choices: Sequence[str]) -> str:
        value = self.required(name)
        if not isinstance(value, str):
            raise wrong_type(self.at(name), f"one of {listed(choices)}", value)
        if value not in choices:
            raise unknown_value(self.at(name), value, choices)
        return value

    def object(self, name: str) -> "Fields | None":
        value = self.members.get(name)
        return None if value is None else as_object(value, self.at(name))

    def required_object(self, name: str) -> "Fields":
        return as_object(self.required(name), self.at(name))

    def mapping(self, name: str) -> dict[str, Any] | None:
        """An object whose members are the client's own business, such as a JSON Schema."""
        fields = self.object(name)
        return None if fields is None else fields.members

    def array(self, name: str, *, of: str = "objects", most: int | None = None) -> list[Any] | None:
        return None if self.members.get(name) is None else self.required_array(name, of=of, most=most)

    def required_array(
        self, name: str, *, of: str = "objects", least: int = 0, most: int | None = None
    ) -> list[Any]:
        value = self.members.get(name)
        if isinstance(value, list) and len(value) >= least and (most is None or len(value) <= most):
            return value
        path = self.at(name)
        if not isinstance(value, list):
            raise wrong_type(path, f"an array of {of}", self.required(name))
        if len(value) < least:
            raise EmptyArray(
                f"Invalid '{path}': empty array. Expected an array with minimum length {least}, "
                "but got an empty array instead.",
                param=path,
            )
        raise ArrayTooLong(
            f"Invalid '{path}': array too long. Expected an array with maximum length {most}, "
            f"but got an array with length {len(value)} instead.",
            param=path,
        )

    def objects(self, name: str, *, most: int | None = None) -> "list[Fields]":
        """An array of objects; empty where there is none."""
        items = self.array(name, most=most)
        if not items:
            return []
        return as_objects(items, self.at(name))


def as_object(value: Any, path: str) -> Fields:
    """The fields of ``value``, which must be an object."""
    if not isinstance(value, dict):
        raise wrong_type(path, "an object", value)
    return Fields(value, path)


def as_objects(values: Sequence[Any], path: str) -> list[Fields]:
    """The fields of each of the array at ``path``."""
    for index, value in enumerate(values):
        if not isinstance(value, dict):
            raise wrong_type(f"{path}[{index}]", "an object", value)
    return [Fields(value, f"{path}[{index}]") for index, value in enumerate(values)]


def made_of_all(values: Sequence[Any], make: Callable[[Sequence[Any]], T]) -> T:
    """What ``make`` makes of the items of an array, once for one that came before."""
    if type(values) is not KnownItems:
        return make(values)
    made: T | None = values.made.get(make)
    if made is None:
        made = values.made[make] = make(values)
    return made


def made_of(value: Any, path: str, index: int, make: Callable[[Fields], T]) -> T:
    """As :meth:`Fields.made` of ``value``, item ``index`` of the array at ``path``."""
    if type(value) is KnownItem and (known := value.made.get(make)) is not None:
        made: T = known
        return made
    return as_object(value, f"{path}[{index}]").made(make)


def made_with(members: Any, make: Callable[[T, G], T], read: T, given: G) -> T:
    """What ``make`` makes of what was ``read`` of these members, and of what the items around them give.

    For an item that came before it is the very same again where it is ``given`` the same as the last time.
    """
    if type(members) is not KnownItem:
        return make(read, given)
    before: tuple[G, T] | None = members.made.get(make)
    if before is None or before[0] != given:
        before = members.made[make] = given, make(read, given)
    return before[1]


def missing(path: str) -> MissingParameter:
    return MissingParameter(f"Missing required parameter: '{path}'.", param=path)


def wrong_type(path: str, expected: str, value: Any) -> InvalidType:
    return InvalidType(
        f"Invalid type for '{path}': expected {expected}, but got {described(value)} instead.", param=path
    )


def unknown_value(path: str, value: str, choices: Sequence[str]) -> InvalidValue:
    return InvalidValue(
        f"Invalid value: '{value[:100]}'. Supported values are: {listed(choices)}.", param=path
    )


def too_long(path: str, value: str, most: int) -> StringTooLong:
    return StringTooLong(
        f"Invalid '{path}': string too long. Expected a string with maximum length {most}, "
        f"but got a string with length {len(value)} instead.",
        param=path,
    )


def listed(choices: Sequence[str]) -> str:
    """``'a', 'b', and 'c'``"""
    quoted = [f"'{choice}'" for choice in choices]
    if len(quoted) < 3:
        return " and ".join(quoted)
    return f"{', '.join(quoted[:-1])}, and {quoted[-1]}"


def _check_range(path: str, kind: NumberKind, value: float, low: float, high: float) -> None:
    if low <= value <= high:
        return
    above = value > high
    side, sign, bound = ("above maximum", "<=", high) if above else ("below minimum", ">=", low)
    said = (
        f"Invalid '{path}': {kind} {side} value. Expected a value {sign} {bound}, "
        f"but got {str(value)[:40]} instead."
    )
    if kind == "integer":
        raise IntegerTooLarge(said, param=path) if above else IntegerTooSmall(said, param=path)
    raise DecimalTooLarge(said, param=path) if above else DecimalTooSmall(said, param=path)
