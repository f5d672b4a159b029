"""The parts of a comparison's figures: one activation's networks, and how many fit on a page."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TypeVar

from actdiag.comparisons import Cell, Comparison, Sheet
from actdiag.verdicts import FAILED

Part = TypeVar("Part")


@dataclass(frozen=True)
class Block:
    """The networks of one activation on one sheet, by initialiser.

    Attributes:
        heading: `tanh`, or `tanh, depth 50` where there are several sheets.
        cells: initialisers and their networks, in the sheet's order; what was not asked for is left out.
    """

    heading: str
    cells: tuple[tuple[str, Cell], ...]

    @property
    def ran(self) -> tuple[tuple[str, Cell], ...]:
        """Return the networks that were measured."""
        return tuple((init, cell) for init, cell in self.cells if cell.verdict != FAILED)


def blocks(comparison: Comparison) -> list[Block]:
    """Return a comparison's blocks, sheet by sheet."""
    return [_block(sheet, act) for sheet in comparison.sheets for act in sheet.acts]


def _block(sheet: Sheet, act: str) -> Block:
    cells = tuple((init, sheet.cells[act, init]) for init in sheet.inits if (act, init) in sheet.cells)
    return Block(", ".join(filter(None, (act, sheet.label))), cells)


def initialisers(parts: Iterable[Block]) -> list[str]:
    """Return all initialisers' labels, in order."""
    return list(dict.fromkeys(init for part in parts for init, _ in part.cells))


def pages(parts: Iterable[Part], size: Callable[[Part], int], most: int) -> list[list[Part]]:
    """Return the parts in order, as many on a page as have at most so many rows; one at least.

    >>> pages([3, 3, 3, 9, 1], size=int, most=7)
    [[3, 3], [3], [9], [1]]
    """
    done: list[list[Part]] = []
    room = 0
    for part in parts:
        if not done or size(part) > room:
            done.append([])
            room = most
        done[-1].append(part)
        room -= size(part)
    return done
