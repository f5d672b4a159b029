"""The callables left on a model while it is watched: they copy, pickle and break nothing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import nn


class Inert:
    """What a copied or loaded hook becomes: it takes itself off at its first call."""

    __torch_unserializable__ = True

    def __call__(self, *args: Any) -> None:
        """Take itself off the module it hangs on."""
        owner = args[0] if args else None
        if not isinstance(owner, nn.Module):
            return
        for hooks in (owner._forward_hooks, owner._forward_pre_hooks):
            for key in [key for key, hook in hooks.items() if hook is self]:
                for table in _tables(owner):
                    table.pop(key, None)


def _tables(module: nn.Module) -> tuple[dict[int, Any], ...]:
    return (
        module._forward_hooks,
        module._forward_hooks_with_kwargs,
        module._forward_hooks_always_called,
        module._forward_pre_hooks,
        module._forward_pre_hooks_with_kwargs,
    )


class Alone:
    """A callable that belongs to one model: a deep copy or a pickle of it is `Inert`.

    So an attached model copies and pickles, and the copy is not watched.
    """

    __slots__ = ()
    __torch_unserializable__ = True  # or saving a tensor that it hangs on warns

    def __deepcopy__(self, memo: dict[int, Any]) -> Inert:
        return Inert()

    def __copy__(self) -> Inert:
        return Inert()

    def __reduce__(self) -> tuple[type[Inert], tuple[()]]:
        return Inert, ()


class Hook(Alone):
    """Calls `react` with what torch gives a hook, and returns None whatever happens."""

    __slots__ = ("heal", "react")

    def __init__(self, react: Callable[..., None], heal: Callable[[], None]) -> None:
        self.react, self.heal = react, heal

    def __call__(self, *args: Any) -> None:
        """Pass on what happened; a compiler that traces the model sees a hook without effect."""
        if torch.compiler.is_compiling():
            return
        try:
            self.react(*args)
        except BaseException:
            self.heal()
            raise


graph_task = torch._C._current_graph_task_id
"""Return the number of the backward pass that is running, -1 outside one."""


def unwatched() -> bool:
    """Return whether no mode is on that would see the tool's own operations."""
    return not (torch._C._len_torch_function_stack() or torch._C._len_torch_dispatch_stack())
