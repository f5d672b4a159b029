"""Recordings made by hand from numpy arrays, for the tests of what draws and reports them: no torch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from actdiag import schema
from actdiag.recording import Recording, frame
from actdiag.rules.base import Run
from actdiag.types import Diagnosis, Finding, Outcome, RunSpec, Severity

Floats = NDArray[np.float64]
FLOAT32_MAX = float(np.finfo(np.float32).max)
BLANK = {"str": "", "int64": 0, "float64": np.nan, "bool": False}


def log_counts(x: Floats) -> NDArray[np.int64]:
    """Count by sign, exponent and upper three mantissa bits."""
    kept = np.where(np.isfinite(x), np.clip(x, -FLOAT32_MAX, FLOAT32_MAX), x)
    with np.errstate(over="ignore"):
        bits = np.ascontiguousarray(kept, dtype=np.float32).view(np.uint32).ravel() >> 20
    return np.bincount(bits, minlength=4096).astype(np.int64)


def row(run: str, layer: int, module: str, tensor: str, x: Floats, **more: Any) -> dict[str, Any]:
    """Describe a tensor of shape (samples, units)."""
    good = x[np.isfinite(x)]
    numbers: dict[str, Any] = {"std_across": np.nan, "zero_fraction": float((x == 0).mean())}
    if good.size:
        numbers |= {"mean": good.mean(), "std": good.std(), "min": good.min(), "max": good.max()}
        numbers["rms"] = float(np.sqrt(np.mean(good**2)))
    if good.size == x.size:
        numbers["std_across"] = float(np.sqrt((x.std(axis=0) ** 2).mean()))
    return {
        **{name: BLANK[kind] for name, kind in schema.ROWS.items()},
        "run": run,
        "source": "measured",
        "layer": layer,
        "module": module,
        "tensor": tensor,
        "samples": x.shape[0],
        "units": x.shape[1],
        "positions": 1,
        "count": x.size,
        "nan_count": int(np.isnan(x).sum()),
        "inf_count": int(np.isinf(x).sum()),
        **numbers,
        **more,
    }


def module(run: str, name: str, kind: str, layer: int, after: str = "") -> dict[str, Any]:
    """Describe a module."""
    blank = {key: BLANK[kind] for key, kind in schema.MODULES.items()}
    return {
        **blank,
        "run": run,
        "name": name,
        "kind": kind,
        "layer": layer,
        "activation_after": after,
        "observed": True,
    }


def fake(
    activations: Sequence[Floats],
    gradients: Sequence[Floats],
    act: str = "tanh",
    bounds: tuple[float, float] | None = (-1.0, 1.0),
    run: str = "",
    **spec: Any,
) -> Recording:
    """Return the recording of a chain; `gradients` has one more entry, for the head."""
    depth = len(activations)
    resolved = replace(RunSpec(act=act, depth=depth, width=16), **{"gain": 1.0, "features": 16, **spec})
    run = run or resolved.slug
    records, arrays, modules = [], [], []
    for layer, gradient in enumerate(gradients, start=1):
        name = f"layer{layer}.linear" if layer <= depth else "head"
        modules.append(module(run, name, "product", layer, act if layer <= depth else ""))
        records.append(row(run, layer, name, "preactivation_grad", gradient))
        records.append(row(run, layer, name, "weight_grad", gradient, grad_to_weight=0.01 * layer))
        arrays += [gradient, gradient]
        if layer <= depth:
            modules.append(module(run, f"layer{layer}.act", "activation", layer))
            records.append(row(run, layer, f"layer{layer}.act", "activation", activations[layer - 1]))
            arrays.append(activations[layer - 1])
    linear = {
        index: np.histogram(arrays[index], 128, bounds)[0]
        for index, record in enumerate(records)
        if bounds is not None and record["tensor"] == "activation"
    }
    facts = {
        "spec": asdict(resolved),
        "loss": {"kind": "cross_entropy", "value": 2.3, "reduction": "mean"},
        "notes": [],
        "command": "actdiag scan --depth 4 --width 16 --act tanh --init xavier",
    }
    return Recording(
        frame(records, schema.ROWS),
        frame(modules, schema.MODULES),
        {index: log_counts(x) for index, x in enumerate(arrays)},
        linear,
        {},
        {"schema": schema.VERSION, "actdiag": "0.1.0", "torch": "2.13.0", "runs": {run: facts}},
    )


def simulate(
    depth: int, sigma: float = 1.0, act: str = "tanh", width: int = 16, seed: int = 0, **spec: Any
) -> tuple[Recording, list[Floats], list[Floats]]:
    """Run a small network forward and backward in numpy: recording, activations, preactivation gradients."""
    random = np.random.default_rng(seed)
    phi, slope = FUNCTIONS[act]
    x = random.standard_normal((64, width))
    zs, xs = [], [x]
    weights = [random.normal(0.0, sigma / np.sqrt(width), (width, width)) for _ in range(depth)]
    for weight in weights:
        zs.append(xs[-1] @ weight.T)
        xs.append(phi(zs[-1]))
    gradients = [random.standard_normal((64, width)) / 64]
    above = random.normal(0.0, 1.0 / np.sqrt(width), (width, width))
    for weight, z in zip(reversed(weights), reversed(zs), strict=True):
        gradients.insert(0, (gradients[0] @ above) * slope(z))
        above = weight
    bounds = (-1.0, 1.0) if act == "tanh" else None
    return fake(xs[1:], gradients, act, bounds, seed=seed, **spec), xs[1:], gradients


LONG = "encoder.block_{0}.a_name_of_many_words.projection_{0}_inner"
"""A module's name, with its number for {0}: more than 40 characters."""


