"""The edge of chaos: weights that neither lose nor blow up gradients, and what an activation needs.

At its fixed point q a chain is critical where sigma_w^2 E[phi'^2] = 1; the bias that makes q the fixed point
is then sigma_b^2 = q - E[phi^2] / E[phi'^2]: the edge is a curve with parameter q.
"""

from __future__ import annotations

import math

import numpy as np

from actdiag.activations import Activation, check_activation
from actdiag.arguments import variance
from actdiag.errors import UsageError
from actdiag.theory.fixed import CRITICAL, LOWEST, find_root, fixed_point
from actdiag.theory.gains import exact_gain
from actdiag.theory.response import is_homogeneous, response

GRID = np.arange(-30.0, 40.0, 0.5)
"""ln q where the edge's bias is looked at to find between which two it takes a value."""


def critical_sigma_w2(act: Activation, sigma_b2: float = 0.0) -> float:
    """Return sigma_w^2 = fan_in Var[w] on the edge of chaos, reached from q = 1.

    Raises:
        UsageError: no activation, no variance, or no such sigma_w^2: step has no gradient, relu no edge
            with a bias.

    >>> from actdiag.activations import activation
    >>> round(critical_sigma_w2(activation("tanh"), 0.05), 3)  # Schoenholz et al. 2017
    1.761
    """
    check_activation(act)
    sigma_b2 = variance("sigma_b^2", sigma_b2)
    for candidate in _candidates(act, sigma_b2):
        reached = fixed_point(act, candidate, sigma_b2)
        if abs(reached.chi_1 - 1.0) <= CRITICAL and reached.q_star < math.inf:
            return candidate
    raise UsageError(
        f"'{act.name}' has no edge of chaos at sigma_b^2 = {sigma_b2:g} that is reached from q = 1"
    )


def _candidates(act: Activation, sigma_b2: float) -> list[float]:
    """Return every sigma_w^2 that is critical at some q whose bias is sigma_b2."""
    if response(act, 0.0).log_slope == -math.inf:
        return []
    if is_homogeneous(act):
        return [] if sigma_b2 else [1.0 / math.exp(response(act, 0.0).log_slope)]
    values = [_excess(act, log_q, sigma_b2) for log_q in GRID]
    roots = [
        find_root(lambda x: _excess(act, x, sigma_b2), GRID[i], GRID[i + 1])
        for i in np.flatnonzero(np.diff(np.sign(values)))
    ]
    at = roots if sigma_b2 else [LOWEST, *roots]
    return [math.exp(-response(act, log_q).log_slope) for log_q in at]


def _excess(act: Activation, log_q: float, sigma_b2: float) -> float:
    """Return the bias variance that the edge needs at q, less sigma_b2, in units of q."""
    moments = response(act, log_q)
    return 1.0 - math.exp(moments.log_second_moment - moments.log_slope - log_q) - sigma_b2 * math.exp(-log_q)


def critical_variance(act: Activation) -> float:
    """Return the fan_in Var[w] that an activation asks for; NaN where there is none.

    A bounded activation's is the edge of chaos without bias (tanh, softsign, hardtanh: 1), where its signal
    shrinks slower than exponentially. An unbounded one's keeps the second moment at 1: its exact gain
    squared, 2 for relu (He et al. 2015), 2 / (1 + a^2) for leaky_relu, 1 for selu (Klambauer et al. 2017).

    Raises:
        UsageError: no activation.
    """
    check_activation(act)
    if act.range is None:
        return exact_gain(act) ** 2
    try:
        return critical_sigma_w2(act)
    except UsageError:
        return math.nan
