"""Ioffe and Szegedy's batch normalisation: a bad initialisation with and without it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import ClassVar

import numpy as np
import torch
from torch.nn import functional

from actdiag import sketches
from actdiag.capture import Recorder
from actdiag.data import load_batch
from actdiag.models import build
from actdiag.recipes.base import Accepted, Claim, Measured, Recipe, Size, Source, register
from actdiag.recipes.measuring import each, mean_field, ratios, scans
from actdiag.recipes.training import LINE, LINE_WORDS, Training, train
from actdiag.recording import Recording
from actdiag.types import RunSpec

DEPTH, WIDTH = 10, 128
SMALL, LARGE = 0.03, 0.3
"""Standard deviations of two bad starts for ReLU; He's at this width is 0.125."""
SCALE = LARGE / SMALL
BAD = {"N(0, 0.03²)": f"normal:{SMALL}", "N(0, 0.3²)": f"normal:{LARGE}"}
STEPS = {Size.SMALL: (200, 3), Size.PAPER: (600, 5)}
"""Steps and draws of the networks that are trained."""
DRAWS = {Size.SMALL: 8, Size.PAPER: 32}
"""Of the starts."""
EPSILON = (
    "torch adds 1e-5 to the variance, which is 0.06 and more at the small scale: 1e-4 of a layer's standard "
    "deviation"
)
UNTRAINED = "none: training has no closed form"
NORMS = {"without": "none", "with": "batch"}


@register
class BatchNormalisation(Recipe):
    """Section 3.3's invariance and section 4.2's sigmoid network, on a fully connected analogue."""

    name: ClassVar[str] = "batchnorm"
    title: ClassVar[str] = "Ioffe & Szegedy 2015: batch normalisation and a bad initialisation"
    source: ClassVar[Source] = Source(
        "Ioffe & Szegedy",
        2015,
        "Batch normalization: Accelerating deep network training by reducing internal covariate shift",
        "ICML",
    )
    summary: ClassVar[str] = (
        "Behind batch normalisation the scale of the weights no longer reaches the signal: activations are "
        "the same for any scale, and a weight's gradient is divided by it. So ten layers train from starts "
        "that are too small or too large, and sigmoid layers from a start that leaves them at chance "
        "without it."
    )
    limits: ClassVar[tuple[str, ...]] = (
        "The paper trains Inception on ImageNet (69.8% with sigmoid and batch normalisation, chance "
        "without). Here ten fully connected layers of 128 units are trained on scikit-learn's digits with "
        "momentum 0.9 and rate 0.01: an analogue.",
    )

    def claims(self, size: Size) -> tuple[Claim, ...]:
        """Return the invariances of section 3.3 and what is said of training."""
        return (*_invariance_claims(), _signal_claim(), *_training_claims())

    def measure(self, size: Size) -> Measured:
        """Scan both bad starts with and without the norm, and train from them."""
        draws = DRAWS[size]
        starts = {(bad, word): scans(_spec(bad, word), draws) for bad in BAD for word in NORMS}
        steps, runs = STEPS[size]
        trained = {
            **{key: _train(_spec(*key), steps, runs) for key in starts},
            **{("sigmoid", word): _train(_sigmoid(word), steps, runs) for word in NORMS},
        }
        setting = (
            f"{DEPTH} layers x {WIDTH} units; starts: 512 samples of N(0, 1), {draws} draws each; "
            f"training: digits, {steps} steps, {runs} draws each"
        )
        sketched = (_histograms(starts), _curves(trained))
        return Measured(_starts(starts, draws) | _trained(trained), setting, sketched)


Key = tuple[str, str]


def _spec(bad: str, word: str) -> RunSpec:
    return RunSpec(depth=DEPTH, width=WIDTH, act="relu", init=BAD[bad], norm=NORMS[word])


def _sigmoid(word: str) -> RunSpec:
    return RunSpec(depth=DEPTH, width=WIDTH, act="sigmoid", init="xavier", norm=NORMS[word])


def _train(spec: RunSpec, steps: int, runs: int) -> list[Training]:
    return [train(replace(spec, seed=seed), steps) for seed in range(runs)]


def _starts(starts: dict[Key, list[Recording]], draws: int) -> dict[str, list[float]]:
    bare = starts["N(0, 0.03²)", "without"]
    small, large = ([_scaled(seed, factor) for seed in range(draws)] for factor in (1.0, SCALE))
    gradients = ratios(*(each(runs, "weight_grad", "rms", 1) for runs in (large, small)))
    return {
        "same-activations": ratios(*(each(runs, "activation", "std", DEPTH) for runs in (large, small))),
        "gradient-over-scale": [ratio * SCALE for ratio in gradients],
        "signal-lost-without": ratios(*(each(bare, "activation", "rms", layer) for layer in (DEPTH, 1))),
    }


def _scaled(seed: int, factor: float) -> Recording:
    """Measure the small start with batch normalisation, its hidden weights multiplied by a factor."""
    spec = replace(_spec("N(0, 0.03²)", "with"), seed=seed)
    batch = load_batch(spec)
    model = build(spec, math.nan, batch.inputs, batch.classes)
    with torch.no_grad():
        for hidden in model.products()[:-1]:
            hidden.weight *= factor
    with Recorder(model, spec.slug) as recorder:
        functional.cross_entropy(model(batch.inputs), batch.targets).backward()  # type: ignore[no-untyped-call]
        recorder.step()
    return recorder.recording()


