"""Help whose options stand under headings, in the order in which they are thought of."""

from __future__ import annotations

import click

SECTIONS = {
    "Network": "depth width act init gain bias norm norm_place dropout residual",
    "Data and loss": "data features classes standardise batch loss correlation",
    "Measurement": (
        "dtype device seed seeds weights train steps every tensors passive draws jacobian critical sigma_b "
        "allow_norm allow_activation workers scheduler resume"
    ),
    "Rules": "select ignore assignments fail_on",
    "Output": "target out formats force as_json quiet verbose",
}
"""Heading -> the parameters below it, in order."""
_REST = "Other"


class Sectioned(click.Command):
    """A command with many options."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the options, each below its heading."""
        left = {each.name: each for each in self.get_params(ctx) if isinstance(each, click.Option)}
        for heading, names in SECTIONS.items():
            records = [left.pop(name).get_help_record(ctx) for name in names.split() if name in left]
            _write(formatter, heading, records)
        _write(formatter, _REST, [parameter.get_help_record(ctx) for parameter in left.values()])


def _write(formatter: click.HelpFormatter, heading: str, records: list[tuple[str, str] | None]) -> None:
    shown = [record for record in records if record is not None]
    if shown:
        with formatter.section(heading):
            formatter.write_dl(shown)
