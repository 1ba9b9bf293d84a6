"""How large a schema is once every reference is followed, without following each as often as it is used.

A reference back into what it is a part of (trees, lists, expressions) counts once: how often it is followed
is up to the value. Every part is looked at once, so that counting is linear however much there is to count.
"""

from collections.abc import Sequence
from typing import Final, NamedTuple

from .schema_parts import Part, SchemaRefused, SchemaTooLarge

# A validator's errors, and what is compiled for what is left over, are as many as the parts unfold to.
MAX_UNFOLDED: Final = 10_000
# Parts that apply to the same value, one because of the other. A validator's stack is as deep.
MAX_BESIDE: Final = 64


class Unfolding(NamedTuple):
    """How many ``parts`` there are with references followed; ``recursive`` schemas describe themselves."""

    parts: int
    recursive: bool


def check_unfolding(parts: Sequence[Part]) -> Unfolding:
    """What becomes of the schema whose parts these are, the root first, when references are followed.

    Raises:
        SchemaTooLarge: above ``MAX_UNFOLDED``, or where references are followed more than ``MAX_BESIDE``
            times without a step into the value.
        SchemaRefused: where a reference comes back to itself without such a step.
    """
    beside = _Beside()
    left_over = 0
    for part in parts:
        if not part.leaf:
            count = beside.count(part)
            left_over += count if part.left_over else 0
    below = _unfolded(parts[0])
    unfolded = max(left_over, beside.largest, below.parts)
    if unfolded > MAX_UNFOLDED:
        raise SchemaTooLarge(
            f"with its references followed the schema has {_rounded(unfolded)} parts; at most {MAX_UNFOLDED} "
            "are accepted. Use fewer alternatives that contain each other"
        )
    return below


def _rounded(count: int) -> str:
    return str(count) if count < 1_000_000 else "millions of"


class _Beside:
    """Counts the parts that apply to the same value as one part does."""

    def __init__(self) -> None:
        self.largest = 0
        # The count and the longest way, ``None`` while on it.
        self._known: dict[int, tuple[int, int] | None] = {}

    def count(self, part: Part) -> int:
        return self._measured(part, MAX_BESIDE)[0]

    def _measured(self, part: Part, room: int) -> tuple[int, int]:
        known = self._known.get(id(part), ())
        if known is None:
            raise SchemaRefused("a reference leads back to itself without going into a property or an item")
        if not known and room > 0:
            self._known[id(part)] = None
            total, longest = 1, 0
            for each in part.beside:
                count, length = self._measured(each, room - 1) if not each.leaf else (1, 1)
                total += count * part.times
                longest = max(longest, length)
            self._known[id(part)] = known = (total, longest + 1)
            self.largest = max(self.largest, total)
        if not known or known[1] > room:
            raise SchemaTooLarge(
                f"more than {MAX_BESIDE} parts of the schema, one inside the other, apply to the same value"
            )
        return known


def _unfolded(root: Part) -> Unfolding:
    """By Tarjan's strongly connected components: each once, what leads out of it as often as it does."""
    order: dict[int, int] = {}
    lowest: dict[int, int] = {}
    counts: dict[int, int] = {}
    open_parts: list[Part] = []
    recursive = False
    ways = [(root, iter(root.within))]
    while ways:
        part, rest = ways[-1]
        if id(part) not in order:
            order[id(part)] = lowest[id(part)] = len(order)
            open_parts.append(part)
        for each in rest:
            if each.leaf:
                continue
            if id(each) not in order:
                ways.append((each, iter(each.within)))
                break
            if id(each) not in counts:
                lowest[id(part)] = min(lowest[id(part)], order[id(each)])
        else:
            ways.pop()
            if ways:
                above = id(ways[-1][0])
                lowest[above] = min(lowest[above], lowest[id(part)])
            if lowest[id(part)] == order[id(part)]:
                recursive |= open_parts[-1] is not part
                _close(part, open_parts, counts)
    return Unfolding(counts[id(root)], recursive)


def _close(first: Part, open_parts: list[Part], counts: dict[int, int]) -> None:
    """Counts the component that began with ``first``."""
    members = [open_parts.pop()]
    while members[-1] is not first:
        members.append(open_parts.pop())
    count = len(members)
    for part in members:
        count += sum(1 if each.leaf else counts.get(id(each), 0) for each in part.within)
    for part in members:
        counts[id(part)] = count
