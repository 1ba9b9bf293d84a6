"""The results as numbers, as a Markdown table and against the targets."""

import statistics
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import msgspec

from .contenders import GATEWAY, LITELLM, NGINX, ORIGINAL
from .installed import Installed
from .judging import Goal, judged, ratios
from .machine import told
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


def _ratio(key: str, over: str, under: str) -> Callable[[Results], list[float]]:
    def found(results: Results) -> list[float]:
        samples = results.samples.get(key, {})
        return ratios(samples.get(over, []), samples.get(under, []))

    return found


def _own(key: str, scale: float = 1.0) -> Callable[[Results], list[float]]:
    return lambda results: [value * scale for value in results.samples.get(key, {}).get(GATEWAY, [])]


def _dependencies(results: Results) -> list[float]:
    ours = results.installed.get(GATEWAY)
    return [] if ours is None or ours.dependencies is None else [ours.dependencies]


GOALS: Final[tuple[tuple[Goal, Callable[[Results], list[float]]], ...]] = (
    (Goal("whole answer, original ÷ ours", 2, at_most=False), _ratio("requests_cpu", ORIGINAL, GATEWAY)),
    (
        Goal("streamed answer, original ÷ ours", 2.8, at_most=False),
        _ratio("streams_cpu", ORIGINAL, GATEWAY),
    ),
    (Goal("whole answer, LiteLLM ÷ ours", 30, False, digits=1), _ratio("requests_cpu", LITELLM, GATEWAY)),
    (
        Goal("streamed answer, LiteLLM ÷ ours", 170, False, digits=1),
        _ratio("streams_cpu", LITELLM, GATEWAY),
    ),
    (Goal("streamed event, ours ÷ nginx", 1.9, at_most=True), _ratio("event_cost", GATEWAY, NGINX)),
    (Goal("added time to first token, 1 stream", 0.7, True, "ms"), _own("first_1")),
    (Goal("added time to first token, 50 at once", 7, True, "ms", 1), _own("first_50")),
    (Goal("added to a 76 kB agent request", 2, True, "ms", 1), _own("agent")),
    (Goal("memory idle", 45, True, "MB", 0), _own("idle", 1e-6)),
    (Goal("memory under load", 58, True, "MB", 0), _own("peak", 1e-6)),
    (Goal("memory per open stream", 32, True, "kB", 0), _own("per_stream", 1e-3)),
    (Goal("streams of 1,000 that lost nothing", 1000, False, "", 0), _own("complete")),
    (Goal("memory per open stream of 5,000", 32, True, "kB", 0), _own("per_stream_5000", 1e-3)),
    (Goal("streams of 5,000 that lost nothing", 5000, False, "", 0), _own("complete_5000")),
    (Goal("start to first answer", 0.5, True, "s"), _own("startup")),
    (Goal("dependencies", 15, True, "", 0), _dependencies),
)


def middle(results: Results, key: str, name: str) -> float | None:
    values = results.samples.get(key, {}).get(name)
    return statistics.median(values) if values else None


def markdown(results: Results) -> str:
    """The section of the README between its markers."""
    names = list(results.versions)
    lines = [
        f"{results.date}: {told(results.machine)} "
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
    lines += ["", *judged((target, reached(results)) for target, reached in GOALS)]
    lines += [
        "",
        "Medians of all rounds; in parentheses the lowest and the highest round. “÷” compares CPU time.",
    ]
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
