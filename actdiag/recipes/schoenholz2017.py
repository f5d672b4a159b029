"""Schoenholz et al.'s depth scales of tanh networks, the edge of chaos, and which networks train."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import ClassVar

import numpy as np
import torch
from torch import nn

from actdiag.data import load_batch
from actdiag.recipes.base import Accepted, Claim, Measured, Recipe, Size, Source, register
from actdiag.recipes.depth_scales import (
    SIGMA_B2,
    TANH,
    correlation_decay,
    correlation_start,
    depth_scale,
    expected_scales,
    layers_for,
    length_decay,
    length_start,
    log_growth,
    second_moments,
)
from actdiag.recipes.measuring import ratios
from actdiag.sketches import Chart, Charts, Series
from actdiag.theory import FixedPoint, critical_sigma_w2, fixed_point
from actdiag.types import RunSpec

UNITS = {Size.SMALL: 200, Size.PAPER: 1000}
BLOCKS = 8
"""Independent draws of each depth scale; each is taken from the mean over a block of networks."""
SWEEP = (1.0, 1.3, 1.5, 2.2, 2.5, 4.0)
"""sigma_w^2 of the figure."""
JUDGED_C, JUDGED_Q = (1.0, 1.5, 2.5, 4.0), (1.0, 2.5)
BESIDE = (1.6, 1.9)
"""sigma_w^2 on either side of the edge, between which ln chi is taken as straight."""
EDGE_LAYERS = 10
TRAINED = 1.0
"""sigma_w^2 of the networks that are trained."""
WITHIN, BEYOND = 3.0, 12.0
"""Depths in units of xi_c; the published boundary is at 6."""
WIDTH, STEPS, BATCH, RATES, NETWORKS = 100, 200, 128, (0.01, 0.1), 4
NETS = {True: 8, False: 24}
"""Networks of a block where samples become alike, and where they part, which leaves more noise."""
FAILS = 0.3
"""Training accuracy on ten classes below which a network counts as one that does not train."""


@register
class Schoenholz(Recipe):
    """Depth scales against theory over a sweep of sigma_w^2."""

    name: ClassVar[str] = "schoenholz2017"
    title: ClassVar[str] = "Schoenholz et al. 2017: deep information propagation"
    source: ClassVar[Source] = Source(
        "Schoenholz, Gilmer, Ganguli & Sohl-Dickstein",
        2017,
        "Deep information propagation",
        "ICLR, arXiv:1611.01232",
    )
    summary: ClassVar[str] = (
        "In a wide tanh network the correlation of two samples tends to a fixed point exponentially, with a "
        "depth scale ξc that diverges at the edge of chaos, sigma_w² = 1.76 at sigma_b² = 0.05. Networks "
        "train where what tells samples apart gets through: up to a depth of about 6 ξc."
    )
    limits: ClassVar[tuple[str, ...]] = (
        "The paper trains networks of 300 units and 10 to 300 layers on MNIST; here networks of 100 units "
        "on scikit-learn's digits, at one sigma_w² and at two depths, half and twice of 6 ξc. Where in "
        "between the boundary lies is not measured.",
        "Dropout (section 4) is not run.",
    )
    explained: ClassVar[Mapping[str, str]] = dict.fromkeys(
        ("xi-c-1-5", "xi-c-2-5", "xi-c-4"),
        "The mean agrees with theory, but blocks scatter by a tenth to a quarter: in a network of finite "
        "width correlations stray by themselves. Eight blocks leave an interval that is wider than what is "
        "accepted.",
    )

    def claims(self, size: Size) -> tuple[Claim, ...]:
        """Return what sections 3 and 5 say."""
        return (*_scale_claims(), *_edge_claims(), *_training_claims())

    def measure(self, size: Size) -> Measured:
        """Fit the decays, find where differences stop shrinking, and train two depths."""
        width, nets = UNITS[size], NETS[True]
        by_correlation = {s: _correlation_scales(s, width) for s in SWEEP}
        by_length = {s: _length_scales(s, width, nets) for s in SWEEP}
        values = {
            **{_key("c", s): (np.array(by_correlation[s]) / _point(s).xi_c).tolist() for s in JUDGED_C},
            **{_key("q", s): (np.array(by_length[s]) / _point(s).xi_q).tolist() for s in JUDGED_Q},
            "diverges": ratios(by_correlation[1.5], by_correlation[1.0]),
            "edge": [_edge(width, nets, seed) for seed in range(BLOCKS)],
            **{name: _accuracies(depth) for name, depth in _DEPTHS.items()},
        }
        setting = (
            f"tanh layers x {width} units, sigma_b² = {SIGMA_B2}, {BLOCKS} blocks of {nets} networks, of "
            f"{NETS[False]} for ξc above the edge; training: {WIDTH} units, sigma_w² = {TRAINED}, {STEPS} "
            f"steps of plain SGD on digits, batch {BATCH}, best rate of {' and '.join(map(str, RATES))}, "
            f"{NETWORKS} networks"
        )
        return Measured(values, setting, (_figure(by_correlation, by_length),))


def _point(sigma_w2: float) -> FixedPoint:
    return fixed_point(TANH, sigma_w2, SIGMA_B2)


def _key(kind: str, sigma_w2: float) -> str:
    return f"xi-{kind}-{sigma_w2:g}".replace(".", "-")


def _generator(*numbers: int) -> torch.Generator:
    return torch.Generator().manual_seed(int(np.random.default_rng(numbers).integers(2**62)))


def _correlation_scales(sigma_w2: float, width: int) -> list[float]:
    point = _point(sigma_w2)
    nets = NETS[point.c_star == 1.0]
    start, layers = correlation_start(point), layers_for(point.xi_c)
    generator = _generator(1611, round(100 * sigma_w2))
    drawn = [second_moments(start, sigma_w2, width, layers, nets, generator) for _ in range(BLOCKS)]
    return [depth_scale(correlation_decay(moments)) for moments in drawn]


def _length_scales(sigma_w2: float, width: int, nets: int) -> list[float]:
    point = _point(sigma_w2)
    start, layers = length_start(point), layers_for(point.xi_q)
    generator = _generator(1232, round(100 * sigma_w2))
    drawn = [second_moments(start, sigma_w2, width, layers, nets, generator) for _ in range(BLOCKS)]
    return [depth_scale(length_decay(moments)) for moments in drawn]


def _edge(width: int, nets: int, seed: int) -> float:
    """Return the sigma_w^2 at which a tiny difference neither grows nor shrinks, on a line between two."""
    low, high = (
        log_growth(s, width, EDGE_LAYERS, nets, _generator(2017, seed, round(100 * s))) for s in BESIDE
    )
    return BESIDE[0] - low * (BESIDE[1] - BESIDE[0]) / (high - low)


def _accuracies(depth: int) -> list[float]:
    """Return the training accuracy of each network, at its best learning rate."""
    return [max(_accuracy(depth, seed, rate) for rate in RATES) for seed in range(NETWORKS)]


def _accuracy(depth: int, seed: int, rate: float) -> float:
    batch = load_batch(RunSpec(data="digits", batch=1797))
    generator = _generator(300, seed, depth)
    model = network(depth, batch.inputs.shape[1], batch.classes, generator)
    optimiser = torch.optim.SGD(model.parameters(), lr=rate)
    for _ in range(STEPS):
        chosen = torch.randperm(len(batch.targets), generator=generator)[:BATCH]
        loss = nn.functional.cross_entropy(model(batch.inputs[chosen]), batch.targets[chosen])
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
    with torch.no_grad():
        return float((model(batch.inputs).argmax(dim=1) == batch.targets).float().mean())


@torch.no_grad()
def network(depth: int, features: int, classes: int, generator: torch.Generator) -> nn.Sequential:
    """Return a tanh network with weights N(0, sigma_w^2 / fan_in) and biases N(0, sigma_b^2)."""
    layers: list[nn.Module] = []
    for number in range(depth + 1):
        linear = nn.Linear(WIDTH if number else features, WIDTH if number < depth else classes)
        linear.weight.normal_(0.0, math.sqrt(TRAINED / linear.in_features), generator=generator)
        linear.bias.normal_(0.0, math.sqrt(SIGMA_B2), generator=generator)
        layers += [linear, nn.Tanh()]
    return nn.Sequential(*layers[:-1])


def _layers(times: float) -> int:
    return round(times * float(_point(TRAINED).xi_c))


_DEPTHS = {"trains-within": _layers(WITHIN), "fails-beyond": _layers(BEYOND)}
"""Claim -> hidden layers."""


def _figure(by_correlation: dict[float, list[float]], by_length: dict[float, list[float]]) -> Charts:
    return Charts(
        "figure",
        "Depth scales of tanh networks, sigma_b² = 0.05",
        "Left: the depth scale of correlations against sigma_w² rises towards the edge of chaos at 1.76 from "
        "both sides, measured points on theory's curve. Right: the depth scale of second moments, small "
        "everywhere, likewise.",
        (
            _chart("correlations", "ξc, layers", by_correlation, 0),
            _chart("second moments", "ξq, layers", by_length, 1),
        ),
    )


def _chart(heading: str, y: str, found: dict[float, list[float]], which: int) -> Chart:
    edge = critical_sigma_w2(TANH, SIGMA_B2)
    grid = np.linspace(SWEEP[0], SWEEP[-1], 61).tolist()
    points = [_point(s) for s in grid]
    predicted = [point.xi_q if which else point.xi_c for point in points]
    if not which:
        predicted = [
            scale if abs(s - edge) > NEAR else math.nan for s, scale in zip(grid, predicted, strict=True)
        ]
    below, above = ([s for s in SWEEP if (s < edge) == side] for side in (True, False))
    measured = (_measured("measured", below, found), _measured("", above, found))
    return Chart(
        heading,
        "sigma_w²",
        y,
        (*measured, Series("theory", grid, predicted, theory=True, group="depth scale")),
    )


NEAR = 0.1
"""Distance from the edge within which theory's curve is not drawn: it leaves the figure."""


