"""The lecture's ten layers of 500 units, and the later six of 4096: how activations spread at the start."""

from __future__ import annotations

import math
from collections.abc import Mapping
from itertools import pairwise
from typing import ClassVar

import numpy as np

from actdiag import sketches
from actdiag.activations import activation
from actdiag.recipes.base import Accepted, Claim, Measured, Recipe, Size, Source, register
from actdiag.recipes.measuring import each, mean_field, outer_share, ratios, scans
from actdiag.recording import Recording
from actdiag.theory.bands import QUANTILE, Preactivations, spreads
from actdiag.types import RunSpec

DEPTH, WIDTH, SAMPLES = 10, 500, 1000
WIDE_DEPTH, WIDE, WIDE_SAMPLES = 6, 4096, 16
DRAWS = {Size.SMALL: (5, 5), Size.PAPER: (32, 8)}
"""Of ten layers, and of six."""
EDGE = 2 / 128
"""Share of tanh's range at either end that counts as saturated: |a| > 0.97."""
ROWS = {
    "tanh, 0.01 randn": ("tanh", "normal:0.01"),
    "tanh, 1.0 randn": ("tanh", "normal:1"),
    "tanh, randn / sqrt(fan_in)": ("tanh", "lecun_normal"),
    "relu, randn / sqrt(fan_in)": ("relu", "lecun_normal"),
    "relu, randn / sqrt(fan_in / 2)": ("relu", "he_normal"),
}
WIDE_ROWS = {"0.01 randn": 0.01, "0.05 randn": 0.05, "randn / sqrt(fan_in)": WIDE**-0.5}
PRINTED_SMALL = {1: 0.213081, 2: 0.047551, 5: 0.000532, 7: 0.000026}
"""Layer -> standard deviation that the slide prints for tanh, 0.01 randn."""
PRINTED_HE = {1: 0.825232, 10: 0.844523}
"""The same for relu, randn / sqrt(fan_in / 2)."""
ROUNDING = 5e-7
"""Of a number that is printed with six decimals."""
ORDERING = "an ordering: the ratio is below 1, with its whole interval"


@register
class Lecture(Recipe):
    """The slides of lecture 5 and 6, 2016 to 2018."""

    name: ClassVar[str] = "cs231n"
    title: ClassVar[str] = "CS231n: what a bad scale of the weights does to ten layers"
    source: ClassVar[Source] = Source(
        "Karpathy, Li, Johnson & Yeung", 2017, "CS231n lecture 6: Training neural networks I", "Stanford"
    )
    summary: ClassVar[str] = (
        "Ten layers of 500 units, 1000 samples of N(0, 1). Weights of 0.01 let tanh's activations collapse, "
        "weights of 1 saturate them, 1 / sqrt(fan_in) holds them; the same breaks with ReLU until the "
        "variance is doubled. The later slides show six layers of 4096 units."
    )
    limits: ClassVar[tuple[str, ...]] = (
        "The slides print one draw, so its own sampling error is part of the tolerance.",
        "Of the six wide layers the slides' words are judged; numbers are printed for the ten layers alone.",
        "At --size small the wide layers have 512 units with the same fan_in Var[w].",
    )

    explained: ClassVar[Mapping[str, str]] = {
        "six-large-saturates": "What was measured agrees with theory, the slide's word does not. The "
        "preactivations have a standard deviation of 2.7 there, and tanh's slope is below 5% of its "
        "maximum only beyond 2.18: more than half of the elements still pass some gradient. The histogram "
        "does pile up at -1 and 1, which is what the slide shows.",
    }

    def claims(self, size: Size) -> tuple[Claim, ...]:
        """Return what the slides print, and what they say."""
        small = tuple(_printed_small(layer, value) for layer, value in PRINTED_SMALL.items())
        he = tuple(_printed_he(layer, value) for layer, value in PRINTED_HE.items())
        return (*small, *_said_of_ten(), *he, *_said_of_six(_width(size)))

    def measure(self, size: Size) -> Measured:
        """Scan both sets of networks."""
        count, wide_count = DRAWS[size]
        width = _width(size)
        runs = {label: scans(_spec(label), count) for label in ROWS}
        wide = {label: scans(_wide_spec(label, width), wide_count) for label in WIDE_ROWS}
        setting = (
            f"{DEPTH} layers x {WIDTH} units, {SAMPLES} samples, {count} draws each; "
            f"{WIDE_DEPTH} layers x {width} units, {WIDE_SAMPLES} samples, {wide_count} draws each"
        )
        return Measured(_of_ten(runs) | _of_six(wide), setting, (_figure(runs), _wide_figure(wide, width)))


def _width(size: Size) -> int:
    return WIDE if size is Size.PAPER else 512


def _spec(label: str) -> RunSpec:
    act, init = ROWS[label]
    return RunSpec(depth=DEPTH, width=WIDTH, act=act, init=init, batch=SAMPLES)


