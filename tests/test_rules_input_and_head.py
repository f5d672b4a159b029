"""AD501 and AD502: what must not fire first, then what must."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from judging import reason
from recordings import Layer, made_up
from torch import nn
from torch.nn import functional

from actdiag import RunSpec, check, scan
from actdiag.diagnosis import diagnose
from actdiag.examples import Functional, batches, softmax_twice
from actdiag.numerals import numeral
from actdiag.rules.ad501 import _median
from actdiag.rules.base import times
from actdiag.types import Diagnosis, Finding, Severity

RANDOM = np.random.default_rng(0)
NORMAL = RANDOM.normal(size=(128, 16))


def of(code: str, diagnosis: Diagnosis) -> list[Finding]:
    return [finding for finding in diagnosis.findings if finding.code == code]


def given(inputs: Any, model: nn.Module | None = None) -> list[Finding]:
    """Return what AD501 finds in a model of these inputs."""
    x = torch.as_tensor(inputs, dtype=torch.float32)
    features = x.shape[1]
    model = model or nn.Sequential(nn.Linear(features, 32), nn.ReLU(), nn.Linear(32, 10))
    return of("AD501", check(model, x, torch.arange(len(x)) % 10))


ONE_HOT = np.eye(4000)[RANDOM.integers(0, 4000, 128)]
RARE = (RANDOM.random((128, 50)) < np.geomspace(0.9, 0.01, 50)).astype(float)
IMAGE = np.clip(RANDOM.normal(0.13, 0.3, (128, 64)), 0, 1)


@pytest.mark.parametrize(
    "inputs",
    [NORMAL, ONE_HOT, RARE, IMAGE, 0.2 * IMAGE, 2.0 * NORMAL, NORMAL * np.geomspace(1, 5, 16)],
    ids=["normal", "one-hot", "rare flags", "image", "dark image", "twice", "not quite scaled"],
)
def test_input_of_ordinary_scale_is_healthy(inputs: Any) -> None:
    assert not given(inputs)


def test_input_of_ids_is_not_judged() -> None:
    model = nn.Sequential(
        nn.Embedding(1000, 8), nn.Flatten(), nn.Linear(32, 16), nn.ReLU(), nn.Linear(16, 10)
    )
    diagnosis = check(model, torch.randint(1000, (64, 4)), torch.arange(64) % 10)
    assert not of("AD501", diagnosis)
    assert "AD501" in {outcome.code for outcome in diagnosis.skipped}


class Scaled(nn.Module):
    """Scales its input itself."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Linear(16, 32), nn.ReLU(), nn.Linear(32, 10))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return (batch, 10) from (batch, 16) of 0..255."""
        scaled: torch.Tensor = self.body(x / 255.0)
        return scaled


@pytest.mark.parametrize(
    "model",
    [
        Scaled(),
        nn.Sequential(nn.BatchNorm1d(16), nn.Linear(16, 32), nn.ReLU(), nn.Linear(32, 10)),
        nn.Sequential(nn.Linear(16, 32), nn.BatchNorm1d(32), nn.ReLU(), nn.Linear(32, 10)),
    ],
    ids=["by itself", "norm before", "norm behind"],
)
def test_input_that_the_model_rescales_is_healthy(model: nn.Module) -> None:
    assert not given(255.0 * RANDOM.random((128, 16)), model)


def test_input_whose_features_a_norm_evens_out_is_healthy() -> None:
    table = NORMAL * np.geomspace(1, 1e6, 16)
    assert given(table)
    norm = nn.Sequential(nn.BatchNorm1d(16), nn.Linear(16, 32), nn.ReLU(), nn.Linear(32, 10))
    assert not given(table, norm)


def test_input_of_raw_pixels() -> None:
    (finding,) = given(255.0 * IMAGE)
    assert finding.severity is Severity.WARNING
    assert finding.evidence["measured"] == pytest.approx(
        float((np.float32(255 * IMAGE) ** 2).mean()), rel=1e-5
    )
    assert "is too large" in finding.message


def test_input_that_is_scaled_twice() -> None:
    (finding,) = given(NORMAL / 255.0)
    assert "is too small" in finding.message
    assert f"mean square is {numeral(finding.evidence['measured'])} (values" in finding.message


def test_input_that_is_small_where_it_is_not_zero() -> None:
    (finding,) = given(NORMAL / 255.0 * (RANDOM.random(NORMAL.shape) < 0.5))
    assert f"mean square is {numeral(finding.evidence['measured'])} (values" in finding.message
    assert "; zeros left out)" in finding.message


def test_input_with_one_large_feature() -> None:
    table = NORMAL.copy()
    table[:, 5] *= 40.0
    finding = next(finding for finding in given(table) if "Feature" in finding.message)
    assert f"Feature 5 of the input varies {times(finding.evidence['measured'])}" in finding.message
    variances, sizes = table.var(0), np.abs(table).max(0) ** 2
    assert finding.evidence["measured"] == pytest.approx(
        min(variances[5] / np.median(variances), sizes[5] / np.median(sizes)), rel=1e-4
    )
    ratio = finding.evidence["measured"]
    for goal in (390.0, 410.0):  # the threshold is the protocol's 400 steps
        scaled = table * np.where(np.arange(16) == 5, math.sqrt(goal / ratio), 1.0)
        assert bool([f for f in given(scaled) if "Feature" in f.message]) == (goal > 400)


