"""What mean-field theory says of a network before it is measured; numpy only.

Each layer's preactivations are taken as normal, which they become as the width grows.
"""

from actdiag.theory.chain import Between, Layer, Moments, Signal
from actdiag.theory.critical import critical_sigma_w2, critical_variance
from actdiag.theory.dead import dead_share
from actdiag.theory.fixed import FixedPoint, fixed_point, variance_slope
from actdiag.theory.gains import backward_gain, exact_gain, resolve_gain, second_moment, second_slope
from actdiag.theory.known import NoTheory, between_of, chain, prediction
from actdiag.theory.quadrature import gaussian_expectation
from actdiag.theory.recursion import propagate

__all__ = [
    "Between",
    "FixedPoint",
    "Layer",
    "Moments",
    "NoTheory",
    "Signal",
    "backward_gain",
    "between_of",
    "chain",
    "critical_sigma_w2",
    "critical_variance",
    "dead_share",
    "exact_gain",
    "fixed_point",
    "gaussian_expectation",
    "prediction",
    "propagate",
    "resolve_gain",
    "second_moment",
    "second_slope",
    "variance_slope",
]
