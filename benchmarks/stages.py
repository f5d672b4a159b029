"""Run `actdiag scan` in this process, as the command line does, and print what each stage took, as JSON.

python benchmarks/stages.py OPTIONS...
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterator, MutableMapping
from contextlib import contextmanager, redirect_stdout
from io import StringIO
from typing import Any

STARTED = time.perf_counter()
SECONDS: dict[str, float] = {}
IMPORTS = {
    "import click, pandas, rich, the rules": ["actdiag.cli.scan"],
    "import torch": ["torch"],
    "import what measures, judges and reports": [
        "actdiag.scanning",
        "actdiag.diagnosis",
        "actdiag.reporters",
    ],
}
DRAWING = {"import matplotlib.figure": ["matplotlib.figure"], "import seaborn": ["actdiag.plots"]}


@contextmanager
def stage(name: str) -> Iterator[None]:
    """Add the seconds that the block takes."""
    started = time.perf_counter()
    try:
        yield
    finally:
        SECONDS[name] = SECONDS.get(name, 0.0) + time.perf_counter() - started


def timed(table: MutableMapping[str, Any], key: str, name: str) -> None:
    """Put a function that adds up its seconds in the place of one in a table."""
    function: Callable[..., Any] = table[key]

    def inner(*values: Any, **named: Any) -> Any:
        with stage(name):
            return function(*values, **named)

    table[key] = inner


def watch() -> None:
    """Time the stages after the imports."""
    from actdiag import diagnosis, scanning
    from actdiag.cli.terminal import Terminal
    from actdiag.recording import Recording
    from actdiag.reporters import REPORTERS

    timed(vars(scanning), "scan", "compute and measure")
    timed(vars(diagnosis), "diagnose", "diagnosis")
    for name in ("html", "png"):
        timed(REPORTERS._values, name, f"make the {name.upper()}")
    for owner, method, name in ((Recording, "write", "write the recording"), (Terminal, "show", "terminal")):
        own = dict(vars(owner))
        timed(own, method, name)
        setattr(owner, method, own[method])


def main(options: list[str]) -> None:
    """Run the command and print the table."""
    with stage("import click, pandas, rich, the rules"):
        from actdiag.cli import main as command
        from actdiag.cli.loading import load
    for name, modules in {**IMPORTS, **(DRAWING if "png" in options else {})}.items():
        with stage(name):
            load(*modules)
    watch()
    with redirect_stdout(StringIO()):
        try:
            command(["scan", *options])
        except SystemExit as end:
            if end.code:
                raise
    SECONDS["the rest"] = time.perf_counter() - STARTED - sum(SECONDS.values())
    print(json.dumps(SECONDS))


if __name__ == "__main__":
    main(sys.argv[1:])
