"""What happened since the start in numbers, and their text for Prometheus.

Source: Prometheus' text-based format 0.0.4; the names are those of docs/usage.md. A snapshot is plain
data, so that the processes of one gateway can be summed up by whichever of them is asked.
"""

from collections.abc import Iterable
from typing import Final, Literal

from msgspec import Struct, field

from ..core.accounting import TurnAccount, repairs_by_kind
from ..core.histogram import BUCKETS, Histogram

CONTENT_TYPE: Final = b"text/plain; version=0.0.4; charset=utf-8"

# Sets of labels of one metric. What comes beyond is told together: nobody may fill the memory of a server.
MOST: Final = 2_000
_OTHER: Final = "other"
_TOO_MANY: Final = 429

Labels = tuple[str, ...]
Kind = Literal["counter", "gauge", "histogram"]


class Metric(Struct, frozen=True):
    """One name, its labels and what it says."""

    name: str
    kind: Kind
    labels: Labels
    help: str


_TURN: Final = ("dialect", "model", "upstream")
REQUESTS: Final = Metric(
    "gptoss_requests_total",
    "counter",
    (*_TURN, "status", "outcome"),
    "Requests that ended, refused ones too.",
)
DURATION: Final = Metric(
    "gptoss_request_duration_seconds", "histogram", _TURN, "From the head of a request to its end."
)
FIRST_TOKEN: Final = Metric(
    "gptoss_first_token_seconds", "histogram", _TURN, "From the head of a request to the first of its answer."
)
OVERHEAD: Final = Metric(
    "gptoss_overhead_seconds",
    "histogram",
    _TURN,
    "What of a request's time was not spent waiting for an upstream or for a place at one.",
)
QUEUE: Final = Metric(
    "gptoss_queue_seconds", "histogram", ("upstream",), "How long turns waited for a place at an upstream."
)
TOKENS: Final = Metric(
    "gptoss_tokens_total",
    "counter",
    (*_TURN, "type"),
    "Tokens; cached is part of input, reasoning of output.",
)
REPAIRS: Final = Metric(
    "gptoss_repairs_total",
    "counter",
    ("kind",),
    "What was asked again or made to fit, within answers and before them.",
)
THREADS: Final = Metric(
    "gptoss_thread_reuse_total", "counter", ("use",), "Answers by how the upstream's conversation was used."
)
RATE_LIMITED: Final = Metric(
    "gptoss_rate_limited_total", "counter", ("limit",), "Requests that a limit refused, by which."
)
UPSTREAM_ERRORS: Final = Metric(
    "gptoss_upstream_errors_total", "counter", ("upstream", "code"), "Failures of upstreams."
)
BUDGET_REMAINING: Final = Metric(
    "gptoss_key_budget_remaining",
    "gauge",
    ("key_id", "period"),
    "Tokens that are left of the budget of a key.",
)
IN_FLIGHT: Final = Metric("gptoss_in_flight", "gauge", (), "Requests that are being answered.")
QUEUE_DEPTH: Final = Metric("gptoss_queue_depth", "gauge", ("upstream",), "Turns that wait for an upstream.")
UPSTREAM_IN_FLIGHT: Final = Metric(
    "gptoss_upstream_in_flight", "gauge", ("upstream",), "Turns that hold a place at an upstream."
)
UPSTREAM_STATE: Final = Metric(
    "gptoss_upstream_state", "gauge", ("upstream",), "0 broken off, 1 tried again, 2 in use."
)
STORE_FAILURES: Final = Metric(
    "gptoss_store_failures_total", "counter", (), "Operations of the state store that failed."
)
USAGE_LOST: Final = Metric("gptoss_usage_lost_total", "counter", (), "Turns whose usage could not be kept.")
BUILD_INFO: Final = Metric("gptoss_build_info", "gauge", ("version",), "Always 1.")

METRICS: Final = (
    *(REQUESTS, DURATION, FIRST_TOKEN, OVERHEAD, QUEUE),
    *(TOKENS, REPAIRS, THREADS, RATE_LIMITED, UPSTREAM_ERRORS),
    *(IN_FLIGHT, QUEUE_DEPTH, UPSTREAM_IN_FLIGHT, UPSTREAM_STATE),
    *(BUDGET_REMAINING, STORE_FAILURES, USAGE_LOST, BUILD_INFO),
)


class Snapshot(Struct):
    """Numbers by metric and by the values of its labels."""

    numbers: dict[str, dict[Labels, float]] = field(default_factory=dict)
    histograms: dict[str, dict[Labels, Histogram]] = field(default_factory=dict)

    def add(self, metric: Metric, amount: float, *labels: str) -> None:
        known = self.numbers.setdefault(metric.name, {})
        if labels not in known and len(known) >= MOST:
            labels = (_OTHER,) * len(labels)
        known[labels] = known.get(labels, 0) + amount

    def set(self, metric: Metric, value: float, *labels: str) -> None:
        self.numbers.setdefault(metric.name, {})[labels] = value

    def put(self, metric: Metric, histogram: Histogram, *labels: str) -> None:
        """Adds what ``histogram`` has."""
        known = self.histograms.setdefault(metric.name, {})
        if labels not in known and len(known) >= MOST:
            labels = (_OTHER,) * len(labels)
        into = known.setdefault(labels, Histogram())
        into.counts = [a + b for a, b in zip(into.counts, histogram.counts, strict=True)]
        into.sum += histogram.sum

    def merge(self, other: "Snapshot", *, gauges: bool = True) -> None:
        """Adds what another process has; without ``gauges`` only what counts for ever."""
        for metric in METRICS:
            if metric.kind == "gauge" and not gauges:
                continue
            for labels, number in other.numbers.get(metric.name, {}).items():
                if metric in (BUILD_INFO, UPSTREAM_STATE):
                    # The same of all processes; of different opinions the worst.
                    known = self.numbers.setdefault(metric.name, {})
                    known[labels] = min(known.get(labels, number), number)
                else:
                    self.add(metric, number, *labels)
            for labels, histogram in other.histograms.get(metric.name, {}).items():
                self.put(metric, histogram, *labels)


