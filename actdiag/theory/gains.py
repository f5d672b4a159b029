"""Gains: what keeps the second moment of signal or gradient from layer to layer."""

from __future__ import annotations

import math

from actdiag.activations import Activation, check_activation
from actdiag.arguments import number, variance
from actdiag.errors import UsageError
from actdiag.theory.response import Response, exp, log, response


def second_moment(act: Activation, q: float = 1.0) -> float:
    """Return E[phi(z)^2] for z ~ N(0, q); for maxout, of the larger of two independent z.

    q = 0 is z = 0. Numbers beyond float64 are inf.

    Raises:
        UsageError: no activation, or no variance.

    >>> from actdiag.activations import activation
    >>> second_moment(activation("sigmoid"), 0.0)
    0.25
    """
    return exp(_response(act, q).log_second_moment)


def second_slope(act: Activation, q: float = 1.0) -> float:
    """Return E[phi'(z)^2] for z ~ N(0, q): what a gradient's squared norm keeps; for maxout 1.

    q = 0 is z = 0, at a kink with phi' as torch takes it.

    Raises:
        UsageError: no activation, or no variance.
    """
    return exp(_response(act, q).log_slope)


def _response(act: Activation, q: float) -> Response:
    check_activation(act)
    return response(act, log(variance("q", q)))


def exact_gain(act: Activation) -> float:
    """Return the gain that keeps E[z^2] = 1 from layer to layer: 1 / sqrt(E[phi(z)^2]), z ~ N(0, 1).

    >>> from actdiag.activations import activation
    >>> round(exact_gain(activation("tanh")), 4), round(exact_gain(activation("relu")) ** 2, 12)
    (1.5925, 2.0)
    """
    return 1.0 / math.sqrt(second_moment(act))


def backward_gain(act: Activation) -> float:
    """Return the gain that keeps the gradient's norm at q = 1: 1 / sqrt(E[phi'(z)^2]); inf for step.

    >>> from actdiag.activations import activation
    >>> round(backward_gain(activation("relu")) ** 2, 12), round(backward_gain(activation("tanh")), 4)
    (2.0, 1.4674)
    """
    slope = second_slope(act)
    return 1.0 / math.sqrt(slope) if slope else math.inf


def resolve_gain(gain: float | str | None, act: Activation, default: float | None) -> float:
    """Return the gain in use as a number: given, torch's, exact, or the initialiser's own `default`.

    Returns NaN for an initialiser that has no gain and was given none.

    Raises:
        UsageError: no activation, no gain, or torch knows none for the activation.
    """
    check_activation(act)
    if gain is None:
        return math.nan if default is None else default
    if not isinstance(gain, str):
        return number("gain", gain)
    if gain == "exact":
        return exact_gain(act)
    if gain == "torch":
        if act.torch_gain is None:
            raise UsageError(f"torch has no gain for '{act.name}': use --gain exact or a number")
        return act.torch_gain
    raise UsageError(f"gain is a number, 'torch' or 'exact', got {gain!r}")
