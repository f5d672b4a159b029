"""How fast wide random tanh networks forget: depth scales, measured and by theory over the same layers."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from actdiag.activations import activation
from actdiag.theory import FixedPoint, Layer, fixed_point, propagate

Floats = NDArray[np.float64]

SIGMA_B2 = 0.05
TANH = activation("tanh")
CLOSE = 0.05
"""1 - c of the first preactivations where samples become alike: small enough for a straight decay."""
APART = 0.1
"""Distance of two correlations from c_star, above and below, where they do not."""
STRETCH = 0.3
"""Relative distance of two second moments from q_star."""
SPAN = 2.0
"""Depth scales that a decay is fitted over."""


@dataclass(frozen=True)
class Start:
    """What the first preactivations of two or three inputs look like, at infinite width.

    Attributes:
        lengths: (inputs,) second moments.
        correlations: (inputs - 1,) with the first input.
    """

    lengths: tuple[float, ...]
    correlations: tuple[float, ...]

    def inputs(self, sigma_w2: float) -> Floats:
        """Return inputs (2, inputs) that lead there: W x + b keeps lengths and products but for sigma's."""
        squares = [(length - SIGMA_B2) / sigma_w2 for length in self.lengths]
        columns = [(math.sqrt(squares[0]), 0.0)]
        for length, square, correlation in zip(self.lengths[1:], squares[1:], self.correlations, strict=True):
            product = (correlation * math.sqrt(self.lengths[0] * length) - SIGMA_B2) / sigma_w2
            along = product / columns[0][0]
            columns.append((along, math.sqrt(max(square - along**2, 0.0))))
        return np.array(columns).T


def correlation_start(point: FixedPoint) -> Start:
    """Return two inputs that are nearly alike or, where samples part, three on either side of c_star."""
    q = point.q_star
    if point.c_star == 1.0:
        return Start((q, q), (1.0 - CLOSE,))
    return Start((q, q, q), (point.c_star + APART, point.c_star - APART))


def length_start(point: FixedPoint) -> Start:
    """Return two inputs of one direction, longer and shorter than q_star."""
    lengths = (point.q_star * (1.0 + STRETCH), point.q_star * (1.0 - STRETCH))
    product = math.sqrt(math.prod(length - SIGMA_B2 for length in lengths)) + SIGMA_B2
    return Start(lengths, (product / math.sqrt(math.prod(lengths)),))


@torch.no_grad()
def second_moments(
    start: Start, sigma_w2: float, width: int, layers: int, nets: int, generator: torch.Generator
) -> Floats:
    """Return z . z' / width of all pairs of inputs, (layers, inputs, inputs), mean over networks."""
    inputs = torch.from_numpy(start.inputs(sigma_w2)).float()
    x = torch.zeros(nets, width, inputs.shape[1])
    x[:, :2] = math.sqrt(width) * inputs
    found = []
    for _ in range(layers):
        weights = torch.empty(nets, width, width).normal_(
            0.0, math.sqrt(sigma_w2 / width), generator=generator
        )
        bias = torch.empty(nets, width, 1).normal_(0.0, math.sqrt(SIGMA_B2), generator=generator)
        z = weights @ x + bias
        found.append((z.mT @ z).double().mean(dim=0) / width)
        x = torch.tanh(z)
    return np.asarray(torch.stack(found).numpy())


def _layer(
    sigma_w2: float, width: int, nets: int, generator: torch.Generator
) -> tuple[torch.Tensor, torch.Tensor]:
    std = math.sqrt(sigma_w2 / width)
    weights = torch.empty(nets, width, width).normal_(0.0, std, generator=generator)
    return weights, torch.empty(nets, width, 1).normal_(0.0, math.sqrt(SIGMA_B2), generator=generator)


def correlation_decay(moments: Floats) -> Floats:
    """Return what decays with xi_c, (layers,): 1 - c, or the distance of two correlations.

    Args:
        moments: (layers, inputs, inputs), of which the first row and the diagonal are read.
    """
    root = np.sqrt(np.einsum("lii->li", moments))
    correlations = moments[:, 0, 1:] / (root[:, :1] * root[:, 1:])
    ends = correlations[:, 1] if correlations.shape[1] == 2 else 2.0 * correlations[:, 0] - 1.0
    return np.asarray(correlations[:, 0] - ends)


