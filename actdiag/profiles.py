"""Depth profiles: what a recording says of a run, layer by layer."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from actdiag.recording import Recording
from actdiag.rules.base import Run, sample_norm
from actdiag.tables import Table
from actdiag.types import Diagnosis

Floats = NDArray[np.float64]

FORMAT_LIMITS = (
    ("largest float32", 3.4028235e38),
    ("largest float16", 65504.0),
    ("smallest normal float16", 2.0**-14),
    ("smallest subnormal float16", 2.0**-24),
    ("smallest normal float32, bfloat16", 2.0**-126),
)
"""Where an element stops being a number of its format, or starts to lose digits."""

BAND = "99% of draws, by theory"
"""What a band is called."""
_BANDED = ("rms", "gradient norm")
"""The curves that theory's band is made for."""
_OF_ACTIVATION = ("rms", "std_across", "zero_fraction", "dead_units", "saturated_fraction")


@dataclass(frozen=True)
class Curve:
    """One quantity against depth.

    Attributes:
        label: what it is, `rms`.
        layers: (points,) layer numbers, rising.
        values: (points,) its values; NaN, Inf and 0 have no place on a log axis.
        theory: predicted, not measured.
        band: (2, points) between which 99% of draws are expected; NaN where that is not known.
    """

    label: str
    layers: Floats
    values: Floats
    theory: bool = False
    band: Floats | None = None

    @property
    def drawable(self) -> Floats:
        """Return the values that have a place on a log axis."""
        return self.values[np.isfinite(self.values) & (self.values > 0)]


@dataclass(frozen=True)
class Profile:
    """The curves of one figure, and the factor between a number format's limit and the quantity drawn."""

    curves: tuple[Curve, ...]
    scale: float = 1.0

    def limits(self, low: float, high: float) -> list[tuple[str, float]]:
        """Return the number formats' limits that lie between two values, largest first."""
        scaled = [(name, limit * self.scale) for name, limit in FORMAT_LIMITS]
        times = "" if self.scale == 1.0 else " \u00d7 \u221an"  # n: the units that a norm is taken over
        return [(name + times, limit) for name, limit in scaled if low < limit < high]


def shown_run(recording: Recording, diagnosis: Diagnosis) -> Run:
    """Return the run to draw: the first that got the verdict."""
    return Run.of(recording, diagnosis.typical_run if diagnosis.runs else recording.runs[0])


def title(run: Run) -> str:
    """Return a short name of the run for people: `tanh, xavier, 10 x 256`."""
    spec = run.spec
    if not spec:
        return run.name
    parts = [spec["act"], spec["init"], f"{spec['depth']} x {spec['width']}"]
    parts += [f"{spec['norm']} norm"] if spec.get("norm", "none") != "none" else []
    parts += ["residual"] if spec.get("residual") else []
    parts += [f"dropout {spec['dropout']:g}"] if spec.get("dropout") else []
    return ", ".join(map(str, parts))


def remarks(run: Run) -> list[str]:
    """Return what a reader of the run's numbers should know: other steps, other branches."""
    rows = run.rows
    signal = rows[~rows.among("tensor", ("weight", "weight_grad"))]
    steps = np.unique((signal or rows)["step"])  # those between have sizes of weights alone
    found = []
    if len(steps) > 1:
        found.append(
            f"{len(steps)} steps were recorded, {steps.min()} to {steps.max()}: the layers are shown as they "
            f"were at step {steps.min()}"
        )
    if (rows["call"] > 0).any():
        found.append("modules that were called several times are shown as they were at their first call")
    if run.aside:
        lie = "lies" if run.aside == 1 else "lie"
        found.append(
            f"{run.aside} of {len(run.hidden)} hidden layers {lie} on other branches, or in other places of "
            "their blocks, than the longest chain of modules: rules about a slope over depth leave them out"
        )
    return found


def product_rows(view: Run, tensor: str, rows: pd.DataFrame | None = None) -> pd.DataFrame:
    """Return one row per layer of a tensor that a product owns, by layer.

    The first weight of `rnn`, which has several, is `rnn:weight_ih_l0`.
    """
    modules = view.modules
    rows = view.at(tensor).to_frame() if rows is None else rows
    products = modules[(modules["kind"] == "product") & (modules["layer"] > 0)]["name"]
    owners = rows["module"].map(lambda name: name.rpartition(":")[0])
    return rows[rows["module"].isin(products) | owners.isin(products)].drop_duplicates("layer")


def gradient_rows(view: Run, rows: pd.DataFrame | None = None) -> pd.DataFrame:
    """Return one row per layer of its gradient, by layer: of `Run.backward`.

    Args:
        view: the run.
        rows: to choose from; None for all that was measured.
    """
    if view.backward == "preactivation_grad":
        return product_rows(view, view.backward, rows)
    return (view.at(view.backward).to_frame() if rows is None else rows).drop_duplicates("layer")


def differentiated(view: Run) -> str:
    """Return the word for what the gradients are those of: preactivations or activations."""
    return view.backward.replace("_grad", "s")


