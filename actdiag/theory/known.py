"""From a description of a network to its prediction, or to the reason why there is none."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from actdiag.activations import activation
from actdiag.arguments import shown, whole
from actdiag.errors import ActdiagError, UsageError
from actdiag.initialisers import Initialiser, initialiser
from actdiag.theory.chain import Between, Layer, Moments
from actdiag.theory.gains import resolve_gain
from actdiag.theory.recursion import propagate


class NoTheory(ActdiagError):  # noqa: N818, it is an answer rather than a mistake
    """Why nothing is predicted, in words."""


MOST_LAYERS = 100_000
"""Hidden layers; each takes up to a millisecond."""
NEEDED = ("act", "init", "depth", "width")
"""Fields that every spec has."""


def prediction(
    spec: Mapping[str, Any], features: int, classes: int, q: float = 1.0, c: float = 0.0
) -> tuple[Moments, ...]:
    """Return the prediction for each hidden layer of the multilayer perceptron that a spec describes.

    Args:
        spec: fields of a `RunSpec`: act, init, depth, width, and where they matter gain, bias, norm,
            norm_place, dropout, residual. None and NaN stand for the default.
        features: of the input.
        classes: outputs of the head.
        q: second moment of an input element.
        c: mean correlation of two input samples, not centred.

    Raises:
        NoTheory: with the reason.
        UsageError: no spec with these fields, or features or classes that cannot be counted.

    >>> spec = {"act": "relu", "init": "he", "depth": 2, "width": 64}
    >>> [round(moments.preactivation.rms ** 2, 12) for moments in prediction(spec, 64, 10)]
    [2.0, 2.0]
    """
    _check(spec)
    features, classes = whole("features", features, 1), whole("classes", classes, 1)
    if spec["depth"] > MOST_LAYERS:
        raise NoTheory(f"it is worked out for up to {MOST_LAYERS} layers, and these are {spec['depth']}")
    between = between_of(spec)
    return propagate(activation(spec["act"]), chain(spec, features, classes), q, c, between)


def _check(spec: object) -> None:
    if not isinstance(spec, Mapping):
        raise UsageError(f"a spec is a mapping, got {shown(spec)}: write dataclasses.asdict(RunSpec(...))")
    if missing := [name for name in NEEDED if name not in spec]:
        raise UsageError(f"a spec holds {', '.join(NEEDED)}, got one without {', '.join(missing)}")


def between_of(spec: Mapping[str, Any]) -> Between:
    """Return what stands between the layers of a multilayer perceptron that theory can speak of.

    Raises:
        NoTheory: it cannot; with the reason.
    """
    act = activation(spec["act"])
    between = Between(
        spec.get("norm") or "none",
        spec.get("norm_place") or "before",
        spec.get("dropout") or 0.0,
        bool(spec.get("residual")),
    )
    if not spec["depth"]:
        raise NoTheory("no hidden layer: there is nothing to predict")
    if between.norm == "batch" and between.norm_place == "after":
        raise NoTheory("BatchNorm after the activation: units then have spreads of their own")
    if act.pieces > 2:
        raise NoTheory(f"maxout of {act.pieces} pieces: theory here knows 2")
    init = initialiser(spec["init"])
    if init.distribution == "constant" and float(init.parameter or 0.0) != 0.0:
        raise NoTheory(
            "constant weights: all units are equal, the mean-field limit needs independent weights"
        )
    return between


def chain(spec: Mapping[str, Any], features: int, classes: int) -> list[Layer]:
    """Return the products of a multilayer perceptron, head last."""
    act, init = activation(spec["act"]), initialiser(spec["init"])
    gain = resolve_gain(_given(spec.get("gain")), act, init.gain)
    bias = _given(spec.get("bias"))
    fans = [int(features), *[int(spec["width"])] * int(spec["depth"])]
    wide = [act.pieces * width for width in fans[1:]]
    return [_layer(init, gain, bias, *pair) for pair in zip(fans, [*wide, int(classes)], strict=True)]


def _given(value: Any) -> Any:
    """Return None for what a table holds where nothing was given."""
    return None if isinstance(value, float) and math.isnan(value) else value


def _layer(init: Initialiser, gain: float, bias: float | None, fan_in: int, fan_out: int) -> Layer:
    """Return one product; the bias is the value given, torch's own law for torch_default, else 0."""
    scale = None if math.isnan(gain) else gain
    start = initialiser("orthogonal") if init.distribution == "lsuv" else init
    spread = 1.0 / (3.0 * fan_in) if init.distribution == "torch" and bias is None else 0.0
    return Layer(
        fan_in,
        fan_out,
        start.variance(fan_in, fan_out, scale),
        spread,
        bias or 0.0,
        unit_variance=init.distribution == "lsuv",
    )
