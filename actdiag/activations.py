"""What is known of each activation: the function, its derivative, and where it stops passing signal.

Everything here is numpy; the torch counterparts are looked up by name in `actdiag.catalogue`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache, partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from actdiag.arguments import shown, word
from actdiag.errors import UsageError
from actdiag.parameters import parse_number, split_parameter
from actdiag.registry import Registry

Array = NDArray[np.float64]
Function = Callable[[Array], Array]

SELU_ALPHA = 1.6732632423543772
SELU_SCALE = 1.0507009873554805
LARGEST = 1e6
"""Of an activation's parameter: its square stays in float64, whatever it meets."""
SATURATED_SHARE = 0.05
"""A unit is saturated where its derivative is below this share of the derivative's maximum."""


@dataclass(frozen=True)
class Activation:
    """One activation function phi.

    Attributes:
        name: canonical name, with its parameter where one was given.
        function: phi, elementwise on float64 arrays (for maxout: of the larger of the two pieces).
        derivative: phi', at a kink as torch takes it.
        kinks: where phi or phi' jumps; quadrature is split there.
        formula: phi in words.
        source: where the function comes from.
        range: (lowest, highest) output where both are finite.
        saturation: (below, above): saturated for z < below or z > above, see `SATURATED_SHARE`.
        dies: phi = phi' = 0 on a half-line, so that a unit can be dead.
        torch_gain: what `torch.nn.init.calculate_gain` returns, None where it knows no such gain.
        partner: the initialiser made for this activation, None where there is none.
        pieces: preactivations per unit (2 for maxout).
        parameter: the number behind the colon, None where the activation takes none.
    """

    name: str
    function: Function
    derivative: Function
    kinks: tuple[float, ...]
    formula: str
    source: str
    range: tuple[float, float] | None = None
    saturation: tuple[float, float] | None = None
    dies: bool = False
    torch_gain: float | None = None
    partner: str | None = None
    pieces: int = 1
    parameter: float | None = None

    def __hash__(self) -> int:
        """Return the name's hash: theory looks activations up all the time."""
        return hash(self.name)


ACTIVATIONS: Registry[Callable[..., Activation]] = Registry("activation")


def activation(text: str) -> Activation:
    """Return the activation that `text` names, as `relu` or `leaky_relu:0.1`.

    Raises:
        UsageError: no name, an unknown one, or a parameter where none is taken, or not a finite number of
            ordinary size.

    >>> activation("tanh").saturation
    (-2.178..., 2.178...)
    """
    return _activation(word("an activation", text, "tanh"))


@cache
def _activation(text: str) -> Activation:
    name, parameter = split_parameter(text)
    factory = ACTIVATIONS[name]
    if parameter is None:
        return factory()
    if name not in PARAMETRIC:
        raise UsageError(f"activation '{name}' takes no parameter, got '{text}'")
    number = parse_number(f"activation '{name}'", parameter)
    if abs(number) > LARGEST:
        raise UsageError(f"activation '{name}' takes a number from -{LARGEST:g} to {LARGEST:g}, got '{text}'")
    return replace(factory(number), name=text)


def check_activation(value: object) -> None:
    """Raise where something else than an activation was given, as its name alone.

    Raises:
        UsageError: with what makes one.
    """
    if not isinstance(value, Activation):
        raise UsageError(f"expected an Activation, got {shown(value)}: write activation('tanh')")


PARAMETRIC = ("leaky_relu", "prelu", "elu")


def _row(name: str, **facts: Any) -> None:
    """Register an activation without a parameter."""
    ACTIVATIONS.add(name, partial(Activation, name=name, **facts))


def _where(condition: Any, yes: Any, no: Any) -> Array:
    chosen: Array = np.where(condition, yes, no).astype(np.float64)
    return chosen


def sigmoid(z: Array) -> Array:
    """Return 1 / (1 + e^-z) without overflow."""
    return 0.5 * (1.0 + np.tanh(0.5 * z))


def softplus(z: Array) -> Array:
    """Return ln(1 + e^z) without overflow."""
    return np.logaddexp(0.0, z)


def normal_cdf(z: Array) -> Array:
    """Return Phi(z), the standard normal distribution function, to 1e-15; below 1e-36 it stays there."""
    x = np.minimum(np.abs(z) / math.sqrt(2.0), _ERFC_REACH)
    t = 2.0 / (2.0 + x)
    exponent = _erfc_exponent(t)
    exponent -= x * x
    tail = 0.5 * t * np.exp(exponent)
    return _where(np.asarray(z) > 0, 1.0 - tail, tail)


