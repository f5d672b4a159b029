"""Theory's rows: the columns of the measured ones, with bands."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
import pandas as pd

from actdiag import schema
from actdiag.predictions.chains import Biases, Chain, Row, batch_of, of_model, of_spec
from actdiag.recording import Recording
from actdiag.rules.base import Run
from actdiag.theory import Moments, NoTheory, Signal, prediction, propagate
from actdiag.theory.bands import Preactivations, Spread, spreads

NARROW = 16
"""Units below which a layer's sums are not normal enough for a band."""
_TYPES = {"str": "object"}
_BLANK = {"str": "", "int64": 0, "float64": math.nan, "bool": False}


def predicted(recording: Recording, biases: Biases | None = None) -> Recording:
    """Return the recording of one run with theory's rows behind the measured ones.

    They stand at the first step. Where there can be none, the run's facts say why, under `theory`.

    Args:
        recording: of one run.
        biases: of a model of the user's own, where they are known.
    """
    (name,) = recording.runs
    run = Run(name, recording)
    both, reason = recording.rows, ""
    try:
        chain = of_spec(run.spec) if run.spec is not None else of_model(run, biases or {})
        both = pd.concat([both, _rows(run, chain)], ignore_index=True)
    except NoTheory as why:
        reason = str(why)
    facts = {**run.facts, "theory": reason}
    return replace(recording, rows=both, meta={**recording.meta, "runs": {name: facts}})


def _rows(run: Run, chain: Chain) -> pd.DataFrame:
    """Return theory's rows: of preactivation, activation and their gradients, in each hidden layer."""
    given = batch_of(run, chain.layers[0].fan_in)
    known = math.isfinite(given.correlation)
    start = min(max(given.correlation, -1.0), 1.0) if known else 0.0
    moments = _moments(run, chain, given.second, start)
    forward, backward = _spreads(chain, moments)
    numbers = [*_forward(chain, moments, forward), *_backward(chain, moments, backward)]
    first = run.recording.rows.iloc[0]
    same = {name: first[name] for name in (*schema.SPEC, "run", "step")}
    same |= {"source": "theory", "samples": given.samples, "positions": 1, "unit_axis": -1}
    same |= {} if known else {"correlation": math.nan, "std_across": math.nan}
    places = _places(run, chain)
    records = [
        {**row, **places[row["tensor"].startswith("activation"), row["layer"]], **same} for row in numbers
    ]
    for record in records:
        record["count"] = given.samples * record["units"]
    return pd.DataFrame(
        {
            name: np.array(
                [record.get(name, _BLANK[kind]) for record in records], dtype=_TYPES.get(kind, kind)
            )
            for name, kind in schema.ROWS.items()
        }
    )


def _moments(run: Run, chain: Chain, q: float, c: float) -> tuple[Moments, ...]:
    """Return the prediction: of a spec with all that stands between its layers."""
    if run.spec is None:
        return propagate(chain.act, chain.layers, q, c)
    return prediction(run.spec, chain.layers[0].fan_in, chain.layers[-1].fan_out, q, c)


def _forward(chain: Chain, moments: Sequence[Moments], spread: Spread) -> Iterator[Row]:
    """Yield the numbers of preactivations and activations; `layer` counts the hidden layers from 1."""
    lows, highs = spread.band(np.array([each.activation.rms for each in moments]))
    for each, layer, low, high in zip(moments, chain.layers, lows, highs, strict=False):
        yield {
            "layer": each.layer,
            "tensor": "preactivation",
            "units": layer.fan_out,
            **_signal(each.preactivation),
        }
        band = {"expected_low": low, "expected_high": high}
        units = layer.fan_out // chain.act.pieces
        yield {
            "layer": each.layer,
            "tensor": "activation",
            "units": units,
            **_signal(each.activation),
            **band,
        }


def _backward(chain: Chain, moments: Sequence[Moments], spread: Spread) -> Iterator[Row]:
    """Yield the rms of gradients, the last hidden layer's being 1: the loss alone sets their scale."""
    norms = 0.5 * np.array([each.log_gradient for each in moments])
    if not np.isfinite([*norms, moments[-1].log_chi]).all():
        return  # no gradient at all: nothing to compare
    slopes = 0.5 * np.array([each.log_chi for each in moments])
    sigmas = 0.5 * np.log([layer.sigma_w2 for layer in chain.layers[1:]])
    kinds = [
        ("preactivation_grad", 1, norms),
        ("activation_grad", chain.act.pieces, norms - (slopes - sigmas)),
    ]
    for tensor, pieces, logs in kinds if chain.plain else kinds[:1]:
        units = np.array([layer.fan_out // pieces for layer in chain.layers[:-1]])
        with np.errstate(over="ignore"):
            rms = np.exp(logs - logs[-1]) * np.sqrt(units[-1] / units)
        lows, highs = spread.band(rms)
        for place, number in enumerate(rms):
            last = place + 1 == len(rms)
            yield {
                "layer": moments[place].layer,
                "tensor": tensor,
                "backward": 1,
                "units": int(units[place]),
                "rms": number,
                "expected_low": math.nan if last else lows[place],
                "expected_high": math.nan if last else highs[place],
            }


def _spreads(chain: Chain, moments: Sequence[Moments]) -> tuple[Spread, Spread]:
    """Return the spreads at finite width; NaN where they are not known."""
    layers = chain.layers[: len(moments)]
    with np.errstate(over="ignore", divide="ignore", invalid="ignore"):
        variance = np.array([each.preactivation.std for each in moments]) ** 2
        share = 1.0 - np.array([layer.bias_variance for layer in layers]) / variance
    mean = np.array([layer.bias_mean for layer in layers])
    units = [layer.fan_out // chain.act.pieces for layer in layers]
    found = spreads(chain.act, Preactivations(mean, variance, share), units)
    if chain.banded and min([*units, layers[0].fan_in]) >= NARROW:
        return found
    unknown = np.full(len(units), math.nan)
    return Spread(unknown, unknown), Spread(unknown, unknown)


def _signal(signal: Signal) -> Row:
    names = ("mean", "std", "std_across", "rms", "correlation", "zero_fraction", "saturated_fraction")
    return {name: getattr(signal, name) for name in names}


def _places(run: Run, chain: Chain) -> dict[tuple[bool, int], Row]:
    """Return what rows of a hidden layer, from 1, are about: its activation (True) or product (False)."""
    modules = run.recording.modules
    parts = modules[modules["kind"].isin(["product", "activation"])]
    facts = list(zip(parts["name"], parts["type"], parts["layer"], parts["kind"], strict=True))
    layers = {name: layer for name, _, layer, _ in facts}
    acts = {layer: (name, kind) for name, kind, layer, part in reversed(facts) if part == "activation"}
    own = {name: (name, kind) for name, kind, _, _ in facts}
    places: dict[tuple[bool, int], Row] = {}
    for number, name in enumerate(chain.names, start=1):
        layer = layers[name]
        for after in (False, True):
            module, kind = acts.get(layer, own[name]) if after else own[name]
            places[after, number] = {"module": module, "module_type": kind, "layer": layer}
    return places
