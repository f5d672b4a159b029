"""What is known of each initialiser: the variance it gives a weight, and where it comes from.

The torch side draws the weights (`actdiag.catalogue`); a law test holds the drawn variance to `variance`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

from actdiag.arguments import word
from actdiag.errors import UsageError
from actdiag.parameters import parse_number, split_parameter
from actdiag.registry import Registry

Base = Callable[[int, int], float]


@dataclass(frozen=True)
class Initialiser:
    """One way to draw a weight matrix of shape (fan_out, fan_in).

    Attributes:
        name: canonical name, with its parameter where one was given.
        distribution: normal, uniform, constant, orthogonal, lsuv or torch.
        base: (fan_in, fan_out) -> Var[w] at gain 1; NaN where it depends on the data.
        formula: the variance in words.
        source: where the initialiser comes from.
        gain: multiplies the standard deviation; None where the initialiser has no gain to set.
        parameter: the text behind the colon, None where there is none.
    """

    name: str
    distribution: str
    base: Base
    formula: str
    source: str
    gain: float | None = None
    parameter: str | None = None

    def variance(self, fan_in: int, fan_out: int, gain: float | None = None) -> float:
        """Return Var[w] = gain^2 * base(fan_in, fan_out); `gain` replaces the initialiser's own.

        >>> initialiser("he").variance(fan_in=50, fan_out=10)
        0.04...
        """
        scale = gain if gain is not None else self.gain if self.gain is not None else 1.0
        return scale * scale * self.base(fan_in, fan_out)


INITIALISERS: Registry[Initialiser] = Registry("initializer")
ROOT2 = math.sqrt(2.0)
LARGEST_NUMBER = 1e30
"""Of an initialiser's number, gain and bias: weights drawn with it are within float32, which holds 3.4e38."""


def initialiser(text: str) -> Initialiser:
    """Return the initialiser that `text` names, as `xavier`, `normal:0.01` or `he:fan_out`.

    Raises:
        UsageError: no name, or an unknown one; a parameter that is missing, not wanted or not a number.
    """
    name, parameter = split_parameter(word("an initializer", text, "xavier"))
    row = INITIALISERS[name]
    if row.name in _SCALED:
        return _scaled(row, text, parameter)
    if row.name in ("he_normal", "he_uniform") and parameter is not None:
        return _he_mode(row, text, parameter)
    if parameter is not None:
        raise UsageError(f"initializer '{name}' takes no parameter, got '{text}'")
    return row


def _scaled(row: Initialiser, text: str, parameter: str | None) -> Initialiser:
    """Bind the number of constant:c, normal:std or uniform:a."""
    if parameter is None:
        raise UsageError(f"initializer '{text}' needs its number: write {text}:0.01")
    number = parse_number(f"initializer '{row.name}'", parameter)
    if number < 0 and row.name != "constant":
        raise UsageError(f"initializer '{row.name}' takes a number >= 0, got '{text}'")
    if abs(number) > LARGEST_NUMBER:
        raise UsageError(f"initializer '{row.name}' takes a number up to {LARGEST_NUMBER:g}, got '{text}'")
    share = _SCALED[row.name]
    return replace(row, name=text, parameter=parameter, base=lambda i, o: number * number * share)


_SCALED = {"constant": 0.0, "normal": 1.0, "uniform": 1.0 / 3.0}
"""Var[w] over the square of the parameter."""


def _he_mode(row: Initialiser, text: str, mode: str) -> Initialiser:
    if mode not in ("fan_in", "fan_out"):
        raise UsageError(f"initializer '{row.name}' takes fan_in or fan_out, got '{text}'")
    if mode == "fan_in":
        return row
    return replace(
        row, name=f"{row.name}:fan_out", parameter=mode, base=lambda i, o: 1.0 / o, formula="2 / fan_out"
    )


def _row(*names: str, **facts: object) -> None:
    """Register an initialiser under its name and aliases."""
    INITIALISERS.add(names[0], Initialiser(name=names[0], **facts), names[1:])  # type: ignore[arg-type]


def _by_fan_in(fan_in: int, fan_out: int) -> float:
    return 1.0 / fan_in


def _by_both(fan_in: int, fan_out: int) -> float:
    return 2.0 / (fan_in + fan_out)


def _orthogonal(fan_in: int, fan_out: int) -> float:
    return 1.0 / max(fan_in, fan_out)


_LECUN, _GLOROT, _HE = "LeCun et al. 1998", "Glorot & Bengio 2010, eq. 16", "He et al. 2015, eq. 10"

_row("zeros", distribution="constant", base=lambda i, o: 0.0, formula="0", source="symmetry is never broken")
_row("constant", distribution="constant", base=lambda i, o: 0.0, formula="0 around c", source="as zeros")
_row("normal", distribution="normal", base=lambda i, o: 1.0, formula="std^2", source="N(0, std^2)")
_row("uniform", distribution="uniform", base=lambda i, o: 1 / 3, formula="a^2 / 3", source="U(-a, a)")
_row(
    "standard_uniform",
    distribution="uniform",
    base=lambda i, o: 1.0 / (3.0 * i),
    formula="1 / (3 fan_in)",
    source="Glorot & Bengio 2010, eq. 1: U(-1/sqrt(fan_in), 1/sqrt(fan_in))",
)
_row(
    "torch_default",
    distribution="torch",
    base=lambda i, o: 1.0 / (3.0 * i),
    formula="1 / (3 fan_in)",
    source="torch.nn.Linear: as standard_uniform, with the same law for the bias",
)
_row(
    "lecun_normal",
    "xavier_slide",
    "lecun",
    distribution="normal",
    base=_by_fan_in,
    formula="gain^2 / fan_in",
    source=f"{_LECUN}; the lectures' randn / sqrt(fan_in)",
    gain=1.0,
)
_row(
    "lecun_uniform",
    distribution="uniform",
    base=_by_fan_in,
    formula="gain^2 / fan_in",
    source=_LECUN,
    gain=1.0,
)
for _name, _aliases in {"xavier_uniform": ("xavier", "glorot"), "xavier_normal": ("glorot_normal",)}.items():
    _row(
        _name,
        *_aliases,
        distribution=_name.removeprefix("xavier_"),
        base=_by_both,
        formula="2 gain^2 / (fan_in + fan_out)",
        source=_GLOROT,
        gain=1.0,
    )
for _name, _aliases in {"he_uniform": ("kaiming_uniform",), "he_normal": ("he", "kaiming", "msra")}.items():
    _row(
        _name,
        *_aliases,
        distribution=_name.removeprefix("he_"),
        base=_by_fan_in,
        formula="2 / fan_in",
        source=_HE,
        gain=ROOT2,
    )
_row(
    "orthogonal",
    "orthonorm",
    distribution="orthogonal",
    base=_orthogonal,
    formula="gain^2 / max(fan_in, fan_out)",
    source="Saxe et al. 2014",
    gain=1.0,
)
_row(
    "orthogonal_he",
    distribution="orthogonal",
    base=_orthogonal,
    formula="2 / max(fan_in, fan_out)",
    source="Saxe et al. 2014, times sqrt(2)",
    gain=ROOT2,
)
_row(
    "lsuv",
    distribution="lsuv",
    base=lambda i, o: math.nan,
    formula="set by the data: Var[z] = 1 +- 0.1",
    source="Mishkin & Matas 2016",
)
