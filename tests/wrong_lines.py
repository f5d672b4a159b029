"""Wrong command lines, made from the options of every command; and a program that runs them.

A value is wrong by what the help says of the option, not by what happened when it was tried. As a program
this reads lines from standard input and runs them in the current folder, one after the other in one process;
`--without torch` makes that package impossible to import, and notes who tried.
"""

from __future__ import annotations

import contextlib
import io
import json
import re
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.abc import MetaPathFinder
from pathlib import Path
from typing import Any

import click
from click.types import FloatParamType, IntParamType

LINES = {
    "scan": [],
    "compare": [],
    "attach": ["my.nets:build", "--data", "my.data:batches"],
    "fix": ["my.nets:build", "--data", "my.data:batches"],
    "diagnose": ["recording"],
    "report": ["recording"],
    "reproduce": ["he2015"],
    "theory": [],
    "gain": ["tanh"],
    "rule": ["AD101"],
    "list": ["rules"],
}
"""A line for each command in which nothing is wrong, so that what is added to it is the only fault."""

GOOD = {
    "act": "tanh", "init": "xavier", "gain": "1.5", "data": "my.data:batches", "loss": "my.nets:loss",
    "scheduler": "tcp://127.0.0.1:8786",
}  # fmt: skip
"""A value that is right, for options of any text that are given once."""

UNKNOWN = {
    "act": ["tahn", "relu:3", "leaky_relu:x", "TANH ", "\x1b[31mtanh", "tanh\nrelu", "t" * 3000],
    "init": ["xaveir", "normal", "normal:x", "he:2", "he\nhe", "h" * 3000],
    "gain": ["big", "0", "-1", "nan", "inf", "1e999", "\u0663", "g" * 3000],
    "data": ["digts", "digits:3", "csv:", "idx:", "csv:only.csv", "\x1b]0;title\x07", "d" * 3000],
    "select": ["AD999", "vanishing-gradent", ",", "\x1b[2J", "s" * 3000],
    "ignore": ["AD999", "vanishing-gradent", "AD0,AD1,AD2,AD3,AD4,AD5,AD9"],
    "set": [
        "AD101", "AD101.floor", "AD101.flor=1", "AD101.floor=much", "AD101.floor=nan", "AD101.floor=-1",
        "AD999.floor=1", "=1", "AD101.floor=" + "9" * 3000,
    ],
    "loss": ["my.nets", "my.nets:", ":loss", "my nets:loss", "loss.py:loss\n"],
}  # fmt: skip
"""Values that are wrong, for options of any text."""

MODEL_DATA = ["my.data", ":batches", "my.data:", "my/data.py:batches", "\x1b[31m:b", "d" * 3000]
"""Of attach and fix, where --data is a function."""

WHOLE = [
    "ten",
    "1.5",
    "nan",
    "inf",
    "1e3",
    "-1",
    str(10**30),
    "\u0663",
    "1_0",
    "0x10",
    "\x1b[31m5",
    "7" * 3000,
]
REAL = ["ten", "nan", "inf", "-inf", "1e999", "\u0663", "1_0", "1,5"]
FROM_ZERO = {"depth", "seed"}
ONLY_WITH = {"sigma_b": ["--critical"]}
"""Options that belong to another."""


@dataclass(frozen=True)
class Wrong:
    """A wrong line.

    Attributes:
        words: what follows `actdiag`.
        fault: the option or value that the error has to name.
        code: the exit code: 2 of usage, 1 of what cannot be done.
        value: what may be named in the place of the fault.
    """

    words: tuple[str, ...]
    fault: str
    code: int = 2
    value: str = ""

    def __str__(self) -> str:
        """Return the line in ASCII, its long words shortened."""
        words = (word if len(word) <= 40 else f"{word[:12]}..x{len(word)}" for word in self.words)
        return ascii(" ".join(word or "''" for word in words))[1:-1]


def generated(commands: dict[str, click.Command]) -> Iterator[Wrong]:
    """Yield the wrong lines that follow from each command's options and arguments."""
    for name, command in commands.items():
        for parameter in command.params:
            if isinstance(parameter, click.Option):
                yield from _of_option(name, parameter)
            else:
                yield from _of_argument(name, parameter)
        yield Wrong((name, *LINES[name], "--no-such-option"), "--no-such-option")
        yield Wrong((name, *LINES[name], "-Z"), "-Z")


