"""Networks that are born dead, and units that are silent: against depth, width and correlation."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from actdiag.recipes.base import Accepted, Claim, Measured, Recipe, Size, Source, register
from actdiag.recipes.measuring import each, mean_field, ratios, scans
from actdiag.recipes.silence import lower_bound, next_correlation, sheppard, upper_bound
from actdiag.recording import Recording
from actdiag.sketches import Chart, Charts, Series
from actdiag.theory import dead_share
from actdiag.types import RunSpec

Floats = NDArray[np.float64]

BLOCKS = 16
"""Independent draws of a share of networks; each is taken over a block of them."""
NETS = {Size.SMALL: 1024, Size.PAPER: 8192}
"""Narrow networks of a block."""
PAIRS = {Size.SMALL: (32, 256), Size.PAPER: (64, 512)}
"""Wide networks with two inputs, and their units."""
WIDTHS, LAYERS = (2, 3, 4, 8), 50
"""Units of the narrow networks' hidden layers, and most layers; the output counts as one."""
DEEP = 10
PAIR_LAYERS, LOOKED_AT = 30, (1, 10, 30)
WIDE = RunSpec(depth=30, width=100, act="relu", init="he")
"""A network that trains, whose units are looked at on 512 samples."""


@register
class DyingReLU(Recipe):
    """The probability to be born dead, and Sheppard's law of silent units."""

    name: ClassVar[str] = "dead-relu"
    title: ClassVar[str] = "Lu et al. 2020: dying ReLU"
    source: ClassVar[Source] = Source(
        "Lu, Shin, Su & Karniadakis",
        2020,
        "Dying ReLU and initialization: theory and numerical examples",
        "Commun. Comput. Phys. 28, pages 1671-1706, arXiv:1903.06733",
    )
    summary: ClassVar[str] = (
        "A ReLU network with symmetric random weights may be born dead: a layer is silent on every input, "
        "and nothing passes any more. The narrower and deeper, the likelier. In wide networks single units "
        "are silent, the more of them the more alike the samples have become, and that is no fault."
    )
    limits: ClassVar[tuple[str, ...]] = (
        "The paper's training experiments and its asymmetric initialization are not run.",
        "Silent units against correlation are Sheppard's law (1899) at the correlation of Cho & Saul's map "
        "(2009); the paper has no such figure.",
    )
    explained: ClassVar[Mapping[str, str]] = {
        "sheppard-10": "The law is exact, given what enters: so many draws leave an interval that reaches "
        "past a hundredth.",
    }

    def claims(self, size: Size) -> tuple[Claim, ...]:
        """Return the paper's theorems for networks of one input, and Sheppard's law."""
        return (*_born_dead_claims(), *_silent_claims())

    def measure(self, size: Size) -> Measured:
        """Draw narrow networks in blocks, wide ones with two inputs, and scan one on 512 samples."""
        nets, (pairs, units) = NETS[size], PAIRS[size]
        born = {width: _blocks(width, nets) for width in WIDTHS}
        silent = np.array([silent_pairs(units, np.random.default_rng([1899, seed])) for seed in range(pairs)])
        recordings = scans(WIDE, 8)
        setting = (
            f"{BLOCKS} blocks of {nets} networks of one input, no bias, He's weights; {pairs} networks of "
            f"{PAIR_LAYERS} layers x {units} units with two orthogonal inputs"
        )
        return Measured({**_shares(born), **_silences(silent)}, setting, (_figure(born, silent, recordings),))


def _blocks(width: int, nets: int) -> Floats:
    """Return the shares of networks dead on all inputs, and on one, (blocks, 2, hidden layers)."""
    random = np.random.default_rng([2020, width])
    return np.array([dead_networks(width, LAYERS - 1, nets, random) for _ in range(BLOCKS)])


def dead_networks(width: int, hidden: int, nets: int, random: np.random.Generator) -> Floats:
    """Return the share of networks of one input that are dead after each hidden layer, (2, hidden).

    Without bias such a network is linear on either side of 0, so x = 1 and x = -1 stand for all inputs.

    Args:
        width: of each hidden layer.
        hidden: hidden layers.
        nets: how many networks.
        random: of the weights, N(0, 2 / fan_in).

    Returns:
        Dead on every input, and dead at x = 1.
    """
    sides = np.array([[1.0, -1.0]])
    x = np.maximum(math.sqrt(2.0) * random.normal(size=(nets, width, 1)) @ sides, 0.0)
    found = []
    for layer in range(hidden):
        if layer:
            weights = random.normal(0.0, math.sqrt(2.0 / width), (nets, width, width))
            x = np.maximum(weights @ x, 0.0)
        alive = (x > 0.0).any(axis=1)
        found.append((1.0 - alive.any(axis=1).mean(), 1.0 - alive[:, 0].mean()))
    return np.asarray(np.transpose(found))


