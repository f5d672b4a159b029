"""Training curves before and after a remedy, as a figure."""

from __future__ import annotations

import io

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from actdiag.plots import BLUE, MUTED, VERMILION, blank_figure, styled

WINDOW = 10
"""Steps over which a curve is averaged, so that the noise of single batches does not hide it."""
COLOURS = {"before": VERMILION, "after": BLUE}


def training_curves(table: pd.DataFrame, heading: str) -> Figure:
    """Draw loss and accuracy against the step: median over the seeds, range shaded, before and after.

    Args:
        table: columns when ("before", "after"), seed, step, loss, accuracy; one row for each step of a run.
        heading: over the figure.
    """
    quantities = [name for name in ("loss", "accuracy") if table[name].notna().any()]
    with styled():
        figure = blank_figure(10.0, 4.0, heading)
        for place, name in enumerate(quantities):
            axes = figure.add_axes((0.065 + 0.5 * place, 0.13, 0.415, 0.69))
            axes.set_title(f"training {name}, mean of {WINDOW} steps", loc="left", color=MUTED, size=9)
            _panel(axes, smooth(table, name), name)
        return figure


def smooth(table: pd.DataFrame, quantity: str) -> pd.DataFrame:
    """Return the table with each run's quantity averaged over the last `WINDOW` steps."""
    runs = table.groupby(["when", "seed"], sort=False)[quantity]
    return table.assign(**{quantity: runs.transform(lambda run: run.rolling(WINDOW, min_periods=1).mean())})


def _panel(axes: Axes, table: pd.DataFrame, quantity: str) -> None:
    for when in [name for name in COLOURS if (table["when"] == name).any()]:
        runs = table[table["when"] == when].pivot(index="step", columns="seed", values=quantity)
        values = runs.to_numpy()
        axes.fill_between(
            runs.index, np.min(values, axis=1), np.max(values, axis=1), color=COLOURS[when], alpha=0.2, lw=0
        )
        label = f"{when}, {runs.shape[1]} draws"
        axes.plot(runs.index, np.median(values, axis=1), color=COLOURS[when], lw=1.6, label=label)
    axes.set(xlabel="step", xlim=(1, max(int(table["step"].max()), 2)))
    axes.grid(axis="y", color="#e3e6e9", lw=0.8)
    sns.despine(ax=axes)
    if quantity == "accuracy":
        axes.set_ylim(0.0, 1.02)
    axes.legend(frameon=False, fontsize=8, loc="best")


def as_png(figure: Figure) -> bytes:
    """Return the same bytes for the same figure: no date, no version."""
    buffer = io.BytesIO()
    with styled():
        figure.savefig(buffer, format="png", metadata={"Software": None})
    return buffer.getvalue()
