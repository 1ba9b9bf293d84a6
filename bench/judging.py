"""Targets, what was reached of them, and the section of ``README.md`` that says so."""

import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import msgspec

HERE: Final = Path(__file__).parent


@dataclass(frozen=True, slots=True)
class Goal:
    """What is to be reached; ``at_most`` says in which direction it counts."""

    title: str
    limit: float
    at_most: bool
    unit: str = "×"
    digits: int = 2

    def row(self, values: Sequence[float]) -> str:
        """The row of the table for what was measured, a value for each round."""
        if not values:
            return f"| {self.title} | {self._limit()} | not measured | |"
        middle = statistics.median(values)
        met = middle <= self.limit if self.at_most else middle >= self.limit
        shown = f"{middle:,.{self.digits}f} {self.unit}".strip()
        if len(values) > 1:
            shown += f" ({min(values):,.{self.digits}f}–{max(values):,.{self.digits}f})"
        return f"| {self.title} | {self._limit()} | {shown} | {'yes' if met else '**no**'} |"

    def _limit(self) -> str:
        return f"{'≤' if self.at_most else '≥'} {self.limit:,g} {self.unit}".strip()


@dataclass(frozen=True, slots=True)
class Comparison:
    """Tables in Markdown, and what they are of: µs of CPU time by load and side, a value a round."""

    lines: list[str]
    samples: dict[str, dict[str, list[float]]]


def judged(rows: Iterable[tuple[Goal, Sequence[float]]]) -> list[str]:
    """The table of targets and what was reached."""
    return [
        "| target | | reached | met |",
        "|---|---|---|---|",
        *(target.row(values) for target, values in rows),
    ]


def ratios(over: Sequence[float], under: Sequence[float]) -> list[float]:
    """Round by round: neighbours in time, so that a slow minute hits both."""
    return [one / other for one, other in zip(over, under, strict=False) if other]


def write_section(name: str, section: str) -> None:
    """Puts ``section`` between the markers ``name`` of the README."""
    readme = HERE / "README.md"
    begin, end = f"<!-- {name} -->", f"<!-- /{name} -->"
    before, _, rest = readme.read_text(encoding="utf-8").partition(begin)
    after = rest.partition(end)[2]
    readme.write_text(f"{before}{begin}\n{section}\n{end}{after}", encoding="utf-8")


def write_samples(name: str, samples: Any) -> None:
    """Keeps every single value in ``NAME.json``."""
    encoded = msgspec.json.format(msgspec.json.encode(samples), indent=1)
    (HERE / f"{name}.json").write_bytes(encoded + b"\n")
