"""Singular values by products with vectors, against the whole Jacobian by autograd, and published figures."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import asdict, replace
from typing import Any

import numpy as np
import pytest
import torch
from judging import found, judged, reason, silent
from recordings import ISOMETRY, Layer, made_up
from torch import nn
from torch.nn import functional

import actdiag
from actdiag import RunSpec, examples
from actdiag.diagnosis import diagnose
from actdiag.errors import ActdiagError, UsageError
from actdiag.jacobians import Operator, jacobian_of, mean_square, singular_values
from actdiag.recording import Recording
from actdiag.rules.base import Run
from actdiag.types import Severity


def dense(matrix: torch.Tensor) -> Operator:
    return Operator(*matrix.shape, lambda v: matrix @ v, lambda u: matrix.T @ u)


def random(rows: int, columns: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(rows, columns, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


MATRICES: dict[str, torch.Tensor] = {
    "square": random(12, 12),
    "wide": random(5, 40),
    "tall": random(40, 5),
    "one": random(1, 1),
    "orthogonal": torch.linalg.qr(random(10, 10))[0],
    "low rank": random(20, 3) @ random(3, 20, 1),
    "repeated": torch.diag(torch.tensor([3.0, 3.0, 3.0, 1.0, 1.0, 0.0]).double()),
    "zero": torch.zeros(4, 6).double(),
    "wide range": torch.linalg.qr(random(15, 15))[0] @ torch.diag(10.0 ** -torch.arange(15.0) / 3).double(),
    "tiny": 1e-30 * random(6, 6),
}


@pytest.mark.parametrize("name", MATRICES)
def test_all_singular_values_are_found(name: str) -> None:
    matrix = MATRICES[name]
    expected = np.linalg.svd(matrix.numpy(), compute_uv=False)
    values = singular_values(dense(matrix), 1000)
    np.testing.assert_allclose(values.numpy(), expected, atol=2e-7 * expected.max(), rtol=1e-9)


def test_of_many_the_largest_is_found_in_few_steps() -> None:
    matrix = random(300, 200)
    expected = np.linalg.svd(matrix.numpy(), compute_uv=False)
    values = singular_values(dense(matrix), 60)
    assert len(values) == 60
    assert float(values[0]) == pytest.approx(expected[0], rel=1e-6)
    assert float(values[-1]) >= expected[-1]


def test_the_mean_square_is_estimated_without_bias() -> None:
    matrix = random(100, 60)
    exact = float(matrix.square().sum()) / 60
    # Var[||A v||^2] over signs is 2 (||A^T A||_F^2 - sum of its diagonal squared)
    gram = matrix.T @ matrix
    spread = math.sqrt(2.0 * float(gram.square().sum() - gram.diagonal().square().sum()) / 400) / 60
    assert mean_square(dense(matrix), 400) == pytest.approx(exact, abs=4 * spread)
    assert spread < 0.02 * exact


class Net(nn.Module):
    """Four hidden layers, the activations as functions, one of them in place."""

    def __init__(self, act: Callable[[torch.Tensor], torch.Tensor], norm: bool = False) -> None:
        super().__init__()
        sizes = (7, 12, 12, 9)
        self.layers = nn.ModuleList(nn.Linear(a, b) for a, b in zip((5, *sizes[:-1]), sizes, strict=True))
        self.norm = nn.BatchNorm1d(12) if norm else None
        self.head, self.act = nn.Linear(9, 3), act

    def tail(self, z: torch.Tensor) -> torch.Tensor:
        """Return the last hidden layer's preactivation from the first one's."""
        for place, layer in enumerate(self.layers):
            if place:
                z = layer(self.act(self.norm(z) if self.norm is not None and place == 2 else z))
        return z

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return (batch, 3) from (batch, 5)."""
        return self.head(self.act(self.tail(self.layers[0](x))))  # type: ignore[no-any-return]


