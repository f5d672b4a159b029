"""What mean-field theory says of a network before it is measured; numpy only.

Each layer's preactivations are taken as normal, which they become as the width grows.
"""

from actdiag.theory.chain import Between, Layer, Moments, Signal
from actdiag.theory.dead import dead_share
from actdiag.theory.gains import backward_gain, exact_gain, resolve_gain, second_moment, second_slope
from actdiag.theory.quadrature import gaussian_expectation
from actdiag.theory.recursion import propagate

__all__ = [
    "Between",
    "Layer",
    "Moments",
    "Signal",
    "backward_gain",
    "dead_share",
    "exact_gain",
    "gaussian_expectation",
    "propagate",
    "resolve_gain",
    "second_moment",
    "second_slope",
]
