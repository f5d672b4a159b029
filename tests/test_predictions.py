"""Theory's rows beside the measured ones: when there are any, and that they are right."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from actdiag import Recording, RunSpec, attach, diagnose, scan
from actdiag.activations import ACTIVATIONS
from actdiag.initialisers import INITIALISERS
from actdiag.predictions import predicted
from actdiag.recording import concatenate

DRAWN = [
    name
    for name in INITIALISERS
    if INITIALISERS[name].distribution not in ("constant", "lsuv") and name not in ("normal", "uniform")
]
SEEDS = range(3)


def theory(recording: Recording) -> pd.DataFrame:
    return recording.rows[recording.rows["source"] == "theory"]


def measured(recording: Recording) -> pd.DataFrame:
    return recording.rows[recording.rows["source"] == "measured"]


def of(rows: pd.DataFrame, tensor: str, column: str = "rms") -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """Return a column of a tensor of the hidden layers, by layer; a head has no theory."""
    rows = rows[(rows["tensor"] == tensor) & (rows["module"] != "head")]
    return rows.sort_values("layer")[column].to_numpy(dtype=np.float64)


def reason(recording: Recording) -> str:
    (run,) = recording.runs
    return str(recording.meta["runs"][run]["theory"])


@pytest.mark.parametrize("act", ACTIVATIONS)
def test_scans_lie_within_their_bands(act: str) -> None:
    """Over all initialisers and three seeds, 99% of layers at least."""
    inside: list[bool] = []
    for init in DRAWN:
        for seed in SEEDS:
            recording = scan(RunSpec(depth=6, width=256, act=act, init=init, batch=32, seed=seed))
            for tensor in ("activation", "preactivation_grad"):
                low, high = (of(theory(recording), tensor, f"expected_{end}") for end in ("low", "high"))
                sizes = of(measured(recording), tensor)
                if tensor != "activation" and len(sizes):
                    sizes = sizes / sizes[-1]
                known = np.isfinite(low)
                inside += [*((low <= sizes) & (sizes <= high))[known]] if known.any() else []
    assert len(inside) > 100
    assert np.mean(inside) >= 0.99


def test_rows_are_appended_and_arrays_stay_where_they_were() -> None:
    recording = scan(RunSpec(depth=3, width=32, act="relu", init="he", batch=64))
    sources = recording.rows["source"].tolist()
    assert sources == sorted(sources)  # measured, then theory
    assert recording.rows.index.tolist() == list(range(len(sources)))
    assert max(recording.histograms) < sources.count("measured")
    assert sources.count("theory") == 4 * 3
    assert (recording.rows.dtypes == measured(recording).dtypes).all()


def test_every_row_says_the_same_network_as_the_measured_one_beside_it() -> None:
    recording = scan(RunSpec(depth=3, width=32, act="maxout", init="lecun", features=20, batch=16))
    key = ["run", "step", "layer", "module", "module_type", "call", "path", "tensor", "backward"]
    size = ["samples", "units", "positions", "count", "act", "depth", "seed"]
    both = theory(recording).merge(measured(recording), on=[*key, *size], suffixes=("", "_measured"))
    assert len(both) == len(theory(recording)) == 12


def test_relu_with_he_is_predicted_in_closed_form() -> None:
    """E[relu^2] = 1 at q = 2, times the batch's own size; the mean of |z| / 2; half are zero."""
    recording = scan(RunSpec(depth=4, width=64, act="relu", init="he", batch=128))
    size = of(measured(recording), "input")[0]
    rows = theory(recording)
    np.testing.assert_allclose(of(rows, "activation"), size, rtol=1e-9)
    np.testing.assert_allclose(of(rows, "preactivation"), size * np.sqrt(2), rtol=1e-9)
    np.testing.assert_allclose(of(rows, "activation", "mean"), size / np.sqrt(np.pi), rtol=1e-9)
    np.testing.assert_allclose(of(rows, "activation", "zero_fraction"), 0.5, rtol=1e-9)
    np.testing.assert_allclose(of(rows, "preactivation_grad"), 1.0, rtol=1e-9)
    expected = np.exp(0.5 * (-5 * np.arange(1, 5) / 64 / 2 + 2.5758 * np.sqrt(5 * np.arange(1, 5) / 64)))
    np.testing.assert_allclose(of(rows, "activation", "expected_high"), size * expected, rtol=1e-4)


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ({"init": "constant:0.1"}, "constant weights"),
        ({"depth": 0}, "there is no hidden layer"),
        ({"norm": "batch", "norm_place": "after"}, "BatchNorm after the activation"),
    ],
)
def test_where_theory_is_silent_the_facts_say_why(spec: dict[str, object], words: str) -> None:
    recording = scan(RunSpec(**{"depth": 2, "width": 16, "batch": 16, **spec}))  # type: ignore[arg-type]
    assert theory(recording).empty
    assert reason(recording).startswith(words)
    told = {outcome.code: outcome.reason for outcome in diagnose(recording).skipped}
    assert told["AD401"] == reason(recording)


@pytest.mark.parametrize(
    "spec", [{"norm": "layer"}, {"dropout": 0.3}, {"residual": True}, {"init": "lsuv"}, {"width": 8}]
)
def test_where_no_band_is_known_there_is_none(spec: dict[str, object]) -> None:
    recording = scan(RunSpec(**{"depth": 2, "width": 32, "batch": 64, **spec}))  # type: ignore[arg-type]
    assert reason(recording) == ""
    assert theory(recording)["expected_low"].isna().all()
    np.testing.assert_allclose(
        of(theory(recording), "activation"), of(measured(recording), "activation"), rtol=0.25
    )


