"""Theory's rows: the columns of the measured ones, with bands."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pandas as pd

from actdiag import schema
from actdiag.predictions.chains import Biases, Chain, Row, batch_of, of_model, of_spec
from actdiag.predictions.numbers import NUMBERS, Predicted, of_chain
from actdiag.recording import Recording, table
from actdiag.rules.base import Run
from actdiag.theory import Between, NoTheory, between_of

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
        given = batch_of(run, chain.layers[0].fan_in)
        between = Between() if run.spec is None else between_of(run.spec)
        found = of_chain(chain, between, given)
        both = pd.concat(
            [both, _rows(recording, found, places_of(recording.modules, chain))], ignore_index=True
        )
    except NoTheory as why:
        reason = str(why)
    facts = {**run.facts, "theory": reason}
    return replace(recording, rows=both, meta={**recording.meta, "runs": {name: facts}})


def _rows(recording: Recording, found: Predicted, places: Mapping[tuple[bool, int], Row]) -> pd.DataFrame:
    """Return theory's rows as a table."""
    first = recording.rows.iloc[0]
    columns: dict[str, Any] = {name: _BLANK[kind] for name, kind in schema.ROWS.items()}
    columns |= {name: first[name] for name in (*schema.SPEC, "run", "step")}
    columns |= {"source": "theory", **sites_of(found, places)}
    columns |= {name: found.numbers[:, place] for place, name in enumerate(NUMBERS)}
    return table(columns, schema.ROWS, len(found.numbers))


def sites_of(found: Predicted, places: Mapping[tuple[bool, int], Row]) -> dict[str, Any]:
    """Return the columns that say what theory's rows are about."""
    tensors = list(found.tensors)
    own = [
        places[tensor.startswith("activation"), layer]
        for tensor, layer in zip(tensors, found.layers, strict=True)
    ]
    named = {name: [place[name] for place in own] for name in ("module", "module_type", "layer")}
    backward = [int(tensor.endswith("_grad")) for tensor in tensors]
    return {**named, "tensor": tensors, "backward": backward, "unit_axis": -1}


def places_of(modules: pd.DataFrame, chain: Chain) -> dict[tuple[bool, int], Row]:
    """Return what rows of a hidden layer, from 1, are about: its activation (True) or product (False)."""
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
