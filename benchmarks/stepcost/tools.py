"""All that is timed, by name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from stepcost import floor, others, ours
from stepcost.base import Plain

TORCH = {"ACTDIAG_KERNEL": "0"}
"""The environment in which actdiag's statistics take the torch path."""


@dataclass(frozen=True)
class Tool:
    """A tool and how the table names it.

    Attributes:
        title: for the reader.
        kind: makes it from a workload and a model.
        environment: of the process in which it is measured.
    """

    title: str
    kind: type[Plain]
    environment: Mapping[str, str] = field(default_factory=dict)


TOOLS = {
    "plain": Tool("self-check: no tool", Plain),
    "floor": Tool("the same hooks and function mode, doing nothing", floor.Floor),
    "activations": Tool('actdiag, `tensors="activations"`', ours.Activations),
    "activations-torch": Tool('actdiag, `tensors="activations"`, torch path', ours.Activations, TORCH),
    "actdiag": Tool("actdiag, default", ours.Attached),
    "actdiag-torch": Tool("actdiag, default, torch path", ours.Attached, TORCH),
    "every10": Tool("actdiag, default, `every=10`", ours.Every),
    "activations10": Tool('actdiag, `tensors="activations"`, `every=10`', ours.EveryActivations),
    "passive": Tool("actdiag, default, `passive=True`", ours.Passive),
    "hand": Tool("hand-written hook, activations", others.HandWritten),
    "hand-all": Tool("hand-written hook, every output", others.HandWrittenAll),
    "fastai": Tool("fastai-style hooks, activations", others.FastaiStyle),
    "tensorboard": Tool("TensorBoard `add_histogram`, activations", others.TensorBoard),
    "wandb": Tool('`wandb.watch(log="all")`, offline: parameters', others.WandbWatch),
    "torchlens": Tool("torchlens `trace`, every operation, no statistics", others.TorchLens),
}
