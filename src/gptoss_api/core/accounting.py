"""What is kept of a turn that ended, and of many of them together: never a word of what was said."""

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any, Final, Literal

from msgspec import Struct

HOUR: Final = 3_600
DAY: Final = 24 * HOUR

# What turns can be summed up by.
Group = Literal["key", "model", "day", "hour", "upstream", "dialect"]
GROUPS: Final[tuple[Group, ...]] = ("key", "model", "day", "hour", "upstream", "dialect")


class TurnAccount(Struct, frozen=True, gc=False):
    """One turn. ``at`` is when it ended, in Unix seconds; times are in milliseconds.

    ``key`` is the id of the API key, "" where none was needed. ``cached`` is part of ``prompt`` and
    ``reasoning`` of ``completion``, all in tokens. ``upstream`` is who answered, or where nobody did who was
    asked last. ``outcome`` is ``ok`` or the code of the failure,
    ``thread`` how the upstream's conversation was used, "" where there was no answer. ``repairs`` counts
    what was mended, ``repaired`` names the kinds of what was asked again for it. ``overhead_ms`` is what
    of the time no upstream was waited for; ``None`` where none was asked.
    """

    at: float
    request_id: str
    key: str
    dialect: str
    model: str
    upstream: str
    outcome: str
    status: int
    prompt: int = 0
    cached: int = 0
    completion: int = 0
    reasoning: int = 0
    repairs: int = 0
    thread: str = ""
    first_ms: float | None = None
    total_ms: float = 0.0
    repaired: tuple[str, ...] = ()
    overhead_ms: float | None = None

    @property
    def failed(self) -> bool:
        return self.outcome != "ok"

    @property
    def limited(self) -> bool:
        """Whether a limit, of the gateway or of an upstream, is why it failed."""
        return self.status == 429


# What was mended without asking again: arguments of calls that did not fit the tool's schema.
ARGUMENTS: Final = "arguments"


def repairs_by_kind(turn: TurnAccount) -> dict[str, int]:
    """How often each kind of mistake was mended in an answer."""
    found = dict(Counter(turn.repaired))
    if (rest := turn.repairs - len(turn.repaired)) > 0:
        found[ARGUMENTS] = rest
    return found


class Slot(Struct, frozen=True, gc=False):
    """What turns have in common that are summed up: the hour or day in which they ended, in Unix seconds."""

    since: int
    key: str
    dialect: str
    model: str
    upstream: str


class Sums(Struct, gc=False):
    """Many turns together. ``first_ms`` is the sum over the ``firsts`` of them that began to answer."""

    requests: int = 0
    errors: int = 0
    limited: int = 0
    prompt: int = 0
    cached: int = 0
    completion: int = 0
    reasoning: int = 0
    repairs: int = 0
    firsts: int = 0
    first_ms: float = 0.0
    total_ms: float = 0.0

    def add(self, turn: TurnAccount) -> None:
        self.requests += 1
        self.errors += turn.failed
        self.limited += turn.limited
        self.prompt += turn.prompt
        self.cached += turn.cached
        self.completion += turn.completion
        self.reasoning += turn.reasoning
        self.repairs += turn.repairs
        self.total_ms += turn.total_ms
        if turn.first_ms is not None:
            self.firsts += 1
            self.first_ms += turn.first_ms

    def merge(self, other: "Sums") -> None:
        for name in SUMS:
            setattr(self, name, getattr(self, name) + getattr(other, name))


SUMS: Final = Sums.__struct_fields__
# In the place of a key: all of them.
ALL: Final = "*"


class Place(Struct, frozen=True, gc=False):
    """Where sums are kept: those of all keys or of one, of all turns or of those with one label.

    ``by`` is what the label is: "" for all turns. ``since`` is the beginning of their hour or day.
    """

    by: str
    key: str
    since: int
    label: str


def summed_up(turns: Iterable[TurnAccount]) -> dict[Slot, Sums]:
    """The turns by hour and by what they have in common."""
    found: dict[Slot, Sums] = {}
    for turn in turns:
        since = int(turn.at // HOUR) * HOUR
        slot = Slot(since, turn.key, turn.dialect, turn.model, turn.upstream)
        sums = found.get(slot)
        if sums is None:
            sums = found[slot] = Sums()
        sums.add(turn)
    return found


def places(slots: Mapping[Slot, Sums], span: int) -> dict[Place, Sums]:
    """The same for each question that may be asked, by hour or by day, so that its answer is only read."""
    found: dict[Place, Sums] = {}
    for slot, sums in slots.items():
        since = slot.since // span * span
        for place in (
            Place("", ALL, since, ""),
            Place("key", ALL, since, slot.key),
            Place("model", ALL, since, slot.model),
            Place("upstream", ALL, since, slot.upstream),
            Place("dialect", ALL, since, slot.dialect),
            Place("", slot.key, since, ""),
            Place("model", slot.key, since, slot.model),
        ):
            found.setdefault(place, Sums()).merge(sums)
    return found


def shown(sums: Sums) -> dict[str, Any]:
    """The sums as people and programs are told them: times are means, in milliseconds."""
    return {
        "requests": sums.requests,
        "errors": sums.errors,
        "rate_limited": sums.limited,
        "input_tokens": sums.prompt,
        "cached_tokens": sums.cached,
        "output_tokens": sums.completion,
        "reasoning_tokens": sums.reasoning,
        "repairs": sums.repairs,
        "first_token_ms": round(sums.first_ms / sums.firsts, 1) if sums.firsts else None,
        "total_ms": round(sums.total_ms / sums.requests, 1) if sums.requests else None,
    }


def told(groups: Mapping[str, Sums], by: Group, names: Mapping[str, str]) -> list[dict[str, Any]]:
    """Sums by their labels as they are told; keys, whose ``names`` are theirs by id, the busiest first."""
    rows = [
        {by: label} | ({"name": names.get(label, "")} if by == "key" else {}) | shown(sums)
        for label, sums in groups.items()
    ]
    if by == "key":
        rows.sort(key=lambda row: (-row["input_tokens"] - row["output_tokens"], row["name"], row["key"]))
    return rows


_SPAN: Final = re.compile(r"([0-9]{1,5})([mhdw])")
_SPANS: Final = {"m": 60, "h": HOUR, "d": DAY, "w": 7 * DAY}


def moment_meant(text: str, now: float) -> float:
    """The time in Unix seconds that ``7d`` (before ``now``), ``2026-08-05`` or an RFC 3339 time means.

    Raises:
        ValueError: for everything else.
    """
    if found := _SPAN.fullmatch(text):
        return now - int(found[1]) * _SPANS[found[2]]
    meant = datetime.fromisoformat(text)
    return (meant if meant.tzinfo else meant.replace(tzinfo=UTC)).timestamp()
