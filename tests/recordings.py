"""Recordings made up from a few numbers per layer, so that a test states all that a rule may look at."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd

from actdiag import schema
from actdiag.recording import Recording, frame
from actdiag.types import RunSpec

NAN = float("nan")


@dataclass(frozen=True)
class Layer:
    """What is measured in one hidden layer; the rms of each tensor unless said otherwise."""

    preactivation: float = 1.0
    preactivation_grad: float | None = 1.0
    activation: float = 1.0
    output: float | None = None
    weight: float = 1.0
    weight_grad: float | None = 1.0
    std_across: float = 1.0
    mean: float = 0.0
    constant_units: float = 0.0
    largest: float = NAN
    subnormal_fraction: float = 0.0
    correlation: float = 0.0
    dead_units: float = NAN
    saturated_fraction: float = NAN
    units: int = 8
    positions: int = 1
    samples: int = 64
    fan_in: int = 0
    expected: float | None = None
    """rms of the activation by theory, the band from half to twice of it; all gradients alike."""
    equal_units: tuple[str, ...] = ()
    broken: Mapping[str, tuple[int, int]] | None = None
    """Tensor -> (NaN, Inf) elements in it."""


TENSORS = (
    "preactivation",
    "preactivation_grad",
    "activation",
    "output",
    "weight",
    "weight_grad",
)
OWNER = {"activation": "act", "output": "norm"}


def made_up(
    layers: Sequence[Layer],
    act: str = "tanh",
    spec: Mapping[str, Any] | None = None,
    own: bool = True,
    run: str = "run",
    head: Layer | None = None,
    trainable: int = 72,
) -> Recording:
    """Return a recording of hidden layers and a head; `own` is whether it is the tool's own network."""
    head = head or Layer()
    rows = [_row(run, 0, "", "input", Layer(), 1.0)]
    for number, layer in enumerate(layers, start=1):
        rows += _rows(run, number, f"layer{number}", layer, TENSORS)
    kinds: Sequence[str] = ("preactivation", "preactivation_grad", "weight", "weight_grad")
    rows += _rows(run, len(layers) + 1, "head", head, kinds)
    for number, layer in enumerate(layers, start=1):
        rows += _theory(run, number, layer)
    facts = asdict(replace(RunSpec(depth=len(layers), act=act), **(spec or {})))
    return Recording(
        frame([row for row, _ in rows], schema.ROWS).assign(dtype=facts["dtype"]),
        frame(list(_modules(run, layers, act, trainable)), schema.MODULES),
        units={index: units for index, (_, units) in enumerate(rows)},
        meta={
            "schema": schema.VERSION,
            "runs": {run: {"spec": facts if own else None, "loss": {}, "notes": [], "jacobian": ISOMETRY}},
        },
    )


def with_module(recording: Recording, name: str, **columns: Any) -> Recording:
    """Return the recording with columns of one module changed; a new module where there is none."""
    modules = recording.modules.to_dict("records")
    (run,) = recording.runs
    if name not in recording.modules["name"].tolist():
        blank: dict[str, Any] = {"str": "", "int64": 0, "bool": True}
        fresh = {key: blank[kind] for key, kind in schema.MODULES.items()}
        modules.append({**fresh, "run": run, "name": name, "kind": "other"})
    changed = [{**row, **columns} if row["name"] == name else row for row in modules]
    return replace(recording, modules=frame(changed, schema.MODULES))


def chained(recording: Recording, *pairs: tuple[str, str]) -> Recording:
    """Return the recording with `follows` set: (product, the product before it)."""
    for name, before in pairs:
        recording = with_module(recording, name, follows=before)
    return recording


def over_time(*recordings: Recording, kept: Sequence[int] | None = None) -> Recording:
    """Return one run of several steps, 0, 10, 20, ...; histograms at the steps in `kept` alone."""
    rows, units, histograms, offset = [], {}, {}, 0
    for number, recording in enumerate(recordings):
        rows.append(recording.rows.assign(step=10 * number))
        units.update({index + offset: value for index, value in recording.units.items()})
        if kept is None or 10 * number in kept:
            histograms.update(dict.fromkeys(range(offset, offset + len(recording.rows)), np.zeros(4096)))
        offset += len(recording.rows)
    return replace(recordings[0], rows=pd.concat(rows, ignore_index=True), units=units, histograms=histograms)


