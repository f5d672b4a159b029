"""Lines broken where the terminal ends; a file keeps them whole, so that it can be searched line by line."""

from __future__ import annotations

import shutil
import sys
import textwrap
from itertools import groupby

import click

NARROWEST = 40
"""Columns below which nothing is broken any further."""


def echo(text: str, hang: int = 2) -> None:
    """Print lines; where standard output is a terminal, broken at its width.

    Args:
        text: lines, each with its own indentation.
        hang: columns by which what is broken off a line is indented further.
    """
    width = columns()
    click.echo(text if width is None else "\n".join(broken(line, width, hang) for line in text.split("\n")))


def echo_prose(text: str) -> None:
    """Print prose; where standard output is a terminal, filled to its width."""
    width = columns()
    click.echo(text if width is None else refilled(text, width))


def columns() -> int | None:
    """Return the terminal's width; None where standard output is none."""
    return max(shutil.get_terminal_size().columns, NARROWEST) if sys.stdout.isatty() else None


def broken(line: str, width: int, hang: int) -> str:
    """Return a line as lines of at most `width` columns, the later ones indented by `hang` more.

    >>> broken("  one two three", 10, hang=2)
    '  one two\\n    three'
    """
    if len(line) <= width:
        return line
    indent = _indent(line)
    return textwrap.fill(
        line.strip(),
        width,
        initial_indent=indent,
        subsequent_indent=indent + " " * hang,
        break_long_words=False,
        break_on_hyphens=False,
    )


def refilled(text: str, width: int) -> str:
    """Return prose with each paragraph, of neighbouring lines of one indentation, filled to `width`.

    >>> refilled("Head:\\n  one two\\n  three", 16)
    'Head:\\n  one two three'
    """
    paragraphs = groupby(text.split("\n"), key=lambda line: (_indent(line), bool(line)))
    joined = (indent + " ".join(line.strip() for line in lines) for (indent, _), lines in paragraphs)
    return "\n".join(broken(line, width, hang=0) for line in joined)


def _indent(line: str) -> str:
    return " " * (len(line) - len(line.lstrip()))
