"""The cells of the grid, and the split of them that was made before any threshold was set."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from actdiag.types import RunSpec

ACTIVATIONS = (
    "linear",
    "step",
    "sigmoid",
    "tanh",
    "relu",
    "leaky_relu",
    "vlrelu",
    "prelu",
    "elu",
    "selu",
    "gelu",
    "silu",
    "softplus",
    "softsign",
    "hardtanh",
    "mish",
    "maxout",
)
CLASSES: dict[str, tuple[tuple[str, float | None], ...]] = {
    "0": (("zeros", None),),
    "1e-4": (("normal:0.01", None),),
    "0.05^2/3": (("uniform:0.05", None),),
    "1e-2": (("normal:0.1", None),),
    "1": (("normal:1", None),),
    "1/3": (("uniform:1", None),),
    "1/(3 fan_in)": (("torch_default", None),),
    "1/(4 fan_in)": (("lecun_normal", 0.5),),
    "1/fan_in": (("xavier", None), ("orthogonal", None)),
    "2/fan_in": (("he", None), ("orthogonal_he", None)),
    "4/fan_in": (("lecun_normal", 2.0),),
    "9/fan_in": (("lecun_normal", 3.0),),
    "lsuv": (("lsuv", None),),
}
"""Initialisers (name, gain) by the variance they give a weight."""
EASY = ("0", "1e-4", "1", "1/3")
"""What any rule tells: zeros, normal:0.01, normal:1 and uniform:1. The hard subset leaves them out."""
DEPTHS, WIDTH, WIDE = (4, 12, 30), 64, 128
SEEDS = (0, 1, 2)
DIGITS, WAVES = "digits", "calibration.waves:waves"
SPLIT = Path(__file__).with_name("split.json")


@dataclass(frozen=True)
class Cell:
    """A network up to its seed, and the pair (activation, variance class) that decides its side."""

    spec: RunSpec
    variance: str
    held: bool

    @property
    def cluster(self) -> tuple[str, str, int]:
        """Return what the bootstrap draws: (activation, variance class, depth)."""
        return self.spec.act, self.variance, self.spec.depth

    @property
    def family(self) -> str:
        """Return the kind of network: plain, wide, batch norm, layer norm, or on the held data."""
        if self.spec.data != DIGITS:
            return "second data set"
        return (
            f"{self.spec.norm} norm"
            if self.spec.norm != "none"
            else "wide"
            if self.spec.width == WIDE
            else "plain"
        )


def draw_split() -> dict[str, list[str]]:
    """Draw what is held out: four activations and three variance classes, by a fixed seed."""
    generator = random.Random(5)
    return {
        "activations": sorted(generator.sample(ACTIVATIONS, 4)),
        "variances": sorted(generator.sample(tuple(CLASSES), 3)),
        "data": [WAVES],
    }


def cells() -> tuple[Cell, ...]:
    """Return the whole grid.

    Each pair on the digits at depth 4 and 12 and, drawn by a fixed seed, half of them at depth 30, a fifth of
    them wider and a third with either norm. On the second data set half of the held pairs, and none of the
    others, so that no pair is on both sides.
    """
    return tuple(_cells(json.loads(SPLIT.read_text(encoding="utf-8"))))


def _cells(split: dict[str, list[str]]) -> Iterator[Cell]:
    generator = random.Random(6)
    for act in ACTIVATIONS:
        for variance, initialisers in CLASSES.items():
            held = act in split["activations"] or variance in split["variances"]
            for init, gain in initialisers:
                start = RunSpec(act=act, init=init, gain=gain, data=DIGITS, width=WIDTH)
                yield from (Cell(spec, variance, held) for spec in _variants(start, held, generator))


def _variants(start: RunSpec, held: bool, generator: random.Random) -> Iterator[RunSpec]:
    """Yield a pair's networks; as many numbers are drawn for every pair, whatever becomes of them."""
    deep, wide, batch, layer, other = (generator.random() for _ in range(5))
    depths = [generator.choice(DEPTHS) for _ in range(3)]
    yield from (replace(start, depth=depth) for depth in DEPTHS if depth < DEPTHS[-1] or deep < 1 / 2)
    if wide < 1 / 5:
        yield replace(start, depth=12, width=WIDE)
    if batch < 1 / 3:
        yield replace(start, depth=depths[0], norm="batch")
    if layer < 1 / 3:
        yield replace(start, depth=depths[1], norm="layer")
    if held and other < 1 / 2:
        yield replace(start, depth=depths[2], data=WAVES)
