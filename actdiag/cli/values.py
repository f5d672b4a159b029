"""Values of options that no type of click's own reads."""

from __future__ import annotations

import click


def number_or_word(ctx: click.Context, param: click.Parameter, value: str | None) -> float | str | None:
    """Return --gain as a float, or as the word for `RunSpec` to judge."""
    try:
        return None if value is None else float(value)
    except ValueError:
        return value
