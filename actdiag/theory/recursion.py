"""Mean-field recursion: how second moments, correlations and gradients go from layer to layer.

Poole et al. 2016 and Schoenholz et al. 2017, with each layer's own fans. Random weights of mean 0 make the
preactivations of a wide layer normal:

    z^l ~ N(bias mean, sigma_w^2 E[phi(z^(l-1))^2] + bias variance),    sigma_w^2 = fan_in Var[w]

and the squared norm of a sample's gradient changes backwards by chi^l = sigma_w^2 E[phi'(z^l)^2], with the
sigma_w^2 of the product above. Norms divide both by the variance they see.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from actdiag.activations import Activation, normal_cdf
from actdiag.errors import UsageError
from actdiag.theory.chain import Between, Layer, Moments, Signal
from actdiag.theory.response import Response, exp, log, response
from actdiag.theory.spread import log_spread

EPSILON = 1e-5
"""What torch's norms add to the variance."""
LSUV_TOLERANCE = 0.1
"""Mishkin & Matas 2016: a layer whose variance is this close to 1 is left as it is."""
PLAIN = Between()


def propagate(
    act: Activation, layers: Sequence[Layer], q: float = 1.0, c: float = 0.0, between: Between = PLAIN
) -> tuple[Moments, ...]:
    """Return the prediction for each hidden layer of a chain.

    Args:
        act: after every product but the last.
        layers: the hidden layers' products and the head's, in order.
        q: second moment of an input element, the same for every sample.
        c: mean correlation of two input samples, x . x' / |x|^2.
        between: norm and dropout of each hidden layer.

    Raises:
        UsageError: q or c out of range.

    >>> from actdiag.activations import activation
    >>> he = [Layer(64, 64, 2 / 64)] * 4
    >>> [round(moments.activation.rms, 12) for moments in propagate(activation("relu"), he)]
    [1.0, 1.0, 1.0]
    """
    if not (q >= 0.0 and math.isfinite(q) and -1.0 <= c <= 1.0):
        raise UsageError(f"theory needs inputs with second moment q >= 0 and -1 <= c <= 1, got q={q}, c={c}")
    flow = Flow(log(q), log(q) + log(1.0 - c))
    found: list[Moments] = []
    for number, (layer, after) in enumerate(pairwise(layers), start=1):
        before = enter(layer, flow)
        seen, flow, log_back = _through(act, before, between)
        signals = _before(before), _after(act, seen)
        log_chi = log(after.sigma_w2) + response(act, seen.log_variance, seen.mean).log_slope + log_back
        found.append(Moments(number, *signals, log_chi))
    return _with_gradients(found)


@dataclass(frozen=True)
class Flow:
    """What enters a product: ln E[x^2], and ln of the squared distance E[x^2] - E[x x'] of two samples."""

    log_second: float
    log_distance: float


@dataclass(frozen=True)
class Preactivation:
    """The law of z: ln of its variance, ln of 1 less its correlation between samples (centred), its mean."""

    log_variance: float
    log_delta: float
    mean: float


def enter(layer: Layer, flow: Flow) -> Preactivation:
    """Return the law of z = w x + b."""
    log_weight = log(layer.sigma_w2)
    log_variance = _log_sum(log_weight + flow.log_second, log(layer.bias_variance))
    if log_variance == -math.inf:
        return Preactivation(-math.inf, -math.inf, layer.bias_mean)
    log_delta = min(log_weight + flow.log_distance - log_variance, math.log(2.0))
    if layer.unit_variance and abs(exp(log_variance) - 1.0) >= LSUV_TOLERANCE:
        log_variance = 0.0
    return Preactivation(log_variance, log_delta, layer.bias_mean)


