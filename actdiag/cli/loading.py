"""Import what a command needs, without looking for garbage among what stays to the end."""

from __future__ import annotations

import gc
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, nullcontext
from importlib import import_module
from types import ModuleType

from actdiag import interrupts

_DRAWING = {"png": "actdiag.plots"}
"""What a format's reporter imports when it is called."""
_DRAWERS = {"actdiag.plots", "actdiag.curves", "actdiag.drawings"}


def load(*modules: str) -> list[ModuleType]:
    """Import modules with the garbage collector held; it never looks again at what is there afterwards.

    torch and pandas make 300,000 objects that live as long as the process. Searched for garbage again and
    again while they are imported, and once more at the exit, they cost 0.3 s. To be called before anything is
    measured: what is garbage by then stays.
    """
    enabled = gc.isenabled()
    gc.disable()
    try:
        drawing = _without_a_screen() if _DRAWERS & {*modules} else nullcontext()
        # Modules written in C may lose an interrupt while they start.
        with drawing, interrupts.ending(at_once=True):
            return [import_module(module) for module in modules]
    finally:
        gc.freeze()
        if enabled:
            gc.enable()


@contextmanager
def _without_a_screen() -> Iterator[None]:
    """Let matplotlib start to write files, whatever its environment asks for, and keep its advice to itself.

    A backend that it does not know would end its import; a cache that it cannot write and an old matplotlibrc
    cost it lines of advice on standard error.
    """
    import logging

    if "MPLBACKEND" in os.environ:
        os.environ["MPLBACKEND"] = "agg"
    logger = logging.getLogger("matplotlib")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)


def reporting(formats: Iterable[str]) -> list[str]:
    """Return the modules that judge a recording and write it in these formats."""
    drawing = [_DRAWING[name] for name in formats if name in _DRAWING]
    return ["actdiag.diagnosis", "actdiag.reporters", *drawing]
