"""The page of results: tables in Markdown from a table of networks with labels and verdicts."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import pandas as pd

from calibration import grid
from calibration.scores import FAILS, TRAINS, Score, by_cell, intervals, label

METHODS: Mapping[str, Any] = {
    "actdiag": lambda table: table["verdict"] == "error",
    "gradient ratio over 1e3": lambda table: table["gradient ratio"],
    "AUTOTRAINER's symptoms": lambda table: table["AUTOTRAINER"],
}


def page(table: pd.DataFrame, changes: pd.DataFrame, header: str, counts: str = "") -> str:
    """Return the whole page.

    Args:
        table: a row per network trained under the protocol: facts, `best`, and what each method says.
        changes: a row per network whose class is another one under another protocol.
        header: what was run, where and when thresholds were set.
        counts: how many of all that were trained otherwise fail here and there.
    """
    parts = ["# How often the verdict is right", header, *_scores(table), *_classes(table)]
    parts += [*_families(table), *_misses(table), *_changes(changes, counts), METHOD]
    return "\n\n".join(parts) + "\n"


def _sides(table: pd.DataFrame) -> Iterator[tuple[str, pd.DataFrame]]:
    """Yield the parts of the grid that are scored on their own."""
    held, hard = table["held"], ~table["variance"].isin(grid.EASY)
    other = table["family"] == "second data set"
    yield "calibration side", table[~held]
    yield "held side", table[held]
    yield "held side, hard subset", table[held & hard]
    yield "held side, digits", table[held & ~other]
    yield "held side, second data set", table[held & other]


def _scores(table: pd.DataFrame) -> Iterator[str]:
    yield "## Scores"
    lines = []
    for side, part in _sides(table):
        if part.empty:
            continue
        for name, said in METHODS.items():
            cells = by_cell(part, said)
            score, spread = Score.of(cells["said"], cells["fails"]), intervals(cells)
            figures = [
                f"{getattr(score, key):.3f} ({low:.2f} to {high:.2f})" for key, (low, high) in spread.items()
            ]
            lines.append([side, name, str(len(cells)), f"{score.prevalence:.2f}", *figures])
    yield _table(["side", "method", "cells", "fail", "precision", "recall", "false-positive rate"], lines)
    nets = Score.of(METHODS["actdiag"](table[table["held"]]), table.loc[table["held"], "best"] < FAILS)
    yield (
        f"Network by network instead of cell by cell, the held side: precision {nets.precision:.3f}, recall "
        f"{nets.recall:.3f}, false-positive rate {nets.false_positive_rate:.3f}."
    )


def _classes(table: pd.DataFrame) -> Iterator[str]:
    yield "## Three classes, networks of the held side"
    held = table[table["held"]]
    counted = pd.crosstab(held["best"].map(label), held["verdict"])
    counted = counted.reindex(
        index=["fails", "worse", "trains"], columns=["error", "warning", "info"], fill_value=0
    )
    yield _table(
        ["reached", "error", "warning", "healthy"],
        [[str(name), *map(str, row)] for name, row in zip(counted.index, counted.to_numpy(), strict=True)],
    )


def _families(table: pd.DataFrame) -> Iterator[str]:
    yield "## By kind of network, activation and variance class"
    lines = []
    for column in ("family", "act", "variance", "depth"):
        for name, part in table.groupby(column):
            cells = by_cell(part, METHODS["actdiag"])
            score = Score.of(cells["said"], cells["fails"])
            lines.append(
                [
                    f"{column} {name}",
                    str(len(cells)),
                    str(int(cells["fails"].sum())),
                    str(score.false_positives),
                    str(score.false_negatives),
                ]
            )
    yield _table(["", "cells", "fail", "false errors", "missed"], lines)


def _misses(table: pd.DataFrame) -> Iterator[str]:
    yield "## Misses, by cell"
    cells = by_cell(table, METHODS["actdiag"])
    best = table.groupby("cell")["best"].apply(lambda found: ", ".join(f"{value:.2f}" for value in found))
    codes = table.groupby("cell")["errors"].agg(_said)
    wrong = cells[cells["said"] != cells["fails"]].join(best).join(codes)
    yield _table(
        ["cell", "side", "family", "said", "reached (seeds)"],
        [
            [
                f"{row.act}, {row.init}, depth {row.depth}",
                "held" if row.held else "calibration",
                str(row.family),
                str(row.errors),
                str(row.best),
            ]
            for row in wrong.sort_values(["held", "act", "init"]).itertuples()
        ],
    )


def _said(errors: pd.Series) -> str:
    """Return which errors a cell's networks got, and how many of them got one."""
    codes = sorted({code for text in errors for code in text.split()})
    if not codes:
        return "no error"
    return f"{' '.join(codes)} ({(errors != '').sum()} of {len(errors)})"


def _changes(changes: pd.DataFrame, counts: str) -> Iterator[str]:
    if changes.empty:
        return
    yield "## Labels that change under another protocol"
    yield counts
    yield _table(
        ["protocol", "network", "class", "there", "best", "best there"],
        changes.astype(str).to_numpy().tolist(),
    )


def _table(columns: list[str], lines: Iterable[list[str]]) -> str:
    rows = ["| " + " | ".join(cells) + " |" for cells in (columns, ["---"] * len(columns), *lines)]
    return "\n".join(rows)


METHOD = f"""## Method

A network is trained from the weights on which its verdict was given (their hashes are compared): plain SGD,
batches of 128, standardised inputs, 400 steps at each of the learning rates 0.1, 0.01, 1 and 0.001, from the
same start; training accuracy over the whole data set every 50 steps, the best of all. Below {FAILS:.0%} of
ten classes it fails (`error` claims so), from {TRAINS:.0%} on it trains, between them it trains worse than it
could. A rate ends, and the rest is left out, at 95%. A cell is a network up to its seed: three seeds, the
majority counts, of labels and of verdicts. Intervals are 95%, by a bootstrap over clusters (activation,
variance class, depth).

The held side was drawn before any threshold was set (`calibration/split.json`): four activations, three
classes of variance, and the second data set; no pair of activation and variance class is on both sides. The
hard subset leaves out zeros, normal:0.01, normal:1 and uniform:1.

AUTOTRAINER's symptoms (Zhang et al. 2021) are those of the gradient, with the published defaults, on the
first batch; those of the loss need training, so that these are not the figures of the tool in its own use."""
