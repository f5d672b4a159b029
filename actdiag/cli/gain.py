"""`actdiag gain`: the gains that an activation asks for, beside torch's."""

from __future__ import annotations

import json
import math
from typing import Any

import click

from actdiag.activations import ACTIVATIONS, Activation, activation
from actdiag.cli.completing import complete_activation
from actdiag.cli.wrapping import echo_prose
from actdiag.errors import UsageError
from actdiag.theory.fixed import CRITICAL, variance_slope
from actdiag.theory.gains import backward_gain, exact_gain

NOTE = """\
forward: keeps E[z^2] = 1 from layer to layer, 1 / sqrt(E[phi(z)^2]) for z ~ N(0, 1); the weights' standard
deviation is gain / sqrt(fan_in). backward: keeps the gradient's norm, 1 / sqrt(E[phi'(z)^2]). torch: what
torch.nn.init.calculate_gain returns; difference: torch's less the forward gain, in percent of the latter.
slope: of the variance map at the forward gain; above 1 a deviation from E[z^2] = 1 grows with depth."""


@click.command("gain")
@click.argument("names", nargs=-1, metavar="[ACT]...", shell_complete=complete_activation)
@click.option("--all", "every", is_flag=True, help="Print those of all activations.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def command(names: tuple[str, ...], every: bool, as_json: bool) -> None:
    """Print the exact gains of activations beside torch's.

    \b
    actdiag gain tanh
    actdiag gain relu leaky_relu:0.2
    """
    if bool(names) == every:
        raise UsageError("name activations, as in actdiag gain tanh, or give --all")
    rows = [gains(activation(name)) for name in (list(ACTIVATIONS) if every else names)]
    if as_json:
        click.echo(json.dumps(rows, indent=1))
        return
    width = max(len("activation"), *(len(row["activation"]) for row in rows))
    click.echo(
        f"{'activation':{width}}  {'forward':>8}  {'backward':>8}  {'torch':>8}  {'difference':>10}  slope"
    )
    for row in rows:
        cells = [_cell(row[name]) for name in ("forward", "backward", "torch")]
        difference = "" if row["difference"] is None else f"{row['difference']:+.1%}"
        mark = "" if row["stable"] else "  unstable"
        click.echo(
            f"{row['activation']:{width}}  {'  '.join(cells)}  {difference:>10}  {row['slope']:.3f}{mark}"
        )
    echo_prose(f"\n{NOTE}")


def _cell(gain: float | None) -> str:
    return f"{'-' if gain is None else format(gain, '.4f'):>8}"


def gains(act: Activation) -> dict[str, Any]:
    """Return the gains of one activation; None where there is none."""
    forward, backward = exact_gain(act), backward_gain(act)
    slope = variance_slope(act, 0.0, forward**2)
    return {
        "activation": act.name,
        "forward": forward,
        "backward": backward if math.isfinite(backward) else None,
        "torch": act.torch_gain,
        "difference": None if act.torch_gain is None else round(act.torch_gain / forward - 1.0, 12) + 0.0,
        "slope": round(slope, 9) + 0.0,
        "stable": slope <= 1.0 + CRITICAL,
    }
