"""Scans against published figures, plain autograd, and the options' promises."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from actdiag import RunSpec, diagnose, scan
from actdiag.errors import ActdiagError, UsageError
from actdiag.scanning import draws

CS231N = {"depth": 10, "width": 500, "batch": 1000}
DLFS = {"depth": 5, "width": 100, "batch": 1000}
SEEDS = 20


def profile(statistic: str, spec: RunSpec, seeds: int) -> np.ndarray:
    """Return (seeds, depth): a statistic of the activations, layer by layer."""
    rows = [
        scan(draw).rows.query("tensor == 'activation' and source == 'measured'").sort_values("layer")
        for draw in draws(spec, seeds)
    ]
    return np.stack([found[statistic].to_numpy() for found in rows])


def agrees(measured: np.ndarray, published: float, digits: float) -> bool:
    """Tell whether a published figure lies within the spread over seeds, or rounds to the mean.

    The spread is three standard deviations between seeds; `digits` is the last digit's half unit.
    """
    spread = 3.0 * measured.std(ddof=1) + digits
    return bool(abs(measured.mean() - published) <= spread)


@pytest.mark.parametrize(
    ("act", "init", "statistic", "published"),
    [
        ("tanh", "normal:0.01", "std", {1: 0.2135, 2: 0.0476, 3: 0.01064, 10: 2.98e-7}),
        ("tanh", "normal:1", "std", dict.fromkeys(range(1, 11), 0.982)),
        (
            "tanh",
            "xavier_slide",
            "std",
            dict(
                enumerate((0.6277, 0.4862, 0.4082, 0.3575, 0.3211, 0.2940, 0.2728, 0.2552, 0.2404, 0.2281), 1)
            ),
        ),
        ("relu", "xavier_slide", "mean", {1: 0.399, 10: 0.0177}),
        ("relu", "xavier_slide", "std", {1: 0.584, 10: 0.0259}),
        ("relu", "he", "mean", {1: 0.5645, 10: 0.551}),
        ("relu", "he", "std", {1: 0.8267, 10: 0.815}),
    ],
)
def test_cs231n_ten_layers_of_500(act: str, init: str, statistic: str, published: dict[int, float]) -> None:
    measured = profile(statistic, RunSpec(act=act, init=init, **CS231N), 6)
    for layer, value in published.items():
        column = measured[:, layer - 1]
        assert agrees(column, value, 0.001 * value), (layer, column.mean(), column.std(), value)


def test_cs231n_share_of_tanh_beyond_097() -> None:
    """Published .925 for tanh with N(0, 1); one linear bin a side is beyond .984, two are beyond .969."""
    recording = scan(RunSpec(act="tanh", init="normal:1", **CS231N))
    for row in recording.rows.query("tensor == 'activation' and source == 'measured'").index:
        counts = recording.linear[row]
        outer, inner = counts[:2].sum() + counts[-2:].sum(), counts[:1].sum() + counts[-1:].sum()
        assert inner / counts.sum() <= 0.925 <= outer / counts.sum() + 0.002


@pytest.mark.parametrize(
    ("act", "init", "published"),
    [
        ("sigmoid", "normal:1", {1: 0.4588, 2: 0.438}),
        ("sigmoid", "normal:0.01", {1: 0.0249, 2: 0.0127}),
        ("sigmoid", "xavier_slide", dict(enumerate((0.2079, 0.1226, 0.1207, 0.1189, 0.1199), 1))),
        ("relu", "normal:0.01", {1: 0.0585, 5: 1.4e-6}),
        ("relu", "xavier_slide", {1: 0.584, 5: 0.150}),
        ("relu", "he", {1: 0.824, 5: 0.826}),
    ],
)
def test_dlfs_five_layers_of_100(act: str, init: str, published: dict[int, float]) -> None:
    measured = profile("std", RunSpec(act=act, init=init, **DLFS), SEEDS)
    for layer, value in published.items():
        column = measured[:, layer - 1]
        assert agrees(column, value, 0.005 * value), (layer, column.mean(), column.std(), value)


def test_measured_rows_are_those_of_the_same_network_in_plain_torch() -> None:
    from actdiag.data import load_batch
    from actdiag.models import build

    spec = RunSpec(depth=3, width=20, batch=50, act="gelu", init="he", residual=True)
    batch = load_batch(spec)
    model = build(spec, 2**0.5, batch.inputs.float(), batch.classes)
    h, tensors = batch.inputs.float(), []
    for block in (model.layer1, model.layer2, model.layer3):
        z = block.linear(h)  # type: ignore[union-attr, operator]
        a = torch.nn.functional.gelu(z)
        tensors += [z, a]
        h = h + a
    loss = torch.nn.functional.cross_entropy(model.head(h), batch.targets)
    gradients = torch.autograd.grad(loss, tensors)
    rows = scan(spec).measured
    names = [f"layer{layer}.{part}" for layer in (1, 2, 3) for part in ("linear", "act")]
    for name, value, gradient in zip(names, tensors, gradients, strict=True):
        forward, backward = rows[rows["module"] == name].query("not tensor.str.startswith('weight')")["rms"]
        assert forward == pytest.approx(float(value.detach().double().square().mean().sqrt()), rel=1e-6)
        assert backward == pytest.approx(float(gradient.double().square().mean().sqrt()), rel=1e-5)


def test_a_scan_is_repeatable_and_leaves_the_random_state() -> None:
    spec = RunSpec(depth=3, width=16, batch=32, dropout=0.4, norm="batch")
    torch.manual_seed(5)
    before = torch.get_rng_state()
    first = scan(spec)
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(6)
    assert scan(spec) == first


def test_draws_differ_in_their_seed_alone() -> None:
    specs = list(draws(RunSpec(seed=3), 3))
    assert [spec.seed for spec in specs] == [3, 4, 5]
    assert len({spec.slug for spec in specs}) == 3


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float64"])
def test_every_dtype_agrees(dtype: str) -> None:
    """The same network in another number format: rms within bfloat16's 8 bits."""
    exact, other = (scan(RunSpec(depth=3, width=64, dtype=kind)).rows for kind in ("float64", dtype))
    keep = exact["tensor"].isin(["activation", "preactivation", "activation_grad"])
    np.testing.assert_allclose(other["rms"][keep], exact["rms"][keep], rtol=0.02)


