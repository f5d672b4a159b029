"""Glorot & Bengio's figures 6 to 8, and the singular values of a layer's Jacobian."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import ClassVar

import numpy as np
import torch
from numpy.typing import NDArray

from actdiag import sketches
from actdiag.activations import Array, activation
from actdiag.data import load_batch
from actdiag.models import Block, build
from actdiag.recipes.base import Accepted, Claim, Measured, Recipe, Size, Source, register
from actdiag.recipes.measuring import each, ratios, scans
from actdiag.recipes.singular import mean_singular_value, slope_squares
from actdiag.recording import Recording
from actdiag.scanning import draws
from actdiag.theory import Moments, prediction
from actdiag.types import RunSpec

DEPTH, FEATURES, SAMPLES = 5, 1024, 300
UNITS = {Size.SMALL: 300, Size.PAPER: 1000}
DRAWS = 8
STANDARD, NORMALISED = "standard_uniform", "xavier_uniform"
QUIET = 0.25
"""Standard deviation of the second surrogate's inputs: small enough for tanh to be nearly linear."""
SQUARE = (2, 3, 4, 5)
"""Layers whose input has as many units as their output."""
ALIKE = 1.25
BY_EYE = "read by eye: two histograms that differ in width by less than a quarter look alike"
ROUNDED = "the text prints one digit, which stands for half a unit of it either way"
ORDERING = "an ordering: the ratio lies on one side of 1, with its whole interval"


QUIET_DATA = f"{__name__}:quiet"


def quiet() -> tuple[Array, NDArray[np.int64]]:
    """Return 3,000 samples of N(0, 0.25^2), (3000, 1024), and classes: data for a `RunSpec`."""
    random = np.random.default_rng(2010)
    return random.normal(0.0, QUIET, (3000, FEATURES)), random.integers(0, 10, 3000)


@register
class GlorotBengio(Recipe):
    """Standard against normalised initialisation in tanh networks."""

    name: ClassVar[str] = "glorot2010"
    title: ClassVar[str] = "Glorot & Bengio 2010: standard against normalised initialization"
    source: ClassVar[Source] = Source(
        "Glorot & Bengio",
        2010,
        "Understanding the difficulty of training deep feedforward neural networks",
        "AISTATS, PMLR 9, pages 249-256",
    )
    summary: ClassVar[str] = (
        "Five hidden tanh layers. With weights of U(-1/√n, 1/√n), each layer keeps a third of the variance: "
        "activations narrow on their way up, back-propagated gradients on their way down. Weights of "
        "U(-√6/√(n+n'), √6/√(n+n')) were proposed to keep both."
    )
    limits: ClassVar[tuple[str, ...]] = (
        "The figures were made with Shapeset-3x2, images of 32 x 32 pixels that are not to be had any more. "
        "The inputs here are noise of as many features: N(0, 1), and N(0, 0.25²), at which tanh is nearly "
        "linear. What the text says depends on that scale, so its numbers are judged at both, and on "
        "scikit-learn's digits (8 x 8 pixels, each standardised).",
        "Training curves and test errors (figures 9 to 12, table 1) are not run.",
    )
    explained: ClassVar[Mapping[str, str]] = {
        "gradients-level": "With inputs of N(0, 1) tanh is bent enough to lose what the weights keep, just "
        "as mean-field theory expects. With inputs of N(0, 0.25²) it is nearly straight, and the claim "
        "comes out.",
        "gradients-level-quiet": "At --size small there are 1024 features and 300 units, for which the "
        "normalised initialization makes the first layer's arguments half as large again in variance, and "
        "tanh is bent more. At the published size the claim comes out.",
        "jacobian-normalised-noise": "Without tanh the mean singular value of a wide square layer would be "
        "8 / (3π) = 0.849; the slope of tanh at inputs of N(0, 1) lowers it just as random matrix theory "
        "expects. With smaller inputs, and on digits, whose 64 pixels make the first layer's arguments "
        "small, the published 0.8 comes out. The paper does not say how large its inputs were.",
    }

    def claims(self, size: Size) -> tuple[Claim, ...]:
        """Return what figures 6 to 8 show and section 4.2.2 says."""
        width = UNITS[size]
        return (*_activation_claims(width), *_gradient_claims(width), *_jacobian_claims(width))

    def measure(self, size: Size) -> Measured:
        """Scan both initialisers on both surrogates, and take the layers' Jacobians on digits as well."""
        width = UNITS[size]
        runs = {
            (init, data): scans(_spec(init, data, width), DRAWS)
            for init in (STANDARD, NORMALISED)
            for data in ("noise", "quiet")
        }
        setting = (
            f"{DEPTH} tanh layers x {width} units, {FEATURES} features, {SAMPLES} samples, cross-entropy, "
            f"{DRAWS} draws of each initializer"
        )
        values = {**_values(runs), **_jacobians(width)}
        return Measured(values, setting, (_activations(runs), _gradients(runs)))


def _spec(init: str, data: str, width: int) -> RunSpec:
    spec = RunSpec(depth=DEPTH, width=width, act="tanh", init=init, batch=SAMPLES)
    if data == "noise":
        return replace(spec, features=FEATURES)
    return (
        replace(spec, data="digits")
        if data == "digits"
        else replace(spec, data=QUIET_DATA, standardise=False)
    )