def _of_option(command: str, option: click.Option) -> Iterator[Wrong]:
    flag = max(option.opts, key=len)
    line = (command, *_without(LINES[command], flag), *ONLY_WITH.get(str(option.name), []))
    yield Wrong((*line, f"{flag}x"), f"{flag}x")
    if option.is_flag:
        yield Wrong((*line, f"{flag}=1"), flag)
        yield Wrong((*line, flag, flag), flag)
        return
    yield Wrong((*line, flag), flag)
    for value in ("", " ", "a\0b"):
        yield Wrong((*line, flag, value), flag)
    if not option.multiple:
        yield Wrong((*line, flag, _good(option), flag, _good(option)), flag)
    for value in _bad(command, option):
        yield Wrong((*line, flag, value), flag, value=_shown(value))


def _without(words: Sequence[str], flag: str) -> list[str]:
    """Return a line without an option and its value."""
    place = words.index(flag) if flag in words else len(words)
    return [*words[:place], *words[place + 2 :]]


def _good(option: click.Option) -> str:
    if isinstance(option.type, click.Choice):
        return str(option.type.choices[0])
    if isinstance(option.type, (IntParamType, FloatParamType)):
        return "3"
    return "somewhere" if isinstance(option.type, click.Path) else GOOD[str(option.name)]


def _bad(command: str, option: click.Option) -> Sequence[str]:
    """Return values that an option does not take; a new option of any text has to be added above."""
    name = max(option.opts, key=len).removeprefix("--")
    if isinstance(option.type, click.Choice):
        return ["no-such-word", f"{option.type.choices[0]}x", "\x1b[31m", "c" * 3000]
    if isinstance(option.type, IntParamType):
        return WHOLE if option.name in FROM_ZERO else [*WHOLE, "0"]
    if isinstance(option.type, FloatParamType):
        return [
            *REAL,
            *{"dropout": ["1", "-0.1"], "correlation": ["2", "-1.1"], "sigma-b": ["-1"]}.get(name, []),
        ]
    if isinstance(option.type, click.Path) or name == "scheduler":
        return []
    return MODEL_DATA if name == "data" and command in ("attach", "fix") else UNKNOWN[name]


def _of_argument(command: str, argument: click.Parameter) -> Iterator[Wrong]:
    line = LINES[command]
    fault = argument.make_metavar(click.Context(click.Command(command))).strip("[].")
    yield Wrong((command, "", *line[1:]), fault)
    yield Wrong((command, "a\0b", *line[1:]), fault)
    if argument.required:
        yield Wrong((command, *line[1:]), fault)
    if argument.nargs == 1:
        yield Wrong((command, *line, "one-more"), "one-more")
    if not isinstance(argument.type, click.Path):
        for value in ("no-such-name", "\x1b[31mred", "two\nlines", "n" * 3000):
            yield Wrong((command, value, *line[1:]), fault, value=_shown(value))


def _shown(value: str) -> str:
    """Return some characters of a value that an error shows as they are."""
    run = re.search(r"[^\x00-\x1f]+", value)
    return run[0][:5] if run else ""


class Absent(MetaPathFinder):
    """Lets no package of one name be imported, and notes that it was asked for."""

    def __init__(self, package: str) -> None:
        self.package, self.asked = package, False

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> None:
        """Note the package."""
        if name.partition(".")[0] == self.package:
            self.asked = True
            raise ImportError(f"{name} is not to be imported")


def run(words: Sequence[str]) -> dict[str, Any]:
    """Run a line, and return how it ended."""
    from actdiag.cli import main

    out, err, code = io.StringIO(), io.StringIO(), None
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            main(list(words))
        except SystemExit as end:
            code = end.code
    files = [path.name for path in Path().iterdir()]
    return {"code": code, "out": out.getvalue(), "err": err.getvalue(), "files": files}


def _run_all() -> None:
    absent = Absent(sys.argv[2] if "--without" in sys.argv else "")
    sys.meta_path.insert(0, absent)
    ends = []
    for words in json.load(sys.stdin):
        absent.asked = False
        ends.append({**run(words), "asked": absent.asked})
    json.dump(ends, sys.stdout)


if __name__ == "__main__":
    _run_all()
