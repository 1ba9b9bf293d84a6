"""Empty objects that came as empty arrays: PHP writes both as ``[]``."""

from typing import Any, Final

_OF_SCHEMAS: Final = ("properties", "patternProperties", "$defs", "definitions", "dependentSchemas")
_SCHEMAS: Final = (
    "additionalProperties", "additionalItems", "contains", "else", "if", "items", "not", "propertyNames",
    "then", "unevaluatedItems", "unevaluatedProperties",
)  # fmt: skip
_LISTS_OF_SCHEMAS: Final = ("allOf", "anyOf", "items", "oneOf", "prefixItems")


def mend_empty_objects(schema: dict[str, Any]) -> None:
    """Makes the empty arrays of ``schema`` objects where only an object can stand, in the schema itself."""
    level: list[Any] = [schema]
    while level:
        following: list[Any] = []
        for each in level:
            if not isinstance(each, dict):
                continue
            for key in _OF_SCHEMAS:
                if (members := each.get(key)) == []:
                    each[key] = {}
                elif isinstance(members, dict):
                    for name, member in members.items():
                        if member == []:
                            members[name] = {}
                    following += members.values()
            for key in _SCHEMAS:
                # An empty list of items binds nothing either, but is no mistake.
                if key != "items" and each.get(key) == []:
                    each[key] = {}
                following.append(each.get(key))
            for key in _LISTS_OF_SCHEMAS:
                if isinstance(alternatives := each.get(key), list):
                    following += alternatives
        level = following