def _measured(label: str, at: list[float], found: dict[float, list[float]]) -> Series:
    """Return the mean over blocks, and their range."""
    means = [float(np.mean(found[s])) for s in at]
    low, high = ([end(found[s]) for s in at] for end in (min, max))
    return Series(label, at, means, low, high, group="depth scale")


def _scale_claims() -> tuple[Claim, ...]:
    by_correlation = [_scale("c", s, "correlations of samples tend to c*", "eq. 9") for s in JUDGED_C]
    by_length = [_scale("q", s, "second moments tend to q*", "eq. 7") for s in JUDGED_Q]
    return (
        *by_correlation,
        *by_length,
        Claim(
            name="diverges",
            says="ξc diverges at the transition from order to chaos",
            where="abstract, section 3",
            published="diverges",
            statistic="measured ξc at sigma_w² = 1.5 over that at 1.0; the edge is at 1.76",
            accepted=Accepted(low=1.0),
            reason="an ordering: the ratio is above 1, with its whole interval",
            expected=_point(1.5).xi_c / _point(1.0).xi_c,
            theory="-1 / ln of the correlation map's slope at c*",
            log=True,
        ),
    )


def _scale(kind: str, sigma_w2: float, says: str, where: str) -> Claim:
    point = _point(sigma_w2)
    scale, place = (point.xi_c, 0) if kind == "c" else (point.xi_q, 1)
    return Claim(
        name=_key(kind, sigma_w2),
        says=f"{says} exponentially, with the depth scale of mean-field theory",
        where=f"section 3, {where}, figure 2",
        published=f"ξ{kind} = {scale:.3g} by its formula: ratio 1",
        statistic=f"fitted depth scale over the formula's, sigma_w² = {sigma_w2:g}, over two depth scales",
        accepted=Accepted.factor(1.0, 1.1),
        reason="the formula is of infinite width and the figure prints no numbers: a tenth is what can be "
        "read off it",
        expected=expected_scales(sigma_w2)[place],
        theory="the same fit to the mean-field recursion over the same layers",
        log=True,
    )


