"""Cells without hooks: the very rows, modules, facts and arrays that a scan records."""

from __future__ import annotations

import pickle
from collections.abc import Sequence
from dataclasses import replace
from itertools import product
from typing import Any

import pytest
import torch

from actdiag.activations import ACTIVATIONS
from actdiag.comparing import cells
from actdiag.comparing.cells import assemble, run_cells
from actdiag.comparing.grid import LEFT_OUT, NUMBERS
from actdiag.initialisers import INITIALISERS
from actdiag.models import build, draw
from actdiag.recording import Recording, concatenate
from actdiag.scanning import scan
from actdiag.types import RunSpec

INITS = [NUMBERS.get(name, name) for name in INITIALISERS if name != LEFT_OUT] + ["constant:0.1"]
NORMS = [("none", "before"), *product(("batch", "layer"), ("before", "after"))]
SMALL = RunSpec(depth=2, width=12, batch=8)


@pytest.fixture(autouse=True)
def fresh(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let every test begin without structures that other tests left."""
    monkeypatch.setattr(cells, "_STRUCTURES", {})


def check(specs: Sequence[RunSpec]) -> Recording:
    """Check that cells are what separate scans are, in every number, type and word; return them."""
    found, expected = assemble(list(run_cells(specs))), concatenate([scan(spec) for spec in specs])
    assert found.meta == expected.meta
    assert list(found.meta["runs"]) == list(expected.meta["runs"])
    for mine, theirs in ((found.rows, expected.rows), (found.modules, expected.modules)):
        assert mine.dtypes.equals(theirs.dtypes)
        assert mine.equals(theirs)
    assert found == expected
    return found


@pytest.mark.parametrize("act", ACTIVATIONS)
def test_every_initialiser_is_measured_as_by_a_scan(act: str) -> None:
    check([replace(SMALL, act=act, init=init, seed=seed) for init in INITS for seed in (0, 1)])


@pytest.mark.parametrize("dtype", ["float32", "float64", "bfloat16"])
@pytest.mark.parametrize("act", ["relu", "tanh", "step", "maxout"])
def test_every_structure_is_measured_as_by_a_scan(act: str, dtype: str) -> None:
    check(
        [
            replace(SMALL, act=act, norm=norm, norm_place=place, residual=residual, dtype=dtype, seed=seed)
            for (norm, place), residual, seed in product(NORMS, (False, True), (0, 1))
        ]
    )


@pytest.mark.parametrize("loss", ["cross_entropy", "mse", "hinge"])
def test_every_loss_and_dropout_are_measured_as_by_a_scan(loss: str) -> None:
    check([replace(SMALL, loss=loss, dropout=p, seed=seed) for p in (0.0, 0.3) for seed in (0, 1)])


EDGES: dict[str, dict[str, Any]] = {
    "a perceptron": {"depth": 0},
    "one layer": {"depth": 1},
    "one unit": {"width": 1},
    "one sample": {"batch": 1},
    "other features": {"features": 5, "residual": True},
    "few classes": {"classes": 2},
    "a bias": {"bias": 0.3},
    "a gain": {"gain": 2.0, "init": "he"},
    "nothing finite": {"init": "normal:1e30", "act": "relu", "depth": 4},
    "everything zero": {"init": "zeros", "act": "relu"},
    "slopes with many digits": {"act": "elu:0.123456789"},
    "another slope": {"act": "prelu:0.3"},
}


@pytest.mark.parametrize("name", EDGES)
def test_edges_are_measured_as_by_a_scan(name: str) -> None:
    check([replace(SMALL, **EDGES[name], seed=seed) for seed in (0, 1, 2)])


def test_data_of_the_users_own_are_measured_as_by_a_scan() -> None:
    data = "comparing.test_cells:samples"
    recording = check([replace(SMALL, data=data, seed=seed, batch=64) for seed in (0, 1)])
    assert all("has 30 samples" in facts["notes"][0] for facts in recording.meta["runs"].values())


def samples() -> tuple[torch.Tensor, torch.Tensor]:
    """Return inputs (30, 4) and three classes."""
    return torch.randn(30, 4, generator=torch.Generator().manual_seed(5)), torch.arange(30) % 3


def test_only_the_first_of_a_structure_is_recorded_with_hooks(monkeypatch: pytest.MonkeyPatch) -> None:
    scanned: list[RunSpec] = []

    def counted(spec: RunSpec) -> Recording:
        scanned.append(spec)
        return scan(spec)

    monkeypatch.setattr(cells, "scan", counted)
    specs = [
        replace(SMALL, act=act, init=init, bias=bias, seed=seed)
        for act, init, bias, seed in product(("tanh", "relu"), ("he", "lsuv"), (None, 0.1), (0, 1))
    ]
    for _ in range(2):
        assert len(list(run_cells(specs))) == len(specs)
    assert scanned == [specs[0], specs[8]]


def test_a_cell_that_raises_leaves_its_neighbours_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    specs = [replace(SMALL, seed=seed) for seed in range(5)]

    def drawn(model: Any, spec: RunSpec, *rest: Any) -> None:
        draw(model, spec, *rest)
        if spec.seed == 3:
            raise ValueError("no luck\ntoday")

    monkeypatch.setattr(cells, "draw", drawn)
    found = assemble(list(run_cells(specs)))
    assert found.meta["runs"][specs[3].slug]["error"] == "ValueError: no luck today"
    others = [spec for spec in specs if spec.seed != 3]
    assert found.rows.equals(concatenate([scan(spec) for spec in others]).rows)
    assert found.of(specs[3].slug).rows.empty


def test_finished_cells_travel_between_processes() -> None:
    specs = [replace(SMALL, act=act, seed=seed) for act in ("tanh", "relu") for seed in (0, 1, 2)]
    parts = list(run_cells(specs))
    sent = pickle.dumps(parts)
    assert assemble(pickle.loads(sent)) == assemble(parts)
    dense = sum(4096 * 8 * len(part.tables[0]) for part in parts)
    assert len(sent) < dense / 20


@pytest.mark.parametrize("init", INITS)
def test_weights_drawn_anew_are_those_of_a_new_network(init: str) -> None:
    inputs = torch.randn(8, 12, generator=torch.Generator().manual_seed(0))
    spec = replace(SMALL, init=init, seed=4, dropout=0.2, norm="batch")
    before = torch.random.get_rng_state()
    model = build(replace(SMALL, seed=9, dropout=0.2, norm="batch"), 1.0, inputs, 10)
    draw(model, spec, 1.0, inputs)
    expected = dict(build(spec, 1.0, inputs, 10).named_parameters())
    for name, parameter in model.named_parameters():
        assert torch.equal(parameter, expected[name]), name
    assert torch.equal(torch.random.get_rng_state(), before)
