"""The cells of the grid, and the split of them that was made before any threshold was set."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from dataclasses import dataclass
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
DEPTHS, WIDTH, WIDE = (4, 12, 30), 64, 160
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

    Each pair at every depth on the digits; a third of all pairs, drawn by a fixed seed, wider, and a third
    with either norm; on the second data set half of the held pairs at every depth, and none of the others,
    so that no pair is on both sides.
    """
    return tuple(_cells(json.loads(SPLIT.read_text(encoding="utf-8"))))


def _cells(split: dict[str, list[str]]) -> Iterator[Cell]:
    generator = random.Random(6)
    for act in ACTIVATIONS:
        for variance, initialisers in CLASSES.items():
            held = act in split["activations"] or variance in split["variances"]
            for init, gain in initialisers:
                facts = {"act": act, "init": init, "gain": gain, "data": DIGITS, "width": WIDTH}
                variants = [{**facts, "depth": depth} for depth in DEPTHS]
                more = {depth: generator.random() for depth in DEPTHS}
                if generator.random() < 1 / 3:
                    variants.append({**facts, "depth": 12, "width": WIDE})
                for norm in ("batch", "layer"):
                    if generator.random() < 1 / 3:
                        variants.append({**facts, "depth": generator.choice(DEPTHS), "norm": norm})
                if held:
                    variants += [
                        {**facts, "depth": depth, "data": WAVES} for depth in DEPTHS if more[depth] < 0.5
                    ]
                yield from (Cell(RunSpec(**each), variance, held) for each in variants)  # type: ignore[arg-type]
