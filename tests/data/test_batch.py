"""Gaussian and digits, and the draw that all real data share."""

from __future__ import annotations

import sys

import numpy as np
import pytest
import torch
from scipy import stats
from sklearn.datasets import load_digits
from sklearn.preprocessing import StandardScaler

from actdiag.data import load_batch
from actdiag.data.batch import column_moments, draw_batch
from actdiag.errors import ActdiagError, UsageError
from actdiag.types import RunSpec


def sorted_rows(rows: np.ndarray) -> np.ndarray:
    return rows[np.lexsort(rows.T[::-1])]


def test_gaussian_is_standard_normal_with_uniform_labels() -> None:
    batch = load_batch(RunSpec(width=50, batch=4000))
    assert stats.kstest(batch.inputs.double().numpy().ravel()[:20000], "norm").pvalue > 1e-3
    correlation = np.corrcoef(batch.inputs.numpy().T) - np.eye(50)
    assert np.abs(correlation).max() < 6 / np.sqrt(4000)
    counts = np.bincount(batch.targets.numpy(), minlength=10)
    assert counts.shape == (10,)
    assert stats.chisquare(counts).pvalue > 1e-3


def test_gaussian_takes_features_and_classes() -> None:
    batch = load_batch(RunSpec(width=50, batch=200, features=7, classes=3))
    assert batch.inputs.shape == (200, 7)
    assert batch.inputs.dtype == torch.float32
    assert batch.targets.dtype == torch.int64
    assert (batch.classes, set(batch.targets.tolist()), batch.note) == (3, {0, 1, 2}, "")
    unstandardised = load_batch(RunSpec(width=50, batch=200, features=7, classes=3, standardise=False))
    assert torch.equal(unstandardised.inputs, batch.inputs)


@pytest.mark.parametrize("data", ["gaussian", "digits"])
def test_same_seed_same_batch(data: str) -> None:
    first, again, other = (load_batch(RunSpec(data=data, batch=64, seed=seed)) for seed in (5, 5, 6))
    assert torch.equal(first.inputs, again.inputs)
    assert torch.equal(first.targets, again.targets)
    assert not torch.equal(first.inputs, other.inputs)


@pytest.mark.parametrize("seed", [0, 1, 2**31 - 1])
def test_data_do_not_repeat_the_stream_of_the_weights(seed: int) -> None:
    drawn = load_batch(RunSpec(width=100, batch=100, seed=seed)).inputs.ravel()
    weights = torch.randn(100, 100, generator=torch.Generator().manual_seed(seed)).ravel()
    assert abs(float(torch.corrcoef(torch.stack([drawn, weights]))[0, 1])) < 0.05


def test_drawing_leaves_the_global_stream_alone() -> None:
    before = torch.get_rng_state()
    load_batch(RunSpec(width=10, batch=10))
    load_batch(RunSpec(data="digits", batch=10))
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("standardise", [True, False])
def test_digits_are_scikit_learns(standardise: bool) -> None:
    batch = load_batch(RunSpec(data="digits", batch=1797, standardise=standardise, dtype="float64"))
    inputs, targets = load_digits(return_X_y=True)
    expected = StandardScaler().fit_transform(inputs) if standardise else inputs
    together = np.column_stack([batch.inputs.numpy(), batch.targets.numpy()])
    # Rounding before sorting keeps ties in one order on both sides.
    wanted = sorted_rows(np.column_stack([expected, targets]).round(9) + 0.0)
    np.testing.assert_allclose(sorted_rows(together.round(9) + 0.0), wanted, atol=1e-8)
    assert batch.classes == 10
    assert batch.note == ""


def test_statistics_are_of_the_whole_set_not_of_the_batch() -> None:
    small = load_batch(RunSpec(data="digits", batch=40, dtype="float64"))
    scaled = StandardScaler().fit_transform(load_digits(return_X_y=True)[0])
    whole = {tuple(row) for row in scaled.round(6) + 0.0}
    rows = {tuple(row) for row in small.inputs.numpy().round(6) + 0.0}
    assert rows <= whole
    assert len(rows) == 40, "samples are drawn without replacement"


