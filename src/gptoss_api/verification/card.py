"""The score card: what all samples together say about an upstream, as it is shown, kept and compared."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from statistics import fmean, median
from typing import Any, Final, Literal

from msgspec import Struct, field

from .cases import CASE_SET
from .judges import CHECKS, EFFORT, Sizes, longer
from .statistics import pass_at_k, pass_hat_k, percentile, sign_test, wilson

# Tries of which one, or all, are to pass. Fixed, so that cards can be compared.
K: Final = 3
# How unlikely a result has to be, were effort ignored, for it to count as obeyed.
SIGNIFICANT: Final = 0.05

Form = Literal["native", "emulated"]


class Sample(Struct):
    """How one turn went.

    ``raw`` and ``gateway`` are the verdicts on what the server said and on what the gateway made of it, by
    check; ``raw`` is ``None`` where the server's protocol knows no such things. ``error`` is what the turn
    failed with. With ``unmeasured`` it says nothing about the server. Times are in milliseconds.
    """

    case: str
    number: int
    effort: str = ""
    raw: dict[str, str] | None = None
    gateway: dict[str, str] = field(default_factory=dict)
    raw_sizes: Sizes = Sizes()
    gateway_sizes: Sizes = Sizes()
    emulated: tuple[str, ...] = ()
    error: str = ""
    unmeasured: bool = False
    repairs: int = 0
    first_ms: float | None = None
    total_ms: float | None = None
    prompt_tokens: int = 0
    completion_tokens: int = 0


class Rate(Struct, frozen=True):
    """How often something passed. ``pass_at_1`` is the plain rate, ``interval`` Wilson's of 95 %.

    The other two are means over the cases of which there are :data:`K` samples, ``None`` where there are
    none. ``failures`` counts the verdicts that were not good.
    """

    of: int
    passed: int
    pass_at_1: float
    interval: tuple[float, float]
    pass_at_k: float | None = None
    pass_hat_k: float | None = None
    failures: Mapping[str, int] = field(default_factory=dict)


class CheckResult(Struct, frozen=True):
    """One line of the card. ``raw`` is ``None`` where only what the gateway emulates can be measured."""

    name: str
    title: str
    form: Form
    raw: Rate | None
    gateway: Rate | None

    @property
    def counted(self) -> Rate | None:
        """The rate that makes the score."""
        return self.raw or self.gateway


class EffortResult(Struct, frozen=True):
    """What pairs of low and high effort show.

    ``delta`` is the share of pairs with more thought at high effort less that with more at low. ``p`` is the
    chance of so clear a result if effort did nothing (one-sided sign test).
    """

    pairs: int
    more: int
    less: int
    delta: float
    p: float
    obeyed: bool
    low_median: float
    high_median: float


class Times(Struct, frozen=True):
    """Milliseconds, ``None`` where nothing was measured."""

    p50: float | None
    p95: float | None


class Turns(Struct, frozen=True):
    """``planned`` turns, those that were ``asked``, ``failed`` and not ``measured``, and ``repairs`` made."""

    planned: int
    asked: int
    failed: int
    unmeasured: int
    repairs: int


class Tokens(Struct, frozen=True):
    """As the server reported them, or as they were counted where it did not."""

    prompt: int
    completion: int


class Subject(Struct, frozen=True):
    """What was measured: an upstream, by all that tells it from others, and a model."""

    upstream: str
    kind: str
    url: str
    model: str


class Card(Struct, frozen=True, kw_only=True):
    """What one run says. ``started`` is in Unix seconds; one that was broken off is not ``complete``."""

    object: Literal["verification"] = "verification"
    case_set: str = CASE_SET
    upstream: str
    kind: str
    url: str
    model: str
    started: float
    seconds: float
    n: int
    quick: bool
    complete: bool
    score: float | None
    gateway_score: float | None
    k: int = K
    checks: tuple[CheckResult, ...]
    effort: EffortResult | None
    first_token_ms: Times
    total_ms: Times
    turns: Turns
    tokens: Tokens
    errors: Mapping[str, int]
    notes: tuple[str, ...] = ()


class Run(Struct, frozen=True):
    """What was to be done, and when it began, in Unix seconds."""

    n: int
    quick: bool
    planned: int
    started: float
    seconds: float
    interrupted: bool


def make_card(
    subject: Subject,
    run: Run,
    samples: Sequence[Sample],
    forms: Mapping[str, Form],
    notes: Iterable[str] = (),
) -> Card:
    """Sums ``samples`` up. ``forms`` says which checks are not of the server's own doing."""
    known = [sample for sample in samples if not sample.unmeasured]
    # A server that says nothing at all is judged by what its protocol lets others say.
    raw_known = any(sample.raw is not None for sample in known)
    raw_effort = _effort(known, raw=True) if raw_known else None
    effort = _effort(known, raw=False)
    checks = []
    for name, title in CHECKS.items():
        form = forms.get(name, "native")
        gateway = _pair_rate(effort) if name == EFFORT else _rate(known, name, raw=False)
        raw = _pair_rate(raw_effort) if name == EFFORT else _rate(known, name, raw=True)
        if raw is not None or gateway is not None:
            checks.append(CheckResult(name, title, form, raw, gateway))
    return Card(
        upstream=subject.upstream,
        kind=subject.kind,
        url=subject.url,
        model=subject.model,
        started=run.started,
        seconds=round(run.seconds, 1),
        n=run.n,
        quick=run.quick,
        complete=not run.interrupted and bool(known),
        score=_mean(check.counted for check in checks),
        gateway_score=_mean(check.gateway for check in checks),
        checks=tuple(checks),
        effort=raw_effort or effort,
        first_token_ms=_times(sample.first_ms for sample in known),
        total_ms=_times(sample.total_ms for sample in known),
        turns=Turns(
            run.planned,
            len(samples),
            sum(bool(sample.error) for sample in known),
            len(samples) - len(known),
            sum(sample.repairs for sample in known),
        ),
        tokens=Tokens(
            sum(sample.prompt_tokens for sample in samples),
            sum(sample.completion_tokens for sample in samples),
        ),
        errors=dict(Counter(sample.error for sample in samples if sample.error)),
        notes=tuple(notes),
    )


