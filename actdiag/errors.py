"""The errors actdiag raises: each one line, saying what was expected, what came, what to do."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches

from actdiag.texts import one_line

_LONGEST = 1000
"""Characters of an error's line; more than any list of names that is shown whole."""
MOST_NAMES = 25
"""Known names that an error lists."""


class ActdiagError(Exception):
    r"""Something that stops actdiag from running; the command line exits with `exit_code`.

    Whatever names and texts of others its message quotes, it is one line of printable characters.

    >>> print(ActdiagError("unknown layer 'a\nb\x1b[31m'"))
    unknown layer 'a b?[31m'
    """

    exit_code = 1

    def __init__(self, message: str) -> None:
        """Take what was expected, what came, what to do; a long message keeps its beginning and end."""
        super().__init__(one_line(message, _LONGEST))


class UsageError(ActdiagError):
    """A name, number or option that actdiag cannot take."""

    exit_code = 2


class UserCodeError(ActdiagError):
    """What the user's own code raised, in one line; `__cause__` holds it with its traceback."""


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
    more = f" and {len(names) - MOST_NAMES} more" if len(names) > MOST_NAMES else ""
    return UsageError(f"unknown {kind} '{name}':{hint} Known: {', '.join(names[:MOST_NAMES])}{more}.")
