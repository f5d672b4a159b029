"""What recipes read off recordings and train, against numpy and torch."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from actdiag.data import load_batch
from actdiag.models import build
from actdiag.recipes.measuring import each, mean_field, outer_share, ratios, scans
from actdiag.recipes.training import CHANCE, Training, train
from actdiag.types import RunSpec


def activations(spec: RunSpec, gain: float) -> list[np.ndarray[tuple[int, int], np.dtype[np.float32]]]:
    """Return what each hidden layer passes on, computed by plain torch."""
    batch = load_batch(spec)
    model, h, found = build(spec, gain, batch.inputs, batch.classes), batch.inputs, []
    with torch.no_grad():
        for block in list(model.children())[:-1]:
            h = block(h)
            found.append(h.numpy())
    return found


def test_each_reads_one_number_of_each_draw() -> None:
    spec = RunSpec(depth=3, width=20, batch=64, init="lecun_normal", seed=5)
    recordings = scans(spec, 2)
    plain = [activations(RunSpec(**{**vars(spec), "seed": seed}), 1.0)[1].std() for seed in (5, 6)]
    assert each(recordings, "activation", "std", 2) == pytest.approx(plain, rel=1e-5)


@pytest.mark.parametrize("edge", [2 / 128, 1 / 8])
def test_the_outer_share_counts_what_lies_near_the_ends(edge: float) -> None:
    spec = RunSpec(depth=2, width=30, batch=200, act="sigmoid", init="normal:1")
    values = activations(spec, math.nan)[1]
    plain = np.mean((values < edge) | (values >= 1.0 - edge))
    assert 0.1 < plain < 0.9
    assert outer_share(scans(spec, 1)[0], 2, edge) == pytest.approx(plain, abs=1e-3)


def test_theory_of_a_relu_is_a_half_in_each_layer() -> None:
    spec = RunSpec(depth=4, width=50, act="relu", init="lecun_normal")
    rms = [layer.activation.rms for layer in mean_field(spec)]
    assert rms == pytest.approx([2.0 ** (-layer / 2.0) for layer in (1, 2, 3, 4)])
    doubled = mean_field(RunSpec(depth=4, width=50, act="relu", init="lecun_normal", gain=2.0))
    assert [layer.activation.rms for layer in doubled] == pytest.approx([2.0**0.5, 2.0, 2.0**1.5, 4.0])


def test_theory_of_a_first_layer_knows_the_features() -> None:
    first = mean_field(RunSpec(depth=1, width=50, features=100, act="relu", init="normal:0.1"))[0]
    assert first.preactivation.rms == pytest.approx(1.0)


def test_ratios_say_where_there_is_none() -> None:
    found = ratios([6.0, 1.0, 0.0], [3.0, 0.0, 0.0])
    assert found[:2] == [2.0, math.inf]
    assert math.isnan(found[2])


def test_a_healthy_network_learns_the_digits_and_the_same_way_twice() -> None:
    spec = RunSpec(depth=1, width=32, act="relu", init="he_normal")
    first, second = train(spec, 150), train(spec, 150)
    assert first.losses.tolist() == second.losses.tolist()
    assert first.accuracy > 0.8
    assert first.held_out > 0.7
    assert train(RunSpec(**{**vars(spec), "seed": 1}), 150).losses[0] != first.losses[0]


def test_the_first_loss_is_that_of_the_start() -> None:
    run = train(RunSpec(depth=1, width=8, act="tanh", init="zeros"), 1)
    assert run.losses.tolist() == pytest.approx([math.log(10.0)])


def test_a_run_that_leaves_the_numbers_counts_as_chance() -> None:
    run = train(RunSpec(depth=12, width=16, act="relu", init="normal:30"), 30)
    assert np.isnan(run.losses[-1])
    assert (run.accuracy, run.held_out) == (CHANCE, CHANCE)


def test_the_steps_to_a_loss_are_counted_to_the_end_of_the_window() -> None:
    losses = np.concatenate([np.full(30, 2.3), np.full(30, 1.0)])
    # the mean of ten steps is below 2 once three of them are 1.0: (7 x 2.3 + 3) / 10 = 1.91
    assert Training(losses, 0.0, 0.0).steps_to(2.0) == 33
    assert Training(losses, 0.0, 0.0).steps_to(0.5) == 60
    assert Training(np.full(60, np.nan), 0.0, 0.0).steps_to(2.0) == 60
