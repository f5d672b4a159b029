"""Comparisons made by hand from numpy networks, for the tests of what draws them: no torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
from fake_recording import Floats, diagnosis, finding, simulate

from actdiag.comparisons import Comparison
from actdiag.recording import Recording, concatenate
from actdiag.types import Diagnosis

SIGMAS = {"he": 1.4, "normal:0.01": 0.05}


class Net(NamedTuple):
    """A network's name in the recording, and its tensors by layer."""

    run: str
    activations: list[Floats]
    gradients: list[Floats]

    @property
    def rms(self) -> list[float]:
        """Return the activations' sizes."""
        return [float(np.sqrt((x**2).mean())) for x in self.activations]

    @property
    def norms(self) -> list[float]:
        """Return the sizes of a sample's gradient, the head's last."""
        return [float(np.sqrt((g**2).sum(axis=1).mean())) for g in self.gradients]


def net(act: str, init: str, depth: int = 4, seed: int = 0, **spec: Any) -> tuple[Recording, Net]:
    """Return a network's recording, with its depth in the rows, and its tensors."""
    spec = {"gain": None, **spec} if ":" in init else spec
    recording, xs, gs = simulate(depth, SIGMAS.get(init, 1.0), act, init=init, seed=seed, **spec)
    return replace(recording, rows=recording.rows.assign(depth=depth)), Net(recording.runs[0], xs, gs)


def grid(
    acts: tuple[str, ...] = ("tanh", "relu"),
    inits: tuple[str, ...] = ("xavier", "normal:0.01"),
    depths: tuple[int, ...] = (4,),
) -> tuple[Recording, Diagnosis, Mapping[tuple[str, str, int], Net]]:
    """Return a grid; what starts with N(0, 0.01^2) does not train."""
    made = {(act, init, d): net(act, init, d) for d in depths for act in acts for init in inits}
    recording = concatenate([recording for recording, _ in made.values()])
    bad = [finding(known.run) for (_, init, _), (_, known) in made.items() if init == "normal:0.01"]
    return recording, diagnosis(recording, *bad), {key: known for key, (_, known) in made.items()}


def failing(recording: Recording, act: str, init: str, error: str) -> Recording:
    """Return the recording with one network more, which could not be run."""
    spec = {
        **next(iter(recording.meta["runs"].values()))["spec"],
        "act": act,
        "init": init,
        "gain": None,
        "features": None,
    }
    runs = {**recording.meta["runs"], "broken": {"spec": spec, "error": error}}
    return replace(recording, meta={**recording.meta, "runs": runs})


def compared(*args: Any, **options: Any) -> Comparison:
    """Return a grid as a comparison."""
    recording, verdicts, _ = grid(*args, **options)
    return Comparison(recording, verdicts)
