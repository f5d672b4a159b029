"""How often each module was called in a forward pass."""

from __future__ import annotations

from actdiag.capture.book import Book
from actdiag.capture.window import Call

MOST_CALLS = 256
MANY_CALLS = f"called more than {MOST_CALLS} times before backward: the later calls are added up in the last"


class Counts:
    """Numbers the calls of each module, those of passes under no_grad apart from the others."""

    def __init__(self, book: Book) -> None:
        self._book = book
        self._counts: dict[bool, dict[str, int]] = {True: {}, False: {}}

    def clear(self) -> None:
        """Count all calls anew."""
        for apart in self._counts:
            self.restart(apart)

    def restart(self, apart: bool) -> None:
        """Count the calls of passes under no_grad anew, or those of the others."""
        self._counts[apart].clear()

    def number(self, call: Call) -> int:
        """Return the number of a call that is not counted yet, from 0."""
        return min(self._counts[call.apart].get(call.name, 0), MOST_CALLS - 1)

    def add(self, call: Call) -> int:
        """Count a call; return its number."""
        counts = self._counts[call.apart]
        before = counts.get(call.name, 0)
        counts[call.name] = before + 1
        if before == MOST_CALLS:
            self._book.note(f"{call.name or 'the model'}: {MANY_CALLS}")
        return min(before, MOST_CALLS - 1)
