"""`actdiag scan`: from options to a verdict and a report."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from actdiag.cli.completing import ACTIVATION, INITIALIZER
from actdiag.cli.loading import load, reporting
from actdiag.cli.options import (
    check_out,
    check_spec,
    exit_if_found,
    rule_options,
    settings_from,
    spec_option,
    spec_options,
    writing_options,
)
from actdiag.cli.sections import Sectioned
from actdiag.cli.terminal import Terminal
from actdiag.recording import Recording, concatenate
from actdiag.types import RunSpec


@click.command("scan", cls=Sectioned)
@spec_option("depth", "Hidden layers; 0 is a perceptron.", type=int)
@spec_option("width", "Units of each hidden layer.", type=int)
@spec_option("act", "Activation; actdiag list activations.", **ACTIVATION)
@spec_option("init", "Initializer; actdiag list initializers.", **INITIALIZER)
@spec_options
@click.option("--seeds", default=1, show_default=True, type=int, help="Draws; the majority decides.")
@click.option("--jacobian", is_flag=True, help="Measure singular values across the hidden layers (AD402).")
@click.option("--out", type=click.Path(path_type=Path), help="Folder to write.  [default: reports/<slug>]")
@writing_options
@rule_options
def command(
    seeds: int,
    jacobian: bool,
    out: Path | None,
    force: bool,
    formats: tuple[str, ...],
    select: tuple[str, ...],
    ignore: tuple[str, ...],
    assignments: tuple[str, ...],
    fail_on: str | None,
    as_json: bool,
    quiet: bool,
    **fields: Any,
) -> None:
    """Measure a network at initialisation and say whether it will train.

    One batch goes forward and backward; nothing is trained.

    \b
    actdiag scan --depth 10 --init xavier --act tanh
    actdiag scan --data digits --act relu --init he --seeds 5
    """
    spec, settings = RunSpec(**fields), settings_from(select, ignore, assignments)
    check_spec(spec, seeds)
    folder = out or Path("reports") / (spec.slug if seeds == 1 else f"{spec.slug}-{seeds}seeds")
    check_out(folder, (replace(spec, seed=spec.seed + draw).slug for draw in range(seeds)), force)
    terminal = Terminal(as_json, quiet)
    _load(formats, terminal)
    recording = _measure(spec, seeds, jacobian, terminal)
    from actdiag.diagnosis import diagnose
    from actdiag.reporters import report

    diagnosis = diagnose(recording, settings)
    with terminal.doing("drawing"):
        report(recording, diagnosis, folder, formats, force=force)
    terminal.show(recording, diagnosis)
    terminal.wrote(folder)
    exit_if_found(diagnosis, fail_on)


def _load(formats: tuple[str, ...], terminal: Terminal) -> None:
    # Threads that spin while they wait cost a busy machine several times the run itself.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    with terminal.doing("loading torch"):
        load("actdiag.scanning", *reporting(formats))


def _measure(spec: RunSpec, seeds: int, jacobian: bool, terminal: Terminal) -> Recording:
    from actdiag.scanning import draws, scan

    recordings = []
    for number, draw in enumerate(draws(spec, seeds), start=1):
        with terminal.doing(f"measuring draw {number} of {seeds}"):
            recordings.append(scan(draw, jacobian=jacobian))
    return concatenate(recordings)
