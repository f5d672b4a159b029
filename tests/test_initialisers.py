"""Tests for the variance of each initialiser, against scipy's distributions and torch's own draws."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from scipy import stats
from torch import Tensor, nn

from actdiag.errors import UsageError
from actdiag.initialisers import INITIALISERS, initialiser

FANS = [(1, 1), (50, 10), (10, 50), (256, 256), (784, 3)]
"""(fan_in, fan_out)"""


def uniform_variance(limit: float) -> float:
    return float(stats.uniform(-limit, 2.0 * limit).var())


def orthogonal_variance(fan_in: int, fan_out: int) -> float:
    """Return the mean square of a matrix whose rows or columns, the fewer, are orthonormal."""
    tall = np.random.default_rng(0).standard_normal((max(fan_in, fan_out), min(fan_in, fan_out)))
    return float(np.mean(np.linalg.qr(tall)[0] ** 2))


LAWS: dict[str, Callable[[int, int], float]] = {
    "zeros": lambda i, o: 0.0,
    "constant:0.7": lambda i, o: float(np.var(np.full((o, i), 0.7))),
    "constant:-0.7": lambda i, o: 0.0,
    "normal:0.01": lambda i, o: float(stats.norm(0.0, 0.01).var()),
    "normal:0": lambda i, o: 0.0,
    "uniform:0.05": lambda i, o: uniform_variance(0.05),
    "standard_uniform": lambda i, o: uniform_variance(i**-0.5),
    "torch_default": lambda i, o: uniform_variance(i**-0.5),
    "lecun_normal": lambda i, o: float(stats.norm(0.0, i**-0.5).var()),
    "lecun_uniform": lambda i, o: uniform_variance(math.sqrt(3.0 / i)),
    "xavier_uniform": lambda i, o: uniform_variance(math.sqrt(6.0 / (i + o))),
    "xavier_normal": lambda i, o: float(stats.norm(0.0, math.sqrt(2.0 / (i + o))).var()),
    "he_uniform": lambda i, o: uniform_variance(math.sqrt(6.0 / i)),
    "he_normal": lambda i, o: float(stats.norm(0.0, math.sqrt(2.0 / i)).var()),
    "he_normal:fan_out": lambda i, o: float(stats.norm(0.0, math.sqrt(2.0 / o)).var()),
    "he_uniform:fan_out": lambda i, o: uniform_variance(math.sqrt(6.0 / o)),
    "orthogonal": orthogonal_variance,
    "orthogonal_he": lambda i, o: 2.0 * orthogonal_variance(i, o),
}
"""Var[w] from the limits and deviations that the papers print."""

DRAWS: dict[str, Callable[[Tensor], object]] = {
    "zeros": nn.init.zeros_,
    "constant:0.7": lambda w: nn.init.constant_(w, 0.7),
    "normal:0.01": lambda w: nn.init.normal_(w, std=0.01),
    "uniform:0.05": lambda w: nn.init.uniform_(w, -0.05, 0.05),
    "standard_uniform": lambda w: nn.init.uniform_(w, -(w.shape[1] ** -0.5), w.shape[1] ** -0.5),
    "torch_default": lambda w: w.copy_(nn.Linear(w.shape[1], w.shape[0]).weight),
    "lecun_normal": lambda w: nn.init.kaiming_normal_(w, nonlinearity="linear"),
    "lecun_uniform": lambda w: nn.init.kaiming_uniform_(w, nonlinearity="linear"),
    "xavier_uniform": nn.init.xavier_uniform_,
    "xavier_normal": nn.init.xavier_normal_,
    "he_uniform": lambda w: nn.init.kaiming_uniform_(w, nonlinearity="relu"),
    "he_normal": lambda w: nn.init.kaiming_normal_(w, nonlinearity="relu"),
    "he_normal:fan_out": lambda w: nn.init.kaiming_normal_(w, mode="fan_out", nonlinearity="relu"),
    "orthogonal": nn.init.orthogonal_,
    "orthogonal_he": lambda w: nn.init.orthogonal_(w, gain=math.sqrt(2.0)),
}

ALIASES = {
    "xavier": "xavier_uniform",
    "glorot": "xavier_uniform",
    "glorot_normal": "xavier_normal",
    "he": "he_normal",
    "kaiming": "he_normal",
    "msra": "he_normal",
    "kaiming_uniform": "he_uniform",
    "lecun": "lecun_normal",
    "xavier_slide": "lecun_normal",
    "orthonorm": "orthogonal",
}


def test_every_row_has_a_law_here() -> None:
    assert {name.partition(":")[0] for name in LAWS} | {"lsuv"} == set(INITIALISERS)


@pytest.mark.parametrize("name", LAWS)
@pytest.mark.parametrize(("fan_in", "fan_out"), FANS)
def test_variance_is_the_one_printed_in_the_paper(name: str, fan_in: int, fan_out: int) -> None:
    expected = LAWS[name](fan_in, fan_out)
    assert initialiser(name).variance(fan_in, fan_out) == pytest.approx(expected, rel=1e-12, abs=1e-30)


@pytest.mark.parametrize("name", DRAWS)
@pytest.mark.parametrize(("fan_in", "fan_out"), [(300, 200), (150, 400)])
def test_variance_is_that_of_torchs_draws(name: str, fan_in: int, fan_out: int) -> None:
    with torch.random.fork_rng(), torch.no_grad():
        torch.manual_seed(0)
        weight = torch.empty(fan_out, fan_in)
        DRAWS[name](weight)
    four_standard_errors = 4.0 * math.sqrt(2.0 / weight.numel())
    drawn = float(weight.double().var())
    assert initialiser(name).variance(fan_in, fan_out) == pytest.approx(
        drawn, rel=four_standard_errors, abs=1e-9
    )


def test_variance_of_lsuv_is_left_to_the_data() -> None:
    assert math.isnan(initialiser("lsuv").variance(10, 10))


@pytest.mark.parametrize("name", ["xavier", "lecun_normal", "lecun_uniform", "orthogonal"])
def test_gain_multiplies_the_deviation(name: str) -> None:
    row = initialiser(name)
    assert row.gain == 1.0
    assert row.variance(30, 40, gain=3.0) == pytest.approx(9.0 * row.variance(30, 40), rel=1e-14)


@pytest.mark.parametrize("name", ["he_normal", "he_uniform", "he:fan_out", "orthogonal_he"])
def test_gain_given_replaces_the_root_of_two(name: str) -> None:
    row = initialiser(name)
    assert row.gain == pytest.approx(math.sqrt(2.0), rel=1e-15)
    assert row.variance(30, 40, gain=1.0) == pytest.approx(row.variance(30, 40) / 2.0, rel=1e-14)


def test_gain_is_none_where_the_initialiser_has_no_gain() -> None:
    without = {name for name in INITIALISERS if INITIALISERS[name].gain is None}
    assert without == {"zeros", "constant", "normal", "uniform", "standard_uniform", "torch_default", "lsuv"}


@pytest.mark.parametrize(("alias", "name"), ALIASES.items())
def test_alias_is_another_name_for_the_row(alias: str, name: str) -> None:
    assert initialiser(alias) is INITIALISERS[name]
    assert initialiser(alias).name == name


def test_aliases_are_all_listed_here() -> None:
    assert {alias for name in INITIALISERS for alias in INITIALISERS.aliases(name)} == set(ALIASES)


@pytest.mark.parametrize(
    ("text", "name", "parameter"),
    [
        ("normal:0.01", "normal:0.01", "0.01"),
        ("constant:-1", "constant:-1", "-1"),
        ("he:fan_out", "he_normal:fan_out", "fan_out"),
        ("kaiming_uniform:fan_out", "he_uniform:fan_out", "fan_out"),
        ("he:fan_in", "he_normal", None),
        ("xavier", "xavier_uniform", None),
    ],
)
def test_name_and_parameter_are_kept(text: str, name: str, parameter: str | None) -> None:
    row = initialiser(text)
    assert (row.name, row.parameter) == (name, parameter)


@pytest.mark.parametrize("name", INITIALISERS)
def test_facts_are_filled_in(name: str) -> None:
    row = INITIALISERS[name]
    assert row.name == name
    assert row.formula
    assert row.source
    assert row.distribution in {"normal", "uniform", "constant", "orthogonal", "lsuv", "torch"}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("xaver", "unknown initializer 'xaver': did you mean 'xavier'? Known: zeros, "),
        ("kaimin", "unknown initializer 'kaimin': did you mean 'kaiming'? Known: zeros, "),
        ("normal", "initializer 'normal' needs its number: write normal:0.01"),
        ("constant", "initializer 'constant' needs its number: write constant:0.01"),
        ("uniform:", "initializer 'uniform' takes a finite number, got ''"),
        ("normal:much", "initializer 'normal' takes a finite number, got 'much'"),
        ("normal:-1", "initializer 'normal' takes a number >= 0, got 'normal:-1'"),
        ("uniform:1e300", "initializer 'uniform' takes a number up to 1e+30, got 'uniform:1e300'"),
        ("uniform:-0.5", "initializer 'uniform' takes a number >= 0, got 'uniform:-0.5'"),
        ("constant:inf", "initializer 'constant' takes a finite number, got 'inf'"),
        ("he:fan_avg", "initializer 'he_normal' takes fan_in or fan_out, got 'he:fan_avg'"),
        ("he:", "initializer 'he_normal' takes fan_in or fan_out, got 'he:'"),
        ("xavier:2", "initializer 'xavier' takes no parameter, got 'xavier:2'"),
        ("zeros:1", "initializer 'zeros' takes no parameter, got 'zeros:1'"),
    ],
)
def test_a_name_that_cannot_be_taken_says_why(text: str, message: str) -> None:
    with pytest.raises(UsageError) as caught:
        initialiser(text)
    assert str(caught.value).startswith(message)
    assert "\n" not in str(caught.value)
