"""Rates and their intervals, pass@k and pass^k, against their definitions and published values."""

from fractions import Fraction
from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gptoss_api.verification.statistics import pass_at_k, pass_hat_k, percentile, sign_test, wilson

trials = st.integers(1, 400).flatmap(lambda of: st.tuples(st.integers(0, of), st.just(of)))


@pytest.mark.parametrize(
    ("passed", "of", "low", "high"),
    # R. G. Newcombe, "Two-sided confidence intervals for the single proportion" (1998), table I, method 3.
    [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611), (1, 29, 0.0061, 0.1718)],
)
def test_wilsons_interval_is_the_published_one(passed: int, of: int, low: float, high: float) -> None:
    assert wilson(passed, of) == pytest.approx((low, high), abs=5e-5)


@given(trials)
def test_an_interval_holds_the_rate_and_stays_within_0_and_1(trial: tuple[int, int]) -> None:
    passed, of = trial
    low, high = wilson(passed, of)
    assert 0 <= low <= passed / of + 1e-12
    assert passed / of - 1e-12 <= high <= 1


def test_of_nothing_nothing_is_known() -> None:
    assert wilson(0, 0) == (0.0, 1.0)
    assert percentile([], 0.5) is None
    assert sign_test(0, 0) == 1


@given(st.integers(1, 8).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n), st.integers(1, n))))
def test_pass_at_k_and_pass_hat_k_are_what_all_choices_of_k_tries_show(given_: tuple[int, int, int]) -> None:
    passed, of, k = given_
    tries = [True] * passed + [False] * (of - passed)
    choices = list(combinations(tries, k))
    some = Fraction(sum(map(any, choices)), len(choices))
    every = Fraction(sum(map(all, choices)), len(choices))
    assert pass_at_k(passed, of, k) == pytest.approx(float(some))
    assert pass_hat_k(passed, of, k) == pytest.approx(float(every))


@given(trials)
def test_one_try_is_the_plain_rate(trial: tuple[int, int]) -> None:
    assert pass_at_k(*trial, 1) == pytest.approx(pass_hat_k(*trial, 1)) == pytest.approx(trial[0] / trial[1])


@pytest.mark.parametrize(("passed", "of", "k"), [(2, 1, 1), (-1, 3, 1), (1, 2, 3), (1, 2, 0)])
def test_fewer_tries_than_k_say_nothing(passed: int, of: int, k: int) -> None:
    for estimate in (pass_at_k, pass_hat_k):
        with pytest.raises(ValueError, match="says nothing"):
            estimate(passed, of, k)


@given(st.lists(st.floats(0, 1e6), min_size=1), st.floats(0.01, 1))
def test_a_percentile_is_a_value_that_its_share_is_not_above(values: list[float], share: float) -> None:
    found = percentile(values, share)
    assert found in values
    assert sum(value <= found for value in values) >= share * len(values) - 1e-9
    assert sum(value < found for value in values) < share * len(values)


def test_the_sign_test_is_exact() -> None:
    assert sign_test(10, 0) == 1 / 1024
    assert sign_test(9, 1) == 11 / 1024
    assert sign_test(5, 5) == pytest.approx(0.623, abs=5e-4)
