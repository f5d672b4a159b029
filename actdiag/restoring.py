"""Leave a model as it was: whatever a forward and a backward pass change is put back."""

from __future__ import annotations

import random
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn.parameter import UninitializedBuffer, UninitializedParameter

from actdiag import interrupts

Restore = Callable[[], None]
_TABLES = tuple(name for name, value in vars(nn.Module()).items() if isinstance(value, dict))
"""Of every module: its parameters, buffers, children and hooks."""


@contextmanager
def restored(modules: Iterable[nn.Module], tensors: Iterable[torch.Tensor]) -> Iterator[None]:
    """Put back, after the block and also after an exception, what a training step changes.

    That is: random states (torch on the CPU and on devices in use, numpy, python); every module's
    attributes, training flag, hooks, buffers, parameters and children as objects; the values of buffers,
    parameters (an optimiser may step inside backward) and of `tensors`; of every parameter and leaf `.grad`,
    which is None at the start of the block, and `requires_grad`. Not put back: what a forward pass writes
    into lists and dicts that the model keeps.

    Args:
        modules: every module that takes part.
        tensors: inputs and targets.
    """
    modules, tensors = list(dict.fromkeys(modules)), list(tensors)
    tables = [table for module in modules for table in (module._buffers, module._parameters)]
    held = [tensor for table in tables for tensor in table.values() if tensor is not None]
    with ExitStack() as stack:
        with interrupts.held():
            stack.callback(_keep_random_states())
            for tensor in _unique([*held, *tensors]):
                stack.callback(_keep_values(tensor))
            for module in modules:
                stack.callback(_keep_attributes(module))
            for leaf in _unique([*_leaves(modules), *tensors]):
                stack.callback(_keep_gradient(leaf))
        try:
            yield
        finally:
            with interrupts.held():
                stack.close()


def _keep_random_states() -> Restore:
    python, legacy, cpu = random.getstate(), np.random.get_state(), torch.get_rng_state()
    started = torch.cuda.is_initialized()  # type: ignore[no-untyped-call]
    cuda = torch.cuda.get_rng_state_all() if started else []
    mps = torch.mps.get_rng_state() if torch.backends.mps.is_available() else None

    def restore() -> None:
        random.setstate(python)
        np.random.set_state(legacy)
        torch.set_rng_state(cpu)
        torch.cuda.set_rng_state_all(cuda)
        if mps is not None:
            torch.mps.set_rng_state(mps)

    return restore


def _keep_values(tensor: torch.Tensor) -> Restore:
    if tensor.layout != torch.strided or tensor.is_meta or tensor.is_nested or not _is_made(tensor):
        return _nothing
    with torch.no_grad():
        copy = tensor.detach().clone()

    def restore() -> None:
        with torch.inference_mode(tensor.is_inference()), torch.no_grad():
            if tensor.shape != copy.shape:
                tensor.resize_(copy.shape)
            if not bool(_same(tensor, copy).all()):
                tensor.data.copy_(copy)  # no new version: a graph that the user still holds stays valid

    return restore


def _same(tensor: torch.Tensor, copy: torch.Tensor) -> torch.Tensor:
    if tensor.is_complex():
        return _same(torch.view_as_real(tensor), torch.view_as_real(copy))
    equal = (tensor == copy) & (torch.signbit(tensor) == torch.signbit(copy))
    return equal | ((tensor != tensor) & (copy != copy))


def _is_made(tensor: torch.Tensor) -> bool:
    """Return whether a tensor has elements of its own: a lazy one has none, an expanded one shares them."""
    if isinstance(tensor, UninitializedParameter | UninitializedBuffer):
        return False
    return all(stride or size < 2 for stride, size in zip(tensor.stride(), tensor.shape, strict=True))


def _nothing() -> None:
    """Leave a tensor alone that cannot be copied and compared."""


def _keep_attributes(module: nn.Module) -> Restore:
    """Keep the attributes of a module, and the tables of its parameters, buffers, children and hooks."""
    own: dict[str, Any] = vars(module)
    tables = [own, *(own[name] for name in _TABLES if type(own.get(name)) in (dict, OrderedDict))]
    kept = [(table, dict(table)) for table in tables]

    def restore() -> None:
        for table, old in kept:
            _put_back(table, old)

    return restore


def _put_back(table: dict[str, Any], old: dict[str, Any]) -> None:
    """Make a dict in place what it was; one that holds the same objects is not touched."""
    if len(table) != len(old) or any(table.get(name, table) is not value for name, value in old.items()):
        table.clear()
        table.update(old)


def _keep_gradient(leaf: torch.Tensor) -> Restore:
    """Keep `.grad`, which becomes None, and `requires_grad`, which a forward pass may switch."""
    if not leaf.is_leaf:
        return _nothing
    needed, gradient = leaf.requires_grad, leaf.grad
    if gradient is not None:
        leaf.grad = None

    def restore() -> None:
        if leaf.is_leaf and leaf.requires_grad is not needed:
            leaf.requires_grad_(needed)
        if leaf.is_leaf and leaf.grad is not gradient:
            leaf.grad = gradient

    return restore


def _leaves(modules: Iterable[nn.Module]) -> Iterator[torch.Tensor]:
    """Yield the parameters, and the tensors that modules keep as plain attributes."""
    for module in modules:
        yield from module.parameters(recurse=False)
        yield from (value for value in vars(module).values() if isinstance(value, torch.Tensor))


def _unique(tensors: Iterable[torch.Tensor]) -> list[torch.Tensor]:
    return list({id(tensor): tensor for tensor in tensors}.values())
