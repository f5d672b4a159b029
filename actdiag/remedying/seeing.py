"""Remedies that look at data: each layer is rescaled by what it gives, first layer first."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from actdiag.batches import ModelBatch
from actdiag.remedying.drawing import Law, listing
from actdiag.remedying.products import Product, layer_of, zero_biases
from actdiag.remedying.remedies import Remedy

Hook = Callable[[Any, Any, torch.Tensor], torch.Tensor]


def unit_variance(layer: Any, args: Any, output: torch.Tensor) -> torch.Tensor:
    """Divide a layer's weight by the standard deviation of its output; its bias is 0.

    A layer is linear, so one division gives variance 1: LSUV's loop ends after its first round.
    """
    deviation = output.std(correction=0)
    if 0.0 < deviation < float("inf"):
        layer.weight.div_(deviation)
    return layer.forward(*args)  # type: ignore[no-any-return]


def standardise(layer: Any, args: Any, output: torch.Tensor) -> torch.Tensor:
    """Give each unit of a layer mean 0 and variance 1 over samples and positions, by weight and bias."""
    units = output.movedim(-1 if layer.weight.dim() == 2 else 1, 0).flatten(1)
    deviation, mean = torch.std_mean(units, dim=1, correction=0)
    deviation = torch.where((deviation > 0) & deviation.isfinite(), deviation, torch.ones_like(deviation))
    layer.weight.div_(deviation.reshape(-1, *[1] * (layer.weight.dim() - 1)))
    layer.bias.copy_(-mean / deviation)
    return layer.forward(*args)  # type: ignore[no-any-return]


_CODE: dict[Hook, str] = {
    unit_variance: """\
def unit_variance(layer, args, output):
    layer.weight.div_(output.std(correction=0))
    return layer.forward(*args)
""",
    standardise: """\
def standardise(layer, args, output):
    units = output.movedim(-1 if layer.weight.dim() == 2 else 1, 0).flatten(1)
    deviation, mean = torch.std_mean(units, dim=1, correction=0)
    layer.weight.div_(deviation.reshape(-1, *[1] * (layer.weight.dim() - 1)))
    layer.bias.copy_(-mean / deviation)
    return layer.forward(*args)
""",
}


@dataclass(frozen=True)
class Rescale(Remedy):
    """Draw orthogonal weights, then rescale each layer by what it gives on a batch.

    Attributes:
        layers: what is rescaled, in order of the signal.
        hook: a forward hook that rescales its layer and returns its new output.
    """

    layers: tuple[Product, ...]
    hook: Hook

    def apply(self, model: nn.Module, batch: ModelBatch) -> None:
        """Rescale in order of the signal; buffers, as the running means of a BatchNorm, are put back."""
        modules = [layer_of(model, product) for product in self.layers]
        buffers = [(buffer, buffer.clone()) for buffer in model.buffers()]
        for module in modules:
            Law("orthogonal").draw(module)
        zero_biases(model, self.layers)
        handles = [module.register_forward_hook(self.hook) for module in modules]
        try:
            with torch.no_grad():
                model(*batch.args, **batch.keywords)
        finally:
            for handle in handles:
                handle.remove()
            for buffer, old in buffers:
                buffer.copy_(old)

    def code(self, model: nn.Module) -> str:
        """Return the lines that do the same, given `inputs`."""
        some = [product.biased for product in self.layers]
        zero = ["    nn.init.zeros_(layer.bias)"] if all(some) else []
        if any(some) and not all(some):
            zero = ["    if layer.bias is not None:", "        nn.init.zeros_(layer.bias)"]
        lines = [
            "import torch",
            "from torch import nn",
            "",
            "",
            _CODE[self.hook],
            "",
            *listing(model, self.layers),
            "for layer in layers:",
            f"    {Law('orthogonal').line}",
            *zero,
            f"handles = [layer.register_forward_hook({self.hook.__name__}) for layer in layers]",
            "with torch.no_grad():",
            "    model(inputs)",
            "for handle in handles:",
            "    handle.remove()",
        ]
        return "\n".join(lines) + "\n"
