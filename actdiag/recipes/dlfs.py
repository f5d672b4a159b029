"""Saito's five layers of a hundred units: sigmoid and ReLU under four initialisers."""

from __future__ import annotations

import math
from typing import ClassVar

from actdiag import sketches
from actdiag.recipes.base import Accepted, Claim, Measured, Recipe, Size, Source, register
from actdiag.recipes.measuring import each, mean_field, outer_share, ratios, scans
from actdiag.recording import Recording
from actdiag.types import RunSpec

DEPTH, WIDTH, SAMPLES = 5, 100, 1000
DRAWS = {Size.SMALL: 8, Size.PAPER: 32}
ROWS = {
    "sigmoid, N(0, 1)": ("sigmoid", "normal:1"),
    "sigmoid, N(0, 0.01²)": ("sigmoid", "normal:0.01"),
    "sigmoid, Xavier": ("sigmoid", "lecun_normal"),
    "relu, N(0, 0.01²)": ("relu", "normal:0.01"),
    "relu, Xavier": ("relu", "lecun_normal"),
    "relu, He": ("relu", "he_normal"),
}
"""The book's initialisers; its Xavier is randn / sqrt(n)."""

SAME_BY_EYE = 1.25
"""Factor between the widths of two histograms that look alike."""
BY_EYE = "the book shows histograms and prints no numbers: "


@register
class DeepLearningFromScratch(Recipe):
    """The book's figures 6-10 to 6-14."""

    name: ClassVar[str] = "dlfs"
    title: ClassVar[str] = "Deep Learning from Scratch: initial weights and hidden activations"
    source: ClassVar[Source] = Source(
        "Saito", 2016, "Deep Learning from Scratch", "O'Reilly Japan, section 6.2"
    )
    summary: ClassVar[str] = (
        "Five hidden layers of 100 units, 1000 samples of N(0, 1), no bias. With sigmoid, weights of "
        "standard deviation 1 drive activations to 0 and 1, weights of 0.01 make all units alike, Xavier's "
        "spread them. With ReLU, activations still shrink under Xavier's and not under He's."
    )
    limits: ClassVar[tuple[str, ...]] = (
        "The book's histograms carry no numbers, so its words are judged by statistics of the same networks.",
    )

    def claims(self, size: Size) -> tuple[Claim, ...]:
        """Return the book's sentences as statements about five layers."""
        return (*_sigmoid_claims(), *_relu_claims())

    def measure(self, size: Size) -> Measured:
        """Scan the six networks; they are small, so both sizes are the published one."""
        count = DRAWS[size]
        runs = {label: scans(_spec(label), count) for label in ROWS}
        setting = f"{DEPTH} layers x {WIDTH} units, {SAMPLES} samples of N(0, 1), no bias, {count} draws each"
        return Measured(_values(runs), setting, (_figure(runs),))


def _spec(label: str) -> RunSpec:
    act, init = ROWS[label]
    return RunSpec(depth=DEPTH, width=WIDTH, act=act, init=init, batch=SAMPLES)


def _values(runs: dict[str, list[Recording]]) -> dict[str, list[float]]:
    std = {
        label: [each(drawn, "activation", "std", layer) for layer in range(1, 6)]
        for label, drawn in runs.items()
    }
    small, xavier = std["sigmoid, N(0, 0.01²)"], std["sigmoid, Xavier"]
    relu = {name: std[f"relu, {name}"] for name in ("N(0, 0.01²)", "Xavier", "He")}
    return {
        "sigmoid-1-piles-up": [
            outer_share(recording, DEPTH, 1 / 8) for recording in runs["sigmoid, N(0, 1)"]
        ],
        "sigmoid-001-at-half": small[-1],
        "sigmoid-xavier-wider": ratios(xavier[-1], small[-1]),
        "relu-001-vanishes": relu["N(0, 0.01²)"][-1],
        "relu-xavier-shrinks": ratios(relu["Xavier"][-1], relu["Xavier"][0]),
        "relu-he-keeps": ratios(relu["He"][-1], relu["He"][0]),
    }


