"""A chain of products as theory sees it, and what is predicted of each hidden layer."""

from __future__ import annotations

import math
from dataclasses import dataclass

from actdiag.theory.response import exp


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
class Between:
    """What stands between a product's output and the next product, besides the activation.

    Attributes:
        norm: none, layer, or batch (before the activation only, in the limit of a large batch).
        norm_place: before or after the activation.
        dropout: probability of an element to be dropped, after both; the others grow by 1 / (1 - p).
        residual: add the layer's input to its output where the two are of one size.
    """

    norm: str = "none"
    norm_place: str = "before"
    dropout: float = 0.0
    residual: bool = False


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
        log_chi: ln chi, by which E|dLoss/dz|^2 changes from layer l + 1 to l: in a plain chain E[phi'(z^l)^2]
            times the next product's sigma_w^2.
        log_gradient: ln of E|dLoss/dz^l|^2 / E|dLoss/dz^L|^2, norms of one sample's gradient.
    """

    layer: int
    preactivation: Signal
    activation: Signal
    log_chi: float
    log_gradient: float = 0.0

    @property
    def log_q(self) -> float:
        """Return ln q^l, q the second moment of the preactivation."""
        return self.preactivation.log_second_moment

    @property
    def chi(self) -> float:
        """Return chi^l: > 1 where nearby samples part and gradients grow backwards through this layer."""
        return exp(self.log_chi)
