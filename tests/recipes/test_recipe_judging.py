"""What a measurement says of a claim: against scipy, and by cases."""

from __future__ import annotations

import math
from itertools import count

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from tiny_recipe import claim

from actdiag.errors import ActdiagError, UsageError
from actdiag.recipes.base import Accepted
from actdiag.recipes.judging import Verdict, draws_needed, judge
from actdiag.recipes.student import t_quantile, t_share

VALUES = [0.4, 0.55, 0.5, 0.7]
"""Mean 0.5375; 95% interval 0.337 to 0.738."""


@pytest.mark.parametrize("freedom", [1, 2, 3, 4, 7, 10, 99, 100, 101, 1000])
@pytest.mark.parametrize("probability", [0.5, 0.8, 0.975, 0.99])
def test_the_quantile_is_students(freedom: int, probability: float) -> None:
    assert t_quantile(probability, freedom) == pytest.approx(stats.t.ppf(probability, freedom), abs=1e-7)


@given(st.floats(0.0, 50.0), st.integers(1, 60))
def test_the_share_is_students(t: float, freedom: int) -> None:
    assert t_share(t, freedom) == pytest.approx(2.0 * stats.t.cdf(t, freedom) - 1.0, abs=1e-12)


def test_the_interval_is_that_of_the_mean() -> None:
    outcome = judge(claim(), VALUES)
    low, high = stats.t.interval(0.95, 3, np.mean(VALUES), stats.sem(VALUES))
    assert (outcome.mean, outcome.low, outcome.high) == pytest.approx((0.5375, low, high))
    assert outcome.draws == 4


def test_of_logarithms_it_is_the_geometric_means() -> None:
    values = [1.0, 10.0, 100.0]
    outcome = judge(claim(accepted=Accepted(0.1, 1000.0), log=True), values)
    low, high = stats.t.interval(0.95, 2, 1.0, 1.0 / math.sqrt(3.0))
    assert (outcome.mean, outcome.low, outcome.high) == pytest.approx((10.0, 10.0**low, 10.0**high))
    assert outcome.verdict is Verdict.INCONCLUSIVE


@pytest.mark.parametrize(
    ("low", "high", "verdict"),
    [
        (0.3, 0.8, Verdict.REPRODUCED),
        (0.3, math.inf, Verdict.REPRODUCED),
        (-math.inf, 0.8, Verdict.REPRODUCED),
        (0.4, 0.8, Verdict.INCONCLUSIVE),
        (0.3, 0.7, Verdict.INCONCLUSIVE),
        (0.5, 0.6, Verdict.INCONCLUSIVE),
        (0.6, math.inf, Verdict.INCONCLUSIVE),
        (0.75, 1.0, Verdict.NOT_REPRODUCED),
        (-math.inf, 0.3, Verdict.NOT_REPRODUCED),
    ],
)
def test_the_whole_interval_decides(low: float, high: float, verdict: Verdict) -> None:
    outcome = judge(claim(accepted=Accepted(low, high)), VALUES)
    assert outcome.verdict is verdict
    assert (outcome.needed is None) == (verdict is not Verdict.INCONCLUSIVE)


def test_a_one_sided_claim_of_logarithms_takes_any_small_value() -> None:
    outcome = judge(claim(accepted=Accepted(high=1.0), log=True), [1e-9, 1e-8])
    assert outcome.verdict is Verdict.REPRODUCED


@pytest.mark.parametrize("log", [False, True])
def test_equal_values_are_a_point(log: bool) -> None:
    outcome = judge(claim(log=log), [0.5, 0.5])
    assert (outcome.low, outcome.high, outcome.verdict) == (0.5, 0.5, Verdict.REPRODUCED)


def needed_by_scipy(spread: float, distance: float) -> int:
    """Return the power calculation's number, counted up."""
    return next(
        n
        for n in count(2)
        if (stats.t.ppf(0.975, n - 1) + stats.t.ppf(0.8, n - 1)) * spread / math.sqrt(n) <= distance
    )


@pytest.mark.parametrize(("spread", "distance"), [(1.0, 20.0), (1.0, 2.0), (1.0, 0.5), (0.3, 0.05)])
def test_the_draws_needed_are_those_of_a_power_calculation(spread: float, distance: float) -> None:
    assert draws_needed(spread, distance) == needed_by_scipy(spread, distance)


def test_so_many_draws_do_decide_four_times_in_five() -> None:
    generator = np.random.default_rng(0)
    needed = draws_needed(1.0, 0.5)
    assert needed is not None
    decided = [
        judge(claim(accepted=Accepted(low=0.0)), list(generator.normal(0.5, 1.0, needed))).verdict
        for _ in range(400)
    ]
    # 0.8 within four standard errors of 400 trials
    assert 0.72 < decided.count(Verdict.REPRODUCED) / 400 < 0.88


def test_an_inconclusive_claim_names_the_draws_that_the_nearest_end_needs() -> None:
    outcome = judge(claim(accepted=Accepted(0.5, 10.0)), VALUES)
    assert outcome.needed == needed_by_scipy(float(np.std(VALUES, ddof=1)), 0.0375)
    assert judge(claim(accepted=Accepted(0.5375, 10.0)), [0.5, 0.575]).needed is None


@pytest.mark.parametrize("value", [math.nan, math.inf, 0.0])
def test_what_has_no_finite_mean_decides_nothing(value: float) -> None:
    outcome = judge(claim(log=True), [0.5, value])
    assert outcome.verdict is Verdict.INCONCLUSIVE
    assert math.isnan(outcome.mean)
    assert outcome.needed is None


def test_a_single_draw_is_refused() -> None:
    with pytest.raises(ActdiagError, match="claim 'one' needs at least 2 draws, got 1"):
        judge(claim(), [0.5])


@pytest.mark.parametrize(("low", "high"), [(1.0, 1.0), (2.0, 1.0), (math.nan, 1.0)])
def test_accepted_values_reach_from_low_to_high(low: float, high: float) -> None:
    with pytest.raises(UsageError, match="accepted values reach from a low to a higher end"):
        Accepted(low, high)


def test_accepted_values_lie_about_what_was_published() -> None:
    assert Accepted.around(0.5, 0.125) == Accepted(0.375, 0.625)
    assert Accepted.factor(2.0, 4.0) == Accepted(0.5, 8.0)
