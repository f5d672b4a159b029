"""The labels: what each network of the grid reached, a line each in `labels.csv`."""

from __future__ import annotations

import csv
import os
import random
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import replace
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import torch

from calibration import grid
from calibration.training import PROTOCOLS, train

LABELS = Path(__file__).with_name("labels.csv")
NET = ("act", "init", "gain", "depth", "width", "norm", "data", "seed")
RATES = tuple(dict.fromkeys(f"{rate:g}" for protocol in PROTOCOLS.values() for rate in protocol.rates))
COLUMNS = ("protocol", *NET, "weights", "best", *RATES)
SUBSET = 40
"""Cells that are trained under the other protocols, too."""

Key = tuple[str, ...]


def jobs(protocols: Sequence[str]) -> list[tuple[str, grid.Cell, int]]:
    """Return every (protocol, cell, seed): seed by seed, what thresholds may be set by first."""
    cells = list(grid.cells())
    random.Random(7).shuffle(cells)
    chosen = {"sgd": sorted(cells, key=lambda cell: cell.held)}
    asked = [(name, chosen.get(name, cells[:SUBSET])) for name in protocols]
    return [(name, cell, seed) for name, found in asked for seed in grid.SEEDS for cell in found]


def key(protocol: str, cell: grid.Cell, seed: int) -> Key:
    """Return what tells one line from another."""
    spec = replace(cell.spec, seed=seed)
    return protocol, *(_text(getattr(spec, name)) for name in NET)


def read(path: Path = LABELS) -> dict[Key, dict[str, str]]:
    """Return the lines by their key."""
    if not path.exists():
        return {}
    with path.open(newline="", encoding="utf-8") as file:
        return {(row["protocol"], *(row[name] for name in NET)): row for row in csv.DictReader(file)}


def make(protocols: Sequence[str], workers: int, path: Path = LABELS) -> None:
    """Train what has no line yet, and add a line for each network as it ends."""
    done = read(path)
    missing = [job for job in jobs(protocols) if key(*job) not in done]
    with path.open("a", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        if not done:
            writer.writeheader()
        for number, line in enumerate(_trained(missing, workers), start=1):
            writer.writerow(line)
            file.flush()
            if number % 50 == 0:
                print(f"{number} of {len(missing)}", file=sys.stderr, flush=True)


def _trained(missing: Sequence[tuple[str, grid.Cell, int]], workers: int) -> Iterator[dict[str, Any]]:
    with ProcessPoolExecutor(workers, get_context("spawn"), _one_thread) as pool:
        waiting = [pool.submit(_line, *job) for job in missing]
        for ready in as_completed(waiting):
            yield ready.result()


def _one_thread() -> None:
    torch.set_num_threads(1)
    os.nice(5)


def _line(protocol: str, cell: grid.Cell, seed: int) -> dict[str, Any]:
    """Train one network; floats are kept to five digits."""
    found = train(replace(cell.spec, seed=seed), PROTOCOLS[protocol])
    reached = {rate: f"{value:.5g}" for rate, value in found["reached"].items()}
    names = dict(zip(("protocol", *NET), key(protocol, cell, seed), strict=True))
    return {**names, "weights": found["weights"], "best": f"{found['best']:.5g}", **reached}


def _text(value: Any) -> str:
    return "" if value is None else str(value)
