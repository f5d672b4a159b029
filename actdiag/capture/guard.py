"""No failure of the tool's own reaches the user's code, and no exception of the user's is lost."""

from __future__ import annotations

import signal
import threading
from types import FunctionType, TracebackType
from typing import TYPE_CHECKING

from actdiag.capture.quiet import Untouched

if TYPE_CHECKING:
    from actdiag.capture.book import Book


def from_signal(error: BaseException) -> bool:
    """Return whether an exception comes from a signal's handler: it is the user's, raised while ours ran."""
    trace = error.__traceback__
    handlers = [signal.getsignal(number) for number in signal.valid_signals()]
    codes = {handler.__code__ for handler in handlers if isinstance(handler, FunctionType)}
    while trace is not None:
        if trace.tb_frame.f_code in codes:
            return True
        trace = trace.tb_next
    return False


class Guard:
    """Lets no failure of the tool's own reach the user's code: it becomes a reason and a note."""

    __slots__ = ("_book", "_locked", "_name", "_untouched")

    def __init__(self, book: Book, name: str) -> None:
        self._book, self._name, self._untouched, self._locked = book, name, Untouched(), False

    def __enter__(self) -> None:
        """Set the user's modes aside, and let one thread at a time write."""
        self._book.guards.active.append(self)
        self._locked = self._book.lock.acquire()
        self._untouched.__enter__()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        """Put the modes back; swallow an exception, but no interrupt."""
        self.restore()
        if not isinstance(error, Exception) or from_signal(error):
            return False
        self._book.failed(self._name, error)
        return True

    def restore(self) -> None:
        """Put the modes back and let others write; doing so twice does no harm."""
        self._untouched.restore()
        if self._locked:
            self._locked = False
            self._book.lock.release()
        if self in self._book.guards.active:
            self._book.guards.active.remove(self)


class Guards(threading.local):
    """The guards that are open in this thread."""

    def __init__(self) -> None:
        self.active: list[Guard] = []

    def heal(self) -> None:
        """Close what an exception left open that came while a guard opened or closed, as a signal's may."""
        while self.active:
            self.active[-1].restore()