def _edge_claims() -> tuple[Claim, ...]:
    return (
        Claim(
            name="edge",
            says="at sigma_b² = 0.05 the edge of chaos is at sigma_w² = 1.76",
            where="section 3, figure 2",
            published="1.76",
            statistic="sigma_w² at which a tiny difference neither grows nor shrinks, on a line between 1.6 "
            "and 1.9",
            accepted=Accepted.around(1.76, 0.06),
            reason="read off a figure whose axis runs from 1 to 4: a fiftieth of it",
            expected=critical_sigma_w2(TANH, SIGMA_B2),
            theory="chi = sigma_w² E[φ'²] = 1 at the fixed point of the variance",
        ),
    )


def _training_claims() -> tuple[Claim, ...]:
    return (
        _trained("trains-within", "networks of less than 6 ξc layers can be trained", Accepted(low=FAILS)),
        _trained("fails-beyond", "networks of many more than 6 ξc layers cannot", Accepted(high=FAILS)),
    )


def _trained(name: str, says: str, accepted: Accepted) -> Claim:
    times = WITHIN if name == "trains-within" else BEYOND
    return Claim(
        name=name,
        says=says,
        where="section 5, figure 5",
        published="trains" if name == "trains-within" else "does not train",
        statistic=f"training accuracy after {STEPS} steps, {_DEPTHS[name]} layers = {times:g} ξc, sigma_w² = "
        f"{TRAINED:g}",
        accepted=accepted,
        reason="30% on ten classes is what this package calls training (its calibration protocol), fixed "
        "long before",
        expected=None,
        theory="the bound is empirical",
    )