@pytest.mark.parametrize("act", [torch.tanh, functional.gelu, functional.relu, torch.relu_])
@pytest.mark.parametrize("norm", [False, True])
def test_a_models_jacobian_is_the_one_of_autograd(act: Callable[..., Any], norm: bool) -> None:
    torch.manual_seed(0)
    model, x = Net(act, norm).double(), torch.randn(6, 5, dtype=torch.float64)
    measured = actdiag.jacobian(model, x, samples=3)
    pure = {torch.relu_: functional.relu}.get(act, act)
    model.act = pure
    z = model.layers[0](x).detach()
    whole = torch.autograd.functional.jacobian(model.tail, z)  # (6, 9, 6, 7)
    values = torch.stack([torch.linalg.svdvals(whole[i, :, i, :]) for i in range(3)])
    assert measured.complete
    assert (measured.first, measured.last, measured.layers) == ("layers.0", "layers.3", 3)
    assert measured.largest == pytest.approx(float(values[:, 0].median()), rel=1e-6)
    assert measured.smallest == pytest.approx(float(values[:, -1].median()), rel=1e-6, abs=1e-7)
    assert measured.mean_square == pytest.approx(float(values.square().mean(1).median()), rel=1e-6)
    share = (values[:, 0].square() / values.square().sum(1)).median()
    assert measured.top_share == pytest.approx(float(share), rel=1e-6)
    assert measured.per_layer == pytest.approx(measured.mean_square ** (1 / 3))


def test_positions_belong_to_a_sample() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv1d(2, 3, 3), nn.Tanh(), nn.Conv1d(3, 4, 2), nn.Tanh(), nn.Flatten(), nn.Linear(20, 2)
    )
    x = torch.randn(3, 2, 8)
    measured = actdiag.jacobian(model, x, samples=1)
    whole = torch.autograd.functional.jacobian(lambda z: model[2](model[1](z)), model[0](x[:1]).detach())
    values = torch.linalg.svdvals(whole.reshape(20, 18))
    assert measured.largest == pytest.approx(float(values[0]), rel=1e-5)
    assert measured.mean_square == pytest.approx(float(values.square().mean()), rel=1e-5)


@pytest.mark.parametrize(
    ("uniform", "scale", "published"),
    [("standard", 1.0, 0.479), ("normalised", 1.0, 0.717), ("normalised", 0.25, 0.816)],
)
def test_mean_singular_values_of_glorot_and_bengio(uniform: str, scale: float, published: float) -> None:
    """Section 4.2.1: around 0.8 with the normalised initialisation, 0.5 with the standard one.

    Their Jacobian of a layer is that of its activations by the activations before. Compared with what numpy
    gives at width 1000, 5 layers, inputs of this standard deviation; here the width is 200.
    """
    width, generator = 200, torch.Generator().manual_seed(0)
    bound = width**-0.5 if uniform == "standard" else (6.0 / (2.0 * width)) ** 0.5
    h, means = scale * torch.randn(1, width, generator=generator), []
    for layer in range(5):
        at = h.detach().requires_grad_()
        weight = torch.empty(width, width).uniform_(-bound, bound, generator=generator)
        h = torch.tanh(at @ weight.T)
        if layer:
            means.append(float(singular_values(jacobian_of(h, at, 0), width).mean()))
    assert np.mean(means) == pytest.approx(published, rel=0.05)  # one draw


def test_orthogonal_linear_layers_are_an_isometry() -> None:
    """Saxe et al. 2014: all singular values are 1; Gaussian ones spread with depth, mean square 1."""
    spec = RunSpec(depth=8, width=32, act="linear", init="orthogonal", batch=16)
    exact = numbers(actdiag.scan(spec, jacobian=True))
    for name in ("largest", "smallest", "mean_square"):
        assert exact[name] == pytest.approx(1.0, abs=1e-5)
    gaussian = numbers(actdiag.scan(replace(spec, init="lecun_normal"), jacobian=True))
    assert gaussian["largest"] > 2.0
    assert gaussian["smallest"] < 1e-3