def _trained(trained: dict[Key, list[Training]]) -> dict[str, list[float]]:
    accuracy = {key: [run.accuracy for run in runs] for key, runs in trained.items()}
    return {
        "small-without-stalls": accuracy["N(0, 0.03²)", "without"],
        "small-with-trains": accuracy["N(0, 0.03²)", "with"],
        "large-without-stalls": accuracy["N(0, 0.3²)", "without"],
        "large-with-trains": accuracy["N(0, 0.3²)", "with"],
        "sigmoid-without-chance": accuracy["sigmoid", "without"],
        "sigmoid-with-trains": accuracy["sigmoid", "with"],
    }


def _histograms(starts: dict[Key, list[Recording]]) -> sketches.Histograms:
    rows = tuple(
        sketches.activations(f"{bad}, {word} batch normalisation", runs[0])
        for (bad, word), runs in starts.items()
    )
    return sketches.Histograms(
        "figure",
        "Activations of ten ReLU layers from two bad starts",
        "Histograms of the activations, four rows of ten layers. Without batch normalisation the rows "
        "shrink to a spike or grow from one; with it every layer of both starts looks the same.",
        rows,
    )


def _curves(trained: dict[Key, list[Training]]) -> sketches.Charts:
    starts = (*BAD, "sigmoid")
    charts = tuple(
        sketches.Chart(
            start if start == "sigmoid" else f"ReLU, {start}",
            "step",
            "training loss" if start == starts[0] else "",
            tuple(_curve(word, trained[start, word]) for word in NORMS),
            log_y=True,
        )
        for start in starts
    )
    return sketches.Charts(
        "training",
        "Training loss with and without batch normalisation, median of the draws",
        "Training loss against the step for three starts, log axis. With batch normalisation it falls in all "
        "of them.",
        charts,
    )


def _curve(word: str, runs: Sequence[Training], points: int = 100) -> sketches.Series:
    losses = np.median(np.array([run.losses for run in runs]), axis=0)
    pieces = np.array_split(np.arange(len(losses)), min(points, len(losses)))
    xs = [float(piece.mean()) + 1.0 for piece in pieces]
    return sketches.Series(word, xs, [float(losses[piece].mean()) for piece in pieces])


def _invariance_claims() -> tuple[Claim, ...]:
    return (
        Claim(
            name="same-activations",
            says="BN(Wu) = BN((aW)u): the scale of the weights does not reach the activations",
            where="section 3.3",
            published="1",
            statistic=f"standard deviation of layer {DEPTH}'s activations with hidden weights {SCALE:.0f} "
            "times as large, over that before",
            accepted=Accepted.factor(1.0, 1.001),
            reason=EPSILON + ", and ten times that is allowed",
            expected=1.0,
            theory="section 3.3",
            log=True,
        ),
        Claim(
            name="gradient-over-scale",
            says="d BN((aW)u) / d(aW) = (1 / a) d BN(Wu) / dW: larger weights get smaller gradients",
            where="section 3.3",
            published="1 / a",
            statistic=f"rms of layer 1's weight gradient with hidden weights a = {SCALE:.0f} times as large, "
            "over that before, times a",
            accepted=Accepted.factor(1.0, 1.002),
            reason=EPSILON + "; the gradient passes ten layers, and twice their sum is allowed",
            expected=1.0,
            theory="section 3.3",
            log=True,
        ),
    )


def _signal_claim() -> Claim:
    layers = mean_field(_spec("N(0, 0.03²)", "without"))
    return Claim(
        name="signal-lost-without",
        says="without it, small changes of the weights' scale amplify as the network becomes deeper",
        where="section 1",
        published="amplified with depth",
        statistic=f"rms of layer {DEPTH}'s activations over layer 1's, N(0, 0.03²), without normalisation",
        accepted=Accepted(high=0.01),
        reason="'amplified' is read as a factor of a hundred and more over nine layers",
        expected=layers[-1].activation.rms / layers[0].activation.rms,
        theory="mean-field theory",
        log=True,
    )


def _training_claims() -> tuple[Claim, ...]:
    careful = "be less careful about initialisation"
    return (
        _accuracy("small-without-stalls", "ReLU from N(0, 0.03²) does not train without", careful, False),
        _accuracy("small-with-trains", "ReLU from N(0, 0.03²) trains with", careful, True),
        _accuracy("large-without-stalls", "ReLU from N(0, 0.3²) does not train without", careful, False),
        _accuracy("large-with-trains", "ReLU from N(0, 0.3²) trains with", careful, True),
        _accuracy(
            "sigmoid-without-chance", "sigmoid stays at chance without", "chance", False, "section 4.2.2"
        ),
        _accuracy("sigmoid-with-trains", "sigmoid trains with", "69.8% on ImageNet", True, "section 4.2.2"),
    )


def _accuracy(name: str, says: str, published: str, trains: bool, where: str = "abstract") -> Claim:
    return Claim(
        name=name,
        says=f"{says} batch normalisation",
        where=where,
        published=published,
        statistic="training accuracy on the digits over the last tenth of the steps",
        accepted=Accepted(low=LINE) if trains else Accepted(high=LINE),
        reason=LINE_WORDS,
        expected=None,
        theory=UNTRAINED,
    )