def _values(runs: dict[tuple[str, str], list[Recording]]) -> dict[str, list[float]]:
    std = {
        key: [each(drawn, "activation", "std", layer) for layer in range(1, 6)] for key, drawn in runs.items()
    }
    slope = {key: _first_to_last(drawn, "preactivation_grad") for key, drawn in runs.items()}
    weight = {key: _first_to_last(drawn, "weight_grad") for key, drawn in runs.items()}
    noise, quiet = (STANDARD, "noise"), (STANDARD, "quiet")
    return {
        "activations-narrow": ratios(std[noise][4], std[noise][0]),
        "third-per-layer": [ratio**2 for ratio in ratios(std[noise][4], std[noise][3])],
        "gradients-narrow": slope[noise],
        "gradients-level": slope[NORMALISED, "noise"],
        "gradients-level-quiet": slope[NORMALISED, "quiet"],
        "normalised-wins": ratios(slope[NORMALISED, "noise"], slope[noise]),
        "weight-gradients-level": weight[noise],
        "weight-gradients-level-quiet": weight[quiet],
    }


def _first_to_last(drawn: list[Recording], tensor: str) -> list[float]:
    return ratios(each(drawn, tensor, "std", 1), each(drawn, tensor, "std", DEPTH))


def _jacobians(width: int) -> dict[str, list[float]]:
    return {
        f"jacobian-{label}-{data}": [
            measured_singular_value(spec) for spec in draws(_spec(init, data, width), DRAWS)
        ]
        for label, init in (("normalised", NORMALISED), ("standard", STANDARD))
        for data in ("noise", "quiet", "digits")
    }


@torch.no_grad()
def measured_singular_value(spec: RunSpec) -> float:
    """Return the mean singular value of J = diag(tanh'(s)) W over a network's square layers, at one sample.

    References: Glorot & Bengio 2010, eq. 17.
    """
    batch = load_batch(spec)
    inputs = batch.inputs[:1].float()
    model = build(spec, math.nan, batch.inputs.float(), batch.classes)
    found = []
    for layer, block in enumerate((part for part in model.children() if isinstance(part, Block)), start=1):
        inputs = block(inputs)
        if layer in SQUARE:
            jacobians = (1.0 - inputs**2)[:, :, None] * block.linear.weight
            found.append(float(torch.linalg.svdvals(jacobians).mean()))
    return sum(found) / len(found)


def _activations(runs: dict[tuple[str, str], list[Recording]]) -> sketches.Histograms:
    return sketches.Histograms(
        "figure",
        "Activations: standard (top), normalised (bottom)",
        "Histograms of the activations of five tanh layers. With the standard initialization they gather at "
        "0 more and more from layer 1 to 5; with the normalised one they stay spread.",
        tuple(sketches.activations(label, runs[init, "noise"][0]) for label, init in _LABELS.items()),
    )


def _gradients(runs: dict[tuple[str, str], list[Recording]]) -> sketches.Histograms:
    rows = {
        "standard, N(0, 1) inputs": (STANDARD, "noise"),
        "normalised, N(0, 1) inputs": (NORMALISED, "noise"),
        "normalised, N(0, 0.25²) inputs": (NORMALISED, "quiet"),
    }
    return sketches.Histograms(
        "gradients",
        "Back-propagated gradients: standard (top), normalised (middle and bottom)",
        "Histograms of the gradients of five tanh layers. With the standard initialization they narrow much "
        "from layer 5 down to layer 1, with the normalised one less, and little where inputs are small.",
        tuple(sketches.gradients(label, runs[key][0]) for label, key in rows.items()),
        gradients=True,
    )


_LABELS = {"standard": STANDARD, "normalised": NORMALISED}


SECOND_MOMENT = {"noise": 1.0, "quiet": QUIET**2, "digits": 61.0 / 64.0}
"""Of an input element; of the 64 standardised pixels 3 are always blank."""


def _theory(init: str, data: str, width: int) -> tuple[Moments, ...]:
    """Return the mean-field prediction."""
    features = 64 if data == "digits" else FEATURES
    return prediction(vars(_spec(init, data, width)), features, 10, SECOND_MOMENT[data])


def _std(init: str, layer: int, width: int) -> float:
    return _theory(init, "noise", width)[layer - 1].activation.std


def _slope(init: str, data: str, width: int) -> float:
    """Return the gradient's standard deviation at layer 1 over layer 5's."""
    return math.exp(0.5 * _theory(init, data, width)[0].log_gradient)


def _weight_slope(data: str, width: int) -> float:
    """Return the same of the weights' gradients: dLoss/dw = dLoss/ds times what enters, eq. 3."""
    entering = _theory(STANDARD, data, width)[DEPTH - 2].activation.rms
    return _slope(STANDARD, data, width) * math.sqrt(SECOND_MOMENT[data]) / entering


