"""`actdiag compare`: from a grid to a matrix, a ranking and a report."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from actdiag.cli.completing import ACTIVATION, INITIALIZER
from actdiag.cli.loading import load, reporting
from actdiag.cli.options import (
    FOUND,
    check_out,
    check_spec,
    check_whole,
    exit_if_found,
    rule_options,
    settings_from,
    spec_option,
    spec_options,
    writing_options,
)
from actdiag.cli.sections import Sectioned
from actdiag.cli.terminal import Terminal
from actdiag.errors import UsageError
from actdiag.texts import printable
from actdiag.types import RunSpec

if TYPE_CHECKING:
    from actdiag.comparing.journal import Journal
    from actdiag.recording import Recording

JOURNAL = ".cells"
"""Ending of the folder beside the report's in which finished cells are kept until the report is there."""


@click.command("compare", cls=Sectioned)
@spec_option("init", "Initializer, or all; several times.", multiple=True, **INITIALIZER)
@spec_option("act", "Activation, or all; several times.", multiple=True, **ACTIVATION)
@spec_option("depth", "Hidden layers; several times.", type=int, multiple=True)
@spec_option("width", "Units of each hidden layer; several times.", type=int, multiple=True)
@spec_options
@click.option("--seeds", default=1, show_default=True, type=int, help="Draws of each; the majority decides.")
@click.option("--workers", default=1, show_default=True, type=int, help="Processes that measure.")
@click.option("--scheduler", metavar="ADDRESS", help="Measure on a Dask cluster: tcp://127.0.0.1:8786.")
@click.option("--resume", is_flag=True, help="Go on with the cells that an interrupted run has finished.")
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    help="Folder to write.  [default: reports/compare-<8 hex digits>]",
)
@writing_options
@rule_options
def command(
    init: tuple[str, ...],
    act: tuple[str, ...],
    depth: tuple[int, ...],
    width: tuple[int, ...],
    gain: float | str | None,
    seeds: int,
    workers: int,
    scheduler: str | None,
    resume: bool,
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
    """Measure every combination, say which train, and draw them side by side.

    Nothing is trained. --init all leaves out constant and takes normal:0.01 and uniform:0.05; --gain is for
    the initializers that have one. xavier is xavier_uniform, he is he_normal, the lectures' randn /
    sqrt(fan_in) is lecun_normal. Each cell runs on one thread: --workers 2 or more uses the others.

    \b
    actdiag compare --init xavier --init he --act tanh --act relu
    actdiag compare --init all --act all --seeds 3 --workers 4
    """
    settings = settings_from(select, ignore, assignments)
    _check_workers(workers, scheduler)
    base = RunSpec(**fields)
    check_spec(base, seeds)
    from actdiag.comparing import grid as grids

    specs = grids.grid(base, acts=act, inits=init, depths=depth, widths=width, seeds=seeds, gain=gain)
    grids.check_size(len(specs), min(depth), workers)
    folder = out or Path("reports") / grids.slug(specs)
    check_out(folder, (spec.slug for spec in specs), force)
    terminal = Terminal(as_json, quiet)
    with terminal.doing("loading torch"):
        # Threads that spin while they wait cost a busy machine several times the run itself.
        os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
        load("actdiag.comparing.engine", "actdiag.comparisons", *reporting(formats))
    from actdiag.cli.matrix import show
    from actdiag.comparing.journal import Journal
    from actdiag.comparisons import Comparison
    from actdiag.data import load_batch
    from actdiag.diagnosis import diagnose
    from actdiag.reporters import report
    from actdiag.scanning import resolve_device

    if scheduler is None:  # whose workers have data and devices of their own
        resolve_device(base.device)
        load_batch(specs[0])
    journal = Journal(folder.with_name(folder.name + JOURNAL))
    with _kept(journal, resume):
        recording = _measure(specs, _executor(workers, scheduler), journal, terminal)
        diagnosis = diagnose(recording, settings)
        with terminal.doing("drawing"):
            report(recording, diagnosis, folder, formats, force=force)
        errors = [facts["error"] for facts in recording.meta["runs"].values() if facts.get("error")]
        if not errors:
            journal.discard()
    show(terminal, Comparison(recording, diagnosis))
    terminal.wrote(folder)
    if errors:
        _tell_failed(errors, len(recording.runs), fail_on)
    exit_if_found(diagnosis, fail_on)


@contextmanager
def _kept(journal: Journal, resume: bool) -> Iterator[None]:
    """Keep finished cells in the journal while the block runs, and say so where it is interrupted."""
    if not resume and journal.chunks:
        click.echo(
            printable(f"leaving the finished cells in {journal.folder}: --resume would go on with them"),
            err=True,
        )
        journal.discard()
    journal.check()
    try:
        yield
    except KeyboardInterrupt:
        if journal.chunks:
            click.echo(
                printable(
                    f"finished cells are kept in {journal.folder}: the same command with --resume goes on"
                ),
                err=True,
            )
        raise
    finally:
        journal.tidy()


def _tell_failed(errors: Sequence[str], cells: int, fail_on: str | None) -> None:
    """Say how many cells failed; leave with 1 where all did, with 3 where --fail-on was given."""
    words = printable(f"{len(errors)} of {cells} cells could not be run, the first for {errors[0]}")
    click.echo(f"{words.removesuffix('.')}. The same command with --resume tries them again.", err=True)
    if len(errors) == cells:
        click.get_current_context().exit(1)
    if fail_on is not None:
        click.get_current_context().exit(FOUND)


def _check_workers(workers: int, scheduler: str | None) -> None:
    check_whole("--workers", workers)
    if workers > 1 and scheduler is not None:
        raise UsageError("--workers is for processes of this machine, --scheduler names others: give one")


def _executor(workers: int, scheduler: str | None) -> Any:
    """Return a context that yields the executor, None for this process alone."""
    from actdiag.comparing import pools

    if scheduler is not None:
        return pools.scheduler(scheduler)
    return pools.pool(workers) if workers > 1 else nullcontext()


def _measure(specs: tuple[RunSpec, ...], executor: Any, journal: Journal, terminal: Terminal) -> Recording:
    """Measure the grid; what is found in the journal is told, and not measured again."""
    from actdiag.comparing import compare

    resumed, counts = bool(journal.chunks), list[int]()
    with executor as engine, terminal.counting("measuring", "cells") as tell:

        def told(done: int, total: int) -> None:
            if resumed and not counts:
                click.echo(f"going on: {done} of {total} cells are finished", err=True)
            counts.append(done)
            tell(done, total)

        return compare(specs, engine, journal=journal.folder, tell=told)
