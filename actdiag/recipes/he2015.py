"""He and colleagues' 22 and 30 layers of ReLU: Xavier against He, at the start and in training."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import ClassVar

import numpy as np

from actdiag import sketches
from actdiag.recipes.base import Accepted, Claim, Measured, Recipe, Size, Source, register
from actdiag.recipes.measuring import each, ratios, scans
from actdiag.recipes.training import LINE, LINE_WORDS, Training, train
from actdiag.recording import Recording
from actdiag.types import RunSpec

DEPTHS = (22, 30)
INITS = {"Xavier": "xavier_normal", "He": "he_normal"}
WIDTH = 256
"""Of the networks that are measured at their start."""
DRAWS = {Size.SMALL: 32, Size.PAPER: 64}
"""Of the starts."""
TRAINED = {Size.SMALL: (64, 200, 3), Size.PAPER: (128, 1000, 8)}
"""Width, steps and draws of those that are trained."""
BEGUN = 2.0
"""Loss at which training has visibly begun: ln 10 = 2.30 is where it starts."""
SHOWN = (1, 5, 10, 15, 20, 25, 30)
"""Layers of the figure."""
FIGURE = {22: "figure 2", 30: "figure 3"}


@register
class DelvingDeep(Recipe):
    """Section 2.2 and figures 2 and 3 of the paper."""

    name: ClassVar[str] = "he2015"
    title: ClassVar[str] = "He et al. 2015: 22 and 30 layers of ReLU, Xavier against He"
    source: ClassVar[Source] = Source(
        "He, Zhang, Ren & Sun",
        2015,
        "Delving deep into rectifiers: Surpassing human-level performance on ImageNet classification",
        "ICCV",
    )
    summary: ClassVar[str] = (
        "A ReLU halves the second moment, so that under Xavier's variance signal and gradient lose a "
        "factor of 2 in each layer, and under He's none. The paper's 22-layer network converges from both "
        "starts, He's earlier; its 30-layer network stalls with Xavier's."
    )
    limits: ClassVar[tuple[str, ...]] = (
        "The paper trains convolutional networks on ImageNet for days. Here fully connected networks of "
        "the same depth are trained on scikit-learn's 8 x 8 digits, with the paper's momentum 0.9 and rate "
        "0.01 and a batch of 64, for a few hundred or thousand steps: an analogue. What transfers is the "
        "factor of each layer; whether a start that is small converges in the end depends on the time "
        "given to it.",
        "The paper's convolutions share weights over positions and its networks have biases and pooling.",
    )

    explained: ClassVar[Mapping[str, str]] = {
        "converges-22-xavier": "At --size small 200 steps are too few: the gradient's second moment starts "
        "5e-7 of its size at the top. In the 1000 steps of --size paper all eight draws leave chance behind.",
        "converges-30-he": "At --size small three draws of 200 steps leave a wide interval; --size paper "
        "decides.",
        "stalls-30-xavier": "At --size paper seven of eight draws stay at chance for all 1000 steps, at 10 "
        "to 13%; one leaves it and reaches 64%, which widens the interval of the mean across the line.",
    }

    def claims(self, size: Size) -> tuple[Claim, ...]:
        """Return the factors of section 2.2 and what figures 2 and 3 show."""
        factors = (_factor_claim(depth, label) for depth in DEPTHS for label in INITS)
        return (*factors, *_training_claims())

    def measure(self, size: Size) -> Measured:
        """Scan the four starts and train from each of them."""
        draws = DRAWS[size]
        starts = {key: scans(_spec(*key, WIDTH), draws) for key in _keys()}
        width, steps, runs = TRAINED[size]
        trained = {key: _train(*key, width, steps, runs) for key in _keys()}
        setting = (
            f"starts: {WIDTH} units, 512 samples of N(0, 1), {draws} draws each; training: {width} units, "
            f"digits, {steps} steps, {runs} draws each"
        )
        return Measured(_factors(starts) | _trained(trained), setting, _figures(starts, trained))


Key = tuple[int, str]


def _keys() -> list[Key]:
    return [(depth, label) for depth in DEPTHS for label in INITS]


def _spec(depth: int, label: str, width: int) -> RunSpec:
    return RunSpec(depth=depth, width=width, act="relu", init=INITS[label])


def _train(depth: int, label: str, width: int, steps: int, runs: int) -> list[Training]:
    spec = _spec(depth, label, width)
    return [train(RunSpec(**{**vars(spec), "seed": seed}), steps) for seed in range(runs)]


def _factors(starts: dict[Key, list[Recording]]) -> dict[str, list[float]]:
    """Return the factor per layer of the second moment of the gradient, last layer to first."""
    found = {}
    for (depth, label), recordings in starts.items():
        first, last = (each(recordings, "preactivation_grad", "rms", layer) for layer in (1, depth))
        found[f"factor-{depth}-{label.lower()}"] = [r ** (2.0 / (depth - 1)) for r in ratios(first, last)]
    return found


def _trained(trained: dict[Key, list[Training]]) -> dict[str, list[float]]:
    accuracy = {key: [run.accuracy for run in runs] for key, runs in trained.items()}
    begun = {key: [float(run.steps_to(BEGUN)) for run in runs] for key, runs in trained.items()}
    return {
        "converges-22-he": accuracy[22, "He"],
        "converges-22-xavier": accuracy[22, "Xavier"],
        "earlier-22": [x - h for x, h in zip(begun[22, "Xavier"], begun[22, "He"], strict=True)],
        "converges-30-he": accuracy[30, "He"],
        "stalls-30-xavier": accuracy[30, "Xavier"],
    }


def _figures(
    starts: dict[Key, list[Recording]], trained: dict[Key, list[Training]]
) -> tuple[sketches.Sketch, ...]:
    return _curves(trained), _histograms(starts), _slopes(starts)


def _curves(trained: dict[Key, list[Training]]) -> sketches.Charts:
    charts = tuple(
        sketches.Chart(
            f"{depth} layers",
            "step",
            "training loss",
            tuple(_curve(label, trained[depth, label]) for label in INITS),
        )
        for depth in DEPTHS
    )
    return sketches.Charts(
        "figure",
        "Training loss of ReLU networks on digits: median and range of the draws",
        "Training loss against the step for 22 layers, left, and 30 layers, right, from Xavier's and from "
        "He's start; He's falls, Xavier's stays near ln 10 for longer or throughout.",
        charts,
    )


def _curve(label: str, runs: list[Training], points: int = 100) -> sketches.Series:
    """Return losses averaged over pieces of the run: median over draws, and the range."""
    losses = np.array([run.losses for run in runs])
    pieces = np.array_split(np.arange(losses.shape[1]), min(points, losses.shape[1]))
    means = np.array([losses[:, piece].mean(axis=1) for piece in pieces]).T
    xs = [float(piece.mean()) + 1.0 for piece in pieces]
    median, low, high = (list(map(float, part)) for part in (np.median(means, 0), means.min(0), means.max(0)))
    return sketches.Series(label, xs, median, low, high)


def _histograms(starts: dict[Key, list[Recording]]) -> sketches.Histograms:
    rows = []
    for label in INITS:
        row = sketches.activations(f"{label}, 30 layers", starts[30, label][0])
        rows.append(sketches.Row(row.label, tuple(panel for panel in row.panels if panel.layer in SHOWN)))
    return sketches.Histograms(
        "activations",
        "Activations at the start",
        "Histograms of the activations of seven of thirty ReLU layers: with Xavier's variance they "
        "shrink to a spike, with He's they keep their width.",
        tuple(rows),
    )


def _slopes(starts: dict[Key, list[Recording]]) -> sketches.Charts:
    series = []
    for label in INITS:
        layers = list(range(1, 31))
        rms = np.array([each(starts[30, label], "preactivation_grad", "rms", layer) for layer in layers])
        moments = np.exp(np.mean(2.0 * np.log(rms / rms[-1]), axis=1))
        base = 0.5 if label == "Xavier" else 1.0
        series.append(sketches.Series(label, layers, list(map(float, moments)), group=label))
        theory = [base ** (30 - layer) for layer in layers]
        series.append(sketches.Series(f"{label}, theory", layers, theory, theory=True, group=label))
    chart = sketches.Chart("second moment, over layer 30's", "layer", "gradient", tuple(series), log_y=True)
    return sketches.Charts(
        "gradients",
        "Gradient of 30 ReLU layers at the start",
        "Second moment of the gradient against the layer, log axis: a straight slope of a half in each "
        "layer with Xavier, level with He; measured lines lie on theory's.",
        (chart,),
    )


def _factor_claim(depth: int, label: str) -> Claim:
    factor = {"Xavier": 0.5, "He": 1.0}[label]
    return Claim(
        name=f"factor-{depth}-{label.lower()}",
        says=f"{depth} layers, {label}: the gradient's second moment changes by n Var[w] / 2 in each layer",
        where="section 2.2, equation 14",
        published=f"{factor:g} a layer, {factor ** (depth - 1):.3g} in all",
        statistic="(second moment of layer 1's preactivation gradient over the last layer's)^(1 / (depth - "
        "1))",
        accepted=Accepted.factor(factor, 1.0 + 5.0 / WIDTH),
        reason=f"the law is for infinite width; at width n = {WIDTH} the typical draw lies 5 / (2 n) a layer "
        "below (Hanin & Rolnick 2018), and twice that is allowed",
        expected=factor * math.exp(-2.5 / WIDTH),
        theory="infinite width's factor times exp(-5 / (2 n))",
        log=True,
    )


def _training_claims() -> tuple[Claim, ...]:
    return (
        _accuracy(22, "He", "converges", True),
        _accuracy(22, "Xavier", "converges", True),
        Claim(
            name="earlier-22",
            says="22 layers: He's start begins to reduce the error earlier",
            where=FIGURE[22],
            published="He before Xavier",
            statistic=f"steps until the training loss is below {BEGUN}, Xavier's less He's of the same seed; "
            "a run that never gets there counts all its steps",
            accepted=Accepted(low=0.0),
            reason="an ordering: the difference is above 0, with its whole interval",
            expected=None,
            theory="none: training has no closed form",
        ),
        _accuracy(30, "He", "converges", True),
        _accuracy(30, "Xavier", "stalls", False),
    )


def _accuracy(depth: int, label: str, word: str, trains: bool) -> Claim:
    return Claim(
        name=f"{word}-{depth}-{label.lower()}",
        says=f"{depth} layers: the network {word} from {label}'s start",
        where=FIGURE[depth],
        published=word,
        statistic="training accuracy over the last tenth of the steps",
        accepted=Accepted(low=LINE) if trains else Accepted(high=LINE),
        reason=LINE_WORDS,
        expected=None,
        theory="none: training has no closed form",
    )
