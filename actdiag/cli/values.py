"""Values of options that no type of click's own reads."""

from __future__ import annotations

import click

from actdiag.errors import UsageError
from actdiag.types import RunSpec


def number_or_word(ctx: click.Context, param: click.Parameter, value: str | None) -> float | str | None:
    """Return --gain as a float, or as the word for `RunSpec` to judge."""
    try:
        return float(value) if value is not None and value.isascii() and "_" not in value else value
    except ValueError:
        return value


def check_norm_place(spec: RunSpec) -> None:
    """Raise where a place is named for a norm that is not there.

    Raises:
        UsageError: --norm-place after, and no norm.
    """
    if spec.norm == "none" and spec.norm_place != RunSpec.norm_place:
        raise UsageError(f"--norm-place {spec.norm_place} has no norm to place: give --norm batch or layer")
