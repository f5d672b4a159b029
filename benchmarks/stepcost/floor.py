"""The mechanism without its work: the same hooks and function mode as actdiag's, doing nothing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn
from torch._C import DisableTorchFunction
from torch.overrides import TorchFunctionMode

from stepcost.base import Plain


class EmptyMode(TorchFunctionMode):
    """Passes every function on."""

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Call the function."""
        return func(*args, **(kwargs or {}))


class Floor(Plain):
    """A pre-hook and a hook on every module, a tensor hook on every output, a mode while the model runs."""

    def attach(self) -> None:
        """Put the hooks on, and those that turn the mode on and off around the whole model."""
        self.seen = 0
        self.mode = EmptyMode()
        self.handles = [self.model.register_forward_pre_hook(self._enter)]
        for module in self.model.modules():
            self.handles += [
                module.register_forward_pre_hook(self._before, with_kwargs=True),
                module.register_forward_hook(self._after, with_kwargs=True, always_call=True),
            ]
        self.handles.append(self.model.register_forward_hook(self._leave, always_call=True))

    def recorded(self) -> int:
        """Return how many gradients passed the tensor hooks, or as many as are expected if there are more."""
        return min(self.seen, self.expected())

    def expected(self) -> int:
        """Return one for each activation and step; other modules' come on top."""
        return self.workload.hidden * self.steps

    def tensors(self) -> int:
        """Return none: nothing is read."""
        return 0

    def close(self) -> None:
        """Remove the hooks."""
        for handle in self.handles:
            handle.remove()

    def _enter(self, module: nn.Module, inputs: object) -> None:
        self.mode.__enter__()

    def _leave(self, module: nn.Module, inputs: object, output: object) -> None:
        self.mode.__exit__(None, None, None)

    def _before(self, module: nn.Module, inputs: object, named: Mapping[str, object]) -> None:
        return None

    def _after(self, module: nn.Module, inputs: object, named: Mapping[str, object], output: object) -> None:
        with DisableTorchFunction():  # or the mode sees the hook's own two operations
            if isinstance(output, torch.Tensor) and output.requires_grad:
                output.register_hook(self._gradient)

    def _gradient(self, tensor: torch.Tensor) -> None:
        self.seen += 1