def test_input_with_an_offset() -> None:
    (finding,) = given(NORMAL / 20 + 2.0)
    assert "std_across is 0.02" in finding.message
    assert not given(NORMAL / 2 + 2.0)


def test_input_of_a_scan_names_the_flag() -> None:
    spec = RunSpec(depth=2, width=32, act="relu", init="he", data="digits", standardise=False)
    (finding,) = of("AD501", diagnose(scan(spec)))
    assert finding.remedy == "Leave --no-standardise out."
    assert not of("AD501", diagnose(scan(replace(spec, standardise=True))))


class Ends(Functional):
    """Ends with an activation."""

    def __init__(self, end: Any) -> None:
        super().__init__()
        self.end = end

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return (batch, 10) from (batch, 16)."""
        out: torch.Tensor = self.end(super().forward(x))
        return out


def ends(end: Any, loss: Any = None) -> list[Finding]:
    """Return what AD502 finds in a model with this end; classes as targets, one-hot ones for mse and bce."""
    inputs, targets = batches()
    dense = loss in (functional.mse_loss, functional.binary_cross_entropy_with_logits)
    wanted = functional.one_hot(targets, 10).float() if dense else targets
    return of("AD502", check(Ends(end), inputs, wanted, loss))


@pytest.mark.parametrize(
    ("end", "loss"),
    [
        (nn.Identity(), None),
        (nn.LogSoftmax(-1), functional.nll_loss),
        (lambda x: functional.log_softmax(x, -1), functional.nll_loss),
        (nn.Sigmoid(), functional.mse_loss),
        (nn.Softmax(-1), functional.mse_loss),
        (nn.Identity(), functional.binary_cross_entropy_with_logits),
        (nn.GELU(), None),
        (lambda x: 0.0 * x + torch.rand_like(x), None),
    ],
)
def test_head_that_fits_its_loss(end: Any, loss: Any) -> None:
    assert not ends(end, loss)


def test_head_before_a_loss_that_is_not_known_is_not_judged() -> None:
    inputs, targets = batches()
    diagnosis = check(softmax_twice(), inputs, targets, lambda y, t: functional.nll_loss(y.log(), t))
    assert not of("AD502", diagnosis)
    assert "AD502" in {outcome.code for outcome in diagnosis.skipped}
    unseen = "no loss function was seen (attach sees the model alone)"
    assert reason("AD502", made_up([Layer()], own=False)) == unseen
    untold = {outcome.code: outcome.reason for outcome in check(softmax_twice(), inputs).skipped}["AD502"]
    assert untold == (
        "no targets were given, so the loss was the inner product of the output with fixed random numbers"
    )


@pytest.mark.parametrize(
    ("end", "loss", "words"),
    [
        (nn.Softmax(-1), None, "softmax before cross_entropy"),
        (lambda x: x.softmax(-1), None, "softmax before cross_entropy"),
        (nn.Sigmoid(), nn.CrossEntropyLoss(), "sigmoid before cross_entropy"),
        (torch.tanh, functional.cross_entropy, "tanh before cross_entropy"),
        (nn.ReLU(), None, "relu before cross_entropy"),
        (nn.ReLU(), functional.mse_loss, "relu before mse"),
        (torch.sigmoid, functional.binary_cross_entropy_with_logits, "sigmoid before bce_with_logits"),
        (nn.Softmax(-1), functional.nll_loss, "softmax before nll"),
    ],
)
def test_head_that_does_not(end: Any, loss: Any, words: str) -> None:
    (finding,) = ends(end, loss)
    assert finding.severity is Severity.WARNING
    assert words in finding.message


def test_head_with_log_softmax_before_cross_entropy_changes_nothing() -> None:
    (finding,) = ends(nn.LogSoftmax(-1))
    assert finding.severity is Severity.INFO


@pytest.mark.parametrize("end", [nn.Softmax(-1), nn.Tanh()])
def test_head_bounds_the_loss_as_torch_has_it(end: Any) -> None:
    """The best that an output of this range can reach: the right class at the top, others at the bottom."""
    (finding,) = ends(end)
    best = torch.full((1, 10), 0.0 if isinstance(end, nn.Softmax) else -1.0)
    best[0, 3] = 1.0
    least = functional.cross_entropy(best, torch.tensor([3])).item()
    assert f"cannot fall below {least:.2f} (by chance: {math.log(10):.2f})" in finding.message


@pytest.mark.parametrize("count", [1, 2, 5, 64, 65])
def test_the_typical_feature_is_numpys_median(count: int) -> None:
    values = np.random.default_rng(count).lognormal(size=count)
    assert _median(values) == np.median(values)
