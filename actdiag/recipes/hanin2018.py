"""Hanin & Rolnick's two failure modes: the mean length of activations, and its fluctuation."""

from __future__ import annotations

import math
from typing import ClassVar

import numpy as np
import torch
from numpy.typing import NDArray

from actdiag.recipes.base import Accepted, Claim, Measured, Recipe, Size, Source, register
from actdiag.recipes.lengths import log_variance, truncated_variance
from actdiag.sketches import Chart, Charts, Series

Floats = NDArray[np.float64]

BLOCKS = 16
"""Independent draws of each statistic; each is taken over a block of networks."""
NETS = {Size.SMALL: 64, Size.PAPER: 1024}
"""Networks of a block."""
SHAPES = {
    "100 x 40": (100,) * 40,
    "50 x 20": (50,) * 20,
    "60, 300 x 10": (60, 300) * 10,
}
"""Hidden layers whose fluctuation is looked at."""
WIDTH, DEPTH = 100, 10
"""Of the networks whose mean length is looked at."""
MIDDLE = 20
"""Layers of the first shape after which it has as large a sum of 1 / width as the third has at its end."""
STARTS = {"He": 2.0, "LeCun": 1.0, "2 x He": 4.0}
"""Initializer -> fan_in Var[w], of normal weights."""
TRUNCATED = "He, truncated"
LEADING = "the law holds to leading order in 1 / width: a tenth is allowed for the orders it leaves out"


@register
class HaninRolnick(Recipe):
    """Both failure modes of ReLU networks at initialisation."""

    name: ClassVar[str] = "hanin2018"
    title: ClassVar[str] = "Hanin & Rolnick 2018: how to start training"
    source: ClassVar[Source] = Source(
        "Hanin & Rolnick",
        2018,
        "How to start training: the effect of initialization and architecture",
        "NeurIPS 31, pages 571-581; the constant 5 is Hanin & Nica's (2020), Commun. Math. Phys. 376",
    )
    summary: ClassVar[str] = (
        "In a ReLU network the mean square M of a layer's activations grows or vanishes exponentially "
        "unless weights have variance 2 / fan_in. Even then it fluctuates from draw to draw: Var[ln M] is 5 "
        "times the sum of the reciprocals of the widths, depth / width where all are equal."
    )
    limits: ClassVar[tuple[str, ...]] = (
        "The paper's training curves (epochs until 20% test accuracy on MNIST) are not run: MNIST is not to "
        "be had here, and the claims are about the networks at their start.",
        "Each network sees one input vector; for a ReLU network without bias the law does not depend on "
        "which.",
    )

    def claims(self, size: Size) -> tuple[Claim, ...]:
        """Return what figure 1 and the theorems say."""
        return (*_mean_claims(), *_fluctuation_claims())

    def measure(self, size: Size) -> Measured:
        """Draw networks, in blocks, and look at the lengths of their activations."""
        nets = NETS[size]
        lengths = {
            shape: _blocks(widths, 2.0, nets, [2018, place])
            for place, (shape, widths) in enumerate(SHAPES.items())
        }
        means = {
            label: _blocks((WIDTH,) * DEPTH, sigma_w2, nets, [1803, place])
            for place, (label, sigma_w2) in enumerate({**STARTS, TRUNCATED: None}.items())
        }
        setting = (
            f"{BLOCKS} blocks of {nets} ReLU networks each, one input vector, no bias; "
            f"{DEPTH} layers x {WIDTH} for the mean, {', '.join(SHAPES)} for the fluctuation"
        )
        return Measured({**_means(means), **_fluctuations(lengths)}, setting, (_figure(lengths, means),))


def _blocks(widths: tuple[int, ...], sigma_w2: float | None, nets: int, seed: list[int]) -> Floats:
    """Return ln M of each layer, (blocks, nets, layers)."""
    random = np.random.default_rng(seed)
    generator = torch.Generator().manual_seed(int(random.integers(2**62)))
    return np.array([log_lengths(widths, sigma_w2, nets, generator) for _ in range(BLOCKS)])