def numbers(recording: Recording) -> dict[str, Any]:
    (run,) = recording.runs
    facts: dict[str, Any] = recording.meta["runs"][run]["jacobian"]
    return facts


def test_the_mean_square_is_half_per_layer_for_relu_after_xavier() -> None:
    """Chi = sigma_w^2 / 2 for ReLU whatever the signal (He et al. 2015; Pennington et al. 2017)."""
    spec = RunSpec(depth=9, width=64, act="relu", init="xavier", batch=8)
    scanned = [actdiag.scan(replace(spec, seed=seed), jacobian=True) for seed in range(20)]
    logs = [math.log(numbers(each)["mean_square"]) / 8 for each in scanned]
    # E[mean_square] = 2^-8; the log's mean lies below by half its variance, about 5/64 per layer
    assert np.mean(logs) == pytest.approx(math.log(0.5), abs=0.1)


def test_asking_changes_nothing_else(tmp_path: Any) -> None:
    spec = RunSpec(depth=4, width=16, batch=16, dropout=0.2, norm="batch")
    state = torch.get_rng_state()
    plain, asked = actdiag.scan(spec), actdiag.scan(spec, jacobian=True)
    assert torch.equal(torch.get_rng_state(), state)
    assert plain.rows.equals(asked.rows)
    (run,) = asked.runs
    facts = dict(asked.meta["runs"][run])
    assert facts.pop("jacobian")["layers"] == 3
    assert facts.pop("command") == plain.meta["runs"][run]["command"] + " --jacobian"
    assert facts == {key: value for key, value in plain.meta["runs"][run].items() if key != "command"}
    assert Recording.load(asked.save(tmp_path / "saved")) == asked


def test_a_model_stays_as_it_was_and_check_takes_the_switch() -> None:
    model, (inputs, targets) = examples.vanishing(), examples.batches()
    old = {name: value.clone() for name, value in model.state_dict().items()}
    without = actdiag.check(model, inputs, targets)
    assert "no Jacobian was measured" in {o.code: o.reason for o in without.skipped}["AD402"]
    diagnosis = actdiag.check(model, inputs, targets, jacobian=True)
    assert "AD402" in {finding.code for finding in diagnosis.findings}
    actdiag.jacobian(model, inputs)
    assert all(torch.equal(value, old[name]) for name, value in model.state_dict().items())
    assert all(each.grad is None for each in model.parameters())
    assert not any(module._forward_hooks for module in model.modules())


def test_what_has_no_jacobian_is_told() -> None:
    inputs = torch.randn(8, 5)
    with pytest.raises(UsageError, match=r"jacobian takes a torch\.nn\.Module, got one of type int"):
        actdiag.jacobian(3, inputs)  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="samples is a whole number >= 1, got 0"):
        actdiag.jacobian(nn.Linear(5, 3), inputs, samples=0)
    with pytest.raises(ActdiagError, match="needs two hidden layers on one chain"):
        actdiag.jacobian(nn.Linear(5, 3), inputs)

    class Once(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, z: torch.Tensor) -> torch.Tensor:
            return z.clone()

        @staticmethod
        @torch.autograd.function.once_differentiable
        def backward(ctx: Any, slope: torch.Tensor) -> torch.Tensor:
            return slope

    model = Net(lambda z: torch.relu(Once.apply(z)))
    recording_reason = {o.code: o.reason for o in actdiag.check(model, inputs, jacobian=True).skipped}
    assert recording_reason["AD402"].startswith("no Jacobian between 'layers.0' and 'layers.3': RuntimeError")


def with_numbers(**changes: float) -> Recording:
    recording = made_up([Layer()] * 4, act="tanh")
    (run,) = recording.runs
    facts = {**recording.meta["runs"][run], "jacobian": {**ISOMETRY, **changes}}
    return replace(recording, meta={**recording.meta, "runs": {run: facts}})


