"""One of two processes of test_distributed: trains plainly and attached, and keeps what came of it.

python -m models.distributed_worker KIND RANK RENDEZVOUS OUT
"""

from __future__ import annotations

import sys
from contextlib import AbstractContextManager, nullcontext
from datetime import timedelta
from typing import Any

import torch
from torch import distributed, nn
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor
from torch.nn.parallel import DistributedDataParallel

from actdiag import attach
from models.plainly import Net, hooks_of, state, truth

STEPS: tuple[tuple[int, ...], ...] = ((5,), (7, 3))
"""The sizes of the micro-batches of each step; all but a step's last run under DDP's `no_sync`."""


def wrap(kind: str, net: Net) -> nn.Module:
    """Return the model as DDP or FSDP2 wants it."""
    if kind == "ddp":
        return DistributedDataParallel(net)
    for part in (net.first, net.hidden, net.head, net):
        fully_shard(part)
    return net


def target(variant: str, model: nn.Module, rank: int) -> nn.Module | None:
    """Return what this rank attaches to."""
    if variant == "plain" or (variant == "rank 0 alone" and rank != 0):
        return None
    if variant == "inner":
        return model.module if isinstance(model, DistributedDataParallel) else model.get_submodule("first")
    return model


def replica(model: nn.Module) -> Net:
    """Return a plain net with the whole parameters; every rank has to call it."""
    random, net = torch.get_rng_state(), Net()
    values = {
        name.removeprefix("module."): value.full_tensor() if isinstance(value, DTensor) else value
        for name, value in model.state_dict().items()
    }
    net.load_state_dict(values)
    torch.set_rng_state(random)
    return net


def pause(model: nn.Module, last: bool) -> AbstractContextManager[Any]:
    """Return the context of a micro-batch: DDP reduces with the last one only."""
    plain = last or not isinstance(model, DistributedDataParallel)
    return nullcontext() if plain else model.no_sync()


def train(kind: str, variant: str, rank: int) -> dict[str, Any]:
    """Train from the same seeds; plainly also say what every tensor should be."""
    torch.manual_seed(0)
    model = wrap(kind, Net())
    torch.manual_seed(100 + rank)
    optimiser = torch.optim.SGD(model.parameters(), lr=0.1)
    chosen, before = target(variant, model, rank), hooks_of(model)
    recorder = None if chosen is None else attach(chosen)
    states, expected = [], []
    for sizes in STEPS:
        optimiser.zero_grad()
        losses, truths = [], []
        for index, size in enumerate(sizes):
            x = torch.randn(size, 6)
            if variant == "plain":
                truths.append(truth(replica(model), x))
            with pause(model, index == len(sizes) - 1):
                loss = model(x).square().mean()
                loss.backward()
            losses.append(loss)
        if recorder is not None:
            recorder.step()
        optimiser.step()
        states.append(state(model, *losses))
        expected.append(truths)
    if recorder is not None:
        recorder.detach()
    return {
        "states": states,
        "truth": expected,
        "hooks": (before, hooks_of(model)),
        "recording": None if recorder is None else recorder.recording(),
    }


def main(kind: str, rank: str, rendezvous: str, out: str) -> None:
    """Run every variant and save what came of it."""
    distributed.init_process_group(
        "gloo",
        init_method=f"file://{rendezvous}",
        rank=int(rank),
        world_size=2,
        timeout=timedelta(seconds=60),
    )
    variants = ("plain", "wrapper", "inner", "rank 0 alone")
    torch.save({variant: train(kind, variant, int(rank)) for variant in variants}, out)
    distributed.destroy_process_group()


if __name__ == "__main__":
    main(*sys.argv[1:])
