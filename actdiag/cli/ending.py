"""How the command line ends when it cannot go on: one line on standard error, and an exit code."""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import click

from actdiag.blaming import own_traceback
from actdiag.errors import ActdiagError, UserCodeError
from actdiag.texts import one_line

LONGEST = 400
"""Characters of an error's line; of a longer one the middle is left out."""
MOST_REASON = 160
"""Characters of what an error of actdiag's own says."""
TRACEBACK = "ACTDIAG_TRACEBACK"
"""Environment variable that shows where an error of actdiag's own comes from."""


class Failure(click.ClickException):
    """An error on its way to the terminal, as one line of printable characters."""

    def __init__(self, words: str, exit_code: int, trace: str = "") -> None:
        super().__init__(one_line(" ".join(words.split()), LONGEST))
        self.exit_code = exit_code  # type: ignore[misc]
        self.trace = trace

    def show(self, file: IO[Any] | None = None) -> None:
        """Print the line; before it the user's own traceback, where their code raised."""
        click.echo(self.trace, nl=False, err=True)
        super().show(file)


@contextmanager
def told(root: click.Context | None = None) -> Iterator[None]:
    """Turn actdiag's errors, and click's of three lines, into one line.

    `actdiag` alone is no error of the user's: click shows the help.

    Args:
        root: the context in which a command is found; None before that.

    Raises:
        Failure: the block raised one of them.
    """
    try:
        yield
    except ActdiagError as error:
        users = error.__cause__ if isinstance(error, UserCodeError) else None
        trace = "" if users is None else own_traceback(users)
        raise Failure(str(error), error.exit_code, trace) from error
    except click.exceptions.NoArgsIsHelpError:
        raise
    except click.UsageError as error:
        words = error.format_message()
        words += "" if words.endswith((".", "?", "?)")) else "."
        command = None if root is None else root.invoked_subcommand
        raise Failure(f"{words} {_help_of(command)}", error.exit_code) from error


def _help_of(command: str | None) -> str:
    """Say where the right words are; what is asked of `actdiag` itself was often meant for a command."""
    if command is None:
        return "Options of a command stand after its name. See actdiag --help."
    return f"See actdiag {command} --help."


def ended(error: Exception) -> int:
    """Say in one line why the command ended, and return its exit code."""
    if isinstance(error, click.ClickException):
        error.show()
        return error.exit_code
    if isinstance(error, BrokenPipeError):  # the reader, as head, had enough
        _drop_output()
    elif isinstance(error, OSError):
        _tell_system(error)
    else:
        _tell_own(error)
    return 1


def say(words: str) -> None:
    """Print an error's line on standard error."""
    click.echo(f"Error: {one_line(words, LONGEST)}", err=True)


def _tell_system(error: OSError) -> None:
    """Say what the operating system refused, and where; output that cannot be written is dropped."""
    if not _there():
        say("the current folder was removed: change to another one")
    elif error.filename is not None:
        say(f"cannot use {os.fsdecode(error.filename)}: {error.strerror or error}")
    else:
        say(f"cannot write the output: {error.strerror or error}")
    _drop_output()


def _tell_own(error: Exception) -> None:
    """Say that actdiag itself went wrong, and where; the environment asks for the whole traceback."""
    if os.environ.get(TRACEBACK):
        traceback.print_exception(error)
    reason = f"{type(error).__name__}: {one_line(str(error), MOST_REASON)}"
    if isinstance(error, MemoryError):
        say("out of memory: make the network, the batch or the grid smaller")
        return
    if isinstance(error, ImportError):
        say(f"what actdiag needs cannot be imported, {reason}. Install it again.")
        return
    say(
        f"actdiag went wrong at {_place(error)}: {reason}. Please report it, with what {TRACEBACK}=1 before "
        "the same command shows besides."
    )


def _place(error: Exception) -> str:
    """Return file and line of the innermost place in actdiag that an error passed."""
    package = Path(__file__).parents[1]
    frames = traceback.extract_tb(error.__traceback__)
    inside = [frame for frame in frames if Path(frame.filename).is_relative_to(package)]
    if not inside:
        return "no place of its own"
    return f"actdiag/{Path(inside[-1].filename).relative_to(package).as_posix()}:{inside[-1].lineno}"


def _there() -> bool:
    try:
        Path.cwd()
    except OSError:
        return False
    return True


def _drop_output() -> None:
    """Send what is still to be written to standard output nowhere."""
    try:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except (OSError, ValueError):  # standard output is no file
        sys.stdout = None


def ready_streams() -> None:
    """Make the standard streams take every character, and be there where they were closed.

    What their encoding lacks is written as an escape. A closed one would be None, and its number would be
    given to the next file that is opened.
    """
    for number, name, mode in ((0, "stdin", "r"), (1, "stdout", "w"), (2, "stderr", "w")):
        stream = getattr(sys, name)
        if stream is None:
            opened = os.open(os.devnull, os.O_RDWR)
            if opened != number:
                os.dup2(opened, number)
                os.close(opened)
            setattr(sys, name, os.fdopen(number, mode, encoding="utf-8"))
        elif number and hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
