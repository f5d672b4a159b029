"""The tool's own network: its shape, its options, lsuv."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from actdiag import RunSpec, scan
from actdiag.activations import ACTIVATIONS
from actdiag.models import Block, build

X = torch.randn(200, 20, generator=torch.Generator().manual_seed(0))


def model_of(**fields: object) -> nn.Module:
    spec = RunSpec(**{"depth": 4, "width": 30, **fields})  # type: ignore[arg-type]
    return build(spec, float("nan"), X, 5)


@pytest.mark.parametrize("act", list(ACTIVATIONS))
def test_every_activation_runs_in_every_place(act: str) -> None:
    for norm, place in [("none", "before"), ("batch", "before"), ("layer", "after")]:
        model = model_of(act=act, norm=norm, norm_place=place, dropout=0.1, residual=True)
        assert model(X).shape == (200, 5)


def test_the_order_of_a_block_is_the_one_documented() -> None:
    before = [type(part).__name__ for part in model_of(norm="batch", dropout=0.2).layer1.children()]  # type: ignore
    after = [
        type(part).__name__
        for part in model_of(norm="layer", norm_place="after", dropout=0.2).layer1.children()
    ]  # type: ignore
    assert before == ["Linear", "BatchNorm1d", "Tanh", "Dropout"]
    assert after == ["Linear", "Tanh", "LayerNorm", "Dropout"]


def test_residual_adds_the_input_where_shapes_agree() -> None:
    model = model_of(residual=True)
    first, second = model.layer1, model.layer2
    assert isinstance(second, Block)
    h = torch.randn(7, 30)
    torch.testing.assert_close(second(h), h + torch.tanh(second.linear(h)))
    torch.testing.assert_close(first(X), torch.tanh(first.linear(X)))  # type: ignore[operator]


def test_depth_zero_is_a_perceptron() -> None:
    model = model_of(depth=0)
    assert [type(part).__name__ for part in model.children()] == ["Linear"]
    assert model(X).shape == (200, 5)


def test_the_seed_is_the_only_source_of_randomness() -> None:
    torch.manual_seed(1)
    first = model_of(init="lsuv", dropout=0.5).state_dict()
    torch.manual_seed(2)
    state = torch.get_rng_state()
    second = model_of(init="lsuv", dropout=0.5).state_dict()
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(first[name], second[name]) for name in first)
    other = model_of(init="lsuv", dropout=0.5, seed=1).state_dict()
    assert not torch.equal(first["head.weight"], other["head.weight"])


@pytest.mark.parametrize("act", ["relu", "tanh", "sigmoid", "maxout", "gelu"])
@pytest.mark.parametrize("norm", ["none", "batch"])
def test_lsuv_gives_every_preactivation_unit_variance_head_included(act: str, norm: str) -> None:
    recording = scan(RunSpec(depth=6, width=64, act=act, init="lsuv", norm=norm))
    modules = recording.modules[recording.modules["kind"] == "product"]["name"]
    rows = recording.rows.query("tensor == 'preactivation' and source == 'measured'")
    variances = rows[rows["module"].isin(modules)]["std"] ** 2
    assert len(variances) == 7
    assert ((variances - 1).abs() < 0.1).all()


def test_lsuv_leaves_running_statistics_fresh() -> None:
    model = model_of(init="lsuv", norm="batch")
    assert float(model.layer1.norm.running_mean.abs().max()) == 0.0  # type: ignore[union-attr]
