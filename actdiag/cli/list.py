"""`actdiag list`: what the catalogue holds."""

from __future__ import annotations

from collections.abc import Callable

import click

from actdiag.cli.wrapping import columns, echo

Row = tuple[str, str, str]


@click.command("list")
@click.argument("what", type=click.Choice(["activations", "initializers", "rules", "data"]))
def command(what: str) -> None:
    """List what the other commands take.

    \b
    actdiag list activations
    actdiag list data
    """
    rows = _LISTS[what]()
    first, second = (max(len(row[column]) for row in rows) for column in (0, 1))
    width = columns()
    for name, facts, source in rows:
        line = f"{name:{first}}  {facts:{second}}  {source}".rstrip()
        fits = width is None or len(line) <= width
        echo(line if fits else f"{name:{first}}  {facts}\n    {source}".rstrip())


def _activations() -> list[Row]:
    from actdiag.activations import ACTIVATIONS, PARAMETRIC, activation

    rows = []
    for name in ACTIVATIONS:
        act = activation(name)
        label = f"{name}[:{act.parameter:g}]" if name in PARAMETRIC else name
        rows.append((label, act.formula, act.source))
    return rows


def _initializers() -> list[Row]:
    from actdiag.initialisers import INITIALISERS

    return [
        (" = ".join([name, *INITIALISERS.aliases(name)]), f"Var[w] = {row.formula}", row.source)
        for name, row in INITIALISERS.items()
    ]


def _rules() -> list[Row]:
    from actdiag.rules import RULES

    return [(code, rule.name, rule.title) for code, rule in RULES.items()]


def _data() -> list[Row]:
    from actdiag.sources import SOURCES

    return [(row.usage, row.description, "") for row in SOURCES.values()]


_LISTS: dict[str, Callable[[], list[Row]]] = {
    "activations": _activations,
    "initializers": _initializers,
    "rules": _rules,
    "data": _data,
}
