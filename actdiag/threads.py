"""The surroundings that torch computes in, whatever they are outside: one thread, torch's own settings."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import torch
from torch.overrides import _pop_mode_temporarily


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
def as_specified() -> Iterator[None]:
    """Compute as a spec says: graphs are recorded, and no default or mode of the caller's has a say.

    Those are the default dtype and device, autocast, and function modes.
    """
    dtype = torch.get_default_dtype()
    with ExitStack() as stack:
        for _ in range(torch._C._len_torch_function_stack()):
            stack.enter_context(_pop_mode_temporarily())
        for device in filter(torch.is_autocast_enabled, ("cpu", "cuda")):
            stack.enter_context(torch.autocast(device, enabled=False))
        stack.enter_context(torch.inference_mode(False))
        stack.enter_context(torch.enable_grad())
        stack.callback(torch.set_default_dtype, dtype)
        torch.set_default_dtype(torch.float32)
        yield