def silent_pairs(units: int, random: np.random.Generator) -> Floats:
    """Return for each layer of a network with two orthogonal inputs, (2, layers).

    Returns:
        Share of units that are silent on both, and Sheppard's share at the correlation of what enters.
    """
    x = np.zeros((units, 2))
    x[0, 0] = x[1, 1] = math.sqrt(units)
    found = []
    for _ in range(PAIR_LAYERS):
        lengths = np.linalg.norm(x, axis=0)
        correlation = float(x[:, 0] @ x[:, 1] / (lengths[0] * lengths[1]))
        z = random.normal(0.0, math.sqrt(2.0 / units), (units, units)) @ x
        found.append((float(np.mean((z <= 0.0).all(axis=1))), sheppard(correlation)))
        x = np.maximum(z, 0.0)
    return np.asarray(np.transpose(found))


def _shares(born: dict[int, Floats]) -> dict[str, list[float]]:
    ten = {width: found[:, 0, DEEP - 2] for width, found in born.items()}
    bounds = {
        f"{name}-{width}": (ten[width] / bound(width, DEEP)).tolist()
        for width in (2, 4)
        for name, bound in (("below-upper", upper_bound), ("above-lower", lower_bound))
    }
    return {
        "one-input": born[2][:, 1, DEEP - 2].tolist(),
        **bounds,
        "deep-dies": born[2][:, 0, LAYERS - 2].tolist(),
        "wider-lives": ratios(ten[4].tolist(), ten[2].tolist()),
    }


def _silences(silent: Floats) -> dict[str, list[float]]:
    found, law = silent[:, 0], silent[:, 1]
    pairs = {f"sheppard-{layer}": (found - law)[:, layer - 1].tolist() for layer in LOOKED_AT}
    return {**pairs, "silence-grows": ratios(found[:, -1].tolist(), found[:, 0].tolist())}


def _figure(born: dict[int, Floats], silent: Floats, recordings: list[Recording]) -> Charts:
    return Charts(
        "figure",
        "Born dead, and silent",
        "Left: the share of networks that are born dead rises with the number of layers and falls with "
        "width, between the published bounds. Middle: the share of silent units rises with depth, on two "
        "inputs and on 512, as predicted. Right: the share that is silent on two inputs against their "
        "correlation, on Sheppard's curve.",
        (_born_chart(born), _depth_chart(silent, recordings), _correlation_chart(silent)),
    )


def _born_chart(born: dict[int, Floats]) -> Chart:
    layers = [2, 3, 5, 8, 12, 20, 30, 40, 50]
    series = []
    for width, found in born.items():
        mean = found[:, 0].mean(axis=0)
        group = f"{width} wide"
        series.append(Series(group, layers, [float(mean[count - 2]) for count in layers]))
        for bound in (upper_bound, lower_bound):
            label = "bounds" if width == WIDTHS[0] and bound is upper_bound else ""
            ys = [bound(width, count) for count in layers]
            series.append(Series(label, layers, ys, theory=True, group=group))
    return Chart("networks born dead", "layers", "share", tuple(series))


def _depth_chart(silent: Floats, recordings: list[Recording]) -> Chart:
    layers = list(range(1, WIDE.depth + 1))
    many = [np.mean(each(recordings, "activation", "dead_units", layer)) / WIDE.width for layer in layers]
    expected = [dead_share(moments.preactivation.correlation, WIDE.batch) for moments in mean_field(WIDE)]
    two, samples = "2 inputs", f"{WIDE.batch} inputs"
    return Chart(
        "silent units",
        "layer",
        "share",
        (
            Series(two, layers, silent[:, 0].mean(axis=0).tolist()),
            Series("", layers, expected_silence(), theory=True, group=two),
            Series(samples, layers, [float(share) for share in many]),
            Series(
                "theory",
                layers,
                expected,
                theory=True,
                group=samples,
            ),
        ),
    )


def _correlation_chart(silent: Floats) -> Chart:
    share, law = silent.mean(axis=0)
    correlation = np.sin(2.0 * math.pi * (law - 0.25))
    curve = np.linspace(0.0, 1.0, 101)
    return Chart(
        "two inputs",
        "correlation",
        "silent on both",
        (
            Series("layers 1 to 30", correlation.tolist(), share.tolist()),
            Series(
                "Sheppard", curve.tolist(), [sheppard(c) for c in curve], theory=True, group="layers 1 to 30"
            ),
        ),
    )