def _rate(samples: Sequence[Sample], check: str, *, raw: bool) -> Rate | None:
    verdicts: dict[str, list[str]] = {}
    for sample in samples:
        found = sample.raw if raw else sample.gateway
        if found is not None and check in found:
            verdicts.setdefault(sample.case, []).append(found[check])
    if not verdicts:
        return None
    everything = [verdict for of_case in verdicts.values() for verdict in of_case]
    passed, of = everything.count(""), len(everything)
    tried = [(of_case.count(""), len(of_case)) for of_case in verdicts.values() if len(of_case) >= K]
    return Rate(
        of,
        passed,
        _rounded(passed / of),
        _bounds(*wilson(passed, of)),
        _rounded(fmean(pass_at_k(*each, K) for each in tried)) if tried else None,
        _rounded(fmean(pass_hat_k(*each, K) for each in tried)) if tried else None,
        dict(Counter(verdict for verdict in everything if verdict)),
    )


def _effort(samples: Sequence[Sample], *, raw: bool) -> EffortResult | None:
    """What the pairs of which both turns were answered show."""
    sides: dict[tuple[str, int], dict[str, Sizes]] = {}
    for sample in samples:
        if sample.effort and not sample.error:
            found = sample.raw_sizes if raw else sample.gateway_sizes
            sides.setdefault((sample.case, sample.number), {})[sample.effort] = found
    pairs = [(side["low"], side["high"]) for side in sides.values() if len(side) == 2]
    if not pairs:
        return None
    signs = [longer(low, high) for low, high in pairs]
    more, less = signs.count(1), signs.count(-1)
    p = sign_test(more, less)
    return EffortResult(
        len(pairs),
        more,
        less,
        _rounded((more - less) / len(pairs)),
        round(p, 6),
        p < SIGNIFICANT,
        median(_shown(low) for low, _ in pairs),
        median(_shown(high) for _, high in pairs),
    )


def _shown(size: Sizes) -> int:
    return size.characters or size.reasoning_tokens or size.completion_tokens


def _pair_rate(effort: EffortResult | None) -> Rate | None:
    """Effort as a rate: chance alone, which wins half of all pairs, is worth nothing."""
    if effort is None:
        return None
    won = effort.more + (effort.pairs - effort.more - effort.less) / 2
    low, high = (2 * bound - 1 for bound in wilson(won, effort.pairs))
    failures = {"shorter": effort.less, "as_long": effort.pairs - effort.more - effort.less}
    return Rate(
        effort.pairs,
        effort.more,
        max(effort.delta, 0.0),
        _bounds(max(low, 0.0), max(high, 0.0)),
        failures={name: count for name, count in failures.items() if count},
    )


def _mean(rates: Iterable[Rate | None]) -> float | None:
    known = [rate.pass_at_1 for rate in rates if rate is not None]
    return _rounded(fmean(known)) if known else None


def _times(found: Iterable[float | None]) -> Times:
    values = [value for value in found if value is not None]
    return Times(*(_whole(percentile(values, share)) for share in (0.5, 0.95)))


def _whole(value: float | None) -> float | None:
    return None if value is None else round(value, 1)


def _rounded(value: float) -> float:
    return round(value, 4)


def _bounds(low: float, high: float) -> tuple[float, float]:
    return _rounded(low), _rounded(high)


def summary(card: Card) -> dict[str, Any]:
    """What a list of earlier results says of one."""
    names = ("started", "case_set", "n", "quick", "complete", "score", "gateway_score")
    return {name: getattr(card, name) for name in names}
