"""How many draws of a network lie within the band that theory gives its rms and its gradient's norm.

    python benchmarks/bands.py [--draws 200] [--out benchmarks/bands.md]

Every activation with three initialisers at ten layers of 64, as `actdiag.scan` builds them, on gaussian data.
Seeds start at 100,000, where no test's do. One sample alone strays as theory says; the mean over a batch
strays less where samples differ, so that more than 99% lie within.
"""

from __future__ import annotations

import argparse
import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from actdiag import RunSpec, scan
from actdiag.activations import ACTIVATIONS, activation
from actdiag.data import load_batch
from actdiag.initialisers import initialiser
from actdiag.models import Block, build
from actdiag.theory import resolve_gain

SHAPES = ((10, 64),)
INITS = ("lecun", "he", "torch_default")
FIRST_SEED = 100_000
BATCH = 64
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Count:
    """Of one tensor: draws x layers with a band, how many lie within, and the band's width.

    Attributes:
        pairs: draws times layers.
        within: how many of them lie within.
        last: share of draws within at the layer farthest from where the band starts.
        factor: upper end over lower end there; NaN where no layer has a band.
    """

    pairs: int
    within: int
    last: float
    factor: float


def main() -> None:
    """Count and print, case by case, then write the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--draws", type=int, default=200)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(1)
    began, lines = time.perf_counter(), []
    totals = {"activation": [0, 0], "preactivation_grad": [0, 0]}
    for spec in cases():
        counts = count(spec, options.draws)
        lines.append(row(spec, counts))
        print(lines[-1], flush=True)
        for tensor, found in counts.items():
            totals[tensor][0] += found.within
            totals[tensor][1] += found.pairs
    ends = [f"{name}: {a} of {b} within, {a / b:.2%}" for name, (a, b) in totals.items()]
    text = page(lines, ends, options.draws, time.perf_counter() - began)
    print(*ends, sep="\n")
    if options.out:
        options.out.write_text(text, encoding="utf-8")


def cases() -> Iterator[RunSpec]:
    """Yield what is drawn."""
    for depth, width in SHAPES:
        for act in ACTIVATIONS:
            for init in INITS:
                yield RunSpec(depth=depth, width=width, act=act, init=init, batch=BATCH, seed=FIRST_SEED)


def count(spec: RunSpec, draws: int) -> dict[str, Count]:
    """Return how many of some draws lie within the band of the first one's theory."""
    rows = scan(spec).rows
    theory = rows[rows["source"] == "theory"]
    size = float(rows.loc[rows["tensor"] == "input", "rms"].iloc[0])
    drawn = np.array([draw(replace(spec, seed=spec.seed + number), size) for number in range(draws)])
    found = {}
    for place, tensor in enumerate(("activation", "preactivation_grad")):
        band = theory[theory["tensor"] == tensor].sort_values("layer")
        found[tensor] = compare(drawn[:, place], band, first=tensor != "activation")
    return found


def compare(drawn: Floats, band: pd.DataFrame, first: bool) -> Count:
    """Count what lies within a band; `drawn` is (draws, layers), `first`: the first layer is the farthest."""
    known = np.flatnonzero(band["expected_low"].notna())
    if not known.size:
        return Count(0, 0, math.nan, math.nan)
    low, high = (band[name].to_numpy()[known] for name in ("expected_low", "expected_high"))
    inside = (drawn[:, known] >= low) & (drawn[:, known] <= high)
    end = 0 if first else -1
    return Count(inside.size, int(inside.sum()), float(inside[:, end].mean()), float(high[end] / low[end]))


def draw(spec: RunSpec, size: float) -> tuple[Floats, Floats]:
    """Return per hidden layer the activation's rms, and the gradient's over the last hidden layer's.

    Args:
        spec: the network and its seed.
        size: rms that the inputs are given.
    """
    batch = load_batch(spec)
    inputs = batch.inputs.float()
    inputs = inputs * (size / inputs.square().mean().sqrt())
    act = activation(spec.act)
    model = build(spec, resolve_gain(spec.gain, act, initialiser(spec.init).gain), inputs, batch.classes)
    h, kept, signals = inputs, [], []
    for part in model.children():
        if isinstance(part, Block):
            z = part.linear(h)
            if z.requires_grad:
                z.retain_grad()
            h = part.act(z)
            kept.append(z)
            signals.append(float(h.detach().double().square().mean().sqrt()))
        else:
            h = part(h)
    torch.nn.functional.cross_entropy(h, batch.targets).backward()  # type: ignore[no-untyped-call]
    sizes = [math.nan if z.grad is None else float(z.grad.double().square().mean().sqrt()) for z in kept]
    return np.array(signals), np.array(sizes) / (sizes[-1] or math.nan)


def row(spec: RunSpec, counts: dict[str, Count]) -> str:
    """Return a line of the table."""
    cells = [f"{spec.depth} x {spec.width}", spec.act, spec.init]
    for found in counts.values():
        share = "-" if not found.pairs else f"{found.within / found.pairs:.2%}"
        cells += [share, *(_number(value) for value in (100 * found.last, found.factor))]
    return f"| {' | '.join(cells)} |"


def _number(value: float) -> str:
    return "-" if math.isnan(value) else f"{value:.3g}"


def page(lines: Sequence[str], ends: Sequence[str], draws: int, seconds: float) -> str:
    """Return the table with its heading."""
    heads = ["network", "activation", "initialiser"]
    for what in ("rms", "gradient"):
        heads += [f"{what}: within", "farthest layer, %", "high / low there"]
    return "\n".join(
        [
            "# The band at finite width",
            "",
            f"`python benchmarks/bands.py --draws {draws} --out benchmarks/bands.md`, seeds {FIRST_SEED} to "
            f"{FIRST_SEED + draws - 1},",
            f"batch {BATCH}, {seconds:.0f} s on one core. Share of draws and layers within the 99% band; "
            "a dash: no band is known.",
            "",
            *(f"- {end}" for end in ends),
            "",
            f"| {' | '.join(heads)} |",
            f"|{'---|' * len(heads)}",
            *lines,
            "",
        ]
    )


if __name__ == "__main__":
    main()
