"""The short training runs, against numpy; and when they count as better."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import nn

from actdiag.batches import ModelBatch
from actdiag.remedying.training import RATES, Curve, Pool, accuracy, best, train
from actdiag.remedying.trial import improves


def regression(samples: int) -> tuple[nn.Linear, Pool, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(3)
    inputs = torch.randn(samples, 4, dtype=torch.float64, generator=generator)
    targets = inputs.sum(1, keepdim=True) + 1.0
    model = nn.Linear(4, 1, dtype=torch.float64)
    with torch.no_grad():
        model.weight.fill_(0.5)
        model.bias.zero_()
    return model, Pool((ModelBatch.of(inputs, targets),)), inputs, targets


@pytest.mark.parametrize("rate", [0.01, 0.1])
def test_training_is_plain_gradient_descent(rate: float) -> None:
    model, pool, inputs, targets = regression(100)  # below 128: taken whole
    curve = train(model, pool, None, 20, 0, rate)
    x = np.hstack([inputs.numpy(), np.ones((100, 1))])
    y, w, losses = targets.numpy(), np.array([[0.5]] * 4 + [[0.0]]), []
    for _ in range(20):
        error = x @ w - y
        losses.append(float(np.mean(error**2)))
        w = w - rate * 2.0 * x.T @ error / 100
    np.testing.assert_allclose(curve.losses, losses, rtol=1e-10)
    np.testing.assert_allclose(model.weight.detach().numpy()[0], w[:4, 0], rtol=1e-10)
    assert curve.loss == pytest.approx((losses[-1] + losses[-2]) / 2)
    assert (curve.rate, curve.seed, len(curve.accuracies)) == (rate, 0, 20)
    assert math.isnan(curve.accuracy)


def test_the_best_rate_counts_and_the_model_stays() -> None:
    model, pool, _, _ = regression(100)
    old = model.weight.detach().clone()
    single = {rate: train(regression(100)[0], pool, None, 30, 0, rate).loss for rate in RATES}
    curve = best(model, pool, None, 30, 0)
    assert (curve.rate, curve.loss) == min(
        ((r, loss) for r, loss in single.items()), key=lambda each: each[1]
    )
    assert torch.equal(model.weight, old)


def test_a_run_that_leaves_the_numbers_is_infinitely_bad() -> None:
    model, pool, _, _ = regression(100)
    curve = train(model, pool, None, 500, 0, 10.0)
    assert len(curve.losses) < 500
    assert curve.loss == math.inf
    assert math.isnan(curve.accuracy)


def test_a_large_batch_is_drawn_from_without_repetition() -> None:
    inputs = torch.arange(300.0).reshape(300, 1)
    pool = Pool((ModelBatch.of({"x": inputs}, torch.arange(300)),))
    drawn = [batch for _, batch in zip(range(4), pool.draw(0), strict=False)]
    for batch in drawn:
        assert batch.keywords["x"].shape == (128, 1)
        assert torch.equal(batch.keywords["x"][:, 0].long(), batch.targets)
    epoch = torch.cat([batch.targets for batch in drawn[:2]])
    assert len(epoch.unique()) == 256
    assert not torch.equal(drawn[0].targets, drawn[2].targets)
    again = next(pool.draw(0)).targets
    assert torch.equal(again, drawn[0].targets)
    assert not torch.equal(next(pool.draw(1)).targets, again)


def test_tensors_of_other_lengths_and_several_batches_are_taken_whole() -> None:
    odd = ModelBatch.of((torch.zeros(300, 2), torch.zeros(5)))
    assert next(Pool((odd,)).draw(0)) is odd
    batches = tuple(ModelBatch.of(torch.full((200, 1), float(i))) for i in range(3))
    drawn = [batch for _, batch in zip(range(6), Pool(batches).draw(0), strict=False)]
    assert {id(batch) for batch in drawn[:3]} == {id(batch) for batch in drawn[3:]} == set(map(id, batches))


def test_accuracy_leaves_out_what_is_ignored_and_knows_classes_only() -> None:
    outputs = torch.tensor([[0.0, 1.0], [1.0, 0.0], [0.0, 1.0], [0.0, 1.0]])
    assert accuracy(outputs, torch.tensor([1, 1, 1, -100])) == pytest.approx(2 / 3)
    assert accuracy(outputs.T[None], torch.tensor([[1, 1, 1, 0]])) == 0.5  # (samples, classes, positions)
    for targets in (None, torch.zeros(4), torch.zeros(4, 2), torch.zeros(3, dtype=torch.int64)):
        assert math.isnan(accuracy(outputs, targets))


def runs(*losses: float) -> list[Curve]:
    return [Curve(seed, 0.1, (loss,), (0.0,), 1) for seed, loss in enumerate(losses)]


@pytest.mark.parametrize(
    ("before", "after", "better"),
    [
        ((2.3, 2.2, 2.3), (1.0, 1.1, 0.2), True),
        ((2.3, 2.2, 2.3), (1.0, 2.25, 0.2), False),  # one run after is worse than the best before
        ((2.3, 2.3, 2.3), (2.29, 2.29, 2.29), False),  # below all, and not worth it
        ((2.3, 2.3, 2.3), (1.0, 1.0, math.inf), False),
        ((math.inf,) * 3, (2.0, 2.0, 2.0), True),
        ((math.inf,) * 3, (math.inf,) * 3, False),
        ((-1.0, -1.1, -1.0), (-2.0, -2.1, -2.0), True),  # a loss may be negative
        ((-1.0, -1.0, -1.0), (-1.01, -1.01, -1.01), False),
    ],
)
def test_better_means_beyond_the_spread(
    before: tuple[float, ...], after: tuple[float, ...], better: bool
) -> None:
    assert improves(runs(*before), runs(*after)) is better
