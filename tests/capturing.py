"""Recording a model for the tests of capture."""

from __future__ import annotations

import torch
from torch import nn

from actdiag import attach
from actdiag.recording import Recording


def record(model: nn.Module, x: torch.Tensor) -> Recording:
    with attach(model) as recorder:
        model(x).square().mean().backward()
        recorder.step()
    return recorder.recording()


def row(recording: Recording, module: str, tensor: str) -> dict[str, float]:
    rows = recording.rows
    own = (rows["source"] == "measured") & (rows["module"] == module)
    found = rows[own & (rows["tensor"] == tensor)]
    assert len(found) == 1, (module, tensor, len(found))
    return found.iloc[0].to_dict()
