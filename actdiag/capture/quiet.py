"""The tool's own operations: unseen by the user's graph, modes and random state."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch.utils._python_dispatch import _disable_current_modes


@contextmanager
def untouched() -> Iterator[None]:
    """Let the tool's own operations pass unseen: no graph, no function mode, no dispatch mode."""
    with torch._C.DisableTorchFunction(), torch.no_grad():
        if torch._C._len_torch_dispatch_stack():
            with _disable_current_modes():
                yield
        else:
            yield
