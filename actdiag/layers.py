"""A run's depth profile as one table, for the terminal and the reports."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from actdiag.activations import activation
from actdiag.bins import LINEAR_BINS, coarsen, rebin
from actdiag.rules.base import Run, sample_norm

COLUMNS = (
    "layer",
    "module",
    "rms",
    "std_across",
    "zero_fraction",
    "dead_units",
    "units",
    "saturated_fraction",
    "gradient_norm",
    "grad_to_weight",
    "row",
)


def title_of(facts: Mapping[str, Any]) -> str:
    """Return what a run is, in a few words: `tanh, xavier, 10 x 256`."""
    spec = facts.get("spec")
    return (
        "the model" if spec is None else f"{spec['act']}, {spec['init']}, {spec['depth']} x {spec['width']}"
    )


def layer_table(run: Run) -> pd.DataFrame:
    """Return one row per layer, columns as in `COLUMNS`.

    A layer shows its activation; one without an activation, as the head, its preactivation. `gradient_norm`
    is sqrt(mean over samples of ||dLoss/dPreactivation||^2), `row` the recording's row that is shown.
    """
    shown = pd.concat([run.at("activation"), run.at("preactivation")]).drop_duplicates("layer")
    shown = shown.sort_values("layer").assign(row=lambda table: table.index)
    gradients = _products(run, "preactivation_grad")
    ratios = _products(run, "weight_grad")
    return pd.DataFrame(
        {
            **{
                name: shown[name].to_numpy() for name in COLUMNS if name in shown and name != "grad_to_weight"
            },
            "gradient_norm": shown["layer"].map(sample_norm(gradients)).to_numpy(),
            "grad_to_weight": shown["layer"].map(ratios["grad_to_weight"]).to_numpy(),
        }
    )[list(COLUMNS)]


def _products(run: Run, tensor: str) -> pd.DataFrame:
    """Return the products' rows of one tensor, indexed by layer."""
    modules = run.recording.modules
    products = modules[modules["kind"] == "product"]["name"]
    rows = run.at(tensor)
    return rows[rows["module"].isin(products)].drop_duplicates("layer").set_index("layer")


def coverage(run: Run) -> tuple[int, int, pd.DataFrame]:
    """Return (observed, all, the unobserved rows) of the modules that are no mere containers."""
    modules = run.recording.modules
    own = modules[modules["kind"] != "container"]
    return int(own["observed"].sum()), len(own), own[~own["observed"]]


def linear_counts(run: Run, row: int, bins: int) -> tuple[NDArray[np.float64], float, float]:
    """Return a row's histogram on a linear axis: (bins,) counts, lowest and highest edge.

    A bounded activation is shown over its range, from its own linear histogram; anything else over
    [-x, x] with x the larger of |p01| and |p99|, or over [0, p99] where nothing is negative.
    """
    recording = run.recording
    if row in recording.linear and LINEAR_BINS % bins == 0:
        low, high = _range_of(run, row)
        return coarsen(recording.linear[row], LINEAR_BINS // bins).astype(np.float64), low, high
    facts = recording.rows.loc[row]
    reach = float(np.nanmax(np.abs([facts["p01"], facts["p99"], 0.0]))) or 1.0
    low = 0.0 if facts["min"] >= 0 else -reach
    return rebin(recording.histograms[row], np.linspace(low, reach, bins + 1)), low, reach


def _range_of(run: Run, row: int) -> tuple[float, float]:
    """Return the range of the activation whose output a row is."""
    rows, modules = run.recording.rows, run.recording.modules
    names = modules[(modules["layer"] == rows.loc[row, "layer"]) & (modules["activation_after"] != "")]
    found = activation(str(names["activation_after"].iloc[0])).range
    assert found is not None
    return found
