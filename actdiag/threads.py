"""The surroundings that torch computes in, whatever they are outside: one thread, and gradients."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def one_thread() -> Iterator[None]:
    """Compute on one thread, so that sums are taken in the same order whatever the machine does besides."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@contextmanager
def with_gradients() -> Iterator[None]:
    """Record graphs, also where the caller has turned gradients off."""
    with torch.inference_mode(False), torch.enable_grad():
        yield
