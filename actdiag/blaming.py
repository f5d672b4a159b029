"""Whose code raised: the part of a traceback that is the user's own, and the module it happened in."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from pathlib import Path
from traceback import StackSummary, TracebackException, walk_tb
from types import FrameType
from typing import Any

from actdiag.texts import printable

_OURS = str(Path(__file__).parent)
_MACHINERY = ("<frozen importlib", str(Path(importlib.__file__).parent))


def own_traceback(error: BaseException) -> str:
    """Return an exception's traceback from the user's first line on, without lines of actdiag's own.

    It is empty where no line of the user's is in it. Characters that would steer a terminal become "?".
    """
    told = TracebackException.from_exception(error)
    if not any(list(map(_cut, _chain(told)))) and not isinstance(error, SyntaxError):
        return ""
    return printable("".join(told.format()), keep="\n")


def _chain(told: TracebackException | None) -> Iterator[TracebackException]:
    """Yield an exception and those that it came from."""
    while told is not None:
        yield told
        told = told.__cause__ or told.__context__


def _cut(told: TracebackException) -> bool:
    """Leave out of a traceback what is not the user's; return whether something is left."""
    frames = list(told.stack)
    first = next((place for place, frame in enumerate(frames) if _is_users(frame.filename)), len(frames))
    kept = [frame for frame in frames[first:] if not frame.filename.startswith((_OURS, *_MACHINERY))]
    told.stack = StackSummary.from_list(kept)
    return bool(kept)


def _is_users(file: str) -> bool:
    torch = getattr(sys.modules.get("torch"), "__file__", None)
    return not file.startswith((_OURS, *_MACHINERY, *([str(Path(torch).parent)] if torch else [])))


def module_of(error: BaseException) -> str:
    """Return the innermost torch module that was running, by its name in the outermost; "" where none was.

    >>> module_of(ValueError())
    ''
    """
    running = [module for frame, _ in walk_tb(error.__traceback__) for module in _module(frame)]
    if not running:
        return ""
    names = {id(module): name for name, module in running[0].named_modules()}
    module = next(module for module in reversed(running) if id(module) in names)
    kind, name = type(module).__name__, names[id(module)]
    return f"{name} ({kind})" if name else kind


def _module(frame: FrameType) -> Iterator[Any]:
    """Yield the torch module whose method a frame runs."""
    own, torch = frame.f_locals.get("self"), sys.modules.get("torch")
    if torch is not None and isinstance(own, torch.nn.Module):
        yield own
