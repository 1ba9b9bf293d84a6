"""What samples add up to, and what does not count."""

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gptoss_api.cli.verify_card import shown
from gptoss_api.verification.card import Card, K, Run, Sample, Subject, make_card, summary
from gptoss_api.verification.judges import CHECKS, Sizes
from gptoss_api.verification.statistics import pass_at_k, pass_hat_k

SUBJECT = Subject("office", "vllm", "http://office:8000/v1", "gpt-oss-120b")
RUN = Run(20, quick=False, planned=9, started=1.0, seconds=2.04, interrupted=False)


def made(*samples: Sample, run: Run = RUN, forms: Any = None) -> Card:
    return make_card(SUBJECT, run, samples, forms or {})


def tool(verdict: str, number: int = 0, case: str = "tools.weather", **more: Any) -> Sample:
    return Sample(case, number, raw={"right_tool": verdict}, gateway={"right_tool": ""}, **more)


def pair(low: int, high: int, number: int = 0, **more: Any) -> list[Sample]:
    return [
        Sample(
            "effort.coins", number, effort, raw={}, raw_sizes=Sizes(size), gateway_sizes=Sizes(size), **more
        )
        for effort, size in (("low", low), ("high", high))
    ]


def test_rates_are_told_by_case_and_over_all_of_them() -> None:
    first = [tool("" if number < 3 else "no_call", number) for number in range(4)]
    second = [tool("wrong_tool", number, "tools.nested") for number in range(3)]
    too_few = [tool("", number, "tools.quoted") for number in range(2)]
    (line,) = made(*first, *second, *too_few).checks
    assert line.raw is not None
    assert (line.name, line.raw.of, line.raw.passed) == ("right_tool", 9, 5)
    assert line.raw.failures == {"no_call": 1, "wrong_tool": 3}
    # Means of the cases that were tried often enough.
    assert line.raw.pass_at_k == (pass_at_k(3, 4, K) + 0) / 2
    assert line.raw.pass_hat_k == (pass_hat_k(3, 4, K) + 0) / 2
    assert line.gateway is not None
    assert line.gateway.pass_at_1 == 1.0


def test_with_few_tries_of_each_case_nothing_is_said_about_several() -> None:
    (line,) = made(tool(""), tool("", 1)).checks
    assert line.raw is not None
    assert (line.raw.pass_at_k, line.raw.pass_hat_k) == (None, None)


def test_what_is_the_gateways_alone_makes_the_score_where_the_server_has_nothing_of_the_kind() -> None:
    sample = Sample(
        "tools.weather", 0, raw={"complete": ""}, gateway={"complete": "", "right_tool": "no_call"}
    )
    card = made(sample, forms={"right_tool": "emulated"})
    assert [(line.name, line.form, line.raw is None) for line in card.checks] == [
        ("right_tool", "emulated", True),
        ("complete", "native", False),
    ]
    assert (card.score, card.gateway_score) == (0.5, 0.5)
    line = next(line for line in shown(card).splitlines() if line.startswith("right tool"))
    assert line.split()[-7:] == ["-", "-", "-", "-", "0", "%", "emulated"]


def test_turns_that_could_not_be_measured_count_nowhere_but_are_told() -> None:
    away = tool("upstream_unavailable", 1, error="upstream_unavailable", unmeasured=True)
    card = made(tool(""), away)
    assert card.score == 1.0
    assert (card.turns.asked, card.turns.unmeasured, card.turns.failed) == (2, 1, 0)
    assert card.errors == {"upstream_unavailable": 1}
    assert card.complete
    nothing = made(away)
    assert (nothing.complete, nothing.score, nothing.checks, nothing.effort) == (False, None, (), None)
    assert nothing.first_token_ms.p50 is None


@pytest.mark.parametrize(
    ("pairs", "delta", "rate", "obeyed"),
    [
        ([(1, 9)] * 5, 1.0, 1.0, True),
        ([(1, 9)] * 4, 1.0, 1.0, False),
        ([(5, 5)] * 8, 0.0, 0.0, False),
        ([(1, 9)] * 3 + [(9, 1)] * 3, 0.0, 0.0, False),
        ([(9, 1)] * 6, -1.0, 0.0, False),
        ([(1, 9)] * 9 + [(9, 1)], 0.8, 0.8, True),
    ],
)
def test_effort_is_worth_what_is_above_chance(
    pairs: list[tuple[int, int]], delta: float, rate: float, obeyed: bool
) -> None:
    samples = [sample for number, sizes in enumerate(pairs) for sample in pair(*sizes, number)]
    card = made(*samples)
    (line,) = card.checks
    assert card.effort is not None
    assert (card.effort.pairs, card.effort.delta, card.effort.obeyed) == (len(pairs), delta, obeyed)
    assert line.raw is not None
    assert (line.name, line.raw.pass_at_1, line.raw.passed) == ("effort", rate, card.effort.more)
    low, high = line.raw.interval
    assert 0 <= low <= max(rate, low) <= high + 1e-9
    assert sum(line.raw.failures.values()) == len(pairs) - card.effort.more


def test_half_a_pair_says_nothing() -> None:
    low, high = pair(1, 9)
    assert made(low).effort is None
    failed, _ = pair(1, 9, error="upstream_timeout")
    assert made(failed, high).effort is None


def test_where_no_thoughts_are_shown_the_medians_are_those_of_tokens() -> None:
    sides = [("low", Sizes(0, 0, 40)), ("high", Sizes(0, 70, 90))]
    card = made(
        *(Sample("effort.coins", 0, effort, gateway={}, gateway_sizes=size) for effort, size in sides)
    )
    assert card.effort is not None
    assert (card.effort.low_median, card.effort.high_median, card.effort.more) == (40, 70, 1)


def test_times_are_percentiles_of_what_was_measured() -> None:
    samples = [tool("", number, first_ms=float(number + 1), total_ms=None) for number in range(20)]
    card = made(*samples)
    assert (card.first_token_ms.p50, card.first_token_ms.p95) == (10.0, 19.0)
    assert card.total_ms.p95 is None


def test_a_summary_is_a_part_of_its_card() -> None:
    card = made(tool(""))
    assert summary(card).items() <= msgspec.to_builtins(card).items()
    assert summary(card)["score"] == 1.0


verdicts = st.dictionaries(
    st.sampled_from([name for name in CHECKS if name != "effort"]), st.sampled_from(["", "no_call", "cut"])
)
samples = st.builds(
    Sample,
    case=st.sampled_from(["a", "b"]),
    number=st.integers(0, 3),
    effort=st.sampled_from(["", "low", "high"]),
    raw=st.none() | verdicts,
    gateway=verdicts,
    raw_sizes=st.builds(Sizes, st.integers(0, 99), st.integers(0, 99), st.integers(0, 99)),
    error=st.sampled_from(["", "upstream_error"]),
    unmeasured=st.booleans(),
    first_ms=st.none() | st.floats(0, 1e5),
)


@given(st.lists(samples, max_size=12))
def test_whatever_was_sampled_makes_a_card_that_can_be_kept(found: list[Sample]) -> None:
    card = made(*found)
    assert msgspec.json.decode(msgspec.json.encode(card), type=Card) == card
    for line in card.checks:
        for rate in filter(None, (line.raw, line.gateway)):
            assert 0 <= rate.interval[0] <= rate.interval[1] <= 1
            assert 0 <= rate.pass_at_1 <= 1
            assert sum(rate.failures.values()) == rate.of - rate.passed
            if rate.pass_at_k is not None and rate.pass_hat_k is not None:
                assert rate.pass_hat_k <= rate.pass_at_k
    assert (card.score is None) == (not card.checks)