_ERFC_REACH = 9.0
_ERFC_DOMAIN = 2.0 / (2.0 + _ERFC_REACH), 1.0


def _erfc_exponent(t: Array) -> Array:
    """Return P(t) with erfc(x) = t exp(P(t) - x^2), t = 2 / (2 + x): smooth enough for 32 terms.

    A table of `math.erfc` would be exact too, but 20 times slower on the arrays that quadrature needs.
    """
    low, high = _ERFC_DOMAIN
    u = (2.0 * t - (low + high)) / (high - low)
    highest, *others = _erfc_powers()
    found = np.full_like(u, highest)
    for power in others:
        found *= u
        found += power
    return found


@cache
def _erfc_powers() -> list[float]:
    """Return the coefficients of P in powers of t's place in its domain, the highest first.

    They fall off fast enough for Horner's rule to keep all digits.
    """

    def exponent(t: Array) -> Array:
        return np.array([math.log(math.erfc(2.0 / s - 2.0) / s) + (2.0 / s - 2.0) ** 2 for s in t])

    series = np.polynomial.Chebyshev.interpolate(exponent, 32, list(_ERFC_DOMAIN))
    return [float(power) for power in reversed(np.polynomial.chebyshev.cheb2poly(series.coef))]


def normal_pdf(z: Array) -> Array:
    """Return the standard normal density."""
    density: Array = np.square(z)
    density *= -0.5
    np.exp(density, out=density)
    density /= math.sqrt(2.0 * math.pi)
    return density


def _negative_exponential(z: Array) -> Array:
    """Return e^z - 1 for z <= 0, and 0 above, without overflow."""
    return np.expm1(np.minimum(z, 0.0))


def _mish_derivative(z: Array) -> Array:
    squash = np.tanh(softplus(z))
    return squash + z * (1.0 - squash**2) * sigmoid(z)


_TANH_EDGE = math.atanh(math.sqrt(1.0 - SATURATED_SHARE))
_SIGMOID_EDGE = 2.0 * _TANH_EDGE
_SOFTSIGN_EDGE = 1.0 / math.sqrt(SATURATED_SHARE) - 1.0
_LEFT_EDGE = (math.log(SATURATED_SHARE), math.inf)

_row(
    "linear",
    function=lambda z: z,
    derivative=np.ones_like,
    kinks=(),
    formula="z",
    source="Saxe et al. 2014",
    torch_gain=1.0,
    partner="lecun_normal",
)
_row(
    "step",
    function=lambda z: _where(z > 0, 1.0, 0.0),
    derivative=np.zeros_like,
    kinks=(0.0,),
    formula="1 if z > 0 else 0",
    source="Rosenblatt 1958",
    range=(0.0, 1.0),
    dies=True,
)
_row(
    "sigmoid",
    function=sigmoid,
    derivative=lambda z: sigmoid(z) * sigmoid(-z),
    kinks=(),
    formula="1 / (1 + e^-z)",
    source="Rumelhart, Hinton & Williams 1986",
    range=(0.0, 1.0),
    saturation=(-_SIGMOID_EDGE, _SIGMOID_EDGE),
    torch_gain=1.0,
)
_row(
    "tanh",
    function=np.tanh,
    derivative=lambda z: 1.0 - np.tanh(z) ** 2,
    kinks=(),
    formula="tanh z",
    source="LeCun et al. 1998",
    range=(-1.0, 1.0),
    saturation=(-_TANH_EDGE, _TANH_EDGE),
    torch_gain=5.0 / 3.0,
    partner="xavier_uniform",
)
_row(
    "relu",
    function=lambda z: np.maximum(z, 0.0),
    derivative=lambda z: _where(z > 0, 1.0, 0.0),
    kinks=(0.0,),
    formula="max(0, z)",
    source="Nair & Hinton 2010",
    dies=True,
    torch_gain=math.sqrt(2.0),
    partner="he_normal",
)


def _leaky(name: str, slope: float, source: str) -> Activation:
    """Return z for z > 0 and slope z below; Var gain 2 / (1 + slope^2), He et al. 2015, eq. 15."""
    return Activation(
        name=name,
        function=lambda z: _where(z > 0, z, slope * z),
        derivative=lambda z: _where(z > 0, 1.0, slope),
        kinks=(0.0,),
        formula=f"z if z > 0 else {slope:.6g} z",
        source=source,
        torch_gain=math.sqrt(2.0 / (1.0 + slope**2)) if name == "leaky_relu" else None,
        partner="he_normal",
        parameter=slope,
    )


