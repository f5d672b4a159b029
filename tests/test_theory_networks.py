"""Laws: what theory predicts is what networks show that are drawn here with numpy, forward and backward."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from actdiag.activations import ACTIVATIONS, Activation, activation
from actdiag.theory import NoTheory, prediction

Array = NDArray[np.float64]
DEPTH, WIDTH, FEATURES, CLASSES, SAMPLES, DRAWS = 4, 320, 240, 10, 12, 10
CORRELATION, SECOND = 0.3, 1.7
"""Of the inputs: mean correlation of two samples, and second moment of an element."""
STANDARD_ERRORS = 5.0

INITIALISERS = {
    "zeros": ("normal", lambda i, o: 0.0),
    "normal:0.05": ("normal", lambda i, o: 0.0025),
    "uniform:0.2": ("uniform", lambda i, o: 0.04 / 3.0),
    "standard_uniform": ("uniform", lambda i, o: 1.0 / (3.0 * i)),
    "torch_default": ("uniform", lambda i, o: 1.0 / (3.0 * i)),
    "lecun_normal": ("normal", lambda i, o: 1.0 / i),
    "lecun_uniform": ("uniform", lambda i, o: 1.0 / i),
    "xavier_uniform": ("uniform", lambda i, o: 2.0 / (i + o)),
    "xavier_normal": ("normal", lambda i, o: 2.0 / (i + o)),
    "he_uniform": ("uniform", lambda i, o: 2.0 / i),
    "he_normal": ("normal", lambda i, o: 2.0 / i),
    "he:fan_out": ("normal", lambda i, o: 2.0 / o),
    "orthogonal": ("orthogonal", lambda i, o: 1.0 / max(i, o)),
    "orthogonal_he": ("orthogonal", lambda i, o: 2.0 / max(i, o)),
    "lsuv": ("orthogonal", lambda i, o: 1.0 / max(i, o)),
}
"""Law of the weights and their variance for (fan_in, fan_out), written down again from the papers."""


@cache
def standard(law: str, draw: int, layer: int, fan_in: int, fan_out: int) -> Array:
    """Return weights (fan_out, fan_in) of variance 1, the same for every network of one draw."""
    random = np.random.default_rng([draw, layer, fan_in, fan_out])
    if law == "uniform":
        return random.uniform(-math.sqrt(3.0), math.sqrt(3.0), (fan_out, fan_in))
    weights = random.standard_normal((fan_out, fan_in))
    if law == "normal":
        return weights
    tall = weights if fan_out >= fan_in else weights.T
    columns, triangle = np.linalg.qr(tall)
    columns = columns * np.sign(np.diag(triangle)) * math.sqrt(max(fan_in, fan_out))
    return columns if fan_out >= fan_in else columns.T


@cache
def inputs(draw: int, samples: int) -> Array:
    """Return (samples, features) of exactly this second moment and these correlations."""
    random = np.random.default_rng([1, draw])
    basis = np.linalg.qr(random.standard_normal((FEATURES, samples + 1)))[0].T
    mixed = math.sqrt(CORRELATION) * basis[:1] + math.sqrt(1.0 - CORRELATION) * basis[1:]
    return math.sqrt(SECOND * FEATURES) * mixed


@dataclass
class Run:
    """One drawn network: what it does to inputs and to a cotangent of its outputs."""

    act: Activation
    spec: Mapping[str, Any]
    draw: int
    numbers: list[dict[str, float]] = field(default_factory=list)
    gradients: list[float] = field(default_factory=list)

    def run(self, x: Array) -> Run:
        """Send x forward and random numbers back."""
        law, variance = INITIALISERS[self.spec["init"]]
        fans = [x.shape[1], *[self.spec["width"]] * self.spec["depth"]]
        outs = [*[self.act.pieces * width for width in fans[1:]], CLASSES]
        random = np.random.default_rng([2, self.draw])
        undo: list[Any] = []
        for layer, (fan_in, fan_out) in enumerate(zip(fans, outs, strict=True), start=1):
            weights = math.sqrt(variance(fan_in, fan_out) * self.spec.get("gain", 1.0) ** 2) * standard(
                law, self.draw, layer, fan_in, fan_out
            )
            bias = np.full(fan_out, self.spec.get("bias") or 0.0)
            if self.spec["init"] == "torch_default" and self.spec.get("bias") is None:
                bias = random.uniform(-1.0, 1.0, fan_out) / math.sqrt(fan_in)
            if self.spec["init"] == "lsuv" and abs((x @ weights.T).var() - 1.0) >= 0.1:
                weights = weights / (x @ weights.T).std()
            z = x @ weights.T + bias
            if layer == len(outs):
                undo.append((weights, None, False))
                break
            x, back = self._block(x, z, random)
            undo.append(
                (weights, back, bool(self.spec.get("residual")) and fan_in * self.act.pieces == fan_out)
            )
        self._backward(undo, random.standard_normal((len(x), CLASSES)))
        return self

    def _block(self, x: Array, z: Array, random: np.random.Generator) -> tuple[Array, Any]:
        """Return the block's output (samples, units), and how a gradient of it becomes one of z."""
        before = after = lambda g: g
        norm, place = self.spec.get("norm", "none"), self.spec.get("norm_place", "before")
        seen = z
        if norm != "none" and place == "before":
            seen, before = normalise(z, axis=1 if norm == "layer" else 0)
        a, slope = self._phi(seen)
        h = a
        if norm != "none" and place == "after":
            h, after = normalise(a, axis=1)
        keep = np.ones_like(h)
        if self.spec.get("dropout"):
            keep = (random.random(h.shape) >= self.spec["dropout"]) / (1.0 - self.spec["dropout"])
        self.numbers.append({**described("z", z), **described("a", a), "zero": float((a == 0.0).mean())})
        if self.act.saturation:
            low, high = self.act.saturation
            self.numbers[-1]["saturated"] = float(((seen < low) | (seen > high)).mean())
        out = h * keep
        if self.spec.get("residual") and x.shape[1] == h.shape[1]:
            out = out + x
        return out, lambda g: before(slope(after(g * keep)))

    def _phi(self, z: Array) -> tuple[Array, Any]:
        if self.act.pieces == 1:
            derivative = self.act.derivative(z)
            return self.act.function(z), lambda g: g * derivative
        pairs = z.reshape(len(z), -1, 2)
        first = pairs[..., :1] >= pairs[..., 1:]
        chosen = np.concatenate([first, ~first], axis=2)
        return pairs.max(axis=2), lambda g: (g[..., None] * chosen).reshape(z.shape)

    def _backward(self, undo: list[Any], g: Array) -> None:
        """Collect |dLoss/dz|^2, mean over samples, from the first hidden layer to the last."""
        weights, _, _ = undo.pop()
        g = g @ weights
        for weights, back, skips in reversed(undo):
            delta = back(g)
            self.gradients.insert(0, float((delta**2).sum(axis=1).mean()))
            g = delta @ weights + (g if skips else 0.0)


