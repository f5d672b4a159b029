"""The measuring functions of dead-relu against enumeration, scipy and Monte Carlo."""

import math

import numpy as np
import pytest
from scipy import stats

from actdiag.recipes import dead_relu
from actdiag.recipes.dead_relu import dead_networks, expected_silence, silent_pairs
from actdiag.recipes.silence import lower_bound, next_correlation, sheppard, upper_bound


@pytest.mark.parametrize("correlation", [-0.7, 0.0, 0.3, 0.95])
def test_sheppard_is_the_normal_distributions_quadrant(correlation: float) -> None:
    law = stats.multivariate_normal(cov=[[1.0, correlation], [correlation, 1.0]])
    assert sheppard(correlation) == pytest.approx(law.cdf([0.0, 0.0]), abs=1e-6)


@pytest.mark.parametrize("correlation", [0.0, 0.5, 0.99])
def test_next_correlation_is_that_of_rectified_normals(correlation: float) -> None:
    u, v = np.random.default_rng(1).normal(size=(2, 1_000_000))
    x = np.maximum(u, 0.0)
    y = np.maximum(correlation * u + math.sqrt(1.0 - correlation**2) * v, 0.0)
    found = np.sum(x * y) / math.sqrt(np.sum(x * x) * np.sum(y * y))
    assert next_correlation(correlation) == pytest.approx(found, abs=4e-3)


@pytest.mark.parametrize("width", [1, 2, 3, 6])
def test_bounds_meet_what_enumeration_finds_for_two_hidden_layers(width: int) -> None:
    """Of the first layer, k units fire at x > 0 and the others at x < 0, on separate axes.

    A second layer's unit is then silent on both with chance 1/4, or 1/2 where one side is empty.
    """
    shares = [math.comb(width, k) * 0.5**width for k in range(width + 1)]
    born = sum(share * (0.5 if k in (0, width) else 0.25) ** width for k, share in enumerate(shares))
    one = shares[0] + (1.0 - shares[0]) * 0.5**width
    assert lower_bound(width, 3) == pytest.approx(born, rel=1e-12)
    assert upper_bound(width, 3) == pytest.approx(one, rel=1e-12)


def test_dead_networks_die_as_often_as_enumeration_says() -> None:
    nets = 40_000
    on_all, on_one = dead_networks(2, 2, nets, np.random.default_rng(5))
    for found, chance in zip(
        (on_all[0], on_one[0], on_all[1], on_one[1]), (0.0, 0.25, 0.15625, 0.4375), strict=True
    ):
        assert found == pytest.approx(chance, abs=5.0 * math.sqrt(chance * (1.0 - chance) / nets))


def test_dead_networks_stay_dead() -> None:
    found = dead_networks(2, 12, 500, np.random.default_rng(6))
    assert (np.diff(found, axis=1) >= 0.0).all()
    assert (found[0] <= found[1]).all()


def test_silent_pairs_follow_sheppard() -> None:
    drawn = np.array([silent_pairs(100, np.random.default_rng(seed)) for seed in range(60)])
    found, law = drawn[:, 0], drawn[:, 1]
    assert (law[:, 0] == 0.25).all()
    assert law[:, 1].mean() == pytest.approx(0.25 + math.asin(1.0 / math.pi) / (2.0 * math.pi), abs=0.005)
    assert (found - law).mean(axis=0)[[0, 9, 29]] == pytest.approx(np.zeros(3), abs=0.03)


def test_expected_silence_begins_with_orthogonal_inputs() -> None:
    second = 0.25 + math.asin(1.0 / math.pi) / (2.0 * math.pi)
    assert expected_silence()[:2] == [0.25, pytest.approx(second, rel=1e-12)]


def test_shares_are_taken_at_ten_layers_and_at_the_deepest() -> None:
    born = {width: np.full((2, 2, 49), 0.1 * width) for width in dead_relu.WIDTHS}
    born[2][:, 0, 8], born[2][:, 1, 8], born[2][:, 0, 48] = 0.9, 0.8, 0.7
    values = dead_relu._shares(born)
    assert values["one-input"] == [0.8, 0.8]
    assert values["deep-dies"] == [0.7, 0.7]
    assert values["below-upper-2"] == [pytest.approx(0.9 / (1.0 - 0.75**9))] * 2
    assert values["above-lower-4"] == [pytest.approx(0.4 / lower_bound(4, 10))] * 2
    assert values["wider-lives"] == [pytest.approx(0.4 / 0.9)] * 2


def test_silences_are_taken_at_layers_1_10_and_30() -> None:
    layers = np.arange(1.0, 31.0)
    values = dead_relu._silences(np.array([[layers, 0.1 * layers**2]] * 2))
    assert values["sheppard-10"] == [0.0, 0.0]
    assert values["sheppard-30"] == [pytest.approx(-60.0)] * 2
    assert values["silence-grows"] == [30.0, 30.0]
