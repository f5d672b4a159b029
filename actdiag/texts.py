"""Text from outside, as names of layers and files, made harmless where it is shown."""

from __future__ import annotations

import re

_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?|[+-]?inf|nan")
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20")
"""What a spreadsheet takes for the beginning of a formula; the last four are their wide forms."""

_HTML = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "'": "&#39;"})


def printable(text: str, keep: str = "") -> str:
    r"""Return text with a "?" for each character that would steer a terminal or a page, not be shown.

    These are control characters, marks that change the direction of writing, what has no width, and halves
    of surrogate pairs, which no file can hold.

    Args:
        text: from anywhere.
        keep: such characters that may stay, as a line feed.

    >>> printable("a\x1b[31m\n\u202e", keep="\n")
    'a?[31m\n?'
    """
    if text.isprintable():
        return text
    return "".join(character if character.isprintable() or character in keep else "?" for character in text)


def one_line(text: str, most: int) -> str:
    r"""Return text as one printable line of at most `most` characters: of more, the middle is left out.

    >>> one_line("two\nlines, \x1b[31mred", 80)
    'two lines, ?[31mred'
    >>> one_line("0123456789" * 3, 15)
    '01234 ... 56789'
    """
    line = printable("".join(" " if character.isspace() else character for character in text))
    half = (most - 5) // 2
    return line if len(line) <= most else f"{line[:half]} ... {line[-half:]}"


def escaped(text: str) -> str:
    """Return text for HTML and SVG: in an element or between the quotes of an attribute.

    >>> escaped('<b title="x">')
    '&lt;b title=&quot;x&quot;&gt;'
    """
    return printable(text, keep="\n").translate(_HTML)


def spreadsheet_cell(text: str) -> str:
    """Return a cell that no spreadsheet takes for a formula: an apostrophe goes before one that it would.

    Numbers stay numbers.

    >>> spreadsheet_cell("=1+1"), spreadsheet_cell("-0.5"), spreadsheet_cell("layer 1")
    ("'=1+1", '-0.5', 'layer 1')

    References: OWASP, CSV injection.
    """
    return f"'{text}" if text.startswith(_FORMULA) and not _NUMBER.fullmatch(text) else text


def encodable(text: str) -> str:
    r"""Return text that files can hold: halves of surrogate pairs are spelt out.

    >>> print(encodable("a\ud800"))
    a\ud800
    """
    return text.encode("utf-8", "backslashreplace").decode("utf-8")