@torch.no_grad()
def log_lengths(
    widths: tuple[int, ...], sigma_w2: float | None, nets: int, generator: torch.Generator
) -> Floats:
    """Return ln M = ln(|activation|^2 / units) for each network and layer, (nets, layers), from M = 1.

    Args:
        widths: of the layers.
        sigma_w2: fan_in Var[w] of normal weights; None for He's, cut off at two standard deviations.
        nets: how many networks.
        generator: of the weights.
    """
    x = torch.ones(nets, widths[0], 1)
    found = []
    for width in widths:
        weights = torch.empty(nets, width, x.shape[1])
        std = math.sqrt((2.0 if sigma_w2 is None else sigma_w2) / x.shape[1])
        if sigma_w2 is None:
            torch.nn.init.trunc_normal_(weights, 0.0, std, -2.0 * std, 2.0 * std, generator=generator)
        else:
            weights.normal_(0.0, std, generator=generator)
        x = torch.relu(weights @ x)
        found.append(x.double().square().mean(dim=(1, 2)).log())
    return np.asarray(torch.stack(found, dim=1).numpy())


def _means(lengths: dict[str, Floats]) -> dict[str, list[float]]:
    """Return for each block the factor per layer of M's mean over networks."""
    keys = {"He": "mean-he", "LeCun": "mean-lecun", "2 x He": "mean-double", TRUNCATED: "mean-truncated"}
    last = {label: np.exp(found[:, :, -1]).mean(axis=1) for label, found in lengths.items()}
    return {key: (last[label] ** (1.0 / DEPTH)).tolist() for label, key in keys.items()}


def _fluctuations(lengths: dict[str, Floats]) -> dict[str, list[float]]:
    variance = {shape: found.var(axis=1, ddof=1) for shape, found in lengths.items()}
    long, narrow, uneven = (variance[shape] for shape in SHAPES)
    middle = long[:, MIDDLE - 1]
    return {
        "five": (middle / reciprocals("100 x 40", MIDDLE)).tolist(),
        "twice-as-deep": (long[:, -1] / middle).tolist(),
        "half-as-wide": (narrow[:, -1] / middle).tolist(),
        "same-sum": (uneven[:, -1] / middle).tolist(),
    }


def reciprocals(shape: str, layers: int | None = None) -> float:
    """Return the sum of 1 / width over a shape's first layers."""
    return sum(1.0 / width for width in SHAPES[shape][:layers])


def _figure(lengths: dict[str, Floats], means: dict[str, Floats]) -> Charts:
    depth = list(range(1, DEPTH + 1))
    averages = [
        Series(label, depth, np.exp(found).mean(axis=(0, 1)).tolist()) for label, found in means.items()
    ]
    factors = {
        **{label: sigma_w2 / 2.0 for label, sigma_w2 in STARTS.items()},
        TRUNCATED: truncated_variance(2.0),
    }
    theory = [
        Series(_legend(label), depth, [factor**layer for layer in depth], theory=True, group=label)
        for label, factor in factors.items()
    ]
    return Charts(
        "figure",
        "ReLU networks: mean length, and its fluctuation",
        "Left: the mean square of activations against the layer, level with He's weights, falling with "
        "LeCun's and truncated ones, rising with twice He's variance. Right: the variance of its logarithm "
        "against the sum of 1 / width; three shapes of network lie on one line of slope 5.",
        (
            Chart("mean length", "layer", "mean M", (*averages, *theory), log_y=True),
            Chart(
                "fluctuation",
                "sum of 1 / width",
                "Var[ln M]",
                (*map(_spread, SHAPES, lengths.values()), _LINE),
            ),
        ),
    )


def _legend(label: str) -> str:
    """Return what the legend says of a prediction: one line stands for all."""
    return "theory" if label == "He" else ""