def attached(
    depth: int, run: str = "resnet", name: str = LONG, gaps: Sequence[dict[str, Any]] = ()
) -> Recording:
    """Return the recording of a model of the user's own: long names, and modules that were not observed."""
    recording, _, _ = simulate(depth)
    names = {old: name.format(number) for number, old in enumerate(recording.modules["name"])}
    unseen = [
        {**module(run, f"gap{number}", "other", 0), "observed": False, "reason": "not called", **gap}
        for number, gap in enumerate(gaps)
    ]
    modules = recording.modules.assign(run=run, name=recording.modules["name"].map(names))
    products = modules.loc[modules["kind"] == "product", "name"]
    modules["follows"] = modules["name"].map(dict(zip(products[1:], products[:-1], strict=True))).fillna("")
    return replace(
        recording,
        rows=recording.rows.assign(run=run, module=recording.rows["module"].map(names)),
        modules=frame([*modules.to_dict("records"), *unseen], schema.MODULES),
        meta={**recording.meta, "runs": {run: {"spec": None, "loss": {}, "notes": [], "command": ""}}},
    )


FUNCTIONS: dict[str, tuple[Callable[[Floats], Floats], Callable[[Floats], Floats]]] = {
    "tanh": (np.tanh, lambda z: 1.0 - np.tanh(z) ** 2),
    "relu": (lambda z: np.maximum(z, 0.0), lambda z: (z > 0).astype(np.float64)),
}


def finding(run: str, severity: Severity = Severity.ERROR, **changes: Any) -> Finding:
    """Return a finding with everything in it."""
    evidence = {
        "measured": 3.1e7,
        "expected": 1.0,
        "threshold": 1000.0,
        "threshold_source": "calibration on 220 networks",
    }
    given = Finding(
        "AD101",
        "vanishing-gradient",
        severity,
        run,
        (1, 2, 3),
        ("layer1.linear", "layer2.linear", "layer3.linear"),
        "The gradient shrinks from the last layer to the first.",
        evidence,
        "Use --init xavier.",
    )
    return replace(given, **changes)


def first_run(recording: Recording) -> Run:
    """Return a recording's first run, as the figures take it."""
    return Run.of(recording, recording.runs[0])


def diagnosis(recording: Recording, *findings: Finding) -> Diagnosis:
    """Return a diagnosis with two rules passed and one skipped in every run."""
    names = {"AD102": "exploding-gradient", "AD301": "symmetric-weights"}
    passed = tuple(Outcome(code, name, run) for code, name in names.items() for run in recording.runs)
    skipped = tuple(
        Outcome("AD204", "saturated-units", run, "relu is not bounded on both sides")
        for run in recording.runs
    )
    return Diagnosis(recording.runs, findings, passed, skipped)


def called(name: str, recording: Recording) -> Recording:
    """Return a recording of one run under another name, as of somebody's own model."""
    facts = dict(next(iter(recording.meta["runs"].values())), spec=None)
    return Recording(
        recording.rows.assign(run=name),
        recording.modules.assign(run=name),
        recording.histograms,
        recording.linear,
        {},
        {**recording.meta, "runs": {name: facts}},
    )
