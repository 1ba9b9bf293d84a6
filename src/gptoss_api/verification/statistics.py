"""The statistics of a score card: rates with their intervals, pass@k and pass^k, percentiles, a sign test."""

from collections.abc import Sequence
from math import ceil, comb, sqrt
from typing import Final

# The quantile of the normal distribution for intervals of 95 %.
Z95: Final = 1.959963984540054


def wilson(passed: float, of: int, z: float = Z95) -> tuple[float, float]:
    """The score interval of a rate: ``passed`` of ``of`` independent trials; (0, 1) for none.

    E. B. Wilson, "Probable inference, the law of succession, and statistical inference", Journal of the
    American Statistical Association 22 (1927). It stays within 0 and 1 and means something for few trials.
    """
    if of == 0:
        return 0.0, 1.0
    rate = passed / of
    spread = z * sqrt(rate * (1 - rate) / of + z * z / (4 * of * of))
    scale = 1 + z * z / of
    middle = rate + z * z / (2 * of)
    return max((middle - spread) / scale, 0.0), min((middle + spread) / scale, 1.0)


def pass_at_k(passed: int, of: int, k: int) -> float:
    """The chance that at least one of ``k`` tries passes, without bias from ``passed`` of ``of`` tries.

    1 - C(n - c, k) / C(n, k): M. Chen et al., "Evaluating Large Language Models Trained on Code" (2021),
    section 2.1.

    Raises:
        ValueError: for fewer tries than ``k``.
    """
    _check(passed, of, k)
    return 1 - comb(of - passed, k) / comb(of, k)


def pass_hat_k(passed: int, of: int, k: int) -> float:
    """The chance that all of ``k`` tries pass, without bias from ``passed`` of ``of`` tries.

    C(c, k) / C(n, k): S. Yao et al., "τ-bench: A Benchmark for Tool-Agent-User Interaction in Real-World
    Domains" (2024), section 3.

    Raises:
        ValueError: for fewer tries than ``k``.
    """
    _check(passed, of, k)
    return comb(passed, k) / comb(of, k)


def percentile(values: Sequence[float], share: float) -> float | None:
    """The smallest value that ``share`` of all are not above (nearest rank); ``None`` of none."""
    if not values:
        return None
    return sorted(values)[max(ceil(share * len(values)) - 1, 0)]


def sign_test(more: int, less: int) -> float:
    """How likely at least so many pairs show ``more`` if neither side is favoured, ties left out.

    The exact one-sided test: W. J. Conover, "Practical Nonparametric Statistics", section 3.4. 1 for none.
    """
    pairs = more + less
    return sum(comb(pairs, i) for i in range(more, pairs + 1)) / (1 << pairs)


def _check(passed: int, of: int, k: int) -> None:
    if not 0 <= passed <= of or not 0 < k <= of:
        raise ValueError(f"{passed} of {of} says nothing about {k} tries")