def normalise(z: Array, axis: int) -> tuple[Array, Any]:
    """Return (z - mean) / sqrt(variance + 1e-5) along an axis, and its backward pass."""
    scale = np.sqrt(z.var(axis=axis, keepdims=True) + 1e-5)
    h = (z - z.mean(axis=axis, keepdims=True)) / scale

    def back(g: Array) -> Array:
        own = (g * h).mean(axis=axis, keepdims=True)
        return (g - g.mean(axis=axis, keepdims=True) - h * own) / scale

    return h, back


def described(name: str, x: Array) -> dict[str, float]:
    """Return moments of (samples, units): second, variance across samples, their product, mean, variance."""
    n = len(x)
    products = (np.square(x.sum(axis=0)).sum() - np.square(x).sum()) / (n * (n - 1) * x.shape[1])
    return {
        f"{name} second": float(np.square(x).mean()),
        f"{name} across": float(x.var(axis=0, ddof=1).mean()),
        f"{name} product": float(products),
        f"{name} mean": float(x.mean()),
    }


def compare(found: list[float], expected: float, scale: float, share: float, what: Any) -> None:
    """Hold the mean over draws to the prediction: five standard errors, and a share of the scale."""
    values = np.array(found)
    error = STANDARD_ERRORS * values.std(ddof=1) / math.sqrt(len(values))
    allowed = error + share * abs(scale) + 1e-300
    assert abs(values.mean() - expected) <= allowed, (what, values.mean(), expected, allowed)


