"""Capture under DDP, FSDP2 and DataParallel: every rank records its own, and training stays what it was."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import actdiag
from models.distributed_worker import STEPS
from models.plainly import Net, Site, assert_row, assert_rows, hooks_of, notes, rows_of, state, truth

RANKS = (0, 1)
ATTACHED = ("wrapper", "inner")
WEIGHTS = ("first", "hidden", "head")
Results = dict[str, list[dict[str, Any]]]
"""Variant -> what came of it on each rank."""


def start(kind: str, rank: int, folder: Path) -> subprocess.Popen[str]:
    tests, package = Path(__file__).parents[1], Path(actdiag.__file__).parents[1]
    words = [kind, str(rank), str(folder / "rendezvous"), str(folder / f"{rank}.pt")]
    return subprocess.Popen(
        [sys.executable, "-m", "models.distributed_worker", *words],
        env={**os.environ, "PYTHONPATH": os.pathsep.join((str(package), str(tests)))},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )


def run_both(kind: str, folder: Path) -> None:
    """Wait for both ranks; a rank that fails or hangs takes the other with it."""
    workers = [start(kind, rank, folder) for rank in RANKS]
    try:
        for rank, worker in enumerate(workers):
            _, errors = worker.communicate(timeout=150)
            assert worker.returncode == 0, f"rank {rank}: {errors[-3000:]}"
    finally:
        for worker in workers:
            worker.kill()
            worker.communicate()


@pytest.fixture(scope="module", params=["ddp", "fsdp2"])
def results(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Results:
    folder = tmp_path_factory.mktemp(request.param)
    run_both(request.param, folder)
    ranks = [torch.load(folder / f"{rank}.pt", weights_only=False) for rank in RANKS]
    return {"kind": request.param, **{variant: [rank[variant] for rank in ranks] for variant in ranks[0]}}


@pytest.mark.parametrize("variant", [*ATTACHED, "rank 0 alone"])
def test_each_rank_trains_bit_for_bit_as_without(results: Results, variant: str) -> None:
    """Where rank 0 attaches alone, a collective in a hook or in `step` would pair with the wrong one."""
    for rank in RANKS:
        plain, attached = results["plain"][rank]["states"], results[variant][rank]["states"]
        for step, (one, other) in enumerate(zip(plain, attached, strict=True)):
            for part in one:
                assert other[part] == one[part], (rank, step, part)


def test_the_ranks_really_had_batches_of_their_own(results: Results) -> None:
    one, other = (results["plain"][rank] for rank in RANKS)
    assert one["states"][0]["gradients"] == other["states"][0]["gradients"] or results["kind"] == "fsdp2"
    assert one["states"][0]["outputs"] != other["states"][0]["outputs"]


@pytest.mark.parametrize("step", range(len(STEPS)))
@pytest.mark.parametrize("rank", RANKS)
def test_tensors_are_those_of_the_ranks_own_batch(results: Results, rank: int, step: int) -> None:
    expected = joined(results["plain"][rank]["truth"][step])
    ddp = results["kind"] == "ddp"
    assert_rows(results["wrapper"][rank]["recording"], expected, "module" if ddp else "", step=step)
    inner = results["inner"][rank]["recording"]
    if ddp:
        assert_rows(inner, expected, step=step)
    else:
        for tensor in ("preactivation", "preactivation_grad"):
            assert_row(inner, "", tensor, expected["first", tensor], step=step)


@pytest.mark.parametrize("step", range(len(STEPS)))
@pytest.mark.parametrize("rank", RANKS)
def test_weight_gradients_are_those_after_the_reduction(results: Results, rank: int, step: int) -> None:
    """DDP averages over the ranks, FSDP2 leaves each rank its own shard of that average."""
    truths = [results["plain"][other]["truth"][step] for other in RANKS]
    prefix = "module." if results["kind"] == "ddp" else ""
    for name in WEIGHTS:
        weight = truths[rank][0][name, "weight"]
        gradient = sum(part[name, "weight_grad"] for parts in truths for part in parts) / len(RANKS)
        if results["kind"] == "fsdp2":
            weight, gradient = (whole.chunk(len(RANKS))[rank] for whole in (weight, gradient))
        recording = results["wrapper"][rank]["recording"]
        assert_row(recording, prefix + name, "weight", weight, step=step)
        assert_row(recording, prefix + name, "weight_grad", gradient, step=step)


@pytest.mark.parametrize("variant", ATTACHED)
def test_micro_batches_are_one_row(results: Results, variant: str) -> None:
    module = {
        "ddp": {"wrapper": "module.first", "inner": "first"},
        "fsdp2": {"wrapper": "first", "inner": ""},
    }
    for rank in RANKS:
        recording = results[variant][rank]["recording"]
        rows = rows_of(recording, module[results["kind"]][variant], "preactivation")
        assert rows["samples"].tolist() == [sum(sizes) for sizes in STEPS]


def test_a_note_says_whose_the_shards_are(results: Results) -> None:
    for variant in ATTACHED:
        for rank in RANKS:
            text = notes(results[variant][rank]["recording"])
            assert ("rank's own" in text) == (results["kind"] == "fsdp2"), text


def test_no_hook_stays_behind(results: Results) -> None:
    for variant in [*ATTACHED, "rank 0 alone"]:
        for rank in RANKS:
            before, after = results[variant][rank]["hooks"]
            assert after == before


def joined(truths: list[dict[Site, torch.Tensor]]) -> dict[Site, torch.Tensor]:
    """Return the tensors of all micro-batches as one, without the weights."""
    sites = [site for site in truths[0] if not site[1].startswith("weight")]
    return {site: torch.cat([part[site] for part in truths]) for site in sites}


def parallel(observe: str) -> tuple[dict[str, Any], Any, dict[Site, torch.Tensor]]:
    torch.manual_seed(0)
    net = Net()
    model = nn.DataParallel(net)
    x = torch.randn(9, 6)
    expected = truth(net, x)
    recorder = actdiag.attach(model if observe == "wrapper" else net) if observe else None
    loss = model(x).square().mean()
    loss.backward()
    if recorder is not None:
        recorder.step()
        recorder.detach()
    assert not hooks_of(model)
    return state(model, loss), recorder and recorder.recording(), expected


@pytest.mark.parametrize(("observe", "prefix"), [("wrapper", "module"), ("inner", "")])
def test_data_parallel_on_the_cpu_is_observed_inside(observe: str, prefix: str) -> None:
    plain, _, expected = parallel("")
    attached, recording, _ = parallel(observe)
    assert attached == plain
    assert_rows(recording, expected, prefix)