def _wide_spec(label: str, width: int) -> RunSpec:
    std = WIDE_ROWS[label] * math.sqrt(WIDE / width)
    return RunSpec(depth=WIDE_DEPTH, width=width, act="tanh", init=f"normal:{std:.9g}", batch=WIDE_SAMPLES)


def _of_ten(runs: dict[str, list[Recording]]) -> dict[str, list[float]]:
    small, large, xavier, relu, he = runs.values()
    return {
        **{f"tanh-small-{layer}": each(small, "activation", "std", layer) for layer in PRINTED_SMALL},
        "tanh-small-10": each(small, "activation", "std", DEPTH),
        "tanh-large-saturates": [outer_share(recording, DEPTH, EDGE) for recording in large],
        "tanh-xavier-holds": each(xavier, "activation", "std", DEPTH),
        "relu-xavier-collapses": ratios(*(each(relu, "activation", "std", layer) for layer in (DEPTH, 1))),
        **{f"relu-he-{layer}": each(he, "activation", "std", layer) for layer in PRINTED_HE},
    }


def _of_six(runs: dict[str, list[Recording]]) -> dict[str, list[float]]:
    small, large, xavier = runs.values()
    std = [each(small, "activation", "std", layer) for layer in range(1, WIDE_DEPTH + 1)]
    falls = [ratios(above, below) for below, above in pairwise(std)]
    return {
        "six-small-shrinks": [max(draw) for draw in zip(*falls, strict=True)],
        "six-large-saturates": each(large, "activation", "saturated_fraction", WIDE_DEPTH),
        "six-xavier-holds": each(xavier, "activation", "std", WIDE_DEPTH),
    }


def _figure(runs: dict[str, list[Recording]]) -> sketches.Histograms:
    return sketches.Histograms(
        "figure",
        "Activations of ten layers of 500 units",
        "Histograms of the activations, five rows of ten layers. Tanh with 0.01 narrows to a spike at 0, "
        "with 1.0 sits at -1 and 1, with 1 / sqrt(fan_in) narrows a little; ReLU with 1 / sqrt(fan_in) "
        "narrows to 0, with twice that variance every layer looks the same.",
        tuple(sketches.activations(label, drawn[0]) for label, drawn in runs.items()),
    )


def _wide_figure(runs: dict[str, list[Recording]], width: int) -> sketches.Histograms:
    return sketches.Histograms(
        "six-layers",
        f"Activations of six tanh layers of {width} units",
        "Histograms of the activations, three rows of six layers. With 0.01 they narrow from layer to layer, "
        "with 0.05 most lie near -1 and 1, with 1 / sqrt(fan_in) they stay spread.",
        tuple(sketches.activations(f"tanh, {label}", drawn[0]) for label, drawn in runs.items()),
    )


def _printed_small(layer: int, printed: float) -> Claim:
    """Return the claim about a number that is printed for tanh, 0.01 randn.

    The mean over N samples of d features, passed through l almost linear layers of n units, has
    Var[ln m2] = 2 / (N d) + sum over layers of (2 / n) (1 / d + 1 / N + (l - 1) / n).
    """
    effective = (1 / WIDTH + 1 / SAMPLES + above / WIDTH for above in range(layer))
    variance = 2 / (SAMPLES * WIDTH) + sum(2 / WIDTH * share for share in effective)
    deviation = math.sqrt(variance) / 2.0
    return Claim(
        name=f"tanh-small-{layer}",
        says=f"tanh with 0.01 randn: the standard deviation of layer {layer} is printed",
        where="lecture 6, slide 'W = 0.01 * np.random.randn(D, H)'",
        published=f"{printed:.6f}",
        statistic=f"standard deviation of layer {layer}'s activations",
        accepted=Accepted.around(printed, QUANTILE * deviation * printed + ROUNDING),
        reason=f"the slide prints one draw: 99% of draws stray by {QUANTILE * deviation:.1%} (an almost "
        "linear network: Var[ln m2] grows by (2 / n)(1 / d + 1 / N + (l - 1) / n) a layer), and six decimals",
        expected=mean_field(_spec("tanh, 0.01 randn"))[layer - 1].activation.std,
        theory="mean-field theory",
    )


def _printed_he(layer: int, printed: float) -> Claim:
    moments = mean_field(_spec("relu, randn / sqrt(fan_in / 2)"))
    stray = math.exp(QUANTILE * math.sqrt(_variances(layer)[layer - 1]) / 2.0)
    return Claim(
        name=f"relu-he-{layer}",
        says=f"relu with randn / sqrt(fan_in / 2): the standard deviation of layer {layer} is printed",
        where="lecture 6, slide 'W = np.random.randn(fan_in, fan_out) / np.sqrt(fan_in/2)'",
        published=f"{printed:.6f}",
        statistic=f"standard deviation of layer {layer}'s activations",
        accepted=Accepted.factor(printed, stray),
        reason="the slide prints one draw: by theory 99% of draws of one sample's signal lie within this "
        f"factor, {stray:.2f} (Var[ln m2] = 5 l / n)",
        expected=moments[layer - 1].activation.std,
        theory="mean-field theory: sqrt(1 - 1 / pi) in every layer",
        log=True,
    )


