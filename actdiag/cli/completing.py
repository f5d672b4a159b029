"""What the shell offers for the values of options and arguments; nothing here imports torch."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import fields
from typing import Any

import click

RECIPES = (
    "batchnorm", "cs231n", "dead-relu", "dlfs", "glorot2010", "hanin2018", "he2015", "lsuv2016", "saxe2014",
    "schoenholz2017",
)  # fmt: skip
"""The names of the recipes, which cannot be asked without loading torch."""
ALL = "all"
"""The word for all activations or initialisers of a grid."""


def complete_activation(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    """Return the activations that begin so."""
    from actdiag.activations import ACTIVATIONS

    return _beginning([*ACTIVATIONS, *_all_of(param)], incomplete)


def complete_initializer(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    """Return the initialisers and their other names that begin so."""
    from actdiag.initialisers import INITIALISERS

    names = [each for name in INITIALISERS for each in (name, *INITIALISERS.aliases(name))]
    return _beginning([*names, *_all_of(param)], incomplete)


ACTIVATION: dict[str, Any] = {"metavar": "NAME[:NUMBER]", "shell_complete": complete_activation}
INITIALIZER: dict[str, Any] = {"metavar": "NAME[:NUMBER]", "shell_complete": complete_initializer}
"""What options that take an activation or an initialiser have in common."""


def complete_source(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    """Return the data sources that begin so; of those that take more, the name and a colon."""
    from actdiag.sources import SOURCES

    usages = [row.usage.partition(":") for row in SOURCES.values()]
    return _beginning([name + colon for name, colon, _ in usages if name in SOURCES], incomplete)


def complete_rule(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    """Return the codes of rules that begin so, or their names."""
    from actdiag.rules import RULES

    codes = _beginning(RULES, incomplete.upper())
    return codes or _beginning([rule.name for rule in RULES.values()], incomplete)


def complete_rules(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    """Return the same for the last word of a list with commas."""
    before, comma, last = incomplete.rpartition(",")
    return [before + comma + word for word in complete_rule(ctx, param, last)]


def complete_threshold(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    """Return the thresholds that begin so, as `AD101.floor=`."""
    from actdiag.rules import RULES

    names = [f"{code}.{item.name}=" for code, rule in RULES.items() for item in fields(rule)]
    return _beginning(names, incomplete)


def complete_recipe(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    """Return the recipes that begin so."""
    return _beginning(RECIPES, incomplete)


def _beginning(names: Iterable[str], incomplete: str) -> list[str]:
    return [name for name in names if name.startswith(incomplete)]


def _all_of(param: click.Parameter) -> list[str]:
    return [ALL] if param.multiple else []
