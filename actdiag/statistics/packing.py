"""From tensors' states to numpy, row by row: where numbers leave their device, in one copy for each."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from actdiag.bins import LINEAR_BINS, LOG_BINS
from actdiag.statistics import quantiles
from actdiag.statistics.state import TensorState
from actdiag.statistics.tensors import Content

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
SUMS = 10
COUNTS = 5


class Packed(NamedTuple):
    """The states of some rows, side by side.

    The rows of `sums` are n, pivot, first, second, highest and lowest, then n, pivot, first and second of the
    samples' means over their positions; see `moments.Moments`.
    """

    units: Ints  # (rows,)
    sums: Floats  # (10, all units): those of the first row, then those of the second
    scales: Floats | None  # (rows, 2) of the moments and of those across samples; None where all are 1
    counts: Ints  # (rows, 5), see `counters.observe`
    places: Ints  # (rows, 3) of the quantiles
    saturated: Floats  # (rows,) counts; NaN where saturation is not defined
    logs: Sequence[Ints]  # (4096,)
    linears: Sequence[Ints | None]  # (128,)

    def part(self, rows: slice, units: slice) -> Packed:
        """Return some rows that follow each other, and their units."""
        return Packed(
            self.units[rows],
            self.sums[:, units],
            None if self.scales is None else self.scales[rows],
            self.counts[rows],
            self.places[rows],
            self.saturated[rows],
            self.logs[rows],
            self.linears[rows],
        )


def pack(states: Sequence[TensorState]) -> Packed:
    """Bring states of any mix of devices side by side; none is a block of the C kernel's."""
    groups: dict[torch.device, list[int]] = defaultdict(list)
    for row, state in enumerate(states):
        assert isinstance(state.content, Content)
        groups[state.content.log.device].append(row)
    parts = [_pack([states[row] for row in rows]) for rows in groups.values()]
    if len(parts) == 1:
        return parts[0]
    return _in_order(parts, np.array([row for rows in groups.values() for row in rows], dtype=np.int64))


def _pack(states: Sequence[TensorState]) -> Packed:
    """Copy the states of one device in one packet: all sums, then all integers."""
    contents = [state.content for state in states if isinstance(state.content, Content)]
    waiting = [state.saturated for state in states if isinstance(state.saturated, torch.Tensor)]
    linears = [content.linear for content in contents if content.linear is not None]
    sums, numbers = _fetch(_all_sums(contents), [*_integers(contents), *linears, *_stacked(waiting)])
    rows, units = len(states), np.array([state.units for state in states], dtype=np.int64)
    take = _taker(numbers)
    logs, counts = take(rows, LOG_BINS), take(rows, COUNTS)
    bounded = iter(take(len(linears), LINEAR_BINS))
    saturated = _saturated(states, iter(take(1, len(waiting))[0].tolist()))
    return Packed(
        units,
        sums[2 * rows :].reshape(SUMS, -1),
        sums[: 2 * rows].reshape(2, rows).T,
        counts,
        quantiles.places(logs),
        saturated,
        list(logs),
        [None if content.linear is None else next(bounded) for content in contents],
    )


def _all_sums(contents: Sequence[Content]) -> list[torch.Tensor]:
    """Return the scales of all rows, then each field of all rows, as `Packed.sums` has them."""
    scales = [content.pooled.scale for content in contents] + [content.across.scale for content in contents]
    columns = zip(
        *(
            (*content.pooled[:4], content.highest, content.lowest, *content.across[:4])
            for content in contents
        ),
        strict=True,
    )
    return [torch.stack(scales), *(part for column in columns for part in column)]


def _integers(contents: Sequence[Content]) -> list[torch.Tensor]:
    return [content.log for content in contents] + [content.counts for content in contents]


def _stacked(waiting: Sequence[torch.Tensor]) -> list[torch.Tensor]:
    return [torch.stack([count.reshape(()) for count in waiting])] if waiting else []


def _fetch(sums: Sequence[torch.Tensor], integers: Sequence[torch.Tensor]) -> tuple[Floats, Ints]:
    """Bring all of them to the host in one copy, sums as float64, in order and flat."""
    whole, numbers = torch.cat(list(sums)), torch.cat(list(integers))
    packet = torch.cat([whole.view(torch.int32), numbers.view(torch.int32)]).cpu()
    words = whole.numel() * whole.element_size() // 4
    floats = packet[:words].view(whole.dtype).numpy().astype(np.float64)
    return floats, packet[words:].clone().view(torch.int64).numpy()


def _taker(numbers: Ints) -> Callable[[int, int], Ints]:
    """Return a function that takes the next (rows, columns) off a flat array."""
    place = 0

    def take(rows: int, columns: int) -> Ints:
        nonlocal place
        part = numbers[place : place + rows * columns].reshape(rows, columns)
        place += rows * columns
        return part

    return take


def _saturated(states: Sequence[TensorState], fetched: Iterator[int]) -> Floats:
    """Return the counts, those that waited on their device from `fetched`."""
    counts = [
        next(fetched) if isinstance(state.saturated, torch.Tensor) else state.saturated for state in states
    ]
    return np.array([np.nan if count is None else count for count in counts], dtype=np.float64)


def _in_order(parts: Sequence[Packed], rows: Ints) -> Packed:
    """Put parts together so that what is first in `rows` as 0 comes first."""
    order = np.argsort(rows)
    units = np.concatenate([part.units for part in parts])
    starts = np.cumsum(units) - units
    columns = [
        np.arange(start, start + size) for start, size in zip(starts[order], units[order], strict=True)
    ]
    scales = [np.ones((len(p.units), 2)) if p.scales is None else p.scales for p in parts]
    logs = [log for part in parts for log in part.logs]
    linears = [linear for part in parts for linear in part.linears]
    counts, places = (
        np.concatenate([getattr(p, name) for p in parts])[order] for name in ("counts", "places")
    )
    return Packed(
        units[order],
        np.concatenate([part.sums for part in parts], axis=1)[:, np.concatenate(columns)],
        np.concatenate(scales)[order],
        counts,
        places,
        np.concatenate([part.saturated for part in parts])[order],
        [logs[row] for row in order],
        [linears[row] for row in order],
    )