def _spread(shape: str, found: Floats) -> Series:
    sums = [reciprocals(shape, layers) for layers in range(1, found.shape[2] + 1)]
    every = sums[:: max(len(sums) // 10, 1)]
    variance = found.reshape(-1, found.shape[2]).var(axis=0, ddof=1)
    return Series(shape, every, variance[:: max(len(sums) // 10, 1)].tolist())


_LINE = Series("5 x sum", (0.0, 0.4), (0.0, 2.0), theory=True)


def _variance(shape: str, layers: int | None = None) -> float:
    """Return Var[ln M] at finite width, in closed form."""
    return sum(log_variance(width) for width in SHAPES[shape][:layers])


def _mean_claims() -> tuple[Claim, ...]:
    return (
        _mean(
            "mean-he",
            "with variance 2 / fan_in the mean length neither explodes nor vanishes",
            "abstract",
            1.0,
        ),
        _mean(
            "mean-lecun",
            "with half that variance it vanishes exponentially",
            "theorem on failure mode 1",
            0.5,
        ),
        _mean("mean-double", "with twice that variance it explodes exponentially", "figure 1a, 2x He", 2.0),
        Claim(
            name="mean-truncated",
            says="He's normal weights cut off at two standard deviations, as Keras and PyTorch had them, "
            "fail",
            where="figure 1a, He normal (truncated)",
            published="vanishes with depth",
            statistic=f"factor per layer of M's mean, {DEPTH} layers x {WIDTH}",
            accepted=Accepted(high=1.0),
            reason="an ordering: the factor is below 1, with its whole interval",
            expected=truncated_variance(2.0),
            theory="what cutting off leaves of a normal variable's variance",
        ),
    )


def _mean(name: str, says: str, where: str, factor: float) -> Claim:
    return Claim(
        name=name,
        says=says,
        where=where,
        published=f"factor {factor:g} a layer",
        statistic=f"factor per layer of M's mean over a block of networks, {DEPTH} layers x {WIDTH}",
        accepted=Accepted.factor(factor, 1.02),
        reason="exact at any width; 2% a layer is a fifth after ten layers, what a figure over decades shows",
        expected=factor,
        theory="E[M'] = fan_in Var[w] / 2 E[M], since half of a symmetric variable's square is positive",
        log=True,
    )


def _fluctuation_claims() -> tuple[Claim, ...]:
    middle = _variance("100 x 40", MIDDLE)
    return (
        Claim(
            name="five",
            says="ln M is normal with variance 5 times the sum of the reciprocals of the widths",
            where="Hanin & Nica 2020, theorem 1",
            published="5",
            statistic="Var[ln M] over the sum of 1 / width, 20 layers x 100",
            accepted=Accepted.around(5.0, 0.5),
            reason=LEADING,
            expected=middle / reciprocals("100 x 40", MIDDLE),
            theory="at finite width: M' / M = 2 / n times chi-squared of Binomial(n, 1/2) degrees of freedom",
        ),
        _ratio("twice-as-deep", "40 layers x 100 over 20 x 100", 2.0, _variance("100 x 40") / middle),
        _ratio("half-as-wide", "20 layers x 50 over 20 x 100", 2.0, _variance("50 x 20") / middle),
        _ratio("same-sum", "10 times 60 and 300 over 20 x 100", 1.0, _variance("60, 300 x 10") / middle),
    )


def _ratio(name: str, shapes: str, published: float, expected: float) -> Claim:
    return Claim(
        name=name,
        says="the fluctuation is set by the sum of the reciprocals of the widths",
        where="abstract; theorem on failure mode 2",
        published=f"{published:g}, as the sums",
        statistic=f"Var[ln M], {shapes}",
        accepted=Accepted.factor(published, 1.1),
        reason=LEADING,
        expected=expected,
        theory="at finite width, as above",
        log=True,
    )