@pytest.mark.parametrize("loss", ["cross_entropy", "mse", "hinge"])
def test_every_loss_reaches_every_layer(loss: str) -> None:
    recording = scan(RunSpec(depth=3, width=16, batch=32, loss=loss))
    assert (recording.rows.query("tensor == 'preactivation_grad'")["rms"] > 0).all()
    assert recording.meta["runs"][recording.runs[0]]["loss"]["kind"] == loss


def test_the_gain_in_use_is_recorded() -> None:
    gains = [
        scan(RunSpec(depth=1, width=4, gain=gain)).rows["gain"][0] for gain in (None, "torch", "exact", 0.7)
    ]
    assert gains == pytest.approx([1.0, 5 / 3, 1.59254, 0.7], abs=1e-5)
    assert np.isnan(scan(RunSpec(depth=1, width=4, init="zeros")).rows["gain"][0])


@pytest.mark.skipif(torch.cuda.is_available(), reason="CUDA is here")
def test_a_missing_device_is_one_line() -> None:
    with pytest.raises(
        ActdiagError, match=r"--device cuda: torch sees no cuda device here\. Use --device cpu or auto"
    ):
        scan(RunSpec(device="cuda"))
    assert scan(RunSpec(depth=1, width=4, device="auto")).rows["device"][0] in ("cpu", "mps")


@pytest.mark.parametrize(
    ("act", "init", "verdict"),
    [
        ("sigmoid", "xavier", "does not train"),
        ("tanh", "xavier", "healthy"),
        ("relu", "xavier", "trains worse than it could"),
        ("relu", "he", "healthy"),
        ("relu", "zeros", "does not train"),
        ("selu", "lecun_normal", "healthy"),
    ],
)
def test_verdicts_on_digits(act: str, init: str, verdict: str) -> None:
    assert diagnose(scan(RunSpec(data="digits", act=act, init=init))).verdict == verdict


def test_draws_that_no_memory_holds_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("actdiag.memory.free_memory", lambda: 10**10)
    with pytest.raises(UsageError, match=r"^a scan of 1000000000 draws needs about \d+ TB of memory"):
        draws(RunSpec(), 10**9)
    with pytest.raises(UsageError, match=r"^seed is a whole number <= 2147483647, got 2147483649$"):
        draws(RunSpec(seed=2**31 - 1), 3)