class Cell(Struct):
    """Requests that ended in the same way."""

    requests: int = 0
    prompt: int = 0
    cached: int = 0
    completion: int = 0
    reasoning: int = 0
    repairs: dict[str, int] = field(default_factory=dict)
    threads: dict[str, int] = field(default_factory=dict)
    duration: Histogram = field(default_factory=Histogram)
    overhead: Histogram = field(default_factory=Histogram)
    first: Histogram = field(default_factory=Histogram)


class TurnCounter:
    """Counts requests that ended, with one look-up each."""

    def __init__(self) -> None:
        self._cells: dict[tuple[str, str, str, int, str], Cell] = {}

    def count(self, turn: TurnAccount) -> None:
        key = (turn.dialect, turn.model, turn.upstream, turn.status, turn.outcome)
        cell = self._cells.get(key)
        if cell is None:
            if len(self._cells) >= MOST:
                key = (_OTHER, _OTHER, _OTHER, turn.status, _OTHER)
            cell = self._cells.setdefault(key, Cell())
        cell.requests += 1
        cell.prompt += turn.prompt
        cell.cached += turn.cached
        cell.completion += turn.completion
        cell.reasoning += turn.reasoning
        if turn.repairs:
            for kind, repairs in repairs_by_kind(turn).items():
                cell.repairs[kind] = cell.repairs.get(kind, 0) + repairs
        cell.duration.observe(turn.total_ms / 1000)
        if turn.first_ms is not None:
            cell.first.observe(turn.first_ms / 1000)
        if turn.overhead_ms is not None:
            cell.overhead.observe(turn.overhead_ms / 1000)
        if turn.thread:
            cell.threads[turn.thread] = cell.threads.get(turn.thread, 0) + 1

    def snapshot(self) -> Snapshot:
        """What was counted, by the labels of the metrics."""
        found = Snapshot()
        for (dialect, model, upstream, status, outcome), cell in self._cells.items():
            of = (dialect, model, upstream)
            found.add(REQUESTS, cell.requests, *of, str(status), outcome)
            found.put(DURATION, cell.duration, *of)
            found.put(FIRST_TOKEN, cell.first, *of)
            if any(cell.overhead.counts):
                found.put(OVERHEAD, cell.overhead, *of)
            for kind, tokens in (
                ("input", cell.prompt),
                ("cached", cell.cached),
                ("output", cell.completion),
                ("reasoning", cell.reasoning),
            ):
                if tokens:
                    found.add(TOKENS, tokens, *of, kind)
            for mended, repairs in cell.repairs.items():
                found.add(REPAIRS, repairs, mended)
            for use, answers in cell.threads.items():
                found.add(THREADS, answers, use)
            if outcome.startswith("upstream_"):
                found.add(UPSTREAM_ERRORS, cell.requests, upstream, outcome)
            if status == _TOO_MANY:
                found.add(RATE_LIMITED, cell.requests, outcome)
        return found


def exposition(snapshot: Snapshot) -> bytes:
    """The text for Prometheus. Every metric is named, also where there is no number yet."""
    lines: list[str] = []
    for metric in METRICS:
        lines += (f"# HELP {metric.name} {metric.help}", f"# TYPE {metric.name} {metric.kind}")
        if metric.kind == "histogram":
            for labels, histogram in sorted(snapshot.histograms.get(metric.name, {}).items()):
                lines += _buckets(metric, labels, histogram)
        else:
            for labels, number in sorted(snapshot.numbers.get(metric.name, {}).items()):
                lines.append(
                    f"{metric.name}{_labels(zip(metric.labels, labels, strict=True))} {_number(number)}"
                )
    return "\n".join((*lines, "")).encode()


def _buckets(metric: Metric, labels: Labels, histogram: Histogram) -> Iterable[str]:
    named = tuple(zip(metric.labels, labels, strict=True))
    total = 0
    for bound, count in zip((*map(_number, BUCKETS), "+Inf"), histogram.counts, strict=True):
        total += count
        yield f"{metric.name}_bucket{_labels((*named, ('le', bound)))} {total}"
    yield f"{metric.name}_sum{_labels(named)} {_number(histogram.sum)}"
    yield f"{metric.name}_count{_labels(named)} {total}"


def _labels(named: Iterable[tuple[str, str]]) -> str:
    written = ",".join(f'{name}="{_escaped(value)}"' for name, value in named)
    return f"{{{written}}}" if written else ""


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def _number(value: float) -> str:
    return str(int(value)) if value == int(value) else repr(float(value))
