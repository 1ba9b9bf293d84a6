"""The results as numbers, as a Markdown table and against the targets."""

import statistics
from collections.abc import Callable
from dataclasses import dataclass

import msgspec

from .contenders import GATEWAY, LITELLM, NGINX, ORIGINAL
from .installed import Installed
from .measures import Samples


class Results(msgspec.Struct):
    """One run. ``samples`` holds, for each figure, one value per round for each program.

    ``other_load`` is the share of both cores that neither the programs nor the benchmark used: on a quiet
    machine next to nothing.
    """

    date: str
    machine: dict[str, str]
    versions: dict[str, str]
    samples: dict[str, Samples]
    installed: dict[str, Installed]
    skipped: dict[str, str]
    faults: list[str]
    other_load: float


@dataclass(frozen=True, slots=True)
class Figure:
    """One row of the table: ``scale`` turns the measured unit into the shown one."""

    key: str
    title: str
    scale: float = 1.0
    digits: int = 0

    def show(self, value: float | None) -> str:
        return "–" if value is None else f"{value * self.scale:,.{self.digits}f}"


FIGURES = (
    Figure("requests_cpu", "CPU time per whole answer, µs"),
    Figure("streams_cpu", "CPU time per streamed answer of 32 deltas, µs"),
    Figure("event_cost", "CPU time per streamed event, µs", digits=1),
    Figure("requests", "whole answers per second"),
    Figure("streams", "streamed answers per second"),
    Figure("first_1", "added time to first token, 1 stream, ms", digits=2),
    Figure("first_50", "added time to first token, 50 at once, ms", digits=1),
    Figure("agent", "added to a 76 kB agent request, ms", digits=1),
    Figure("startup", "start to first answer, s", digits=2),
    Figure("idle", "memory idle, MB", scale=1e-6),
    Figure("peak", "memory under load, MB", scale=1e-6),
    Figure("open", "memory with 1,000 open streams, MB", scale=1e-6),
    Figure("per_stream", "memory per open stream, kB", scale=1e-3),
    Figure("complete", "streams of 1,000 that lost nothing"),
    Figure("longest_gap", "longest gap between deltas sent every 500 ms, ms"),
    Figure("open_5000", "memory with 5,000 open streams, MB", scale=1e-6),
    Figure("per_stream_5000", "memory per open stream of 5,000, kB", scale=1e-3),
    Figure("complete_5000", "streams of 5,000 that lost nothing"),
    Figure("longest_gap_5000", "longest gap between their deltas, ms"),
)


@dataclass(frozen=True, slots=True)
class Goal:
    """A target and how to compute what was reached; ``at_most`` says in which direction it counts."""

    title: str
    limit: float
    at_most: bool
    reached: Callable[[Results], list[float]]
    unit: str = "×"
    digits: int = 2

    def row(self, results: Results) -> str:
        values = self.reached(results)
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


def _ratio(key: str, peer: str) -> Callable[[Results], list[float]]:
    """Ours over theirs, round by round: neighbours in time, so that a slow minute hits both."""

    def ratios(results: Results) -> list[float]:
        samples = results.samples.get(key, {})
        pairs = zip(samples.get(GATEWAY, []), samples.get(peer, []), strict=False)
        return [ours / theirs for ours, theirs in pairs if theirs]

    return ratios


def _cost_ratio(key: str) -> Callable[[Results], list[float]]:
    """How many times as much the original takes as we do."""
    ratio = _ratio(key, ORIGINAL)
    return lambda results: [1 / value for value in ratio(results) if value]


def _own(key: str, scale: float = 1.0) -> Callable[[Results], list[float]]:
    return lambda results: [value * scale for value in results.samples.get(key, {}).get(GATEWAY, [])]


def _dependencies(results: Results) -> list[float]:
    ours = results.installed.get(GATEWAY)
    return [] if ours is None or ours.dependencies is None else [ours.dependencies]


GOALS = (
    Goal("CPU time per whole answer, the original's over ours", 1.5, False, _cost_ratio("requests_cpu")),
    Goal("CPU time per streamed answer, the original's over ours", 1.5, False, _cost_ratio("streams_cpu")),
    Goal("whole answers/s, over the original", 1.5, False, _ratio("requests", ORIGINAL)),
    Goal("whole answers/s, over LiteLLM", 15, False, _ratio("requests", LITELLM), digits=1),
    Goal("streamed answers/s, over the original", 1.5, False, _ratio("streams", ORIGINAL)),
    Goal("streamed answers/s, over LiteLLM", 50, False, _ratio("streams", LITELLM), digits=1),
    Goal("CPU time per event, over nginx", 3, True, _ratio("event_cost", NGINX)),
    Goal("added time to first token, 1 stream", 1, True, _own("first_1"), "ms"),
    Goal("added time to first token, 50 at once", 15, True, _own("first_50"), "ms", 1),
    Goal("added to a 76 kB agent request", 5, True, _own("agent"), "ms", 1),
    Goal("memory per open stream", 60, True, _own("per_stream", 1e-3), "kB", 0),
    Goal("streams of 1,000 that lost nothing", 1000, False, _own("complete"), "", 0),
    Goal("memory per open stream of 5,000", 60, True, _own("per_stream_5000", 1e-3), "kB", 0),
    Goal("streams of 5,000 that lost nothing", 5000, False, _own("complete_5000"), "", 0),
    Goal("memory under load", 80, True, _own("peak", 1e-6), "MB", 0),
    Goal("start to first answer", 0.5, True, _own("startup"), "s"),
    Goal("dependencies", 15, True, _dependencies, "", 0),
)


def middle(results: Results, key: str, name: str) -> float | None:
    values = results.samples.get(key, {}).get(name)
    return statistics.median(values) if values else None


def markdown(results: Results) -> str:
    """The section of the README between its markers."""
    names = list(results.versions)
    machine = results.machine
    lines = [
        f"{results.date}: {machine['processor']}, {machine['memory']}, {machine['system']}, "
        f"Python {machine['python']}. "
        f"Other programs used {results.other_load:.1%} of the two cores meanwhile.",
        "",
        "![The figures as bars](results.svg)",
        "",
        "| | " + " | ".join(f"{name} {results.versions[name]}" for name in names) + " |",
        "|---|" + "---:|" * len(names),
    ]
    for figure in FIGURES:
        shown = [figure.show(middle(results, figure.key, name)) for name in names]
        if any(value != "–" for value in shown):
            lines.append(f"| {figure.title} | " + " | ".join(shown) + " |")
    lines += _installation_rows(results, names)
    lines += ["", "| target | | reached | met |", "|---|---|---|---|"]
    lines += [goal.row(results) for goal in GOALS]
    lines += ["", "Medians of all rounds; in parentheses the lowest and the highest round."]
    lines += [f"- Left out: {name}, because {reason}." for name, reason in results.skipped.items()]
    lines += [f"- {fault}." for fault in results.faults]
    return "\n".join(lines)


def _installation_rows(results: Results, names: list[str]) -> list[str]:
    if not results.installed:
        return []
    found = [results.installed.get(name) for name in names]
    sizes = ["–" if entry is None else f"{entry.bytes / 1e6:,.0f}" for entry in found]
    counts = [
        "–" if entry is None or entry.dependencies is None else str(entry.dependencies) for entry in found
    ]
    return [f"| installed, MB | {' | '.join(sizes)} |", f"| dependencies | {' | '.join(counts)} |"]
