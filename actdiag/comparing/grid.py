"""The grid of networks that a command line spans."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, replace
from hashlib import sha256
from itertools import product
from json import dumps

from actdiag.activations import ACTIVATIONS
from actdiag.errors import UsageError
from actdiag.footprint import grid_bytes
from actdiag.initialisers import INITIALISERS, initialiser
from actdiag.memory import check_fits
from actdiag.types import RunSpec

ALL = "all"
NUMBERS = {"normal": "normal:0.01", "uniform": "uniform:0.05"}
"""What stands in `all` for initialisers that need a number: the lectures' small ones."""
LEFT_OUT = "constant"
"""Not in `all`: as with `zeros`, its units are all the same."""


def grid(
    base: RunSpec,
    *,
    acts: Sequence[str],
    inits: Sequence[str],
    depths: Sequence[int],
    widths: Sequence[int],
    seeds: int = 1,
    gain: float | str | None = None,
) -> tuple[RunSpec, ...]:
    """Return a spec for each combination, by depth, width, activation, initialiser and draw.

    Args:
        base: all other fields; its seed is the first draw's.
        acts: activations, or `all`.
        inits: initialisers, or `all`: every one but constant, normal and uniform with a small number.
        depths: hidden layers.
        widths: units of each.
        seeds: draws of each network.
        gain: for those initialisers that have one.

    Raises:
        UsageError: an unknown name, a number out of range, a gain that no initialiser takes, or a grid whose
            results do not fit into memory.

    >>> [spec.slug for spec in grid(RunSpec(), acts=["relu"], inits=["he"], depths=[5, 9], widths=[64])]
    ['relu-he-5x64', 'relu-he-9x64']
    """
    if seeds < 1:
        raise UsageError(f"seeds is a whole number >= 1, got {seeds}")
    inits = all_or(inits, [NUMBERS.get(name, name) for name in INITIALISERS if name != LEFT_OUT])
    gains = {init: gain if initialiser(init).gain is not None else None for init in inits}
    if gain is not None and not any(value is not None for value in gains.values()):
        raise UsageError(f"none of {', '.join(inits)} has a gain to set: leave --gain out")
    acts = all_or(acts, list(ACTIVATIONS))
    for depth, width in product(depths, widths):
        replace(base, depth=depth, width=width)
    check_size(len(depths) * len(widths) * len(acts) * len(inits) * seeds, min(depths))
    places = product(depths, widths, acts, inits, range(seeds))
    return tuple(
        replace(base, depth=depth, width=width, act=act, init=init, gain=gains[init], seed=base.seed + draw)
        for depth, width, act, init, draw in places
    )


def check_size(cells: int, depth: int, workers: int = 1) -> None:
    """Raise where the results of a grid, and the workers that measure it, need more memory than is free.

    Args:
        cells: how many networks.
        depth: of the shallowest.
        workers: processes that measure.

    Raises:
        UsageError: they do not fit.
    """
    what = f"a grid of {cells} network{'s' * (cells != 1)}{f' by {workers} workers' if workers > 1 else ''}"
    smaller = f"ask for fewer networks, draws{', layers or workers' if workers > 1 else ' or layers'}"
    check_fits(grid_bytes(cells, depth, workers), what, smaller)


def all_or(names: Sequence[str], every: Sequence[str]) -> list[str]:
    """Return the names once each, with every one there is in the place of `all`."""
    return list(dict.fromkeys(one for name in names for one in (every if name == ALL else [name])))


def slug(specs: Sequence[RunSpec]) -> str:
    """Return a name for a comparison's folder: `compare-` and 8 hexadecimal digits of what it compares."""
    text = dumps([asdict(spec) for spec in specs], sort_keys=True)
    return f"compare-{sha256(text.encode()).hexdigest()[:8]}"
