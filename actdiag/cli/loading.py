"""Import what a command needs, without looking for garbage among what stays to the end."""

from __future__ import annotations

import gc
from collections.abc import Iterable
from importlib import import_module
from types import ModuleType

from actdiag import interrupts

_DRAWING = {"png": "actdiag.plots"}
"""What a format's reporter imports when it is called."""


def load(*modules: str) -> list[ModuleType]:
    """Import modules with the garbage collector held; it never looks again at what is there afterwards.

    torch and pandas make 300,000 objects that live as long as the process. Searched for garbage again and
    again while they are imported, and once more at the exit, they cost 0.3 s. To be called before anything is
    measured: what is garbage by then stays.
    """
    enabled = gc.isenabled()
    gc.disable()
    try:
        with interrupts.ending(at_once=True):  # modules written in C may lose an interrupt while they start
            return [import_module(module) for module in modules]
    finally:
        gc.freeze()
        if enabled:
            gc.enable()


def reporting(formats: Iterable[str]) -> list[str]:
    """Return the modules that judge a recording and write it in these formats."""
    drawing = [_DRAWING[name] for name in formats if name in _DRAWING]
    return ["actdiag.diagnosis", "actdiag.reporters", *drawing]
