"""Modules that no hook can see, and why."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import nn
from torch.nn.parameter import UninitializedParameter

from actdiag.capture.outputs import local, obstacle
from actdiag.capture.stance import is_compiled

SCRIPTED = "TorchScript: it runs inside a graph that calls no hook"
COMPILED = "passive: it runs inside a compiled model"
FAST = "passive: hooks inside a Transformer layer would switch its fast path off"


def reason(name: str, module: nn.Module, modules: Mapping[str, nn.Module], passive: bool) -> str:
    """Return why a module is not hooked, "" where it is."""
    inside = [modules[above] for above in _above(name) if above in modules]
    if isinstance(module, torch.jit.ScriptModule) or any(
        isinstance(above, torch.jit.ScriptModule) for above in inside
    ):
        return SCRIPTED
    if not passive:
        return ""
    if module._compiled_call_impl is not None or any(map(is_compiled, inside)):
        return COMPILED
    if isinstance(module, nn.TransformerEncoderLayer) or any(
        isinstance(above, nn.TransformerEncoderLayer) for above in inside
    ):
        return FAST
    return ""


def _above(name: str) -> list[str]:
    """Return the names of the modules that a module lies in, the model itself included."""
    parts = name.split(".") if name else []
    return [".".join(parts[:length]) for length in range(len(parts))]


def without_values(parameter: nn.Parameter) -> bool:
    """Return whether a parameter cannot be measured: not materialised, on the meta device, quantised."""
    return isinstance(parameter, UninitializedParameter) or bool(obstacle(local(parameter.detach())))
