"""The tool's own operations: unseen by the user's graph and modes."""

from __future__ import annotations

from contextlib import AbstractContextManager
from types import TracebackType

import torch
from torch.utils._python_dispatch import _disable_current_modes


class Untouched:
    """Lets the tool's own operations pass unseen: no graph, no function mode, no dispatch mode."""

    __slots__ = ("_contexts",)

    def __enter__(self) -> None:
        """Set the modes aside."""
        self._contexts: list[AbstractContextManager[object]] = [
            torch._C.DisableTorchFunction(),
            torch.no_grad(),
        ]
        if torch._C._len_torch_dispatch_stack():
            self._contexts.append(_disable_current_modes())
        for context in self._contexts:
            context.__enter__()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Put the modes back."""
        for context in reversed(self._contexts):
            context.__exit__(kind, error, trace)