def test_rows_survive_the_disk_and_other_runs(tmp_path: Path) -> None:
    one, two = (scan(RunSpec(depth=2, width=16, batch=16, seed=seed)) for seed in (0, 1))
    both = concatenate([one, two])
    assert (both.rows["source"] == "theory").sum() == 2 * len(theory(one))
    both.save(tmp_path / "both")
    assert Recording.load(tmp_path / "both") == both


def mlp(act: type[nn.Module] = nn.ReLU, depth: int = 3, bias: bool = True) -> nn.Sequential:
    torch.manual_seed(3)
    layers = [part for _ in range(depth) for part in (nn.Linear(64, 64, bias=bias), act())]
    return nn.Sequential(*layers, nn.Linear(64, 4))


def step(model: nn.Module, inputs: torch.Tensor, **options: object) -> Recording:
    with attach(model, **options) as recorder:  # type: ignore[arg-type]
        model(inputs).square().mean().backward()
        recorder.step()
    return recorder.recording()


INPUTS = torch.randn(256, 64, generator=torch.Generator().manual_seed(4))


@pytest.mark.parametrize("bias", [True, False])
def test_a_plain_model_of_ones_own_is_predicted_from_its_weights_and_biases(bias: bool) -> None:
    """The default of torch: q' = (q / 2 + [bias]) / 3 with n Var[w] = 1 / 3 and n Var[b] = 1 / 3, n = 64."""
    recording = step(mlp(bias=bias), INPUTS)
    assert reason(recording) == ""
    q, expected = 1.0, []
    for _ in range(3):
        z = q / 3 + bias / (3 * 64)
        q = z / 2
        expected.append(np.sqrt(q))
    np.testing.assert_allclose(
        of(theory(recording), "activation"), expected, rtol=0.12
    )  # 64 biases tell their size to 10%
    low, high = (of(theory(recording), "activation", f"expected_{end}") for end in ("low", "high"))
    sizes = of(measured(recording), "activation")
    assert ((low < sizes) & (sizes < high)).all()


def test_the_bias_is_that_of_the_first_step() -> None:
    model = mlp()
    with attach(model) as recorder:
        model(INPUTS).square().mean().backward()
        recorder.step()
        before = theory(recorder.recording())
        with torch.no_grad():
            for part in model:
                if isinstance(part, nn.Linear):
                    part.bias.fill_(100.0)
        model(INPUTS).square().mean().backward()
        recorder.step()
    assert of(theory(recorder.recording()), "activation").tolist() == of(before, "activation").tolist()
    assert (theory(recorder.recording())["step"] == 0).all()


class Branch(nn.Module):
    """A residual sum."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.two, self.head = (nn.Linear(64, 64) for _ in range(3))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return (batch, 64)."""
        h = torch.relu(self.one(x))
        out: torch.Tensor = self.head(torch.relu(self.two(h)) + h)
        return out


def centred(model: nn.Sequential, mean: float) -> nn.Sequential:
    with torch.no_grad():
        model[2].weight.add_(mean)
    return model


@pytest.mark.parametrize(
    ("model", "words"),
    [
        (nn.Sequential(nn.Linear(64, 4)), "there is no hidden layer"),
        (Branch(), "theory is made for fully connected layers one after the other"),
        (nn.Sequential(nn.Linear(64, 64), nn.LayerNorm(64), nn.ReLU(), nn.Linear(64, 4)), "theory of these"),
        (nn.Sequential(nn.Linear(64, 64), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 4)), "theory of these"),
        (centred(mlp(), 0.1), "the weights of 2 have the mean 0."),
    ],
)
def test_another_model_gets_a_reason(model: nn.Module, words: str) -> None:
    recording = step(model, INPUTS)
    assert theory(recording).empty
    assert reason(recording).startswith(words)


def test_without_the_weights_mean_there_is_no_theory() -> None:
    assert "its mean was not recorded" in reason(step(mlp(), INPUTS, tensors="activations"))


def test_an_image_has_no_correlation_to_start_from() -> None:
    model = nn.Sequential(nn.Flatten(), *mlp())
    recording = step(model, INPUTS.reshape(256, 1, 8, 8))
    assert np.isnan(of(theory(recording), "activation", "std_across")).all()
    np.testing.assert_allclose(
        of(theory(recording), "activation"), of(theory(step(mlp(), INPUTS)), "activation"), rtol=1e-6
    )


def test_theory_reads_no_measured_row_but_inputs_and_weights() -> None:
    recording = step(mlp(), INPUTS)
    rows = measured(recording).copy()
    rows.loc[~rows["tensor"].isin(("input", "weight")), ["rms", "mean", "std", "correlation"]] = np.nan
    own = {name: part.bias.detach() for name, part in mlp().named_modules() if isinstance(part, nn.Linear)}
    biases = {name: (float(bias.mean()), float(bias.var(correction=0))) for name, bias in own.items()}
    blind = predicted(replace(recording, rows=rows), biases)
    left, right = (theory(each).drop(columns="run").reset_index(drop=True) for each in (blind, recording))
    pd.testing.assert_frame_equal(left, right, rtol=1e-6)


@pytest.mark.parametrize(
    ("act", "gain"), [("relu", 1e30), ("leaky_relu:1e6", 1e25), ("linear", 1e-30), ("tanh", 1e30)]
)
def test_predicted_of_weights_whose_signal_leaves_float64(act: str, gain: float) -> None:
    """A scan of them ran before theory looked at it, and still does."""
    recording = scan(RunSpec(depth=6, width=32, batch=16, act=act, init="he", gain=gain))
    assert not theory(recording).empty
    assert diagnose(recording).verdict == "does not train"
