"""actdiag itself, with its options."""

from __future__ import annotations

import inspect
from typing import Any

import pandas as pd
from torch import nn

import actdiag
from stepcost.base import Plain, UnavailableError

PAIR = ("activation", "activation_grad")


class Attached(Plain):
    """actdiag with its default options: every output, its gradient, weights and their gradients."""

    options: dict[str, Any] = {}  # noqa: RUF012

    def attach(self) -> None:
        """Attach."""
        missing = [name for name in self.options if name not in inspect.signature(actdiag.attach).parameters]
        if missing:
            raise UnavailableError(f"attach has no option {missing[0]}")
        self.recorder = actdiag.attach(self.model, **self.options)
        self.after = self.recorder.step  # type: ignore[method-assign]

    def recorded(self) -> int:
        """Return the rows of activations and of their gradients, each with numbers in it."""
        rows = self._rows()
        pair = rows[rows["tensor"].isin(PAIR)]
        return int((pair["rms"].notna() & (pair["count"] > 0)).sum())

    def expected(self) -> int:
        """Return two rows for each activation and recorded step."""
        return 2 * self.workload.hidden * -(-self.steps // self.period)

    def tensors(self) -> int:
        """Return the rows of a step."""
        return len(self.units())

    def _rows(self) -> pd.DataFrame:
        rows = self.recorder.recording().rows
        return rows[rows["source"] == "measured"]

    def close(self) -> None:
        """Detach."""
        self.recorder.detach()

    def units(self) -> list[int]:
        """Return the units of each row of the first step."""
        rows = self._rows()
        return rows[rows["step"] == 0]["units"].tolist()


class Activations(Attached):
    """actdiag restricted to activations, their gradients and the size of weight gradients."""

    options = {"tensors": "activations"}  # noqa: RUF012


class Every(Attached):
    """actdiag at every tenth step."""

    period = 10
    options = {"every": 10}  # noqa: RUF012


class EveryActivations(Every):
    """The same, restricted to activations."""

    options = {"every": 10, "tensors": "activations"}  # noqa: RUF012


class Passive(Attached):
    """actdiag without a function mode."""

    options = {"passive": True}  # noqa: RUF012

    def attach(self) -> None:
        """Attach, where it sees the activations."""
        if any(isinstance(module, nn.TransformerEncoderLayer) for module in self.model.modules()):
            raise UnavailableError("sees nothing inside Transformer layers")
        super().attach()