def _through(act: Activation, before: Preactivation, between: Between) -> tuple[Preactivation, Flow, float]:
    """Return the law that the activation sees, what leaves, and ln of what norms do to |gradient|^2."""
    seen, log_back = before, 0.0
    if between.norm != "none" and between.norm_place == "before":
        seen, log_back = _normalise(before, between.norm)
    after = response(act, seen.log_variance, seen.mean)
    flow = Flow(after.log_second_moment, log_spread(act, seen.log_variance, seen.log_delta, seen.mean))
    if between.norm == "layer" and between.norm_place == "after":
        scale = log(exp(after.log_variance) + EPSILON)
        flow, log_back = Flow(after.log_variance - scale, flow.log_distance - scale), -scale
    log_kept = math.log1p(-between.dropout)
    # masks differ between samples: E[x^2] grows by 1 / (1 - p), E[x x'] stays
    dropped = log(between.dropout) - log_kept + flow.log_second
    return (
        seen,
        Flow(flow.log_second - log_kept, _log_sum(flow.log_distance, dropped)),
        log_back - log_kept,
    )


def _normalise(z: Preactivation, norm: str) -> tuple[Preactivation, float]:
    """Return z after a norm, and ln of the factor on a gradient's square that passes it backwards.

    LayerNorm takes mean and variance over units: the samples' correlation stays. BatchNorm takes them over
    samples: what the samples share is gone. What both subtract from gradients vanishes in width or batch.
    """
    log_own = z.log_variance if norm == "layer" else z.log_variance + z.log_delta
    log_scale = _log_sum(log_own, math.log(EPSILON))
    log_delta = z.log_delta if norm == "layer" else 0.0
    return Preactivation(log_own - log_scale, log_delta, 0.0), -log_scale


def _log_sum(a: float, b: float) -> float:
    high, low = max(a, b), min(a, b)
    return high if low == -math.inf else high + math.log1p(math.exp(low - high))


def _before(z: Preactivation) -> Signal:
    """Return what a recording would say of the preactivation."""
    log_second = _log_sum(z.log_variance, 2.0 * log(abs(z.mean)))
    log_distance = z.log_variance + z.log_delta
    return Signal(
        log_second,
        z.mean,
        exp(0.5 * z.log_variance),
        exp(0.5 * log_distance),
        _correlation(log_second, log_distance),
    )


def _after(act: Activation, z: Preactivation) -> Signal:
    """Return what a recording would say of the activation of z."""
    after: Response = response(act, z.log_variance, z.mean)
    log_distance = log_spread(act, z.log_variance, z.log_delta, z.mean)
    return Signal(
        after.log_second_moment,
        after.mean,
        exp(0.5 * after.log_variance),
        exp(0.5 * log_distance),
        _correlation(after.log_second_moment, log_distance),
        _zero_fraction(act, z),
        _saturated_fraction(act, z),
    )


def _correlation(log_second: float, log_distance: float) -> float:
    """Return 1 - D / E[x^2]; NaN where x is 0."""
    return math.nan if log_second == -math.inf else 1.0 - exp(log_distance - log_second)


def _zero_fraction(act: Activation, z: Preactivation) -> float:
    """Return P(phi(z) = 0): the half-line where the activation dies."""
    if act.dies:
        return _share_below(min(act.kinks), z)
    return float(z.log_variance == -math.inf and response(act, z.log_variance, z.mean).mean == 0.0)


def _saturated_fraction(act: Activation, z: Preactivation) -> float:
    if act.saturation is None:
        return math.nan
    below, above = act.saturation
    return _share_below(below, z) + _share_below(-above, replace(z, mean=-z.mean))


def _share_below(edge: float, z: Preactivation) -> float:
    """Return P(z <= edge)."""
    if edge == -math.inf or z.log_variance == -math.inf:
        return float(z.mean <= edge)
    return float(normal_cdf((edge - z.mean) * math.exp(min(-0.5 * z.log_variance, 700.0))))  # type: ignore[arg-type]


def _with_gradients(found: Sequence[Moments]) -> tuple[Moments, ...]:
    """Return the layers with log_gradient: the sum of ln chi from the layer to the last but one."""
    done: list[Moments] = []
    total = 0.0
    for moments in reversed(found):
        total += moments.log_chi if done else 0.0
        done.append(replace(moments, log_gradient=total + 0.0))
    return tuple(reversed(done))
