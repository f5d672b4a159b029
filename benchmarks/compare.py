"""Time a grid of networks measured and judged against the same networks built and run without measuring.

    python benchmarks/compare.py [--cells N] [--out benchmarks/compare.md]

Every activation with fourteen initialisers and three draws, ten layers of 128, batch 256: what
`actdiag.compare` and `actdiag.diagnose` do in this process, block by block in turn with the bare networks.
"""

from __future__ import annotations

import argparse
import gc
import resource
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch

from actdiag import RunSpec, diagnose
from actdiag.catalogue import loss_function
from actdiag.comparing.cells import CellResult, assemble, run_cells
from actdiag.comparing.grid import grid
from actdiag.data import Batch, load_batch
from actdiag.kernel import kernel_description
from actdiag.models import build
from actdiag.recording import Recording
from actdiag.scanning import gain_of

GOAL = 1.6
BLOCK = 42
"""Cells of a block: fourteen initialisers, three draws."""
Given, Made = TypeVar("Given"), TypeVar("Made")
BASE = RunSpec(depth=10, width=128, batch=256)


@dataclass
class Times:
    """Seconds of the processor's time, of each block."""

    bare: list[float]
    again: list[float]
    cells: list[float]
    frame: list[float]
    verdicts: list[float]

    @property
    def whole(self) -> list[float]:
        """Return what measuring and judging a block took."""
        return [sum(parts) for parts in zip(self.cells, self.frame, self.verdicts, strict=True)]


def main() -> None:
    """Measure, print and write the page."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cells", type=int, help="a quick look at about so many cells")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(1)
    specs = grid(BASE, acts=["all"], inits=["all"], depths=[BASE.depth], widths=[BASE.width], seeds=3)
    if options.cells:
        blocks = [specs[start : start + BLOCK] for start in range(0, len(specs), BLOCK)]
        specs = [spec for block in blocks[:: max(len(specs) // options.cells, 1)] for spec in block]
    warm_up(specs)
    times = measure(specs)
    text = page(times, len(specs))
    print(text)
    if options.out:
        options.out.write_text(text + "\n", encoding="utf-8")


def warm_up(specs: Sequence[RunSpec]) -> None:
    """Let libraries load what they load at first use."""
    bare(specs[:2])
    judged(assemble(list(run_cells(specs[:2]))))


def measure(specs: Sequence[RunSpec]) -> Times:
    """Take blocks of specs in turn: bare, measured, and bare again for what the clock itself strays."""
    times = Times([], [], [], [], [])
    for number, start in enumerate(range(0, len(specs), BLOCK)):
        block = specs[start : start + BLOCK]
        first, second = (times.bare, times.again) if number % 2 else (times.again, times.bare)
        first.append(clock(bare, block)[0])
        took, results = clock(finished, block)
        times.cells.append(took)
        took, recording = clock(assemble, results)
        times.frame.append(took)
        times.verdicts.append(clock(judged, recording)[0])
        second.append(clock(bare, block)[0])
    return times


def clock(work: Callable[[Given], Made], given: Given) -> tuple[float, Made]:
    """Return the seconds of processor time that something takes, and what it returns."""
    gc.collect()
    started = time.process_time()
    made = work(given)
    return time.process_time() - started, made


def finished(specs: Sequence[RunSpec]) -> list[CellResult]:
    """Measure cells."""
    return list(run_cells(specs))


def bare(specs: Sequence[RunSpec]) -> None:
    """Build, initialise and run networks forward and backward; a batch is loaded once for all of them."""
    load = lru_cache(maxsize=8)(_batch)
    for spec in specs:
        batch = load(spec.data, spec.seed, spec.width, spec.batch)
        model = build(spec, gain_of(spec), batch.inputs, batch.classes)
        loss = loss_function(spec.loss)(model(batch.inputs), batch.targets)
        loss.backward()  # type: ignore[no-untyped-call]


def _batch(data: str, seed: int, width: int, batch: int) -> Batch:
    return load_batch(RunSpec(data=data, seed=seed, width=width, batch=batch))


def judged(recording: Recording) -> list[str]:
    """Return the verdicts on all runs."""
    diagnosis = diagnose(recording)
    return [diagnosis.of(run).run_verdict for run in recording.runs]


def page(times: Times, cells: int) -> str:
    """Return the result as a page."""
    sizes = np.array([min(BLOCK, cells - start) for start in range(0, cells, BLOCK)])
    bare_time = (np.array(times.bare) + times.again) / 2.0
    ratios = np.array(times.whole) / bare_time
    noise = np.array(times.again) / times.bare
    total = sum(times.whole) / bare_time.sum()
    parts = {
        "networks alone": bare_time,
        "networks measured, theory's rows": times.cells,
        "one table of all rows": times.frame,
        "verdicts": times.verdicts,
    }
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    lines = [
        "# Comparing",
        "",
        f"`python benchmarks/compare.py`: {cells} networks of {BASE.depth} x {BASE.width}, batch",
        f"{BASE.batch}, in blocks of up to {BLOCK}, one thread, processor time, {kernel_description()},",
        f"torch {torch.__version__}. Networks alone are loaded (a batch once for all that share it), built,",
        "initialised and run forward and backward, before and after each block is measured; their mean is",
        "the base. Measured ones are built once for all that are alike, their weights drawn in place.",
        "",
        f"**Measured and judged over alone: {total:.2f}** (goal: at most {GOAL}); of the blocks "
        f"{quartiles(ratios)}.",
        f"Self-check, alone over alone: {quartiles(noise)}. Peak memory {peak:.0f} MB.",
        "",
        "| part | ms a network: median of blocks, quartiles |",
        "|---|---|",
        *(f"| {name} | {quartiles(1e3 * np.array(held) / sizes)} |" for name, held in parts.items()),
    ]
    return "\n".join(lines)


def quartiles(values: np.ndarray) -> str:
    """Spell the median and the quartiles."""
    low, middle, high = np.quantile(values, (0.25, 0.5, 0.75))
    return f"{middle:.2f} ({low:.2f} to {high:.2f})"


if __name__ == "__main__":
    main()
