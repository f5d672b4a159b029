"""What every HTML page needs: the templates, and words for verdicts, findings and layers."""

from __future__ import annotations

import math
import re
from collections.abc import Collection
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pandas as pd

from actdiag import profiles
from actdiag.coverage import shorten
from actdiag.numerals import interval, numeral, percent
from actdiag.rules.base import Run
from actdiag.texts import escaped, printable
from actdiag.types import Finding, Severity

if TYPE_CHECKING:
    from jinja2 import Environment

TONES = {"healthy": "good", "trains worse than it could": "fair", "does not train": "bad"}
"""The CSS class of a verdict; of the others it is fair."""
_EVIDENCE = ("measured", "expected", "threshold", "threshold_source")


@dataclass(frozen=True)
class Column:
    """A column of the table of layers."""

    name: str
    heading: str
    share: bool = False


_COLUMNS = (
    Column("rms", "rms a"),
    Column("expected_rms", "theory"),
    Column("std_across", "std_across a"),
    Column("zero_fraction", "zero", share=True),
    Column("dead_units", "dead units"),
    Column("saturated_fraction", "saturated", share=True),
    Column("gradient_norm", "gradient norm"),
    Column("grad_to_weight", "grad_to_weight"),
)


def environment() -> Environment:
    """Return the templates: everything is escaped and printable, and an unknown name is an error."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    templates = Environment(
        loader=PackageLoader("actdiag.reporters"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=StrictUndefined,
        finalize=_shown,
    )
    templates.filters.update(numeral=_number, interval=interval, options=_options, breakable=_breakable)
    return templates


def _shown(value: Any) -> Any:
    """Return a value of a template as it is shown; what is HTML already stays."""
    return printable(value, keep="\n") if type(value) is str else value


def _options(text: str) -> str:
    """Return HTML in which no option of the command line is broken at its hyphens."""
    from markupsafe import Markup

    return Markup(re.sub(r"--[a-z][a-z-]*", r'<span class="option">\g<0></span>', escaped(text)))


def _breakable(text: str) -> str:
    """Return HTML in which a name may be broken behind an underscore, a colon or a comma."""
    from markupsafe import Markup

    return Markup(re.sub(r"[_:,]", r"\g<0><wbr>", escaped(text)))


def _number(value: Any) -> str:
    """Spell a value of evidence, a spec or a loss: numbers short, everything else as it is."""
    value = value.item() if hasattr(value, "item") else value
    if isinstance(value, bool):
        return "yes" if value else "no"
    if value is None:
        return "default"
    if isinstance(value, float):
        return numeral(value)
    return str(value)


def finding_words(finding: Finding) -> dict[str, Any]:
    """Return a finding as templates show it: what was measured comes first in its evidence."""
    evidence = {name: finding.evidence[name] for name in _EVIDENCE if name in finding.evidence}
    return {
        "finding": finding,
        "tone": {Severity.ERROR: "bad", Severity.WARNING: "fair"}.get(finding.severity, "info"),
        "evidence": {**evidence, **finding.evidence},
        "words": {"threshold_source": "threshold from"},
    }


def layer_rows(run: Run, layers: Collection[int] | None = None) -> dict[str, Any]:
    """Return the table of layers as text, without the columns that have no number at all.

    Args:
        run: whose.
        layers: the numbers of those to show; None for all.
    """
    table = profiles.layer_table(run)
    table = table if layers is None else table[table["layer"].isin(list(layers))]
    columns = [column for column in _COLUMNS if table[column.name].notna().any()]
    rows = [
        {
            "layer": int(row["layer"]),
            "module": shorten(row["module"] or "input"),
            "full": printable(row["module"]),
            "cells": [_cell(row, column) for column in columns],
        }
        for _, row in table.iterrows()
    ]
    undefined = [
        column.heading for column in _COLUMNS if column not in columns and column.name != "expected_rms"
    ]
    return {"columns": columns, "layers": rows, "undefined": ", ".join(undefined)}


def _cell(row: pd.Series, column: Column) -> str:
    value = float(row[column.name])
    if math.isnan(value):
        return ""
    if column.name == "dead_units":
        return f"{value:.0f} of {row['units']:.0f}"
    return percent(value) if column.share else numeral(value, padded=True)
