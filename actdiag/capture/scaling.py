"""Loss scaling: what a `torch.amp.GradScaler` multiplied the loss by, to be divided out again."""

from __future__ import annotations

from typing import Any

UNSCALED = "scaler.unscale_ ran before step(): the gradients of all weights are taken as unscaled"


class LossScale:
    """Knows the scale of a step's gradients; 1 without a scaler.

    It is read at `step()`, which comes after `backward()` and before `scaler.step()` and `scaler.update()`.
    """

    def __init__(self, scaler: Any = None) -> None:
        self._scaler = scaler
        self._used = 1.0
        self._unscaled = False

    def of_tensors(self) -> float:
        """Return the scale of the gradients of tensors in this step."""
        if self._scaler is not None and self._scaler.is_enabled():
            self._used = float(self._scaler.get_scale())
        return self._used

    def of_parameters(self) -> float:
        """Return the scale of the parameters' gradients: 1 once `scaler.unscale_` was called."""
        states = getattr(self._scaler, "_per_optimizer_states", {})
        unscaled = any(state["stage"].name != "READY" for state in list(states.values()))
        self._unscaled = self._unscaled or unscaled
        return 1.0 if unscaled else self.of_tensors()

    def notes(self) -> list[str]:
        """Return what the reader should know."""
        return [UNSCALED] if self._unscaled else []

    def facts(self) -> dict[str, float]:
        """Return what the recording says of it."""
        return {} if self._scaler is None else {"scale": self._used}
