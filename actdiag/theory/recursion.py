"""Mean-field recursion: how second moments, correlations and gradients go from layer to layer.

Poole et al. 2016 and Schoenholz et al. 2017, with each layer's own fans. Random weights of mean 0 make the
preactivations of a wide layer normal:

    z^l ~ N(bias mean, sigma_w^2 E[phi(z^(l-1))^2] + bias variance),    sigma_w^2 = fan_in Var[w]

and the gradient of a sample, whose norm is what counts, follows E[phi'(z)^2] backwards.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

from actdiag.activations import Activation, normal_cdf
from actdiag.errors import UsageError
from actdiag.theory.kernels import exp, log, log_spread, response


@dataclass(frozen=True)
class Layer:
    """One product of a chain: weights of mean 0, independent of each other.

    Attributes:
        fan_in: what it sums over.
        fan_out: its units (for maxout: before the maximum).
        weight_variance: Var[w].
        bias_variance: of the bias over the units.
        bias_mean: over the units.
        unit_variance: the weights are then scaled until Var[z] is within 0.1 of 1 (LSUV).
    """

    fan_in: int
    fan_out: int
    weight_variance: float
    bias_variance: float = 0.0
    bias_mean: float = 0.0
    unit_variance: bool = False

    @property
    def sigma_w2(self) -> float:
        """Return sigma_w^2 = fan_in Var[w]."""
        return self.fan_in * self.weight_variance


@dataclass(frozen=True)
class Signal:
    """What a recording says of one tensor, as predicted; NaN where it means nothing.

    Numbers beyond float64 are inf or 0; `log_second_moment` stays finite.

    Attributes:
        log_second_moment: ln E[x^2].
        mean: over units and samples.
        std: over units and samples.
        std_across: of a unit across samples, rms over units.
        correlation: mean of x . x' over two samples, over the mean of |x|^2: not centred.
        zero_fraction: share of exact zeros, in exact arithmetic.
        saturated_fraction: share of the preactivations where phi' is below 5% of its maximum.
    """

    log_second_moment: float
    mean: float
    std: float
    std_across: float
    correlation: float
    zero_fraction: float = 0.0
    saturated_fraction: float = math.nan

    @property
    def rms(self) -> float:
        """Return sqrt(E[x^2])."""
        return exp(0.5 * self.log_second_moment)


@dataclass(frozen=True)
class Moments:
    """The prediction for one hidden layer l of 1 ... L.

    Attributes:
        layer: l, from 1.
        preactivation: z^l.
        activation: phi(z^l).
        log_chi: ln chi, chi = E[phi'(z^l)^2] times the next product's sigma_w^2.
        log_gradient: ln of E|dLoss/dz^l|^2 / E|dLoss/dz^L|^2, norms of one sample's gradient.
    """

    layer: int
    preactivation: Signal
    activation: Signal
    log_chi: float
    log_gradient: float = field(default=0.0)

    @property
    def log_q(self) -> float:
        """Return ln q^l, q the second moment of the preactivation."""
        return self.preactivation.log_second_moment

    @property
    def chi(self) -> float:
        """Return chi^l: > 1 where nearby samples part and gradients grow backwards through this layer."""
        return exp(self.log_chi)


def propagate(
    act: Activation, layers: Sequence[Layer], q: float = 1.0, c: float = 0.0
) -> tuple[Moments, ...]:
    """Return the prediction for each hidden layer of a chain.

    Args:
        act: after every product but the last.
        layers: the hidden layers' products and the head's, in order.
        q: second moment of an input element, the same for every sample.
        c: mean correlation of two input samples, x . x' / |x|^2.

    Raises:
        UsageError: q or c out of range.

    >>> from actdiag.activations import activation
    >>> he = [Layer(64, 64, 2 / 64)] * 4
    >>> [round(moments.activation.rms, 12) for moments in propagate(activation("relu"), he)]
    [1.0, 1.0, 1.0]
    """
    if not (q >= 0.0 and math.isfinite(q) and -1.0 <= c <= 1.0):
        raise UsageError(f"theory needs inputs with second moment q >= 0 and -1 <= c <= 1, got q={q}, c={c}")
    log_second, log_distance = log(q), log(q) + log(1.0 - c)
    found: list[Moments] = []
    for number, (layer, after) in enumerate(zip(layers, layers[1:], strict=False), start=1):
        state = enter(layer, log_second, log_distance)
        found.append(_moments(act, number, state, layer.bias_mean, after))
        log_second = found[-1].activation.log_second_moment
        log_distance = log_spread(act, state.log_variance, state.log_delta, layer.bias_mean)
    return _with_gradients(found)


@dataclass(frozen=True)
class Preactivation:
    """ln of the variance of z, and of delta, 1 less its correlation between two samples (both centred)."""

    log_variance: float
    log_delta: float


def enter(layer: Layer, log_second: float, log_distance: float) -> Preactivation:
    """Return the law of z = w x + b for x with second moment e^log_second.

    Args:
        layer: the product.
        log_second: ln E[x^2].
        log_distance: ln (E[x^2] - E[x x']), x and x' of two samples.
    """
    log_weight = log(layer.sigma_w2)
    log_variance = _log_sum(log_weight + log_second, log(layer.bias_variance))
    if log_variance == -math.inf:
        return Preactivation(-math.inf, -math.inf)
    log_delta = min(log_weight + log_distance - log_variance, math.log(2.0))
    if layer.unit_variance and abs(exp(log_variance) - 1.0) >= 0.1:
        log_variance = 0.0
    return Preactivation(log_variance, log_delta)


def _log_sum(a: float, b: float) -> float:
    high, low = max(a, b), min(a, b)
    return high if low == -math.inf else high + math.log1p(math.exp(low - high))


def _moments(act: Activation, number: int, state: Preactivation, mean: float, after: Layer) -> Moments:
    """Return what a layer shows, without its gradient."""
    after_phi = response(act, state.log_variance, mean)
    log_distance = log_spread(act, state.log_variance, state.log_delta, mean)
    log_second = _log_sum(state.log_variance, 2.0 * log(abs(mean)))
    before = Signal(
        log_second,
        mean,
        exp(0.5 * state.log_variance),
        exp(0.5 * (state.log_variance + state.log_delta)),
        _correlation(log_second, state.log_variance + state.log_delta),
    )
    activation = Signal(
        after_phi.log_second_moment,
        after_phi.mean,
        exp(0.5 * after_phi.log_variance),
        exp(0.5 * log_distance),
        _correlation(after_phi.log_second_moment, log_distance),
        _zero_fraction(act, state.log_variance, mean),
        _saturated_fraction(act, state.log_variance, mean),
    )
    return Moments(number, before, activation, log(after.sigma_w2) + after_phi.log_slope)


def _correlation(log_second: float, log_distance: float) -> float:
    """Return 1 - D / E[x^2]; NaN where x is 0."""
    return math.nan if log_second == -math.inf else 1.0 - exp(log_distance - log_second)


def _share_below(edge: float, log_variance: float, mean: float) -> float:
    """Return P(z <= edge)."""
    if log_variance == -math.inf:
        return float(mean <= edge)
    return float(normal_cdf((edge - mean) * _inverse(0.5 * log_variance)))  # type: ignore[arg-type]


def _inverse(log_sigma: float) -> float:
    return math.exp(min(-log_sigma, 700.0))


def _zero_fraction(act: Activation, log_variance: float, mean: float) -> float:
    """Return P(phi(z) = 0): the half-line where the activation dies."""
    if act.dies:
        return _share_below(min(act.kinks), log_variance, mean)
    return float(log_variance == -math.inf and response(act, log_variance, mean).mean == 0.0)


def _saturated_fraction(act: Activation, log_variance: float, mean: float) -> float:
    if act.saturation is None:
        return math.nan
    below, above = act.saturation
    high = _share_below(-above, log_variance, -mean) if math.isfinite(above) else 0.0
    return _share_below(below, log_variance, mean) + high


def _with_gradients(found: list[Moments]) -> tuple[Moments, ...]:
    """Return the layers with log_gradient: the sum of ln chi from the layer to the last but one."""
    done: list[Moments] = []
    total = 0.0
    for moments in reversed(found):
        total += moments.log_chi if done else 0.0
        done.append(
            Moments(moments.layer, moments.preactivation, moments.activation, moments.log_chi, total + 0.0)
        )
    return tuple(reversed(done))
