"""Scan: build the network a spec describes, run one batch forward and backward, record every layer."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from typing import Any

import torch

from actdiag.activations import activation
from actdiag.arguments import flag
from actdiag.batches import ModelBatch
from actdiag.capture import Recorder
from actdiag.catalogue import loss_function
from actdiag.data import Batch, load_batch
from actdiag.errors import ActdiagError, UsageError
from actdiag.footprint import grid_bytes, run_bytes
from actdiag.initialisers import initialiser
from actdiag.isometry import with_jacobian
from actdiag.memory import ALWAYS, check_fits, telling_exhaustion
from actdiag.models import build
from actdiag.predictions import predicted
from actdiag.recording import Recording
from actdiag.sources import parse_source
from actdiag.theory import resolve_gain
from actdiag.threads import as_specified
from actdiag.types import RunSpec

SMALLER = "make depth, width, batch, features or classes smaller"


@as_specified()
def scan(spec: RunSpec, *, jacobian: bool = False) -> Recording:
    """Measure a network at initialisation: one batch forward, one backward, no training.

    The global random state is left as it was.

    Args:
        spec: the network and the data.
        jacobian: measure the singular values across the hidden layers, too, for AD402.

    Raises:
        UsageError: no RunSpec, a jacobian that is neither True nor False, or more memory needed than is free.
        ActdiagError: the data cannot be read or the device is not there.

    >>> recording = scan(RunSpec(depth=2, width=16, batch=32))
    >>> recording.measured.query("tensor == 'activation'")["layer"].tolist()
    [1, 2]
    """
    if not isinstance(spec, RunSpec):
        raise UsageError(f"scan takes a RunSpec, got {spec!r}: write scan(RunSpec(...))")
    jacobian = flag("jacobian", jacobian)
    device = resolve_device(spec.device)
    check_memory(spec, device)
    with telling_exhaustion(network_name(spec), SMALLER):
        return _scanned(spec, device, jacobian)


def _scanned(spec: RunSpec, device: torch.device, jacobian: bool) -> Recording:
    """Return the recording of a spec's network, run on a device."""
    batch = load_batch(spec)
    check_measurable(spec, batch)
    check_memory(spec, device, batch)
    gain = gain_of(spec)
    dtype = getattr(torch, spec.dtype)
    model = build(spec, gain, batch.inputs.float(), batch.classes).to(device, dtype)
    inputs, targets = batch.inputs.to(device, dtype), batch.targets.to(device)
    with seeded(spec.seed, device), Recorder(model, spec.slug) as recorder:
        loss = loss_function(spec.loss)(model(inputs), targets)
        loss.backward()  # type: ignore[no-untyped-call]
        recorder.step()
    facts = {"kind": spec.loss, "reduction": "mean", "value": plain_number(loss.item())}
    notes = [batch.note] if batch.note else []
    command = f"{spec.command()}{' --jacobian' * jacobian}"
    resolved = spec_facts(spec, batch, device, gain)
    recording = predicted(recorder.recording(resolved, facts, notes, command))
    if not jacobian:
        return recording
    with seeded(spec.seed, device):
        return with_jacobian(recording, model, ModelBatch.of(inputs))


def check_memory(spec: RunSpec, device: torch.device, batch: Batch | None = None) -> None:
    """Raise where a network needs more memory than is free, before it is made.

    Args:
        spec: of the network.
        device: where it is to run.
        batch: what it is to run on; None where that is not loaded, of real data at least one sample.

    Raises:
        UsageError: it does not fit.
    """
    made = parse_source(spec.data)[0].generated
    samples, features = (spec.batch, spec.features or spec.width) if made else (1, 1)
    if batch is not None:
        samples, features = batch.inputs.shape
    classes = batch.classes if batch else spec.classes or 10
    needed = run_bytes(replace(spec, batch=samples), features, classes)
    free = torch.cuda.mem_get_info()[0] if device.type == "cuda" and needed > ALWAYS else None
    check_fits(needed, network_name(spec), SMALLER, free)


def network_name(spec: RunSpec) -> str:
    """Return the words for a network in a sentence about its size."""
    return f"a network of {spec.depth} x {spec.width} on {spec.batch} samples"


def gain_of(spec: RunSpec) -> float:
    """Return the gain in use, NaN where the initialiser has none."""
    return resolve_gain(spec.gain, activation(spec.act), initialiser(spec.init).gain)


def check_measurable(spec: RunSpec, batch: Batch) -> None:
    """Raise where the batch can give no loss or no gradient, whatever the network."""
    samples, varies = batch.inputs.shape[0], bool((batch.inputs != batch.inputs[:1]).any())
    if spec.norm == "batch" and samples < 2:
        raise UsageError("--norm batch needs at least 2 samples, got 1: raise --batch, or use --norm layer")
    if spec.loss == "cross_entropy" and batch.classes < 2:
        raise UsageError("cross_entropy needs at least 2 classes, got 1: its loss is always 0")
    if samples > 1 and not varies:
        raise UsageError(
            f"all {samples} samples of '{spec.data}' are the same: there is nothing to tell apart"
        )


def draws(spec: RunSpec, count: int) -> Iterator[RunSpec]:
    """Yield `count` specs that differ in their seed alone, from the spec's own upwards.

    Raises:
        UsageError: a seed out of range, or more recordings than memory holds.
    """
    replace(spec, seed=spec.seed + count - 1)
    check_fits(grid_bytes(count, spec.depth), f"a scan of {count} draws", "ask for fewer draws")
    return (replace(spec, seed=spec.seed + draw) for draw in range(count))


def resolve_device(name: str) -> torch.device:
    """Return the device to run on; auto is cuda, then mps, then cpu.

    Raises:
        ActdiagError: the device is not there.
    """
    there = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if name == "auto":
        name = next(device for device, present in there.items() if present)
    if not there[name]:
        raise ActdiagError(f"--device {name}: torch sees no {name} device here. Use --device cpu or auto.")
    return torch.device(name)


@contextmanager
def seeded(seed: int, device: torch.device) -> Iterator[None]:
    """Let dropout draw from `seed` within the block, and restore the outer random state after it."""
    with torch.random.fork_rng(devices=[0] if device.type == "cuda" else []):
        torch.manual_seed(seed)
        yield


def plain_number(value: float) -> float | str:
    """Return a number JSON can hold: a non-finite one as its name."""
    return value if math.isfinite(value) else str(value)


def spec_facts(spec: RunSpec, batch: Batch, device: torch.device, gain: float) -> dict[str, Any]:
    """Return the fields of a spec as they were run."""
    return {
        **asdict(spec),
        "features": batch.inputs.shape[1],
        "classes": batch.classes,
        "batch": batch.inputs.shape[0],
        "device": device.type,
        "gain": None if math.isnan(gain) else gain,
    }