def length_decay(moments: Floats) -> Floats:
    """Return what decays with xi_q, (layers,): the distance of two second moments."""
    return np.asarray(moments[:, 0, 0] - moments[:, 1, 1])


def depth_scale(decay: Floats) -> float:
    """Return xi of decay ~ exp(-layer / xi), by least squares on the logarithm."""
    return float(-1.0 / np.polyfit(np.arange(len(decay)), np.log(np.abs(decay)), 1)[0])


def layers_for(scale: float) -> int:
    """Return how many layers a decay is fitted over."""
    return max(3, 1 + math.ceil(SPAN * scale))


def predicted_moments(start: Start, sigma_w2: float, layers: int) -> Floats:
    """Return the same as `second_moments` at infinite width, its first row and its diagonal."""
    moments = np.full((layers, len(start.lengths), len(start.lengths)), np.nan)
    for place, length in enumerate(start.lengths):
        moments[:, place, place] = _squares(sigma_w2, length, layers)
    for place, correlation in enumerate(start.correlations, start=1):
        moments[:, 0, place] = _products(sigma_w2, start.lengths[0], correlation, layers)
    return moments


def _chain(sigma_w2: float, q: float, c: float, layers: int) -> list[tuple[float, float]]:
    """Return q and correlation of each layer's preactivations, from those of the first."""
    square = (q - SIGMA_B2) / sigma_w2
    entering = (c * q - SIGMA_B2) / sigma_w2 / square
    chain = [Layer(1, 1, sigma_w2, SIGMA_B2)] * (layers + 1)
    found = propagate(TANH, chain, square, entering)
    return [(math.exp(each.log_q), each.preactivation.correlation) for each in found]


def _squares(sigma_w2: float, q: float, layers: int) -> list[float]:
    return [square for square, _ in _chain(sigma_w2, q, 1.0, layers)]


def _products(sigma_w2: float, q: float, c: float, layers: int) -> list[float]:
    return [square * correlation for square, correlation in _chain(sigma_w2, q, c, layers)]


def expected_scales(sigma_w2: float) -> tuple[float, float]:
    """Return xi_c and xi_q as the fit would find them at infinite width, over theory's."""
    point = fixed_point(TANH, sigma_w2, SIGMA_B2)
    by_correlation = predicted_moments(correlation_start(point), sigma_w2, layers_for(point.xi_c))
    by_length = predicted_moments(length_start(point), sigma_w2, layers_for(point.xi_q))
    return (
        depth_scale(correlation_decay(by_correlation)) / point.xi_c,
        depth_scale(length_decay(by_length)) / point.xi_q,
    )


@torch.no_grad()
def log_growth(sigma_w2: float, width: int, layers: int, nets: int, generator: torch.Generator) -> float:
    """Return ln chi: by how much a tiny difference's mean square grows per layer, at q_star.

    As many layers again come before, in which the difference finds its place; a gradient's square grows by
    the same factor, backwards.
    """
    q = fixed_point(TANH, sigma_w2, SIGMA_B2).q_star
    x = torch.zeros(nets, width, 1)
    x[:, 0] = math.sqrt(width * (q - SIGMA_B2) / sigma_w2)
    apart = torch.zeros(nets, width, 1)
    apart[:, 1] = 1.0
    squares = []
    for _ in range(2 * layers + 1):
        weights = torch.empty(nets, width, width).normal_(
            0.0, math.sqrt(sigma_w2 / width), generator=generator
        )
        bias = torch.empty(nets, width, 1).normal_(0.0, math.sqrt(SIGMA_B2), generator=generator)
        x, apart = torch.tanh(weights @ x + bias), weights @ apart
        squares.append(float(apart.double().square().mean()))
        apart *= 1.0 - x**2
    return math.log(squares[-1] / squares[layers]) / layers