def _singular_value(init: str, data: str, width: int) -> float:
    layers = _theory(init, data, width)
    sigma_w2 = 1.0 if init == NORMALISED else 1.0 / 3.0
    laws = [slope_squares(activation("tanh"), math.exp(layers[n - 1].log_q), sigma_w2) for n in SQUARE]
    return sum(mean_singular_value(*law) for law in laws) / len(laws)


def _activation_claims(width: int) -> tuple[Claim, ...]:
    fifth, fourth, first = (_std(STANDARD, layer, width) for layer in (5, 4, 1))
    return (
        Claim(
            name="activations-narrow",
            says="with the standard initialization, the peak at 0 of the activations increases for higher "
            "layers",
            where="figure 6, top",
            published="layer 5 narrower than layer 1",
            statistic="standard deviation of layer 5's activations over layer 1's, standard, N(0, 1) inputs",
            accepted=Accepted(high=1.0),
            reason=ORDERING,
            expected=fifth / first,
            theory="mean-field theory",
            log=True,
        ),
        Claim(
            name="third-per-layer",
            says="the standard initialization has n Var[W] = 1/3, by which a linear layer multiplies the "
            "variance",
            where="equations 5 and 15",
            published="1/3",
            statistic="variance of layer 5's activations over layer 4's, standard, N(0, 1) inputs",
            accepted=Accepted.around(1.0 / 3.0, 0.01),
            reason="the law is of a linear layer: tanh takes a share of twice its argument's variance, "
            "0.002 at layer 5, so that 1/3 to two digits is asked for",
            expected=(fifth / fourth) ** 2,
            theory="mean-field theory",
            log=True,
        ),
    )


def _gradient_claims(width: int) -> tuple[Claim, ...]:
    standard, normalised = (_slope(init, "noise", width) for init in (STANDARD, NORMALISED))
    statistic = "standard deviation of the gradient by layer 1's argument over layer 5's, "
    return (
        Claim(
            name="gradients-narrow",
            says="after the standard initialization, the back-propagated gradient gets smaller on its way "
            "down",
            where="figure 7, top; section 4.3",
            published="layer 1 narrower than layer 5",
            statistic=statistic + "standard, N(0, 1) inputs",
            accepted=Accepted(high=1.0),
            reason=ORDERING,
            expected=standard,
            theory="mean-field theory",
            log=True,
        ),
        *(_level(name, data, statistic, width) for name, data in _LEVEL.items()),
        Claim(
            name="normalised-wins",
            says="the normalised initialization keeps the gradient better than the standard one",
            where="figure 7, bottom against top",
            published="normalised above standard",
            statistic=statistic + "normalised's over standard's, N(0, 1) inputs",
            accepted=Accepted(low=1.0),
            reason=ORDERING,
            expected=normalised / standard,
            theory="mean-field theory, both",
            log=True,
        ),
        *(_level_weights(f"weight-{name}", data, width) for name, data in _LEVEL.items()),
    )


_LEVEL = {"gradients-level": "noise", "gradients-level-quiet": "quiet"}
_INPUTS = {"noise": "N(0, 1) inputs", "quiet": "N(0, 0.25²) inputs", "digits": "digits"}


def _level(name: str, data: str, statistic: str, width: int) -> Claim:
    return Claim(
        name=name,
        says="with the normalised initialization, no such decreasing back-propagated gradients are seen",
        where="figure 7, bottom; section 4.3",
        published="layer 1 as layer 5",
        statistic=statistic + f"normalised, {_INPUTS[data]}",
        accepted=Accepted.factor(1.0, ALIKE),
        reason=BY_EYE,
        expected=_slope(NORMALISED, data, width),
        theory="mean-field theory",
        log=True,
    )


def _level_weights(name: str, data: str, width: int) -> Claim:
    return Claim(
        name=name,
        says="even with the standard initialization, the weights' gradients have about one variance in all "
        "layers",
        where="figure 8, top; equation 14",
        published="layer 1 as layer 5",
        statistic="standard deviation of layer 1's weight gradient over layer 5's, standard, "
        f"{_INPUTS[data]}",
        accepted=Accepted.factor(1.0, ALIKE),
        reason=BY_EYE,
        expected=_weight_slope(data, width),
        theory="mean-field theory: gradient by the argument, times what enters",
        log=True,
    )


def _jacobian_claims(width: int) -> tuple[Claim, ...]:
    published = {"normalised": 0.8, "standard": 0.5}
    words = {"normalised": "is around 0.8", "standard": "drops down to 0.5"}
    return tuple(
        Claim(
            name=f"jacobian-{label}-{data}",
            says=f"the average singular value of a layer's Jacobian {words[label]} ({label})",
            where="section 4.2.2, equation 17",
            published=words[label].removeprefix("is "),
            statistic="mean singular value of diag(tanh') W, mean over layers 2 to 5, one sample, "
            f"{_INPUTS[data]}",
            accepted=Accepted.around(published[label], 0.05),
            reason=ROUNDED,
            expected=_singular_value(init, data, width),
            theory="random matrix theory of diag(tanh'(s)) W, with s ~ N(0, q) from mean-field theory",
        )
        for label, init in _LABELS.items()
        for data in ("noise", "quiet", "digits")
    )
