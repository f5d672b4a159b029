"""`actdiag report`: write a saved recording in another format; torch is not needed."""

from __future__ import annotations

import os
from pathlib import Path

import click

from actdiag.cli.loading import load, reporting
from actdiag.cli.options import settings_from, writing_options


@click.command("report")
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--out", type=click.Path(path_type=Path), help="Another folder to write the whole report to.")
@writing_options
def command(folder: Path, formats: tuple[str, ...], out: Path | None, force: bool) -> None:
    """Write the recording in FOLDER as HTML, PNG, CSV or JSON, beside it or to --out.

    \b
    actdiag report reports/tanh-xavier-10x256 --format json
    actdiag report reports/tanh-xavier-10x256 --format html --out elsewhere
    """
    from actdiag.diagnosis import diagnose
    from actdiag.folders import replace_files
    from actdiag.recording import Recording
    from actdiag.reporters import REPORTERS, check_folder, report
    from actdiag.texts import printable

    settings, recording = settings_from((), (), ()), Recording.load(folder)
    elsewhere = out is not None and os.path.realpath(out) != os.path.realpath(folder)
    if out is not None and elsewhere:
        check_folder(out, recording.runs, force)
    load(*reporting(formats))
    diagnosis = diagnose(recording, settings)
    if out is not None and elsewhere:
        click.echo(printable(f"Wrote {report(recording, diagnosis, out, formats, force=force)}"))
        return
    files = {
        name: content for kind in formats for name, content in REPORTERS[kind](recording, diagnosis).items()
    }
    replace_files(folder, files)
    click.echo(printable(f"Wrote {', '.join(str(folder / name) for name in files)}"))
