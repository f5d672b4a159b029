"""Slips that click lets pass: an option given twice, an empty value, two options that contradict."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import click

from actdiag.errors import UsageError

CONFLICTS = (("as_json", "quiet"), ("as_json", "verbose"), ("quiet", "verbose"))
"""Parameters that say different things of the same: what is printed."""


def check(command: click.Command, parent: click.Context, words: Sequence[str]) -> None:
    """Look for slips in the words after a command's name; what click itself refuses is left to it.

    An option that takes one value and is given twice is refused, with the same value too: one of the two
    was meant to be another option, and the last would win in silence.

    Raises:
        UsageError: the first slip.
    """
    if {*words} & {*parent.help_option_names}:
        return
    context = click.Context(command, parent, resilient_parsing=True)
    values, _, order = command.make_parser(context).parse_args(list(words))
    names = {parameter.name: _name(parameter) for parameter in order}
    for parameter, times in Counter(order).items():
        if isinstance(parameter, click.Option) and not parameter.multiple and times > 1:
            raise UsageError(f"{_name(parameter)} was given {times} times: give it once")
    for parameter in dict.fromkeys(order):
        _check_value(parameter, values.get(parameter.name or ""))
    for first, second in CONFLICTS:
        if first in names and second in names:
            raise UsageError(f"{names[first]} and {names[second]} contradict each other: give one of them")


def _name(parameter: click.Parameter) -> str:
    """Return how a parameter is called on the command line: `--train/--eval`, `FOLDER`."""
    if not isinstance(parameter, click.Option):
        return parameter.make_metavar(click.Context(click.Command(None))).strip("[].")
    both = (max(names, key=len) for names in (parameter.opts, parameter.secondary_opts) if names)
    return "/".join(both)


def _check_value(parameter: click.Parameter, value: Any) -> None:
    """Refuse what no option and no argument takes."""
    for text in value if isinstance(value, (list, tuple)) else [value]:
        if not isinstance(text, str):
            continue
        if not text.strip():
            raise UsageError(f"{_name(parameter)} is empty: give it a value, or leave it out")
        if "\0" in text:
            raise UsageError(f"{_name(parameter)} holds a NUL character, got '{text}'")
        if isinstance(parameter.type, (click.types.IntParamType, click.types.FloatParamType)):
            _check_digits(parameter, text)


def _check_digits(parameter: click.Parameter, text: str) -> None:
    if not text.isascii() or "_" in text:
        raise UsageError(f"{_name(parameter)} is a number in the digits 0 to 9, got '{text}'")