ISOMETRY = {"layers": 3, "samples": 4, "largest": 1.2, "smallest": 0.8, "mean_square": 1.0, "top_share": 0.1}
"""What is kept of a healthy network's Jacobian."""

Row = tuple[dict[str, Any], "np.ndarray[Any, Any]"]


def _rows(run: str, number: int, name: str, layer: Layer, tensors: Sequence[str]) -> list[Row]:
    rows = []
    for tensor in tensors:
        rms = getattr(layer, tensor)
        if rms is not None:
            module = name if name == "head" else f"{name}.{OWNER.get(tensor, 'linear')}"
            rows.append(_row(run, number, module, tensor, layer, rms))
    return rows


def _theory(run: str, number: int, layer: Layer) -> list[Row]:
    if layer.expected is None:
        return []
    rows = []
    for tensor, rms in (("activation", layer.expected), ("preactivation_grad", 1.0)):
        module = f"layer{number}.{OWNER.get(tensor, 'linear')}"
        row, units = _row(run, number, module, tensor, layer, rms)
        row.update(source="theory", expected_low=rms / 2.0, expected_high=2.0 * rms)
        rows.append((row, units))
    return rows


def _row(run: str, number: int, module: str, tensor: str, layer: Layer, rms: float) -> Row:
    nan, inf = (layer.broken or {}).get(tensor, (0, 0))
    blank = {"str": "", "int64": 0, "float64": NAN, "bool": False}
    row: dict[str, Any] = {name: blank[kind] for name, kind in schema.ROWS.items()}
    row.update(
        run=run,
        source="measured",
        layer=number,
        module=module,
        tensor=tensor,
        samples=layer.samples,
        units=layer.units,
        positions=layer.positions,
        count=layer.samples * layer.units * layer.positions,
        rms=rms,
        nan_count=nan,
        inf_count=inf,
    )
    if tensor in ("activation", "output"):
        row["std_across"] = layer.std_across
    if tensor in ("activation", "output", "preactivation"):
        row["correlation"] = layer.correlation
    if tensor in ("activation", "output"):
        row["mean"] = layer.mean
    if tensor == "activation":
        row.update(
            constant_units=layer.constant_units,
            dead_units=layer.dead_units,
            saturated_fraction=layer.saturated_fraction,
        )
    row.update(max=layer.largest, zero_fraction=0.0)
    row.update(subnormal_fraction=layer.subnormal_fraction if tensor.endswith("_grad") else 0.0)
    slope = 0.0 if tensor in layer.equal_units else 0.5
    values = rms * (1.0 + slope * np.linspace(-1.0, 1.0, layer.units))
    return row, np.tile(values, (6, 1))


def _modules(run: str, layers: Sequence[Layer], act: str, trainable: int) -> list[dict[str, Any]]:
    blank = {"str": "", "int64": 0, "float64": NAN, "bool": True}
    empty = {name: blank[kind] for name, kind in schema.MODULES.items()}
    modules = []
    for number, layer in enumerate(layers, start=1):
        for part, kind, after in (
            ("linear", "product", act),
            ("act", "activation", ""),
            ("norm", "norm", ""),
        ):
            fact = {"name": f"layer{number}.{part}", "layer": number, "kind": kind, "activation_after": after}
            fans = {"fan_in": layer.fan_in, "fan_out": layer.units} if part == "linear" else {}
            modules.append(
                {**empty, "run": run, **fact, **fans, "trainable": trainable if part == "linear" else 0}
            )
    head: dict[str, Any] = {
        "name": "head",
        "layer": len(layers) + 1,
        "kind": "product",
        "trainable": trainable,
    }
    products = [fact for fact in [*modules, head] if fact["kind"] == "product"]
    for before, fact in pairwise(products):
        fact["follows"] = before["name"]
    return [*modules, {**empty, "run": run, **head}]