def check(spec: Mapping[str, Any], samples: int = SAMPLES) -> None:
    """Draw networks of this spec and compare every number of every hidden layer."""
    act = activation(spec["act"])
    # finite width moves means by layers / width; LSUV stops anywhere within 0.1 of unit variance
    own = 0.1 if spec["init"] == "lsuv" else 0.0
    own += 4.0 / samples if spec.get("norm") == "batch" else 0.0
    runs = [Run(act, spec, draw).run(inputs(draw, samples)) for draw in range(DRAWS)]
    for index, moments in enumerate(prediction(spec, FEATURES, CLASSES, SECOND, CORRELATION)):
        expected: dict[str, tuple[float, float]] = {"zero": (moments.activation.zero_fraction, 1.0)}
        for name, signal in (("z", moments.preactivation), ("a", moments.activation)):
            second = signal.rms**2
            product = 0.0 if second == 0.0 else signal.correlation * second
            expected[f"{name} second"] = (second, second)
            expected[f"{name} across"] = (signal.std_across**2, signal.std_across**2)
            expected[f"{name} product"] = (product, second)
            expected[f"{name} mean"] = (signal.mean, signal.rms)
            assert signal.std**2 == pytest.approx(second - signal.mean**2, abs=1e-9 * second)
        if act.saturation:
            expected["saturated"] = (moments.activation.saturated_fraction, 1.0)
        for what in expected:
            compare(
                [run.numbers[index][what] for run in runs],
                *expected[what],
                (index + 1) / WIDTH + own,
                (index + 1, what),
            )
        if math.isfinite(moments.log_gradient):
            # of the ratio of two means: the difference that it should bring to 0
            ratio = math.exp(moments.log_gradient)
            apart = [run.gradients[index] - ratio * run.gradients[-1] for run in runs]
            scale = float(np.mean([run.gradients[index] for run in runs]))
            compare(apart, 0.0, scale, (DEPTH - index) / WIDTH + own, (index + 1, "gradient"))


@pytest.mark.parametrize("init", INITIALISERS)
@pytest.mark.parametrize("name", ACTIVATIONS)
def test_the_prediction_is_what_drawn_networks_show(name: str, init: str) -> None:
    check({"act": name, "init": init, "depth": DEPTH, "width": WIDTH})


def blocks() -> Iterator[dict[str, Any]]:
    for place in ("before", "after"):
        yield {"norm": "layer", "norm_place": place}
        yield {"norm": "layer", "norm_place": place, "dropout": 0.2, "residual": True}
    yield {"dropout": 0.3}
    yield {"residual": True}
    yield {"bias": 0.4}
    yield {"bias": -0.3, "residual": True, "dropout": 0.1}


@pytest.mark.parametrize("block", list(blocks()), ids=str)
@pytest.mark.parametrize("name", ["relu", "tanh", "gelu", "sigmoid", "selu", "maxout", "step"])
def test_norms_dropout_and_residual_sums_are_predicted(name: str, block: dict[str, Any]) -> None:
    check({"act": name, "init": "he_normal", "depth": DEPTH, "width": WIDTH, **block})


@pytest.mark.parametrize("more", [{}, {"residual": True}, {"bias": 0.5, "dropout": 0.1}], ids=str)
@pytest.mark.parametrize("name", ["relu", "tanh", "gelu", "sigmoid"])
def test_a_batch_norm_is_predicted_for_a_large_batch(name: str, more: dict[str, Any]) -> None:
    """What it subtracts from signals and gradients is of the order of 1 / batch."""
    check({"act": name, "init": "he_normal", "depth": DEPTH, "width": WIDTH, "norm": "batch", **more}, 200)


def test_gradients_of_relu_explode_under_batch_norm() -> None:
    """Their square by pi / (pi - 1) a layer: Yang et al. 2019, mean-field theory of BatchNorm."""
    spec = {"act": "relu", "init": "he", "depth": 30, "width": 128, "norm": "batch"}
    found = prediction(spec, 128, 10)
    assert found[10].chi == pytest.approx(math.pi / (math.pi - 1.0), rel=1e-4)


@pytest.mark.parametrize("act", ["relu", "tanh"])
def test_the_gain_given_is_the_gain_used(act: str) -> None:
    (moments,) = prediction({"act": act, "init": "lecun", "gain": 1.5, "depth": 1, "width": 8}, 8, 2)
    assert moments.preactivation.rms == pytest.approx(1.5)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"init": "constant:0.1"}, "constant weights"),
        ({"norm": "batch", "norm_place": "after"}, "BatchNorm after"),
        ({"depth": 0}, "no hidden layer"),
    ],
)
def test_where_theory_ends_the_reason_is_given(change: dict[str, Any], reason: str) -> None:
    with pytest.raises(NoTheory, match=reason):
        prediction({"act": "tanh", "init": "he", "depth": 2, "width": 8, **change}, 8, 2)
