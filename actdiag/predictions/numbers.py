"""The numbers of theory's rows, from a chain and the batch that it takes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from actdiag import schema
from actdiag.activations import Activation
from actdiag.predictions.chains import Batch, Chain
from actdiag.theory import Between, Layer, Moments, Signal, propagate
from actdiag.theory.bands import Preactivations, Spread, spreads

Floats = NDArray[np.float64]
NARROW = 16
"""Units below which a layer's sums are not normal enough for a band."""
NUMBERS: Final = (*schema.COUNTED, "expected_low", "expected_high")
_PLACES = {name: place for place, name in enumerate(NUMBERS)}
_SIGNAL = ("mean", "std", "std_across", "rms", "correlation", "zero_fraction", "saturated_fraction")
_BLANK = np.array([math.nan if schema.ROWS[name] == "float64" else 0.0 for name in NUMBERS])


class Predicted(NamedTuple):
    """Theory's rows: of preactivation, activation and their gradients, in each hidden layer.

    Attributes:
        layers: hidden layers, from 1.
        tensors: what each row is about.
        numbers: (rows, len(NUMBERS)), read-only.
    """

    layers: tuple[int, ...]
    tensors: tuple[str, ...]
    numbers: Floats


def of_chain(chain: Chain, between: Between, given: Batch) -> Predicted:
    """Return theory's rows."""
    # NaN is no key that a cache finds again
    second, correlation, samples = given
    known = None if math.isnan(correlation) else correlation
    return _predicted(chain.act, chain.layers, between, chain.plain, chain.banded, second, known, samples)


@lru_cache(maxsize=256)
def _predicted(
    act: Activation,
    layers: tuple[Layer, ...],
    between: Between,
    plain: bool,
    banded: bool,
    second: float,
    correlation: float | None,
    samples: int,
) -> Predicted:
    start = 0.0 if correlation is None else min(max(correlation, -1.0), 1.0)
    moments = propagate(act, layers, second, start, between)
    forward, backward = _spreads(act, layers, banded, moments)
    rows = _Rows(samples)
    _add_forward(rows, act, layers, moments, forward)
    _add_backward(rows, act, layers, moments, backward, plain)
    if correlation is None:
        rows.set("correlation", math.nan)
        rows.set("std_across", math.nan)
    return rows.done()


class _Rows:
    """Rows as they grow, part after part."""

    def __init__(self, samples: int) -> None:
        self._samples = samples
        self._layers: list[int] = []
        self._tensors: list[str] = []
        self._parts: list[Floats] = []

    def add(
        self, layers: Sequence[int], tensors: Sequence[str], units: Sequence[int], **columns: Floats
    ) -> None:
        """Add rows; columns that are not given are blank."""
        numbers = np.tile(_BLANK, (len(layers), 1))
        counted = np.array(units, dtype=np.float64)
        columns |= {"units": counted, "count": self._samples * counted}
        columns |= {"samples": np.full(len(layers), self._samples), "positions": np.ones(len(layers))}
        for name, values in columns.items():
            numbers[:, _PLACES[name]] = values
        self._layers += layers
        self._tensors += tensors
        self._parts.append(numbers)

    def set(self, name: str, value: float) -> None:
        """Set a column of all rows so far."""
        for part in self._parts:
            part[:, _PLACES[name]] = value

    def done(self) -> Predicted:
        """Return the rows."""
        numbers = np.concatenate(self._parts)
        numbers.flags.writeable = False
        return Predicted(tuple(self._layers), tuple(self._tensors), numbers)


def _add_forward(
    rows: _Rows, act: Activation, layers: Sequence[Layer], moments: Sequence[Moments], spread: Spread
) -> None:
    """Add the numbers of preactivations and activations, by turns."""
    bands = spread.band(np.array([each.activation.rms for each in moments]))
    signals: list[Signal] = []
    units: list[int] = []
    for each, layer in zip(moments, layers, strict=False):
        signals += each.preactivation, each.activation
        units += layer.fan_out, layer.fan_out // act.pieces
    low, high = np.full((2, len(signals)), math.nan)
    low[1::2], high[1::2] = bands
    columns = {name: np.array([getattr(signal, name) for signal in signals]) for name in _SIGNAL}
    numbered = [each.layer for each in moments for _ in range(2)]
    tensors = ["preactivation", "activation"] * len(moments)
    rows.add(numbered, tensors, units, **columns, expected_low=low, expected_high=high)


def _add_backward(
    rows: _Rows,
    act: Activation,
    layers: Sequence[Layer],
    moments: Sequence[Moments],
    spread: Spread,
    plain: bool,
) -> None:
    """Add the rms of gradients, the last hidden layer's being 1: the loss alone sets their scale."""
    norms = 0.5 * np.array([each.log_gradient for each in moments])
    if not np.isfinite([*norms, moments[-1].log_chi]).all():
        return  # no gradient at all: nothing to compare
    slopes = 0.5 * np.array([each.log_chi for each in moments])
    sigmas = 0.5 * np.log([layer.sigma_w2 for layer in layers[1:]])
    kinds = [
        ("preactivation_grad", 1, norms),
        ("activation_grad", act.pieces, norms - (slopes - sigmas)),
    ]
    for tensor, pieces, logs in kinds if plain else kinds[:1]:
        units = np.array([layer.fan_out // pieces for layer in layers[:-1]])
        with np.errstate(over="ignore"):
            rms = np.exp(logs - logs[-1]) * np.sqrt(units[-1] / units)
        low, high = spread.band(rms)
        low[-1] = high[-1] = math.nan
        numbered = [each.layer for each in moments]
        names = [tensor] * len(moments)
        rows.add(numbered, names, units.tolist(), rms=rms, expected_low=low, expected_high=high)


def _spreads(
    act: Activation, layers: Sequence[Layer], banded: bool, moments: Sequence[Moments]
) -> tuple[Spread, Spread]:
    """Return the spreads at finite width; NaN where they are not known."""
    layers = layers[: len(moments)]
    units = [layer.fan_out // act.pieces for layer in layers]
    if not banded or min([*units, layers[0].fan_in]) < NARROW:
        unknown = np.full(len(units), math.nan)
        return Spread(unknown, unknown), Spread(unknown, unknown)
    with np.errstate(over="ignore", divide="ignore", invalid="ignore"):
        variance = np.array([each.preactivation.std for each in moments]) ** 2
        share = 1.0 - np.array([layer.bias_variance for layer in layers]) / variance
    mean = np.array([layer.bias_mean for layer in layers])
    return spreads(act, Preactivations(mean, variance, share), units)
