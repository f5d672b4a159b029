"""What a remedy is: something done to a copy of the model, and the lines of code that do the same."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar

from torch import nn

from actdiag.batches import ModelBatch


@dataclass(frozen=True)
class Remedy(ABC):
    """A change of a model's start, or of the model.

    Attributes:
        name: one or two words, as tables show it.
        title: what is done, in half a sentence.
        source: who proposed it.
        changes_network: modules are added or replaced, so that a state_dict no longer fits.
    """

    name: str
    title: str
    source: str
    changes_network: ClassVar[bool] = False

    @abstractmethod
    def apply(self, model: nn.Module, batch: ModelBatch) -> None:
        """Change the model in place; torch's global generator is the only source of randomness.

        Args:
            model: a copy, in the mode and on the device of the original.
            batch: what data-dependent remedies look at.
        """

    @abstractmethod
    def code(self, model: nn.Module) -> str:
        """Return Python lines that do the same to `model`, given `inputs` where the data matter."""
