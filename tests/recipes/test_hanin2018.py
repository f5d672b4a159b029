"""The measuring functions of hanin2018 against scipy and Monte Carlo."""

import math

import numpy as np
import pytest
import torch
from scipy import special, stats

from actdiag.recipes import hanin2018
from actdiag.recipes.hanin2018 import SHAPES, log_lengths
from actdiag.recipes.lengths import log_variance, truncated_variance


@pytest.mark.parametrize("width", [1, 2, 7, 50, 300])
def test_log_variance_is_that_of_a_mixture_of_chi_squared(width: int) -> None:
    assert log_variance(width) == pytest.approx(_variance(width), rel=1e-10)


@pytest.mark.parametrize("reach", [0.5, 2.0, 5.0])
def test_truncated_variance_is_scipys(reach: float) -> None:
    assert truncated_variance(reach) == pytest.approx(stats.truncnorm(-reach, reach).var(), rel=1e-9)


@pytest.mark.parametrize(("sigma_w2", "factor"), [(2.0, 1.0), (1.0, 0.5), (4.0, 2.0), (None, 0.77374)])
def test_mean_length_changes_by_half_the_variance(sigma_w2: float | None, factor: float) -> None:
    found = np.exp(log_lengths((64,) * 4, sigma_w2, 2000, torch.Generator().manual_seed(1)))
    spread = found.std(axis=0) / math.sqrt(len(found))
    for layer in range(4):
        assert found[:, layer].mean() == pytest.approx(factor ** (layer + 1), abs=5.0 * spread[layer])


def test_log_length_fluctuates_as_chi_squared_says() -> None:
    widths = (30, 60)
    found = log_lengths(widths, 2.0, 4000, torch.Generator().manual_seed(2))
    expected = np.cumsum([_variance(width) for width in widths])
    assert found.var(axis=0) == pytest.approx(expected, rel=5.0 * math.sqrt(2.0 / 4000))


def test_shapes_have_the_sums_that_claims_compare() -> None:
    sums = {shape: sum(1.0 / width for width in widths) for shape, widths in SHAPES.items()}
    assert sums == {
        "100 x 40": pytest.approx(0.4),
        "50 x 20": pytest.approx(0.4),
        "60, 300 x 10": pytest.approx(0.2),
    }
    assert hanin2018.reciprocals("100 x 40", hanin2018.MIDDLE) == pytest.approx(0.2)


def test_fluctuations_compare_variances_over_networks() -> None:
    random = np.random.default_rng(3)
    lengths = {shape: random.normal(size=(2, 9, len(widths))) for shape, widths in SHAPES.items()}
    values = hanin2018._fluctuations(lengths)
    of = {shape: [np.cov(block.T)[-1, -1] for block in found] for shape, found in lengths.items()}
    middle = [np.cov(block.T)[19, 19] for block in lengths["100 x 40"]]
    assert values["five"] == pytest.approx([number / 0.2 for number in middle])
    assert values["twice-as-deep"] == pytest.approx(np.divide(of["100 x 40"], middle).tolist())
    assert values["half-as-wide"] == pytest.approx(np.divide(of["50 x 20"], middle).tolist())
    assert values["same-sum"] == pytest.approx(np.divide(of["60, 300 x 10"], middle).tolist())


def test_means_are_factors_per_layer() -> None:
    lengths = {label: np.full((3, 5, 10), 10.0 * math.log(0.7)) for label in ("He", "LeCun", "2 x He")}
    lengths[hanin2018.TRUNCATED] = np.full((3, 5, 10), 10.0 * math.log(0.6))
    values = hanin2018._means(lengths)
    assert values["mean-he"] == pytest.approx([0.7] * 3)
    assert values["mean-truncated"] == pytest.approx([0.6] * 3)


def _variance(width: int) -> float:
    """Return Var[ln chi^2_K], K ~ Binomial(width, 1/2) given K > 0, by scipy's polygamma functions."""
    k = np.arange(1, width + 1)
    shares = stats.binom.pmf(k, width, 0.5)
    shares = shares / shares.sum()
    means, inner = special.digamma(k / 2.0), special.polygamma(1, k / 2.0)
    return float(np.sum(shares * (inner + means**2)) - np.sum(shares * means) ** 2)
