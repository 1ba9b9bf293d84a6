"""How long many things took, by the bounds that Prometheus is told."""

from bisect import bisect_left
from typing import Final

from msgspec import Struct, field

# Upper bounds in seconds: from an answer of a machine at hand to a long thought.
BUCKETS: Final = (
    *(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5),
    *(1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0),
)


class Histogram(Struct):
    """``counts`` has one more than there are buckets: what is above them. ``sum`` is in seconds."""

    counts: list[int] = field(default_factory=lambda: [0] * (len(BUCKETS) + 1))
    sum: float = 0.0

    def observe(self, seconds: float) -> None:
        self.counts[bisect_left(BUCKETS, seconds)] += 1
        self.sum += seconds
