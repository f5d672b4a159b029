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
from functools import lru_cache

from actdiag import arguments
from actdiag.activations import Activation, check_activation
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
        UsageError: no activation, no layers, or q or c out of range.

    >>> from actdiag.activations import activation
    >>> he = [Layer(64, 64, 2 / 64)] * 4
    >>> [round(moments.activation.rms, 12) for moments in propagate(activation("relu"), he)]
    [1.0, 1.0, 1.0]
    """
    check_activation(act)
    _check_chain(layers, between)
    q, c = arguments.number("q", q), arguments.number("c", c)
    if not (q >= 0.0 and math.isfinite(q) and -1.0 <= c <= 1.0):
        raise UsageError(f"theory needs inputs with second moment q >= 0 and -1 <= c <= 1, got q={q}, c={c}")
    flow = Flow(log(q), log(q) + log(1.0 - c))
    found: list[tuple[Signal, Signal]] = []
    steps: list[Step] = []
    for layer in layers:
        before, after, step, flow = _layer(act, layer, flow, between)
        steps.append(step)
        found.append((before, after))
    return _with_gradients(found[:-1], steps)


def _check_chain(layers: object, between: object) -> None:
    if not isinstance(layers, Sequence) or not all(isinstance(layer, Layer) for layer in layers):
        raise UsageError(f"layers are a list of actdiag.theory.Layer, got {arguments.shown(layers)}")
    if not isinstance(between, Between):
        raise UsageError(f"between is an actdiag.theory.Between, got {arguments.shown(between)}")


@lru_cache(maxsize=4096)
def _layer(act: Activation, layer: Layer, flow: Flow, between: Between) -> tuple[Signal, Signal, Step, Flow]:
    """Return the preactivation, the activation, what the layer does to gradients, and what leaves it.

    Networks that differ in their heads or seeds alone share most layers, hence the cache.
    """
    log_weight = _log_sigma_w2(layer, flow)
    z = enter(layer, log_weight, flow)
    seen, log_factor = _normalised(z, between)
    passed = Passed(response(act, seen.log_variance, seen.mean), _log_spread(act, seen))
    after, log_passed = _leaving(passed, between)
    skips = between.residual and layer.fan_in * act.pieces == layer.fan_out
    step = Step(log_weight, log_factor + log_passed, skips)
    return _before(z), _after(act, seen, passed), step, _add(flow, after) if skips else after


def _log_spread(act: Activation, z: Preactivation) -> float:
    return log_spread(act, z.log_variance, z.log_delta, z.mean)


@dataclass(frozen=True)
class Step:
    """What a layer does to |gradient|^2: ln sigma_w^2, ln of the factor from output to z, and a skip."""

    log_weight: float
    log_factor: float
    skips: bool


@dataclass(frozen=True)
class Flow:
    """What enters a product.

    Attributes:
        log_second: ln E[x^2].
        log_distance: ln (E[x^2] - E[x x']), x and x' of two samples.
        mean_share: E[x] / sqrt(E[x^2]).
    """

    log_second: float
    log_distance: float
    mean_share: float = 0.0


@dataclass(frozen=True)
class Preactivation:
    """The law of z: ln of its variance, ln of 1 less its correlation between samples (centred), its mean."""

    log_variance: float
    log_delta: float
    mean: float


def _log_sigma_w2(layer: Layer, flow: Flow) -> float:
    """Return ln sigma_w^2, of weights scaled to unit variance where the layer asks for it."""
    drawn = log(layer.sigma_w2)
    log_variance = drawn + flow.log_second
    if not layer.unit_variance or log_variance == -math.inf or abs(exp(log_variance) - 1.0) < LSUV_TOLERANCE:
        return drawn
    return drawn - log_variance


def enter(layer: Layer, log_weight: float, flow: Flow) -> Preactivation:
    """Return the law of z = w x + b, where e^log_weight is sigma_w^2."""
    log_variance = _log_sum(log_weight + flow.log_second, log(layer.bias_variance))
    if log_variance == -math.inf:
        return Preactivation(-math.inf, -math.inf, layer.bias_mean)
    log_delta = min(log_weight + flow.log_distance - log_variance, math.log(2.0))
    return Preactivation(log_variance, log_delta, layer.bias_mean)


@dataclass(frozen=True)
class Passed:
    """What phi makes of z: its moments, and ln of the squared distance of two samples, halved."""

    response: Response
    log_distance: float


def _normalised(z: Preactivation, between: Between) -> tuple[Preactivation, float]:
    """Return the law that phi sees, and ln of the factor on |gradient|^2 from there to z."""
    if between.norm != "none" and between.norm_place == "before":
        return _normalise(z, between.norm)
    return z, 0.0


def _leaving(passed: Passed, between: Between) -> tuple[Flow, float]:
    """Return what leaves a layer, and ln of the factor on |gradient|^2 from there to what phi sees."""
    after, distance, log_factor = passed.response, passed.log_distance, 0.0
    flow = Flow(after.log_second_moment, distance, after.mean_share)
    if between.norm == "layer" and between.norm_place == "after":
        log_scale = _log_sum(after.log_variance, math.log(EPSILON))
        flow, log_factor = Flow(after.log_variance - log_scale, distance - log_scale), -log_scale
    return _drop(flow, between.dropout), log_factor + after.log_slope - math.log1p(-between.dropout)


def _drop(flow: Flow, probability: float) -> Flow:
    """Return what dropout leaves: E[x^2] grows by 1 / (1 - p), E[x x'] stays, since masks differ."""
    log_kept = math.log1p(-probability)
    log_second = flow.log_second - log_kept
    log_distance = _log_sum(flow.log_distance, log(probability) + log_second)
    return Flow(log_second, log_distance, flow.mean_share * math.exp(0.5 * log_kept))


def _add(x: Flow, h: Flow) -> Flow:
    """Return x + h, where h comes from weights of its own: only the means over units correlate."""
    log_apart = _log_sum(x.log_second, h.log_second)
    shares = [exp(0.5 * (flow.log_second - log_apart)) * flow.mean_share for flow in (x, h)]
    grown = 1.0 + 2.0 * shares[0] * shares[1]
    return Flow(
        log_apart + math.log(grown),
        _log_sum(x.log_distance, h.log_distance),
        sum(shares) / math.sqrt(grown),
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


def _after(act: Activation, z: Preactivation, passed: Passed) -> Signal:
    """Return what a recording would say of the activation of z."""
    after, log_distance = passed.response, passed.log_distance
    return Signal(
        after.log_second_moment,
        after.mean,
        exp(0.5 * after.log_variance),
        exp(0.5 * log_distance),
        _correlation(after.log_second_moment, log_distance),
        _zero_fraction(act, z, after),
        _saturated_fraction(act, z),
    )


def _correlation(log_second: float, log_distance: float) -> float:
    """Return 1 - D / E[x^2]; NaN where x is 0."""
    return math.nan if log_second == -math.inf else 1.0 - exp(log_distance - log_second)


def _zero_fraction(act: Activation, z: Preactivation, after: Response) -> float:
    """Return P(phi(z) = 0): the half-line where the activation dies."""
    if act.dies:
        return _share_below(min(act.kinks), z)
    return float(z.log_variance == -math.inf and after.mean == 0.0)


def _saturated_fraction(act: Activation, z: Preactivation) -> float:
    if act.saturation is None:
        return math.nan
    below, above = act.saturation
    return _share_below(below, z) + _share_below(-above, replace(z, mean=-z.mean))


def _share_below(edge: float, z: Preactivation) -> float:
    """Return P(z <= edge)."""
    if edge == -math.inf or z.log_variance == -math.inf:
        return float(z.mean <= edge)
    return 0.5 * math.erfc((z.mean - edge) * math.exp(min(-0.5 * z.log_variance, 700.0)) / math.sqrt(2.0))


def _with_gradients(found: Sequence[tuple[Signal, Signal]], steps: Sequence[Step]) -> tuple[Moments, ...]:
    """Return the hidden layers with ln chi and the gradient's ln |dLoss/dz|^2 relative to the last of them.

    With G^l = |dLoss/dx^l|^2 at the layer's output: |dLoss/dz^l|^2 = factor^l G^l, and below the layer
    G^(l-1) = sigma_w^2 |dLoss/dz^l|^2, plus G^l where the layer is skipped.
    """
    done: list[Moments] = []
    log_out, log_above, total = steps[-1].log_weight if steps else 0.0, 0.0, 0.0
    for number, step in zip(range(len(found), 0, -1), reversed(steps[:-1]), strict=True):
        log_here = log_out + step.log_factor
        log_chi = log_here - log_above if log_here > -math.inf else -math.inf
        total += log_chi if done else 0.0
        done.append(Moments(number, *found[number - 1], log_chi, total + 0.0))
        log_out = _log_sum(step.log_weight + log_here, log_out if step.skips else -math.inf)
        log_above = log_here
    return tuple(reversed(done))
