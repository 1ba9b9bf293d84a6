"""A schema with other patterns than it has: translated ones, or none where the validator cannot read them."""

from collections.abc import Mapping
from typing import Any, Final

# What holds values rather than schemas.
_VALUES: Final = frozenset(("const", "enum", "default", "examples", "example"))
_BY_NAME: Final = frozenset(
    ("properties", "patternProperties", "$defs", "definitions", "dependentSchemas", "dependencies")
)
# Refuses some of what fits less; with fewer patterns that would be more than before.
_CONTRARY: Final = frozenset(
    ("not", "if", "then", "else", "maxContains", "unevaluatedProperties", "unevaluatedItems")
)


def with_patterns(source: Any, patterns: Mapping[str, str | None]) -> Any:
    """``source`` with each of its patterns replaced, or left out where it has no other (``None``).

    Whatever fits ``source`` fits the result: where a pattern is left out, so is what would refuse a value
    because another schema accepts it.
    """
    return _Replacement(patterns).schema(source)


class _Replacement:
    def __init__(self, patterns: Mapping[str, str | None]) -> None:
        self._patterns = patterns
        self._weaker = None in patterns.values()

    def schema(self, source: Any) -> Any:
        if isinstance(source, list):
            return [self.schema(each) for each in source]
        if not isinstance(source, dict):
            return source
        result: dict[str, Any] = {}
        for keyword, value in source.items():
            if self._weaker and keyword in _CONTRARY:
                continue
            if keyword == "pattern" and isinstance(value, str):
                pattern = self._patterns.get(value, value)
                if pattern is not None:
                    result[keyword] = pattern
            elif keyword in _BY_NAME and isinstance(value, dict):
                result[keyword] = self._named(keyword, value)
            elif keyword == "oneOf" and self._weaker:
                result.setdefault("allOf", []).append({"anyOf": self.schema(value)})
            elif keyword == "allOf" and isinstance(value, list):
                result[keyword] = [*result.get(keyword, ()), *self.schema(value)]
            else:
                result[keyword] = value if keyword in _VALUES else self.schema(value)
        return result

    def _named(self, keyword: str, members: dict[str, Any]) -> dict[str, Any]:
        if keyword != "patternProperties":
            return {name: self.schema(member) for name, member in members.items()}
        result: dict[str, Any] = {}
        for pattern, member in members.items():
            other, schema = self._patterns.get(pattern, pattern), self.schema(member)
            if other is None:
                # Which names the pattern has is not known: any name may be one of them.
                other, schema = "", True
            result[other] = {"allOf": [result[other], schema]} if other in result else schema
        return result
