"""`actdiag theory`: what mean-field theory predicts of a network, without building it."""

from __future__ import annotations

import json
import math
from dataclasses import asdict
from typing import Any

import click

from actdiag.activations import activation
from actdiag.cli.completing import ACTIVATION, INITIALIZER
from actdiag.cli.sections import Sectioned
from actdiag.cli.values import check_norm_place, number_or_word
from actdiag.cli.words import LAYER_NOTE, edge_lines, layer_rows, limit_lines, plain, title
from actdiag.cli.wrapping import columns, echo, echo_prose
from actdiag.errors import UsageError
from actdiag.numerals import scientific
from actdiag.theory import FixedPoint, NoTheory, chain, critical_sigma_w2, fixed_point, prediction
from actdiag.types import CHOICES, RunSpec

DEFAULT = RunSpec()
PLAIN_WIDTH = 140
"""Columns of the table where there is no terminal."""


@click.command("theory", cls=Sectioned)
@click.option(
    "--act", default=DEFAULT.act, show_default=True, **ACTIVATION,
    help="Activation; actdiag list activations.",
)  # fmt: skip
@click.option(
    "--init", default=DEFAULT.init, show_default=True, **INITIALIZER,
    help="Initializer; actdiag list initializers.",
)  # fmt: skip
@click.option("--depth", default=50, show_default=True, type=int, help="Hidden layers.")
@click.option(
    "--width", default=DEFAULT.width, show_default=True, type=int, help="Units of each hidden layer."
)
@click.option("--features", type=int, help="Input features.  [default: the width]")
@click.option("--classes", default=10, show_default=True, type=int, help="Outputs.")
@click.option(
    "--gain", metavar="NUMBER|torch|exact", callback=number_or_word, help="Gain other than the initializer's."
)
@click.option("--bias", type=float, help="Value of every bias.  [default: 0]")
@click.option(
    "--norm",
    default="none",
    show_default=True,
    type=click.Choice(CHOICES["norm"]),
    help="Norm of each layer.",
)
@click.option(
    "--norm-place", default="before", show_default=True, type=click.Choice(CHOICES["norm_place"]),
    help="Norm before or after the activation.",
)  # fmt: skip
@click.option("--dropout", default=0.0, show_default=True, help="Dropout probability.")
@click.option("--residual", is_flag=True, help="Add each layer's input to its output.")
@click.option("--correlation", default=0.0, show_default=True, help="Correlation of two inputs, -1 to 1.")
@click.option("--critical", is_flag=True, help="Print the edge of chaos of this activation, too.")
@click.option("--sigma-b", type=float, help="Standard deviation of the biases on the edge.  [default: 0]")
@click.option("--json", "as_json", is_flag=True, help="Print JSON, with every layer.")
def command(
    features: int | None,
    classes: int,
    correlation: float,
    critical: bool,
    sigma_b: float | None,
    as_json: bool,
    **fields: Any,
) -> None:
    """Predict rms, correlation and gradient of each layer, and where a deep chain ends.

    Inputs have second moment 1. Nothing is built or measured.

    \b
    actdiag theory --act tanh --init he --depth 50
    actdiag theory --act tanh --critical --sigma-b 0.2236
    """
    if sigma_b is not None and not critical:
        raise UsageError(
            "--sigma-b belongs to --critical: the network's own bias is --bias or the initializer's"
        )
    spec = RunSpec(features=features, classes=classes, **fields)
    check_norm_place(spec)
    if not -1.0 <= correlation <= 1.0:
        raise UsageError(f"--correlation is a number from -1 to 1, got {correlation}")
    found = _predict(spec, correlation, critical, sigma_b or 0.0)
    if as_json:
        click.echo(json.dumps(plain(found), indent=1))
        return
    _show(spec, found)


def _predict(spec: RunSpec, correlation: float, critical: bool, sigma_b: float) -> dict[str, Any]:
    """Return layers, limit and edge, with a reason in the place of what theory does not know."""
    features, classes = spec.features or spec.width, spec.classes or 10
    found: dict[str, Any] = {"act": spec.act, "init": spec.init, "depth": spec.depth, "width": spec.width}
    facts = asdict(spec)
    try:
        moments = prediction(facts, features, classes, 1.0, correlation)
        found |= {"layers": layer_rows(moments), "limit": _limit(facts, features, classes)}
    except NoTheory as reason:
        found["reason"] = str(reason)
    if critical:
        found["edge"] = _edge(spec.act, sigma_b)
    return found


def _limit(facts: dict[str, Any], features: int, classes: int) -> FixedPoint | str:
    """Return the fixed point of the hidden layers, or why there is none to name."""
    if facts["norm"] != "none" or facts["dropout"] or facts["residual"]:
        return "fixed points are named for plain chains, without norm, dropout and residual sums"
    layers = chain(facts, features, classes)
    layer = layers[min(1, len(layers) - 2)]
    if layer.bias_mean:
        return "fixed points are named for biases with mean 0"
    if layer.unit_variance:
        return "lsuv scales each layer by the data: every layer is at variance 1"
    return fixed_point(activation(facts["act"]), layer.sigma_w2, layer.bias_variance)


def _edge(name: str, sigma_b: float) -> FixedPoint | str:
    """Return the critical point with this bias, or why there is none."""
    if not (sigma_b >= 0.0 and math.isfinite(sigma_b)):
        raise UsageError(f"--sigma-b is a standard deviation >= 0, got {sigma_b}")
    if math.isinf(sigma_b * sigma_b):
        raise UsageError(f"--sigma-b is a standard deviation with a finite square, got {sigma_b}")
    act = activation(name)
    try:
        return fixed_point(act, critical_sigma_w2(act, sigma_b**2), sigma_b**2)
    except UsageError as reason:
        return str(reason)


def _show(spec: RunSpec, found: dict[str, Any]) -> None:
    """Print the prediction for people."""
    echo(title(spec))
    if "reason" in found:
        echo(f"no theory: {found['reason']}")
    else:
        _show_layers(found["layers"])
        echo_prose(f"\n{LAYER_NOTE}\n")
        echo("\n".join(limit_lines(found["limit"], spec)))
    if "edge" in found:
        echo("\n".join(["", *edge_lines(found["edge"])]))


def _show_layers(rows: list[dict[str, float]]) -> None:
    """Print a few layers as a table: 1, 2, 5, 10, 20, 50, ... and the last."""
    shown = {step * 10**power for step in (1, 2, 5) for power in range(10)} | {len(rows)}
    table = [list(rows[0])]
    table += [[_cell(*item) for item in row.items()] for row in rows if row["layer"] in shown]
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    gap = "  " if sum(widths) + 2 * len(widths) <= (columns() or PLAIN_WIDTH) else " "
    for row in table:
        click.echo(gap.join(f"{cell:>{width}}" for cell, width in zip(row, widths, strict=True)))
    if len(table) - 1 < len(rows):
        echo(f"{len(table) - 1} of {len(rows)} layers; --json has them all")


def _cell(name: str, value: float) -> str:
    if name == "layer":
        return str(value)
    if not math.isfinite(value):
        return "-" if math.isnan(value) else f"{value}"
    return f"{value:.4g}" if 1e-3 <= abs(value) < 1e5 or value == 0.0 else scientific(value, 2, padded=True)
