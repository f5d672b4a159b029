"""The tool's own operations: unseen by the user's graph and modes."""

from __future__ import annotations

from contextlib import AbstractContextManager
from types import TracebackType

import torch
from torch.utils._python_dispatch import _disable_current_modes


class Untouched:
    """Lets the tool's own operations pass unseen: no graph, no function mode, no dispatch mode."""

    __slots__ = ("_graph", "_modes")

    def __init__(self) -> None:
        self._graph = torch.is_grad_enabled()
        self._modes: list[AbstractContextManager[object]] = []

    def __enter__(self) -> None:
        """Set the modes aside."""
        self._enter(torch._C.DisableTorchFunction())
        if torch._C._len_torch_dispatch_stack():
            self._enter(_disable_current_modes())
        torch._C._set_grad_enabled(False)

    def _enter(self, mode: AbstractContextManager[object]) -> None:
        mode.__enter__()
        self._modes.append(mode)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Put the modes back."""
        self.restore()

    def restore(self) -> None:
        """Put the modes back; doing so twice does no harm."""
        torch._C._set_grad_enabled(self._graph)
        while self._modes:
            self._modes.pop().__exit__(None, None, None)
