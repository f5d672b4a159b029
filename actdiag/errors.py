"""The errors actdiag raises: each one line, saying what was expected, what came, what to do."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches


class ActdiagError(Exception):
    """Something that stops actdiag from running; the command line exits with `exit_code`."""

    exit_code = 1


class UsageError(ActdiagError):
    """A name, number or option that actdiag cannot take."""

    exit_code = 2


class SchemaError(ActdiagError):
    """A saved recording that this version cannot read."""


def unknown_name(kind: str, name: str, known: Iterable[str]) -> UsageError:
    """Return the error for a `name` that is none of the `known` ones, with the nearest and the list.

    >>> print(unknown_name("activation", "tahn", ["relu", "tanh"]))
    unknown activation 'tahn': did you mean 'tanh'? Known: relu, tanh.
    """
    names = list(known)
    near = get_close_matches(name.lower(), names, n=1)
    hint = f" did you mean '{near[0]}'?" if near else ""
    return UsageError(f"unknown {kind} '{name}':{hint} Known: {', '.join(names)}.")
