"""Ctrl-C and other requests to end: the exit code is the signal's, whatever became of the exception.

A KeyboardInterrupt may be lost on its way: in a weak reference's callback, in `__del__`, in the start of a
module written in C. So the handler remembers that a signal came; `check` raises again before anything is put
in its place, and `code` tells the exit code. Only a process of actdiag's own calls `install`: where actdiag
is used from Python, the caller's handlers stay, and `held` alone lets them wait.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Any

SIGNALS = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name))
BY_SIGNAL = 128
"""What shells add to a signal's number for an exit code."""
PATIENCE = 2
"""The first asks to end, the second does not disturb the clean-up, the third ends it."""


class _State:
    """What this process knows of its signals."""

    came: int | None = None
    count = 0
    at_once = True


def install() -> None:
    """Answer the signals that nobody has set aside, as `nohup` or a shell's `&` do, from now to the end."""
    with suppress(ValueError):  # not in the main thread: signals are another's
        for number in SIGNALS:
            if signal.getsignal(number) in (signal.SIG_DFL, signal.default_int_handler):
                signal.signal(number, _answer)
        sys.unraisablehook = _tell_unraisable


def _answer(number: int, frame: FrameType | None) -> None:
    """Raise KeyboardInterrupt, but not into the clean-up after one; or end at once, see `ending`."""
    _State.came = _State.came or number
    _State.count += 1
    if _State.at_once or _State.count > PATIENCE:
        with suppress(OSError):
            os.write(2, b"interrupted\n")
        os._exit(BY_SIGNAL + _State.came)
    if not _cleaning_up():
        raise KeyboardInterrupt


def _cleaning_up() -> bool:
    """Return whether a KeyboardInterrupt is being handled: nobody has swallowed it."""
    error = sys.exc_info()[1]
    while error is not None and not isinstance(error, KeyboardInterrupt):
        error = error.__context__
    return error is not None


def _tell_unraisable(unraisable: Any) -> None:
    """Tell what Python could not raise, but not what an interrupt left behind."""
    if _State.came is None:
        sys.__unraisablehook__(unraisable)


@contextmanager
def ending(at_once: bool) -> Iterator[None]:
    """Let a signal end the process at once within the block, where nothing is to be undone; or raise."""
    before, _State.at_once = _State.at_once, at_once
    try:
        yield
    finally:
        _State.at_once = before


@contextmanager
def held() -> Iterator[None]:
    """Let a Ctrl-C wait until the block has ended, which sets up or puts back what belongs together."""
    from threading import current_thread, main_thread  # here: until `install` is called Python answers

    before = signal.getsignal(signal.SIGINT)
    if current_thread() is not main_thread() or not callable(before):
        yield
        return
    came: list[int] = []
    try:
        signal.signal(signal.SIGINT, lambda number, _: came.append(number))
        yield
    finally:
        signal.signal(signal.SIGINT, before)
        for number in came[:1]:
            signal.raise_signal(number)


def check() -> None:
    """Raise KeyboardInterrupt where a signal came and its exception was lost.

    Raises:
        KeyboardInterrupt: the process is to end.
    """
    if _State.came is not None:
        raise KeyboardInterrupt


def code() -> int | None:
    """Return the exit code of a process that a signal ended, None where none came."""
    return None if _State.came is None else BY_SIGNAL + _State.came


def finish() -> None:
    """Leave the signals unheard from now on: nothing remains to be interrupted but Python's own end."""
    for number in SIGNALS:
        if signal.getsignal(number) is _answer:
            signal.signal(number, signal.SIG_IGN)