def _figure(runs: dict[str, list[Recording]]) -> sketches.Histograms:
    rows = tuple(sketches.activations(label, drawn[0]) for label, drawn in runs.items())
    return sketches.Histograms(
        "figure",
        "Activations of five layers of 100 units",
        "Histograms of the activations, six rows of five layers. Sigmoid with N(0, 1) piles up at 0 and 1, "
        "with N(0, 0.01²) at 0.5, with Xavier it is spread; ReLU with N(0, 0.01²) shrinks tenfold in each "
        "layer, with Xavier it narrows from layer to layer, with He every layer looks the same.",
        rows,
    )


def _outer_share() -> float:
    """Return P(sigmoid(z) beyond 1/8 from the ends), z ~ N(0, q) at the last layer."""
    second = mean_field(_spec("sigmoid, N(0, 1)"))[-1].preactivation.rms
    return math.erfc(math.log(7.0) / (second * math.sqrt(2.0)))


def _std(label: str, layer: int) -> float:
    return mean_field(_spec(label))[layer - 1].activation.std


def _sigmoid_claims() -> tuple[Claim, ...]:
    half = "sigmoid, N(0, 0.01²)"
    return (
        Claim(
            name="sigmoid-1-piles-up",
            says="with standard deviation 1, the sigmoid's activations pile up at 0 and 1",
            where="figure 6-10",
            published="most activations at 0 or 1",
            statistic="share of layer 5's activations below 1/8 or above 7/8",
            accepted=Accepted(low=0.5),
            reason=BY_EYE + "'pile up' is read as more than half in the outer quarter of the axis",
            expected=_outer_share(),
            theory="P(|z| > ln 7), z ~ N(0, q), q from mean-field theory at layer 5",
        ),
        Claim(
            name="sigmoid-001-at-half",
            says="with standard deviation 0.01, they gather at 0.5",
            where="figure 6-11",
            published="all activations near 0.5",
            statistic="standard deviation of layer 5's activations",
            accepted=Accepted(high=0.05),
            reason=BY_EYE + "'near' is read as a standard deviation below a twentieth of the axis",
            expected=_std(half, 5),
            theory="mean-field theory",
        ),
        Claim(
            name="sigmoid-xavier-wider",
            says="with Xavier, they are spread wider than with 0.01",
            where="figure 6-13",
            published="Xavier above N(0, 0.01²)",
            statistic="standard deviation of layer 5's activations, Xavier's over N(0, 0.01²)'s",
            accepted=Accepted(low=1.0),
            reason="an ordering: the ratio is above 1, with its whole interval",
            expected=_std("sigmoid, Xavier", 5) / _std(half, 5),
            theory="mean-field theory, both",
            log=True,
        ),
    )


def _relu_claims() -> tuple[Claim, ...]:
    small, xavier = "relu, N(0, 0.01²)", "relu, Xavier"
    return (
        Claim(
            name="relu-001-vanishes",
            says="with standard deviation 0.01, ReLU's activations are very small",
            where="figure 6-14, top",
            published="near 0",
            statistic="standard deviation of layer 5's activations",
            accepted=Accepted(high=0.01),
            reason=BY_EYE + "'very small' is read as below a hundredth of the input's 1",
            expected=_std(small, 5),
            theory="mean-field theory",
            log=True,
        ),
        Claim(
            name="relu-xavier-shrinks",
            says="with Xavier, the activations lean to 0 more and more as layers are added",
            where="figure 6-14, middle",
            published="layer 5 narrower than layer 1",
            statistic="standard deviation of layer 5's activations over layer 1's",
            accepted=Accepted(high=1.0),
            reason="an ordering: the ratio is below 1, with its whole interval",
            expected=_std(xavier, 5) / _std(xavier, 1),
            theory="mean-field theory: 2^(-1/2) a layer",
            log=True,
        ),
        Claim(
            name="relu-he-keeps",
            says="with He, the spread stays the same in every layer",
            where="figure 6-14, bottom",
            published="layer 5 as layer 1",
            statistic="standard deviation of layer 5's activations over layer 1's",
            accepted=Accepted.factor(1.0, SAME_BY_EYE),
            reason=BY_EYE + "two histograms that differ in width by less than a quarter look alike",
            expected=1.0,
            theory="mean-field theory at infinite width; at width 100 about 5% less, -5 l / (4 n) in ln",
            log=True,
        ),
    )
