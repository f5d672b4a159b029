"""The measuring functions of saxe2014 against autograd, scipy, closed forms and Monte Carlo."""

import math

import numpy as np
import pytest
import torch
from scipy import integrate

from actdiag.recipes import linear, saxe2014
from actdiag.recipes.linear import RATE_STEP, Task, digits, learning_time, products_from_above
from actdiag.recipes.saxe2014 import (
    draw,
    expected_kurtosis,
    expected_origin_share,
    kurtosis_about_zero,
    origin_share,
)


@pytest.mark.parametrize(("rows", "columns"), [(6, 6), (9, 4), (4, 9)])
def test_orthogonal_weights_are_orthonormal_on_their_short_side(rows: int, columns: int) -> None:
    drawn = draw("orthogonal", rows, columns, np.random.default_rng(0))
    short = drawn.T @ drawn if rows >= columns else drawn @ drawn.T
    assert drawn.shape == (rows, columns)
    assert short == pytest.approx(np.eye(min(rows, columns)), abs=1e-12)


def test_orthogonal_weights_lean_to_no_side() -> None:
    random = np.random.default_rng(1)
    first = np.mean([draw("orthogonal", 4, 4, random) for _ in range(2000)], axis=0)
    assert first == pytest.approx(np.zeros((4, 4)), abs=5.0 * 0.5 / math.sqrt(2000))


def test_gaussian_weights_have_a_variance_of_one_over_fan_in() -> None:
    drawn = draw("gaussian", 500, 80, np.random.default_rng(2))
    assert 80 * drawn.var() == pytest.approx(1.0, rel=0.03)


def test_products_are_taken_at_1_5_and_100_matrices() -> None:
    kept = saxe2014._chain("gaussian", 3, np.random.default_rng(3))
    random, product = np.random.default_rng(3), np.eye(3)
    for number in range(1, 101):
        product = random.normal(size=(3, 3)) / math.sqrt(3) @ product
        if number in (1, 5, 100):
            assert kept[number] == pytest.approx(product, rel=1e-9)
    assert list(kept) == [1, 5, 100]


@pytest.mark.parametrize("matrices", [1, 4])
def test_expected_kurtosis_is_a_monte_carlos(matrices: int) -> None:
    random, squares, fourths = np.random.default_rng(4), [], []
    for _ in range(8_000):
        product = np.linalg.multi_dot(
            [np.eye(3), *random.normal(size=(matrices, 3, 3)) / math.sqrt(3), np.eye(3)]
        )
        gram = product @ product.T
        squares.append((np.trace(gram) / 3.0) ** 2)
        fourths.append(np.trace(gram @ gram) / 3.0)
    assert expected_kurtosis(matrices, 3) == pytest.approx(np.mean(fourths) / np.mean(squares), rel=0.06)


def test_kurtosis_of_one_large_value_among_four() -> None:
    assert kurtosis_about_zero(np.array([0.0, 0.0, 0.0, 7.0])) == pytest.approx(4.0)


@pytest.mark.parametrize("matrices", [1, 5, 100])
def test_expected_origin_share_integrates_the_eigenvalues_density(matrices: int) -> None:
    reach = lambda angle: (0.05 / max(abs(math.cos(angle)), abs(math.sin(angle)))) ** (2.0 / matrices)  # noqa: E731
    corners = [math.pi / 4.0 * (2 * k + 1) for k in range(4)]
    share, _ = integrate.quad(reach, 0.0, 2.0 * math.pi, points=corners)
    assert expected_origin_share(matrices) == pytest.approx(share / (2.0 * math.pi), rel=1e-8)


def test_origin_share_counts_eigenvalues_in_the_square() -> None:
    turned = np.array([[0.01, -0.06], [0.06, 0.01]])  # 0.01 +- 0.06i, outside
    matrix = np.zeros((6, 6))
    matrix[:2, :2] = turned
    matrix[2:, 2:] = np.diag([0.049, -0.049, 0.051, 0.0])
    assert origin_share(matrix) == pytest.approx(3.0 / 6.0)


def test_products_from_above_are_products() -> None:
    weights = _weights()
    above = products_from_above([weight[None] for weight in weights])
    assert torch.allclose(above[0][0], weights[2] @ weights[1] @ weights[0], atol=1e-6)
    assert torch.allclose(above[2][0], weights[2])
    assert torch.equal(above[3][0], torch.eye(3))