def _variances(layers: int) -> list[float]:
    """Return Var[ln E[a^2]] of each layer for ReLU at this width."""
    z = Preactivations(np.zeros(layers), np.ones(layers), np.ones(layers))
    return [float(value) for value in spreads(activation("relu"), z, [WIDTH] * layers)[0].variance]


def _said_of_ten() -> tuple[Claim, ...]:
    second = mean_field(_spec("tanh, 1.0 randn"))[-1].preactivation.rms
    xavier = mean_field(_spec("tanh, randn / sqrt(fan_in)"))
    return (
        Claim(
            name="tanh-small-10",
            says="tanh with 0.01 randn: all activations become zero",
            where="lecture 6, slide 'W = 0.01 * np.random.randn(D, H)'",
            published="0.000000 at layer 10",
            statistic="standard deviation of layer 10's activations",
            accepted=Accepted(high=ROUNDING),
            reason="what is printed as 0.000000 is below 5e-7",
            expected=mean_field(_spec("tanh, 0.01 randn"))[-1].activation.std,
            theory="mean-field theory",
        ),
        Claim(
            name="tanh-large-saturates",
            says="tanh with 1.0 randn: almost all neurons are completely saturated, either -1 or 1",
            where="lecture 6, slide 'W = np.random.randn(fan_in, fan_out) * 1.0'",
            published="almost all at -1 or 1",
            statistic="share of layer 10's activations with |a| > 0.969",
            accepted=Accepted(low=0.9),
            reason="'almost all' is read as nine in ten, 'completely' as within 1/64 of the range's ends",
            expected=math.erfc(math.atanh(1.0 - 2.0 * EDGE) / (second * math.sqrt(2.0))),
            theory="P(|z| > atanh(0.969)), z ~ N(0, q), q from mean-field theory",
        ),
        Claim(
            name="tanh-xavier-holds",
            says="tanh with randn / sqrt(fan_in): a reasonable initialisation",
            where="lecture 6, slide 'Xavier initialization'",
            published="reasonable",
            statistic="standard deviation of layer 10's activations",
            accepted=Accepted(low=0.1),
            reason="'reasonable' is read as within a power of ten of the input's 1",
            expected=xavier[-1].activation.std,
            theory="mean-field theory",
        ),
        Claim(
            name="relu-xavier-collapses",
            says="relu with randn / sqrt(fan_in): when using the ReLU nonlinearity it breaks",
            where="lecture 6, slide 'Xavier initialization', ReLU",
            published="collapses towards 0",
            statistic="standard deviation of layer 10's activations over layer 1's",
            accepted=Accepted(high=0.1),
            reason="'breaks' is read as less than a tenth after nine more layers",
            expected=2.0**-4.5,
            theory="2^(-1/2) a layer (He et al. 2015)",
            log=True,
        ),
    )


def _said_of_six(width: int) -> tuple[Claim, ...]:
    small, large, xavier = (mean_field(_wide_spec(label, width)) for label in WIDE_ROWS)
    std = [layer.activation.std for layer in small]
    return (
        Claim(
            name="six-small-shrinks",
            says="six layers, 0.01 randn: all activations tend to zero for deeper layers",
            where="2018 lecture, slide 'Weight initialization: small random numbers'",
            published="smaller in every layer",
            statistic="largest ratio of a layer's standard deviation to that of the layer before",
            accepted=Accepted(high=1.0),
            reason=ORDERING,
            expected=max(above / below for below, above in pairwise(std)),
            theory="mean-field theory",
        ),
        Claim(
            name="six-large-saturates",
            says="six layers, 0.05 randn: all activations saturate",
            where="2018 lecture, slide 'Weight initialization: activation statistics'",
            published="all saturate",
            statistic="share of layer 6's activations where tanh's slope is below 5% of its maximum",
            accepted=Accepted(low=0.5),
            reason="'all' is read as more than half, since no share below 1 is all",
            expected=large[-1].activation.saturated_fraction,
            theory="mean-field theory",
        ),
        Claim(
            name="six-xavier-holds",
            says="six layers, randn / sqrt(fan_in): activations are nicely scaled for all layers",
            where="2018 lecture, slide 'Weight initialization: Xavier initialization'",
            published="nicely scaled",
            statistic="standard deviation of layer 6's activations",
            accepted=Accepted(low=0.1),
            reason="'nicely scaled' is read as within a power of ten of the input's 1",
            expected=xavier[-1].activation.std,
            theory="mean-field theory",
        ),
    )
