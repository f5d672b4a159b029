"""Compiled models: run eagerly while somebody watches, since a warm one calls no hook at all."""

from __future__ import annotations

import sys
import threading
from typing import Any

import torch
from torch import nn

EAGER = "compiled models run eagerly while attached (differences of about 1e-6 from the compiled ones)"
PERHAPS_EAGER = "code compiled around the model runs eagerly while attached (about 1e-6 from the compiled)"
LATE = "something was compiled after attach: what of it ran before the first step() could not be seen"
_lock = threading.Lock()
_watching = 0
_stance: Any = None


def hold() -> bool:
    """Make compiled code run eagerly until `release`, as often as that was held; False without dynamo.

    Where torch._dynamo was never loaded nothing is compiled yet, and loading it takes seconds.
    """
    global _watching, _stance
    if "torch._dynamo" not in sys.modules or torch.compiler.is_compiling():
        return False
    with _lock:
        if _watching == 0:
            _stance = torch.compiler.set_stance("force_eager")
        _watching += 1
    return True


def release() -> None:
    """End one `hold`; the last one gives the stance back that was there before the first."""
    global _watching, _stance
    with _lock:
        _watching -= 1
        if _watching == 0:
            if _is_ours():
                _stance.__exit__(None, None, None)
            _stance = None


def _is_ours() -> bool:
    """Return whether the stance is still the one that was set: one of the user's own, set since, stays."""
    frames = sys.modules.get("torch._dynamo.eval_frame")
    return getattr(frames, "_stance", None) is _stance.stance


def is_compiled(module: nn.Module) -> bool:
    """Return whether a module was wrapped by torch.compile or compiled in place."""
    return type(module).__name__ == "OptimizedModule" or module._compiled_call_impl is not None


def anything_compiled() -> bool:
    """Return whether anything was compiled in this process."""
    frames = sys.modules.get("torch._dynamo.eval_frame")
    return any(map(callable, getattr(frames, "cached_backends", {}).values()))
