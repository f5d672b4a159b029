"""Healthy controls: networks that train never get an error, whatever the seed."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from actdiag import RunSpec, check, diagnose, scan
from actdiag.examples import batches, healthy
from actdiag.types import Severity

SEEDS = 20
CONTROLS = {
    "He and ReLU": RunSpec(depth=30, act="relu", init="he"),
    "residual, LayerNorm": RunSpec(depth=50, width=128, act="relu", init="he", residual=True, norm="layer"),
    "residual, tanh": RunSpec(depth=50, width=128, residual=True),
    "BatchNorm": RunSpec(depth=30, width=128, act="relu", init="he", norm="batch"),
    "tanh": RunSpec(depth=20, width=128),
    "SELU": RunSpec(depth=50, width=128, act="selu", init="lecun_normal"),
}


@pytest.mark.parametrize("name", CONTROLS)
def test_a_network_that_trains_gets_no_error(name: str) -> None:
    """Ten seeds on normal data, ten on the digits."""
    for seed in range(SEEDS):
        data = "digits" if seed % 2 else "gaussian"
        diagnosis = diagnose(scan(replace(CONTROLS[name], seed=500 + seed, data=data)))
        assert diagnosis.worst is not Severity.ERROR, (seed, str(diagnosis))


def test_a_head_at_zero_gets_no_error() -> None:
    for seed in range(SEEDS):
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            model = healthy()
            torch.nn.init.zeros_(model.get_submodule("head").weight)
            diagnosis = check(model, *batches())
        assert diagnosis.worst is not Severity.ERROR, (seed, str(diagnosis))