def test_a_step_descends_along_autograds_gradient() -> None:
    task, weights = _task(), _weights()
    leaves = [weight.clone().requires_grad_() for weight in weights]
    total = leaves[2] @ leaves[1] @ leaves[0]
    loss = 0.5 * torch.trace(total @ task.inputs @ total.T) - torch.trace(total @ task.cross.T)
    loss.backward()  # type: ignore[no-untyped-call]
    stacked = [torch.stack([weight, weight]) for weight in weights]
    above = products_from_above(stacked)
    rates = torch.tensor([0.1, 0.02])
    linear._descend(stacked, above[1:], above[0] @ task.inputs - task.cross, rates)
    for before, after, leaf in zip(weights, stacked, leaves, strict=True):
        for place, rate in enumerate(rates):
            assert torch.allclose(after[place], before - rate * leaf.grad, atol=1e-6)


def test_learning_time_of_one_weight_is_the_closed_form() -> None:
    """From 0 the loss is 1 - (1 - rate x)^(2 t) of the best: the rate nearest 1 / x learns in one step."""
    task = Task(torch.tensor([[4.0]]), torch.tensor([[3.0]]))
    steps, rate = learning_time([torch.zeros(1, 1)], task)
    assert task.best == pytest.approx(-9.0 / 8.0)
    assert steps == 1.0
    assert rate * 4.0 == pytest.approx(10.0 / RATE_STEP**6, rel=1e-5)


def test_learning_is_complete_at_nine_tenths(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(linear, "RATES", 1)
    monkeypatch.setattr(linear, "HIGHEST", 0.01)
    steps, _ = learning_time([torch.zeros(1, 1)], Task(torch.eye(1), torch.eye(1)))
    assert steps == math.ceil(math.log(1.0 - 0.9) / (2.0 * math.log(1.0 - 0.01)))


def test_learning_time_counts_steps_at_the_best_rate() -> None:
    """Two weights of 0.1: the first to get there, among plain loops over the same rates."""
    task = Task(torch.tensor([[1.0]]), torch.tensor([[1.0]]))
    found = learning_time([torch.full((1, 1), 0.1)] * 2, task)
    times = {rate: _loop(rate) for rate in (10.0 / RATE_STEP**k for k in range(26))}
    assert found[0] == min(times.values())
    assert times[min(times, key=lambda rate: abs(rate - found[1]))] == found[0]


def test_a_network_that_does_not_learn_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(linear, "MOST", 4)
    steps, rate = learning_time([torch.zeros(1, 1)] * 2, Task(torch.eye(1), torch.eye(1)))
    assert steps == 4.0
    assert math.isnan(rate)


def test_diverging_rates_do_not_count_as_learning(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(linear, "HIGHEST", 1e6)
    steps, rate = learning_time([torch.zeros(1, 1)], Task(torch.eye(1), torch.eye(1)))
    assert steps == linear.MOST
    assert math.isnan(rate)


def test_digits_best_map_is_least_squares() -> None:
    from sklearn.datasets import load_digits

    pixels, classes = load_digits(return_X_y=True)
    spread = pixels.std(axis=0)
    inputs = (pixels - pixels.mean(axis=0)) / np.where(spread > 0.0, spread, 1.0)
    targets = np.eye(10)[classes] - np.eye(10)[classes].mean(axis=0)
    fitted = inputs @ np.linalg.lstsq(inputs, targets, rcond=None)[0]
    gained = 0.5 * (np.sum((targets - fitted) ** 2) - np.sum(targets**2)) / len(targets)
    assert digits().best == pytest.approx(gained, rel=1e-3)


def test_learning_values_compare_the_deepest_with_the_shallowest() -> None:
    times = {"gaussian": [[(10.0, 0.1), (70.0, 0.1)]], "orthogonal": [[(20.0, 0.1), (35.0, 0.1)]]}
    assert saxe2014._learning(times) == {
        "gaussian-slower": [2.0],
        "gaussian-depth": [7.0],
        "orthogonal-depth": [1.75],
    }


def _loop(rate: float) -> float:
    """Return the steps of plain gradient descent on (w v)^2 / 2 - w v from w = v = 0.1 to 90%."""
    w = v = 0.1
    for step in range(1000):
        if 0.5 * (w * v) ** 2 - w * v <= -0.45:
            return float(step)
        if abs(w * v) > 1e6:
            break
        slope = w * v - 1.0
        w, v = w - rate * slope * v, v - rate * slope * w
    return math.inf


def _task() -> Task:
    generator = torch.Generator().manual_seed(5)
    inputs = torch.randn(40, 4, generator=generator)
    return Task(inputs.T @ inputs / 40, torch.randn(3, 4, generator=generator))


def _weights() -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(6)
    return [torch.randn(*shape, generator=generator) / 2.0 for shape in ((5, 4), (6, 5), (3, 6))]
