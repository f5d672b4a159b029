"""Recordings of several networks made by hand, for the tests of what compares them: no torch."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any

from fake_recording import Floats, simulate

from actdiag.recording import Recording, concatenate
from actdiag.types import RunSpec

SIGMAS = {"normal:0.01": 0.1, "xavier": 1.0, "he": 1.4}
"""How large the weights are that stand for an initialiser's."""
Arrays = tuple[list[Floats], list[Floats]]


def networks(
    acts: Sequence[str] = ("tanh", "relu"),
    inits: Sequence[str] = ("normal:0.01", "xavier", "he"),
    depths: Sequence[int] = (4,),
    seeds: Iterable[int] = (0,),
    **spec: Any,
) -> tuple[Recording, dict[str, Arrays]]:
    """Return the recording of a grid and, by run, its activations and preactivation gradients."""
    cells = [(depth, act, init, seed) for depth in depths for act in acts for init in inits for seed in seeds]
    made = [
        simulate(depth, SIGMAS.get(init, 1.0), act, seed=seed, init=init, **{**_resolved(init), **spec})
        for depth, act, init, seed in cells
    ]
    arrays = {recording.runs[0]: (signal, gradients) for recording, signal, gradients in made}
    return concatenate([recording for recording, _, _ in made]), arrays


def _resolved(init: str) -> dict[str, Any]:
    """Return what a run of the tool would have filled in."""
    return {"gain": None if ":" in init else 1.0, "classes": 10}


def with_facts(recording: Recording, run: str, **changes: Any) -> Recording:
    """Return the recording with facts of one run changed."""
    runs = recording.meta["runs"]
    return replace(recording, meta={**recording.meta, "runs": {**runs, run: {**runs[run], **changes}}})


def with_failed(recording: Recording, error: str, **spec: Any) -> Recording:
    """Return the recording with a run more, which raised: its spec is as it was asked for."""
    asked = RunSpec(**{"width": 16, "depth": 4, **spec})
    failed: Mapping[str, Any] = {"spec": asdict(asked), "error": error}
    runs = {**recording.meta["runs"], asked.slug: failed}
    return replace(recording, meta={**recording.meta, "runs": runs})