@pytest.mark.parametrize("changes", [{}, {"mean_square": 0.0101}, {"mean_square": 99.0}, {"top_share": 0.5}])
def test_ad402_is_silent_near_an_isometry(changes: dict[str, float]) -> None:
    silent("AD402", with_numbers(**changes))


@pytest.mark.parametrize(
    ("changes", "severity", "words"),
    [
        ({"mean_square": 1e-6}, Severity.WARNING, "shrinks 1000 times from the first hidden layer to the "
         "last: the mean squared singular value is 0.01 per layer."),
        ({"mean_square": 1e6}, Severity.WARNING, "grows 1000 times from the first hidden layer to the "
         "last: the mean squared singular value is 100 per layer."),
        ({"mean_square": 0.0}, Severity.WARNING, "is lost from the first hidden layer to the last"),
        ({"top_share": 0.75}, Severity.INFO, "One direction has 75.0% of the Jacobian's sum of squares"),
    ],
)  # fmt: skip
def test_ad402_says_what_is_wrong(changes: dict[str, float], severity: Severity, words: str) -> None:
    finding = found("AD402", with_numbers(**changes))
    assert finding.severity is severity
    assert words in finding.message
    assert finding.evidence["largest"] == 1.2


def test_ad402_takes_thresholds_and_says_why_it_cannot_judge() -> None:
    assert judged("AD402", with_numbers(top_share=0.3), "AD402.share=0.2").findings
    assert reason("AD402", with_numbers(reason="no way")) == "no way"  # type: ignore[arg-type]
    scanned = diagnose(actdiag.scan(RunSpec(depth=3, width=16, batch=16)))
    assert "ask for it by actdiag scan --jacobian" in {o.code: o.reason for o in scanned.skipped}["AD402"]


def test_the_numbers_kept_are_those_of_the_run() -> None:
    recording = actdiag.scan(RunSpec(depth=3, width=16, batch=16), jacobian=True)
    assert set(numbers(recording)) == set(asdict(actdiag.jacobian(*_plain())))
    assert Run.of(recording, recording.runs[0]).facts["jacobian"]["samples"] == 4


def _plain() -> tuple[nn.Module, torch.Tensor]:
    return examples.healthy(), examples.batches()[0]


def test_a_batch_without_a_sample_has_no_jacobian() -> None:
    model = nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 8), nn.Tanh(), nn.Linear(8, 2))
    inputs, targets = torch.zeros(0, 4), torch.zeros(0, 2)
    with pytest.raises(UsageError, match=r"^the batch holds no samples: its inputs are a tensor of"):
        actdiag.check(model, inputs, targets, jacobian=True)


@pytest.mark.parametrize("numbers", [{}, [], "much", {**ISOMETRY, "mean_square": "x"}, {"top_share": 1.0}])
def test_damaged_numbers_are_not_judged(numbers: Any) -> None:
    recording = made_up([Layer(), Layer()])
    (run,) = recording.runs
    facts = {**recording.meta["runs"][run], "jacobian": numbers}
    damaged = replace(recording, meta={**recording.meta, "runs": {run: facts}})
    assert "are damaged" in reason("AD402", damaged)


def test_signals_that_are_not_finite_have_no_jacobian() -> None:
    """The derivative of a ReLU at NaN is 0 or 1, and would hide it."""
    model = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 2))
    with pytest.raises(ActdiagError, match="not finite"):
        actdiag.jacobian(model, torch.full((3, 4), math.nan))


def test_where_no_gradient_passes_there_is_no_jacobian() -> None:
    recording = actdiag.scan(RunSpec(depth=3, width=16, batch=16, act="step"), jacobian=True)
    skipped = {outcome.code: outcome.reason for outcome in actdiag.diagnose(recording).skipped}
    assert "no gradient passes from 'layer3.linear' back to 'layer1.linear'" in skipped["AD402"]