def layer_table(view: Run) -> pd.DataFrame:
    """Return what was measured at each layer, one row per layer, the input as layer 0.

    Columns: layer, module, units, rms, std_across, zero_fraction, dead_units, saturated_fraction (of the
    activation), gradient_norm (mean over samples, see `gradient_rows`), grad_to_weight, expected_rms (of the
    activation, by theory); NaN where a layer has no such number.
    """
    forward, inputs = (
        view.at(tensor).first_of_each("layer").to_frame().set_index("layer")
        for tensor in ("activation", "input")
    )
    gradients = gradient_rows(view).set_index("layer")
    weights = product_rows(view, "weight_grad").set_index("layer")
    modules = view.modules
    products = (
        modules[(modules["kind"] == "product") & (modules["layer"] > 0)].first_of_each("layer").to_frame()
    )
    names = pd.concat([inputs["module"], products.set_index("layer")["name"], forward["module"]])
    names = names[~names.index.duplicated()].sort_index()
    table = pd.DataFrame({"module": names}, index=names.index.rename("layer"))
    signal = pd.concat([inputs, forward])[["units", *_OF_ACTIVATION]]
    table = table.join(signal[~signal.index.duplicated()])
    table["gradient_norm"] = sample_norm(gradients)
    table["grad_to_weight"] = weights["grad_to_weight"]
    table["expected_rms"] = (
        _at(view, "theory", "activation").drop_duplicates("layer").set_index("layer")["rms"]
    )
    return table.reset_index()


def forward_profile(view: Run) -> Profile:
    """Return rms and std_across of the activations against depth, the input as layer 0."""
    curves = [
        *_measured(view, "rms", lambda rows: rows["rms"], _signal),
        *_measured(view, "std_across", lambda rows: rows["std_across"], _signal),
    ]
    return Profile(tuple(curves))


def backward_profile(view: Run) -> Profile:
    """Return the mean norm of a sample's gradient against depth, see `gradient_rows`.

    A sample's norm is sqrt(units) times the rms of an element: that is the scale of the limits.
    """
    curves = _measured(view, "gradient norm", sample_norm, _gradients)
    rows = gradient_rows(view)
    elements = (rows["units"] * rows["positions"]).median() if len(rows) else 1.0
    return Profile(tuple(_anchored(curves)), float(elements) ** 0.5)


def _anchored(curves: Sequence[Curve]) -> Iterator[Curve]:
    """Yield the curves, theory's set to meet the measured one at its last layer.

    Theory knows gradients up to a factor, which the loss sets.
    """
    for curve in curves:
        if not curve.theory:
            yield curve
            continue
        last = curve.layers[-1]
        measured = [found.values[found.layers == last] for found in curves if not found.theory]
        level = float(measured[0][0]) if measured and measured[0].size else math.nan
        if not (0.0 < level < math.inf and 0.0 < curve.values[-1] < math.inf):
            continue
        factor = level / curve.values[-1]
        band = None if curve.band is None else curve.band * factor
        if band is not None:
            band[:, -1] = level  # where both are set equal
        words = f"{curve.label}, set equal at layer {last:.0f}"
        yield replace(curve, label=words, values=curve.values * factor, band=band)


def _signal(view: Run, source: str) -> pd.DataFrame:
    rows = pd.concat([_at(view, source, "input"), _at(view, source, "activation")])
    return rows.sort_values(["layer", "call"], kind="stable").drop_duplicates("layer")


def _gradients(view: Run, source: str) -> pd.DataFrame:
    rows = _at(view, source, view.backward)
    return rows.drop_duplicates("layer") if source == "theory" else gradient_rows(view, rows)


def _at(view: Run, source: str, tensor: str) -> pd.DataFrame:
    """Return the first step's rows of a tensor, measured or predicted, by layer."""
    if source == "measured":
        return view.at(tensor).to_frame()
    rows = view.theory[view.theory["tensor"] == tensor]
    first: Table = rows[rows["step"] == min(rows["step"], default=0)]
    return first.sorted_by("layer", "call").to_frame()


def _measured(
    view: Run,
    label: str,
    quantity: Callable[[pd.DataFrame], pd.Series],
    choose: Callable[[Run, str], pd.DataFrame],
) -> list[Curve]:
    """Return the measured curve and, where theory rows are there, the predicted one."""
    curves = []
    for source in ("measured", "theory"):
        rows = choose(view, source)
        values = _floats(quantity(rows))
        if source == "theory" and not np.isfinite(values).any():
            continue
        name = label if source == "measured" else f"{label}, theory"
        band = _band(rows, values) if source == "theory" and label in _BANDED else None
        curves.append(Curve(name, _floats(rows["layer"]), values, source == "theory", band))
    return curves


def _band(rows: pd.DataFrame, values: Floats) -> Floats | None:
    """Return the ends of the band of a quantity that is proportional to the rms, (2, points)."""
    with np.errstate(invalid="ignore", divide="ignore"):
        band = _floats([rows["expected_low"] / rows["rms"], rows["expected_high"] / rows["rms"]]) * values
    return band if np.isfinite(band).any() else None


def _floats(values: Any) -> Floats:
    return np.asarray(values, dtype=np.float64)