@ACTIVATIONS.row("leaky_relu")
def _leaky_relu(slope: float = 0.01) -> Activation:
    return _leaky("leaky_relu", slope, "Maas, Hannun & Ng 2013")


@ACTIVATIONS.row("vlrelu")
def _vlrelu() -> Activation:
    return replace(_leaky("vlrelu", 1.0 / 3.0, "Graham 2014; Mishkin & Matas 2016"), parameter=None)


@ACTIVATIONS.row("prelu")
def _prelu(slope: float = 0.25) -> Activation:
    return _leaky("prelu", slope, "He et al. 2015 (the slope is learnt)")


@ACTIVATIONS.row("elu")
def _elu(alpha: float = 1.0) -> Activation:
    """Return the ELU; its derivative's maximum is max(1, alpha), its left branch is judged alone."""
    return Activation(
        name="elu",
        function=lambda z: _where(z > 0, z, alpha * _negative_exponential(z)),
        derivative=lambda z: _where(z > 0, 1.0, alpha * np.exp(np.minimum(z, 0.0))),
        kinks=(0.0,),
        formula=f"z if z > 0 else {alpha:.6g} (e^z - 1)",
        source="Clevert et al. 2016",
        saturation=_LEFT_EDGE,
        partner="he_normal",
        parameter=alpha,
    )


_row(
    "selu",
    function=lambda z: SELU_SCALE * _where(z > 0, z, SELU_ALPHA * _negative_exponential(z)),
    derivative=lambda z: SELU_SCALE * _where(z > 0, 1.0, SELU_ALPHA * np.exp(np.minimum(z, 0.0))),
    kinks=(0.0,),
    formula="1.0507 (z if z > 0 else 1.6733 (e^z - 1))",
    source="Klambauer et al. 2017",
    saturation=_LEFT_EDGE,
    torch_gain=0.75,
    partner="lecun_normal",
)
_row(
    "gelu",
    function=lambda z: z * normal_cdf(z),
    derivative=lambda z: normal_cdf(z) + z * normal_pdf(z),
    kinks=(),
    formula="z Phi(z)",
    source="Hendrycks & Gimpel 2016",
    partner="he_normal",
)
_row(
    "silu",
    function=lambda z: z * sigmoid(z),
    derivative=lambda z: sigmoid(z) * (1.0 + z * sigmoid(-z)),
    kinks=(),
    formula="z / (1 + e^-z)",
    source="Elfwing et al. 2018",
    partner="he_normal",
)
_row(
    "softplus",
    function=softplus,
    derivative=sigmoid,
    kinks=(),
    formula="ln(1 + e^z)",
    source="Dugas et al. 2001",
)
_row(
    "softsign",
    function=lambda z: z / (1.0 + np.abs(z)),
    derivative=lambda z: (1.0 + np.abs(z)) ** -2.0,
    kinks=(0.0,),
    formula="z / (1 + |z|)",
    source="Bergstra et al. 2009; Glorot & Bengio 2010",
    range=(-1.0, 1.0),
    saturation=(-_SOFTSIGN_EDGE, _SOFTSIGN_EDGE),
    partner="xavier_uniform",
)
_row(
    "hardtanh",
    function=lambda z: np.clip(z, -1.0, 1.0),
    derivative=lambda z: _where((z > -1.0) & (z < 1.0), 1.0, 0.0),
    kinks=(-1.0, 1.0),
    formula="min(1, max(-1, z))",
    source="Collobert 2004",
    range=(-1.0, 1.0),
    saturation=(-1.0, 1.0),
    partner="xavier_uniform",
)
_row(
    "mish",
    function=lambda z: z * np.tanh(softplus(z)),
    derivative=_mish_derivative,
    kinks=(),
    formula="z tanh(ln(1 + e^z))",
    source="Misra 2020",
    partner="he_normal",
)
_row(
    "maxout",
    function=lambda z: z,
    derivative=np.ones_like,
    kinks=(),
    formula="max(z_1, z_2), from a layer of 2 n outputs",
    source="Goodfellow et al. 2013",
    partner="lecun_normal",
    pieces=2,
)