def test_spec_dtype_decides_the_precision() -> None:
    dtypes = [
        load_batch(RunSpec(data="digits", batch=4, dtype=name)).inputs.dtype
        for name in ("float32", "float64")
    ]
    assert dtypes == [torch.float32, torch.float64]


def test_batch_beyond_the_data_says_so() -> None:
    batch = load_batch(RunSpec(data="digits", batch=4096))
    assert batch.inputs.shape == (1797, 64)
    assert batch.note == "digits has 1797 samples: batch is 1797, not 4096"


def test_digits_refuse_features_and_too_few_classes() -> None:
    with pytest.raises(
        UsageError, match="features come from the data 'digits', got 64: leave --features out"
    ):
        load_batch(RunSpec(data="digits", features=64))
    with pytest.raises(
        UsageError, match="'digits' holds classes 0 to 9, got classes 9: give at least 10 or leave"
    ):
        load_batch(RunSpec(data="digits", classes=9))
    assert load_batch(RunSpec(data="digits", classes=12)).classes == 12


def test_digits_without_scikit_learn_name_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sklearn.datasets", None)
    with pytest.raises(ActdiagError, match=r"needs scikit-learn: pip install 'actdiag\[data\]'"):
        load_batch(RunSpec(data="digits"))


def test_constant_columns_become_zero_also_when_their_mean_is_rounded() -> None:
    column = torch.full((1797, 1), 0.1, dtype=torch.float64)
    column = torch.cat([column, torch.arange(1797.0, dtype=torch.float64)[:, None]], dim=1)
    drawn = draw_batch(RunSpec(batch=1797), column, torch.zeros(1797, dtype=torch.int64)).inputs
    assert drawn[:, 0].abs().max() == 0
    assert float(drawn[:, 1].double().std(correction=0)) == pytest.approx(1.0, rel=1e-6)


@pytest.mark.parametrize("samples", [1, 2, 4096, 4097, 10000])
@pytest.mark.parametrize("offset", [0.0, 1e6])
def test_moments_are_numpys(samples: int, offset: float) -> None:
    rows = np.random.default_rng(samples).normal(offset, 1.0, (samples, 3))
    centre, scale = column_moments(torch.from_numpy(rows))
    np.testing.assert_allclose(centre.numpy(), rows.mean(axis=0), rtol=1e-12)
    expected = rows.std(axis=0) if samples > 1 else np.full(3, np.inf)
    np.testing.assert_allclose(scale.numpy(), expected, rtol=1e-9)


def test_moments_of_bytes_do_not_wrap() -> None:
    rows = np.random.default_rng(0).integers(200, 256, (500, 3), dtype=np.uint8)
    centre, scale = column_moments(torch.from_numpy(rows))
    np.testing.assert_allclose(centre.numpy(), rows.mean(axis=0, dtype=np.float64))
    np.testing.assert_allclose(scale.numpy(), rows.std(axis=0, dtype=np.float64))


@pytest.mark.parametrize(
    ("value", "shown"), [(float("nan"), "nan"), (-float("inf"), "inf"), (-1e300, "1e\\+300")]
)
def test_inputs_beyond_float32_are_refused(value: float, shown: str) -> None:
    inputs = torch.tensor([[1.0], [value]], dtype=torch.float64)
    with pytest.raises(
        ActdiagError,
        match=rf"'gaussian' must be finite numbers .* got -?{shown} in sample 1, feature 0, from 0: clean",
    ):
        draw_batch(RunSpec(batch=1), inputs, torch.tensor([0, 1]))


def test_a_number_that_is_no_class_is_refused_unless_meant() -> None:
    inputs, targets = torch.eye(2), torch.tensor([0, 10**9])
    with pytest.raises(ActdiagError, match="class numbers from 0, got 1000000000 among 2 samples"):
        draw_batch(RunSpec(), inputs, targets)
    assert draw_batch(RunSpec(classes=10**9 + 1), inputs, targets).classes == 10**9 + 1
    assert draw_batch(RunSpec(), inputs, torch.tensor([0, 999])).classes == 1000