def expected_silence() -> list[float]:
    """Return the share of units silent on two orthogonal inputs, for each layer of a wide network."""
    correlation, found = 0.0, []
    for _ in range(PAIR_LAYERS):
        found.append(sheppard(correlation))
        correlation = next_correlation(correlation)
    return found


def _born_dead_claims() -> tuple[Claim, ...]:
    exact = upper_bound(2, DEEP)
    return (
        Claim(
            name="one-input",
            says="a symmetric start silences a layer of N units at one input with chance 2^-N, independently",
            where="theorem on the upper bound",
            published=f"1 - (1 - 2^-N)^(L - 1) = {exact:.4f}",
            statistic="share of networks dead at one input, 10 layers, width 2",
            accepted=Accepted.around(exact, 0.005),
            reason="exact, so only sampling stands between: half a percent is what thousands of networks "
            "tell",
            expected=exact,
            theory="each unit's sign is a coin's, given what enters",
        ),
        *(_bound(width) for width in (2, 4)),
        *(_least(width) for width in (2, 4)),
        Claim(
            name="deep-dies",
            says="a deep ReLU network dies in probability as the depth goes to infinity",
            where="abstract, first theorem",
            published="tends to 1",
            statistic="share of networks born dead, 50 layers, width 2",
            accepted=Accepted(low=0.99),
            reason="'tends to 1' is read as above 99% at 50 layers",
            expected=lower_bound(2, LAYERS),
            theory="the lower bound, which differs from the upper one by less than 1e-6 here",
        ),
        Claim(
            name="wider-lives",
            says="the wider the layers, the less likely is the network to be born dead",
            where="theorem on the bounds",
            published="width 4 below width 2",
            statistic="share of networks born dead, width 4 over width 2, 10 layers",
            accepted=Accepted(high=1.0),
            reason="an ordering: the ratio is below 1, with its whole interval",
            expected=None,
            theory="both bounds fall with width; the chance itself lies between",
            log=True,
        ),
    )


def _bound(width: int) -> Claim:
    return Claim(
        name=f"below-upper-{width}",
        says="a network is born dead with at most this chance",
        where="theorem on the upper bound",
        published=f"at most {upper_bound(width, DEEP):.4f}",
        statistic=f"share of networks born dead, 10 layers, width {width}, over the bound",
        accepted=Accepted(high=1.0),
        reason="a bound: the ratio is at most 1, with its whole interval",
        expected=None,
        theory="none but the bounds",
    )


def _least(width: int) -> Claim:
    return Claim(
        name=f"above-lower-{width}",
        says="a network of one input without bias is born dead with at least this chance",
        where="theorem on the lower bound for one input",
        published=f"at least {lower_bound(width, DEEP):.4f}",
        statistic=f"share of networks born dead, 10 layers, width {width}, over the bound",
        accepted=Accepted(low=1.0),
        reason="a bound: the ratio is at least 1, with its whole interval",
        expected=None,
        theory="none but the bounds",
    )


def _silent_claims() -> tuple[Claim, ...]:
    share = expected_silence()
    return (
        *(_sheppard(layer) for layer in LOOKED_AT),
        Claim(
            name="silence-grows",
            says="two samples become more alike from layer to layer, so that more units are silent on both",
            where="Cho & Saul 2009, eq. 6; Sheppard 1899",
            published="layer 30 above layer 1",
            statistic="share of units silent on both of two orthogonal inputs, layer 30 over layer 1",
            accepted=Accepted(low=1.0),
            reason="an ordering: the ratio is above 1, with its whole interval",
            expected=share[-1] / share[0],
            theory="Sheppard's law at the correlation of the arc-cosine kernel, wide layers",
            log=True,
        ),
    )


def _sheppard(layer: int) -> Claim:
    return Claim(
        name=f"sheppard-{layer}",
        says="a unit is silent on both of two inputs of correlation c with chance 1/4 + arcsin(c) / (2 pi)",
        where="Sheppard 1899",
        published="difference 0",
        statistic="share of units silent on both inputs, less the law at their correlation below layer "
        f"{layer}",
        accepted=Accepted.around(0.0, 0.01),
        reason="exact for normal weights, so only sampling stands between: one unit in a hundred",
        expected=0.0,
        theory="given what enters, a unit's two preactivations are normal with that correlation",
    )
