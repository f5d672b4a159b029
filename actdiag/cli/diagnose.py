"""`actdiag diagnose`: judge a saved recording again; torch is not needed."""

from __future__ import annotations

from pathlib import Path

import click

from actdiag.cli.options import exit_if_found, rule_options, settings_from
from actdiag.cli.terminal import Terminal


@click.command("diagnose")
@click.argument("folder", type=click.Path(path_type=Path))
@rule_options
def command(
    folder: Path,
    select: tuple[str, ...],
    ignore: tuple[str, ...],
    assignments: tuple[str, ...],
    fail_on: str | None,
    as_json: bool,
    quiet: bool,
) -> None:
    """Judge the recording in FOLDER again, of one network or of many, with other rules or thresholds.

    \b
    actdiag diagnose reports/tanh-xavier-10x256 --set AD101.floor=1e-2
    actdiag diagnose reports/tanh-xavier-10x256 --select AD1 --fail-on error
    """
    from actdiag.cli.matrix import show
    from actdiag.comparisons import Comparison, is_comparison
    from actdiag.diagnosis import diagnose
    from actdiag.recording import Recording

    settings = settings_from(select, ignore, assignments)
    recording = Recording.load(folder)
    diagnosis = diagnose(recording, settings)
    if is_comparison(recording):
        show(Terminal(as_json, quiet), Comparison(recording, diagnosis))
    else:
        Terminal(as_json, quiet).show(recording, diagnosis)
    exit_if_found(diagnosis, fail_on)
